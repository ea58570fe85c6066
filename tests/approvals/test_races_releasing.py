"""Workers, the clock, agents and people at the same moment; at most one of them has its way.

`tests/races/promises.py` says at which guard each test aims; `manage.py race_guards` takes it out.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import IntegrityError

from approvals import lifecycle, tasks
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
from tests.support import deadlines, guarding, racing, trail
from tests.support import world as worlds

S = ToolCall.Status
HOUR = timedelta(hours=1)
SOON = timedelta(seconds=5)  # enough to begin to wait, on a busy machine
DONE = Outcome.succeeded({"content": []})


@pytest.fixture
def world(transactional_db: None) -> worlds.World:
    """Return the world of all tests, committed, so that other threads see it."""
    return worlds.build()


@pytest.fixture
def races(held_call):
    """Return rounds of a race, each with a call of its own in a state."""

    def make(status: S, *orders: str) -> Iterator[tuple[racing.Round, ToolCall]]:
        for race in racing.rounds(*orders):
            yield race, held_call(status=status, arguments=_arguments(race.number))

    return make


def _arguments(number: int) -> dict[str, object]:
    return {"customer": f"c{number}", "amount": 1}


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


def test_one_wake_up_to_many_workers_is_one_claim(world, races):
    """Behind it stands the condition of the UPDATE, of which `test_pairs` is."""
    for race, call in races(S.APPROVED):
        workers = [partial(lifecycle.claim, call.pk, worker=f"w{n}") for n in range(4)]

        place, claim, lost = racing.winner(race.together(*workers))

        assert {type(error) for error in lost} == {IllegalMove}
        row = ToolCall.objects.get(pk=call.pk)
        assert (row.fence, row.claimed_by) == (claim.fence, claim.worker) == (1, f"w{place}")
        assert _is_whole(call)
        race.went(place)


def test_one_claim_in_two_threads_is_one_dispatch(world, races):
    for race, call in races(S.CLAIMED):
        place, row, (lost,) = racing.winner(race.together(*[_dispatch(call)] * 2))

        assert (row.status, type(lost)) == (S.DISPATCHED, FenceLost)
        assert Dispatch.objects.filter(call=call).count() == 1
        assert _is_whole(call)
        race.went(place)


def test_one_dispatch_per_call_is_the_databases_own_law(world, races):
    """Two writers that know nothing of our locks; the guard is the unique index.

    On SQLite they take turns, and the trigger, which looks first, says no before the index.
    """
    for race, call in races(S.CLAIMED):
        writes = [partial(guarding.insert, guarding.dispatch(call)) for _ in range(2)]

        place, _, (lost,) = racing.winner(race.together(*writes))

        assert type(lost) is IntegrityError
        assert Dispatch.objects.filter(call=call).count() == 1
        race.went(place)


def test_a_call_withdrawn_as_it_is_claimed_is_withdrawn(world, races):
    for race, call in races(S.APPROVED, "claim", "withdrawal"):
        claim = partial(lifecycle.claim, call.pk, worker="w1")

        cancelled, claimed = race.together(_cancel(call), claim)

        assert type(cancelled) is ToolCall
        assert cancelled.status == _status(call) == S.CANCELLED
        assert type(claimed) in (lifecycle.Claim, IllegalMove)
        if isinstance(claimed, lifecycle.Claim):
            with pytest.raises(FenceLost):
                lifecycle.dispatch(claimed, seen=worlds.seen(call))
        assert not Dispatch.objects.exists()
        assert _is_whole(call)
        race.went("claim" if isinstance(claimed, lifecycle.Claim) else "withdrawal")


def test_a_call_is_withdrawn_or_dispatched_never_both(world, races):
    for race, call in races(S.CLAIMED, "dispatch", "withdrawal"):
        place, won, (lost,) = racing.winner(race.together(_cancel(call), _dispatch(call)))

        end, refusal = ((S.CANCELLED, FenceLost), (S.DISPATCHED, CallSettled))[place]
        assert (won.status, _status(call), type(lost)) == (end, end, refusal)
        is_dispatched = Dispatch.objects.filter(call=call).exists()
        assert is_dispatched == (end == S.DISPATCHED)
        assert _is_whole(call)
        race.went(("withdrawal", "dispatch")[place])


def test_a_lease_is_taken_away_or_used_never_both(world, races, settings):
    settings.CLAIM_LEASE_SECONDS = 0
    for race, call in races(S.CLAIMED, "taken away", "used"):
        outcomes = race.together(partial(lifecycle.lapse, call.pk), _dispatch(call))

        place, _, (lost,) = racing.winner(outcomes)
        end, refusal = ((S.APPROVED, FenceLost), (S.DISPATCHED, Conflict))[place]
        assert (_status(call), type(lost)) == (end, refusal)
        is_dispatched = Dispatch.objects.filter(call=call).exists()
        assert is_dispatched == (end == S.DISPATCHED)
        assert _is_whole(call)
        race.went(("taken away", "used")[place])


def test_a_claim_that_waited_across_the_deadline_is_none(world, held_call):
    """And one that waited as well, and went on before it, is one."""
    for race in racing.rounds("late", "in time", least=2):
        is_late = race.number % 2 == 0
        call = held_call(status=S.APPROVED, arguments=_arguments(race.number))
        claim = partial(lifecycle.claim, call.pk, worker="w1")
        if is_late:
            deadlines.ending_at(call, database_now() + SOON)

        outcome = racing.delayed(call, claim, call.run_by_at if is_late else _soon())

        wanted = (CallExpired, S.APPROVED) if is_late else (lifecycle.Claim, S.CLAIMED)
        assert (type(outcome), _status(call)) == wanted
        race.went("late" if isinstance(outcome, CallExpired) else "in time")


def test_a_dispatch_that_waited_across_the_deadline_sends_nothing(world, held_call):
    """And one that waited as well, and went on before it, does."""
    for race in racing.rounds("late", "in time", least=2):
        is_late = race.number % 2 == 0
        call = held_call(status=S.CLAIMED, arguments=_arguments(race.number))
        if is_late:
            deadlines.ending_at(call, database_now() + SOON)

        outcome = racing.delayed(call, _dispatch(call), call.run_by_at if is_late else _soon())

        wanted = (CallExpired, S.EXPIRED) if is_late else (ToolCall, S.DISPATCHED)
        assert (type(outcome), _status(call)) == wanted
        assert Dispatch.objects.filter(call=call).exists() != is_late
        race.went("late" if isinstance(outcome, CallExpired) else "in time")


def _soon() -> datetime:
    return database_now() + timedelta(seconds=1)


@pytest.mark.postgres
@pytest.mark.parametrize("is_first", [True, False])
def test_the_clock_and_a_claim_that_waited_across_the_deadline_agree(world, held_call, is_first):
    call = deadlines.ending_at(held_call(status=S.APPROVED), database_now() + SOON)
    claim = partial(lifecycle.claim, call.pk, worker="w1")
    steps: list[racing.Step] = [claim, partial(lifecycle.expire, call.pk)]

    with racing.held_up(call, *(steps if is_first else steps[::-1])) as racers:
        racing.wait_across(call.run_by_at)

    claimed, expired = racers if is_first else racers[::-1]
    assert (type(claimed.result), type(expired.result)) == (CallExpired, ToolCall)
    assert _status(call) == S.EXPIRED
    assert trail.codes(call)[-1] == "expired"


@pytest.mark.postgres
@pytest.mark.parametrize("is_first", [True, False])
def test_the_clock_and_a_dispatch_that_waited_across_the_deadline_agree(
    world, held_call, settings, is_first
):
    settings.CLAIM_LEASE_SECONDS = 0
    call = deadlines.ending_at(held_call(status=S.CLAIMED), database_now() + SOON)
    steps = [_dispatch(call), partial(lifecycle.expire, call.pk)]

    with racing.held_up(call, *(steps if is_first else steps[::-1])):
        racing.wait_across(call.run_by_at)

    assert _status(call) == S.EXPIRED
    assert not Dispatch.objects.exists()
    assert trail.codes(call).count("expired") == 1


@pytest.mark.parametrize("what", ["agent", "upstream", "tool"])
def test_what_was_switched_off_while_a_dispatch_waited_is_not_sent(world, held_call, what):
    """And what was dispatched before is sent."""
    switch: dict[str, Callable[[bool], object]] = {
        "agent": lambda on: type(world.agent).objects.update(is_paused=not on),
        "upstream": lambda on: type(world.upstream).objects.update(is_enabled=on),
        "tool": lambda on: type(world.refund).objects.update(is_listed=on),
    }
    for race in racing.rounds("off first", "dispatch first", least=4):
        call = held_call(status=S.CLAIMED, arguments=_arguments(race.number))
        dispatch, is_off_first = _dispatch(call), race.number % 2 == 0

        with racing.held_up(call, *[dispatch] * is_off_first) as racers:
            if is_off_first:
                switch[what](False)
        outcome = racers[0].result if racers else dispatch()
        switch[what](False)

        wanted = (BindingBroken, S.VOID) if is_off_first else (ToolCall, S.DISPATCHED)
        assert (type(outcome), _status(call)) == wanted
        switch[what](True)
        race.went("off first" if isinstance(outcome, BindingBroken) else "dispatch first")


def test_a_late_answer_beats_the_sweep_whichever_comes_first(world, races):
    for race, call in races(S.DISPATCHED, "answer", "sweep"):
        lose = partial(lifecycle.lose, call.pk, reason="No answer.", only_if=lambda row: True)

        finished, lost = race.together(partial(lifecycle.finish, _claim_of(call), DONE), lose)

        assert (type(finished), type(lost)) in [(ToolCall, Conflict), (ToolCall, ToolCall)]
        assert finished.status == _status(call) == S.SUCCEEDED
        assert _is_whole(call)
        race.went("answer" if isinstance(lost, Conflict) else "sweep")


def test_a_late_answer_or_a_person_settles_a_call_never_both(world, races, settings):
    settings.SETTLE_QUARANTINE_SECONDS = 0
    for race, call in races(S.UNKNOWN, "answer", "person"):
        settle = partial(
            lifecycle.settle, call.pk, person=world.bo, outcome="not-ran", evidence="The ledger."
        )

        outcomes = race.together(partial(lifecycle.finish, _claim_of(call), DONE), settle)

        place, won, (lost,) = racing.winner(outcomes)
        end, refusal = ((S.SUCCEEDED, Conflict), (S.FAILED, FenceLost))[place]
        assert (won.status, _status(call), type(lost)) == (end, end, refusal)
        assert _is_whole(call)
        race.went(("answer", "person")[place])


def test_an_answer_that_comes_twice_is_taken_once(world, races):
    for race, call in races(S.DISPATCHED):
        answer = partial(lifecycle.finish, _claim_of(call), DONE)

        place, won, (lost,) = racing.winner(race.together(answer, answer))

        assert (won.status, type(lost)) == (S.SUCCEEDED, FenceLost)
        assert _is_whole(call)
        race.went(place)


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
