"""Workers, the clock, agents and people at the same moment; at most one of them has its way.

A docstring says which guard was taken out, in a copy of the code, when the test was seen to fail.
"""

from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError

from approvals import bindings, lifecycle, tasks
from approvals.administration import agents
from approvals.errors import (
    BindingBroken,
    CallExpired,
    CallSettled,
    Conflict,
    FenceLost,
    IllegalMove,
)
from approvals.models import Dispatch, ToolCall, database_now
from approvals.outcomes import Outcome
from tests.support import guarding, racing, trail
from tests.support import world as worlds

S = ToolCall.Status
ROUNDS = range(20)
HOUR = timedelta(hours=1)
DONE = Outcome.succeeded({"content": []})


@pytest.fixture
def world(transactional_db: None) -> worlds.World:
    """Return the world of all tests, committed, so that other threads see it."""
    return worlds.build()


@pytest.fixture
def calls(held_call):
    """Return a maker of one call a round, in a state."""

    def make(status: S):
        for number in ROUNDS:
            yield held_call(status=status, arguments={"customer": f"c{number}", "amount": 1})

    return make


def _claim_of(call: ToolCall) -> lifecycle.Claim:
    return lifecycle.Claim(call, call.fence, "test")


def _dispatch(call: ToolCall):
    return partial(lifecycle.dispatch, _claim_of(call), seen=worlds.seen(call))


def _cancel(call: ToolCall):
    return partial(lifecycle.cancel, call.pk, actor="agent:support")


def _status(call: ToolCall) -> str:
    return ToolCall.objects.get(pk=call.pk).status


def _is_whole(call: ToolCall) -> bool:
    """Tell whether each version of the call has its one event."""
    return len(trail.codes(call)) == ToolCall.objects.get(pk=call.pk).version


def test_one_wake_up_to_many_workers_is_one_claim(world, calls):
    """Seen to fail on PostgreSQL without the row's lock.

    Losers were then told lost_race, by the condition of the UPDATE; `test_pairs` is about that one.
    """
    for call in calls(S.APPROVED):
        workers = [partial(lifecycle.claim, call.pk, worker=f"w{n}") for n in range(4)]

        (claim,), lost = racing.split(racing.together(*workers))

        assert {type(error) for error in lost} == {IllegalMove}
        row = ToolCall.objects.get(pk=call.pk)
        assert (row.fence, row.claimed_by) == (claim.fence, claim.worker) == (1, claim.worker)
        assert _is_whole(call)


def test_one_claim_in_two_threads_is_one_dispatch(world, calls):
    """Seen to fail on PostgreSQL without the row's lock."""
    for call in calls(S.CLAIMED):
        (row,), (lost,) = racing.split(racing.together(*[_dispatch(call)] * 2))

        assert (row.status, type(lost)) == (S.DISPATCHED, FenceLost)
        assert Dispatch.objects.filter(call=call).count() == 1
        assert _is_whole(call)


def test_one_dispatch_per_call_is_the_databases_own_law(world, calls):
    """Two writers that know nothing of our locks; the guard is the unique index.

    On SQLite they take turns, and the trigger, which looks first, says no before the index.
    """
    for call in calls(S.CLAIMED):
        writes = [partial(guarding.insert, guarding.dispatch(call)) for _ in range(2)]

        (_,), (lost,) = racing.split(racing.together(*writes))

        assert type(lost) is IntegrityError
        assert Dispatch.objects.filter(call=call).count() == 1


def test_a_call_withdrawn_as_it_is_claimed_is_withdrawn(world, calls):
    """Seen to fail on PostgreSQL without the row's lock."""
    for call in calls(S.APPROVED):
        claim = partial(lifecycle.claim, call.pk, worker="w1")

        cancelled, claimed = racing.together(_cancel(call), claim)

        assert cancelled.status == _status(call) == S.CANCELLED
        assert type(claimed) in (lifecycle.Claim, IllegalMove)
        if isinstance(claimed, lifecycle.Claim):
            with pytest.raises(FenceLost):
                lifecycle.dispatch(claimed, seen=worlds.seen(call))
        assert not Dispatch.objects.exists()
        assert _is_whole(call)


def test_a_call_is_withdrawn_or_dispatched_never_both(world, calls):
    """Seen to fail on PostgreSQL without the row's lock."""
    for call in calls(S.CLAIMED):
        cancelled, dispatched = racing.together(_cancel(call), _dispatch(call))

        if _status(call) == S.CANCELLED:
            assert cancelled.status == S.CANCELLED
            assert type(dispatched) is FenceLost
        else:
            assert dispatched.status == _status(call) == S.DISPATCHED
            assert type(cancelled) is CallSettled
        is_dispatched = Dispatch.objects.filter(call=call).exists()
        assert is_dispatched == (_status(call) == S.DISPATCHED)
        assert _is_whole(call)


def test_a_lease_is_taken_away_or_used_never_both(world, calls, settings):
    """Seen to fail on PostgreSQL without the row's lock."""
    settings.CLAIM_LEASE_SECONDS = 0
    for call in calls(S.CLAIMED):
        lapsed, dispatched = racing.together(partial(lifecycle.lapse, call.pk), _dispatch(call))

        if _status(call) == S.APPROVED:
            assert (lapsed.status, type(dispatched)) == (S.APPROVED, FenceLost)
            assert not Dispatch.objects.filter(call=call).exists()
        else:
            assert (type(lapsed), dispatched.status) == (Conflict, S.DISPATCHED)
        assert _is_whole(call)


def _soon_late(call: ToolCall) -> ToolCall:
    """Let the time to run be over in three seconds, which the guards would not let anybody do."""
    soon = database_now() + timedelta(seconds=3)
    call.decide_by_at = call.run_by_at = soon
    call.binding = bindings.of(call).digest()
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(
            decide_by_at=soon, run_by_at=soon, binding=call.binding
        )
        call.decisions.update(binding=call.binding)
    return call


def test_a_claim_that_waited_across_the_deadline_is_none(world, held_call):
    """Seen to fail on PostgreSQL without the row's lock."""
    call = _soon_late(held_call(status=S.APPROVED))
    claim = partial(lifecycle.claim, call.pk, worker="w1")

    outcome = racing.delayed(call, claim, until=call.run_by_at)

    assert (type(outcome), _status(call)) == (CallExpired, S.APPROVED)


def test_a_dispatch_that_waited_across_the_deadline_sends_nothing(world, held_call):
    """Seen to fail on PostgreSQL without the row's lock."""
    call = _soon_late(held_call(status=S.CLAIMED))

    outcome = racing.delayed(call, _dispatch(call), until=call.run_by_at)

    assert (type(outcome), _status(call)) == (CallExpired, S.EXPIRED)
    assert not Dispatch.objects.exists()


def test_a_dispatch_in_time_is_a_dispatch_though_it_waited(world, held_call):
    """The counterpart of the two above: it is not the waiting that is refused."""
    call = held_call(status=S.CLAIMED)
    soon = database_now() + timedelta(seconds=1)

    assert racing.delayed(call, _dispatch(call), until=soon).status == S.DISPATCHED


@pytest.mark.postgres
@pytest.mark.parametrize("is_first", [True, False])
def test_the_clock_and_a_claim_that_waited_across_the_deadline_agree(world, held_call, is_first):
    """Seen to fail on PostgreSQL without the row's lock."""
    call = _soon_late(held_call(status=S.APPROVED))
    claim = partial(lifecycle.claim, call.pk, worker="w1")
    steps: list[racing.Step] = [claim, partial(lifecycle.expire, call.pk)]

    with racing.held_up(call, *(steps if is_first else steps[::-1])) as racers:
        racing.wait_across(call.run_by_at)

    claimed, expired = racers if is_first else racers[::-1]
    assert (type(claimed.result), expired.result.status) == (CallExpired, S.EXPIRED)
    assert trail.codes(call)[-1] == "expired"


@pytest.mark.postgres
@pytest.mark.parametrize("is_first", [True, False])
def test_the_clock_and_a_dispatch_that_waited_across_the_deadline_agree(
    world, held_call, settings, is_first
):
    """Seen to fail on PostgreSQL without the row's lock."""
    settings.CLAIM_LEASE_SECONDS = 0
    call = _soon_late(held_call(status=S.CLAIMED))
    steps = [_dispatch(call), partial(lifecycle.expire, call.pk)]

    with racing.held_up(call, *(steps if is_first else steps[::-1])):
        racing.wait_across(call.run_by_at)

    assert _status(call) == S.EXPIRED
    assert not Dispatch.objects.exists()
    assert trail.codes(call).count("expired") == 1


@pytest.mark.postgres
@pytest.mark.parametrize("what", ["agent", "upstream", "tool"])
def test_what_was_switched_off_while_a_dispatch_waited_is_not_sent(world, calls, what):
    """Seen to fail on PostgreSQL without the row's lock."""
    switch_off: dict[str, racing.Step] = {
        "agent": partial(agents.set_paused, world.agent, True, actor=worlds.ACTOR),
        "upstream": partial(type(world.upstream).objects.update, is_enabled=False),
        "tool": partial(type(world.refund).objects.update, is_listed=False),
    }
    call = next(calls(S.CLAIMED))

    with racing.held_up(call, _dispatch(call)) as (racer,):
        racing.together(switch_off[what])

    assert type(racer.result) is BindingBroken
    assert _status(call) == S.VOID


def test_a_late_answer_beats_the_sweep_whichever_comes_first(world, calls):
    """Seen to fail on PostgreSQL without the row's lock."""
    for call in calls(S.DISPATCHED):
        lose = partial(lifecycle.lose, call.pk, reason="No answer.", only_if=lambda row: True)

        finished, _lost = racing.together(partial(lifecycle.finish, _claim_of(call), DONE), lose)

        assert finished.status == _status(call) == S.SUCCEEDED
        assert _is_whole(call)


def test_a_late_answer_or_a_person_settles_a_call_never_both(world, calls, settings):
    """Seen to fail on PostgreSQL without the row's lock."""
    settings.SETTLE_QUARANTINE_SECONDS = 0
    for call in calls(S.UNKNOWN):
        settle = partial(
            lifecycle.settle, call.pk, person=world.bo, outcome="not-ran", evidence="The ledger."
        )

        outcomes = racing.together(partial(lifecycle.finish, _claim_of(call), DONE), settle)

        (won,), (lost,) = racing.split(outcomes)
        assert won.status == _status(call)
        assert type(lost) in (FenceLost, Conflict)
        assert _is_whole(call)


def test_an_answer_that_comes_twice_is_taken_once(world, calls):
    """Seen to fail on PostgreSQL without the row's lock."""
    for call in calls(S.DISPATCHED):
        answer = partial(lifecycle.finish, _claim_of(call), DONE)

        (won,), (lost,) = racing.split(racing.together(answer, answer))

        assert (won.status, type(lost)) == (S.SUCCEEDED, FenceLost)
        assert _is_whole(call)


def test_sweeps_beside_each_other_do_everything_once(world, held_call, settings):
    """Passes without the row's lock too: the condition of the UPDATE stands behind it."""
    settings.CLAIM_LEASE_SECONDS = 0
    due = [
        held_call(age=HOUR, arguments={"customer": "a", "amount": 1}),
        held_call(status=S.CLAIMED, arguments={"customer": "b", "amount": 1}),
    ]

    assert racing.together(tasks.sweep, tasks.sweep, tasks.sweep) == [None] * 3

    assert [_status(call) for call in due] == [S.EXPIRED, S.APPROVED]
    assert all(_is_whole(call) for call in due)
    assert not ToolCall.objects.exclude(needs_attention="").exists()
