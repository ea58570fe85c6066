"""Decisions at the same moment: threads that meet at a barrier, until each order was seen.

`tests/races/promises.py` says at which guard each test aims; `manage.py race_guards` takes it out.
"""

from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from approvals import lifecycle, submission
from approvals.administration import catalog
from approvals.errors import (
    AlreadyDecided,
    CallExpired,
    CallSettled,
    Conflict,
    InvalidInput,
    NotAllowed,
)
from approvals.models import ApproverGroup, AuditStream, Decision, Person, ToolCall, database_now
from tests.support import listening, racing, trail
from tests.support import world as worlds

S = ToolCall.Status
HOUR = timedelta(hours=1)
SOON = timedelta(seconds=5)  # enough to begin to wait, on a busy machine


@pytest.fixture
def world(transactional_db: None) -> worlds.World:
    """Return the world of all tests, committed, so that other threads see it."""
    return worlds.build()


def _arguments(number: int) -> dict[str, object]:
    return {"customer": f"c{number}", "amount": 1}


def _vote(call: ToolCall, person: Person, verdict: str = "approve"):
    return partial(
        lifecycle.decide, call.pk, decider=person, verdict=verdict, binding=call.binding,
        reason="Because.",
    )  # fmt: skip


def _is_whole(call: ToolCall) -> bool:
    """Tell whether each version of the call has its one event."""
    return len(trail.codes(call)) == ToolCall.objects.get(pk=call.pk).version


def test_of_two_approvers_at_once_one_decides(world, held_call):
    for race in racing.rounds("bo", "cy"):
        call = held_call(arguments=_arguments(race.number))

        outcomes = race.together(_vote(call, world.bo), _vote(call, world.cy))

        place, won, (lost,) = racing.winner(outcomes)
        assert (won.status, type(lost)) == (S.APPROVED, CallSettled)
        assert call.decisions.get().approver == (world.bo, world.cy)[place]
        assert trail.codes(call) == ["held", "approve_signed", "approved"]
        race.went(("bo", "cy")[place])


def test_of_an_approval_and_a_rejection_at_once_one_stands(world, held_call):
    for race in racing.rounds("approve", "reject"):
        call = held_call(arguments=_arguments(race.number))

        outcomes = race.together(_vote(call, world.bo), _vote(call, world.cy, "reject"))

        _, won, (lost,) = racing.winner(outcomes)
        assert type(lost) is CallSettled
        decision = call.decisions.get()
        ends = {"approve": S.APPROVED, "reject": S.REJECTED}
        assert ToolCall.objects.get(pk=call.pk).status == won.status == ends[decision.verdict]
        assert _is_whole(call)
        race.went(decision.verdict)


def test_one_person_in_two_tabs_decides_once(world, held_call):
    for race in racing.rounds("one tab", "the other"):
        call = held_call(arguments=_arguments(race.number), quorum=2)

        outcomes = race.together(*[_vote(call, world.bo)] * 2)

        place, won, (lost,) = racing.winner(outcomes)
        assert (won.status, won.version, type(lost)) == (S.PENDING, 2, AlreadyDecided)
        assert call.decisions.count() == 1
        race.went(("one tab", "the other")[place])


def test_one_decision_per_person_is_the_databases_own_law(world, held_call):
    """Two writers that know nothing of our locks."""
    for race in racing.rounds("one", "the other"):
        call = held_call(arguments=_arguments(race.number), quorum=2)

        outcomes = race.together(*[partial(_insert_decision, call, world.bo)] * 2)

        place, _, (lost,) = racing.winner(outcomes)
        assert type(lost) is IntegrityError
        assert call.decisions.count() == 1
        race.went(("one", "the other")[place])


def _insert_decision(call: ToolCall, person: Person) -> None:
    Decision.objects.create(
        call=call, approver=person, verdict="approve", binding=call.binding, owner=call.owner,
        acts_for=call.acts_for, four_eyes=call.four_eyes, at=database_now(),
    )  # fmt: skip


def test_the_last_two_votes_of_a_quorum_at_once_approve(world, held_call):
    for race in racing.rounds("bo", "cy"):
        call = held_call(arguments=_arguments(race.number), quorum=2)

        outcomes = race.together(_vote(call, world.bo), _vote(call, world.cy))

        states = [row.status for row in racing.all_done(outcomes)]
        assert sorted(states) == [S.APPROVED, S.PENDING]
        assert trail.codes(call) == ["held", "approve_signed", "approve_signed", "approved"]
        assert _is_whole(call)
        race.went(("bo", "cy")[states.index(S.PENDING)])


def test_a_vote_that_waited_across_the_deadline_finds_the_call_expired(world, held_call):
    """And one that waited as well, and went on before it, counts: it is not the waiting."""
    for race in racing.rounds("late", "in time", least=2):
        is_late = race.number % 2 == 0
        age = HOUR - SOON if is_late else timedelta(0)
        call = held_call(arguments=_arguments(race.number), age=age)
        soon = database_now() + timedelta(seconds=1)

        outcome = racing.delayed(
            call, _vote(call, world.bo), call.decide_by_at if is_late else soon
        )

        assert type(outcome) is (CallExpired if is_late else ToolCall)
        assert call.decisions.exists() != is_late
        end = S.EXPIRED if is_late else S.APPROVED
        assert ToolCall.objects.get(pk=call.pk).status == end
        race.went("late" if end == S.EXPIRED else "in time")


@pytest.mark.parametrize("loss", ["membership", "account"])
def test_a_vote_that_waited_while_its_role_went_is_refused(world, held_call, loss):
    """And one that was cast before it went counts."""
    group = ApproverGroup.objects.get(domain=world.billing)
    people = Person.objects.filter(pk=world.bo.pk)
    for race in racing.rounds("role first", "vote first", least=6):
        call = held_call(arguments=_arguments(race.number))
        vote, is_lost_first = _vote(call, world.bo), race.number % 2 == 0

        with racing.held_up(call, *[vote] * is_lost_first) as racers:
            if is_lost_first:
                _take_role(loss, group, people)
        outcome = racers[0].result if racers else vote()
        _take_role(loss, group, people)

        assert type(outcome) is (NotAllowed if is_lost_first else ToolCall)
        assert call.decisions.exists() != is_lost_first
        group.people.add(world.bo)
        people.update(is_active=True)
        race.went("role first" if isinstance(outcome, NotAllowed) else "vote first")


def _take_role(loss: str, group: ApproverGroup, people: QuerySet[Person]) -> None:
    if loss == "membership":
        group.people.remove(*people)
    else:
        people.update(is_active=False)


@pytest.mark.postgres
@pytest.mark.parametrize("loss", ["membership", "account"])
def test_who_takes_a_role_away_waits_for_the_vote_that_is_under_way(world, held_call, loss):
    """The guard is the lock on the person and on the membership, which lasts until the commit."""
    group = ApproverGroup.objects.get(domain=world.billing)
    people = Person.objects.filter(pk=world.bo.pk)
    take_away: dict[str, racing.Step] = {
        "membership": partial(group.people.remove, world.bo),
        "account": partial(people.update, is_active=False),
    }
    for number in range(racing.ROUNDS):
        call = held_call(arguments=_arguments(number))

        with transaction.atomic():
            # The vote needs the stream's head last, when it has looked at everything.
            AuditStream.objects.select_for_update().get(name=f"call:{call.pk}")
            vote, loser = racing.Racer(_vote(call, world.bo)), racing.Racer(take_away[loss])
            vote.start()
            racing.wait_for_locks(1)
            loser.start()
            listening.wait_until(lambda: racing.locks_waited_for() == 2 or not loser.is_alive())  # noqa: B023 - used at once
            assert loser.is_alive()

        assert vote.outcome().status == S.APPROVED
        loser.outcome()
        group.people.add(world.bo)
        people.update(is_active=True)


def test_of_an_approval_and_a_call_in_its_place_one_stands(world, held_call):
    key = world.agent.keys.get()
    for race in racing.rounds("approval", "call in its place"):
        old = held_call(arguments=_arguments(race.number))
        request = submission.Request(
            world.agent.pk, key.pk, world.refund.pk, _arguments(1000 + race.number),
            supersedes=old.pk,
        )  # fmt: skip

        outcomes = race.together(_vote(old, world.bo), partial(submission.submit, request))

        place, _, (lost,) = racing.winner(outcomes)
        assert type(lost) in (CallSettled, InvalidInput)
        old.refresh_from_db()
        is_superseded = ToolCall.objects.filter(supersedes=old).exists()
        assert old.status == (S.VOID if is_superseded else S.APPROVED)
        assert _is_whole(old)
        race.went(("approval", "call in its place")[place])


def test_an_approval_and_a_withdrawal_at_once_leave_one_end(world, held_call):
    for race in racing.rounds("approval", "withdrawal"):
        call = held_call(arguments=_arguments(race.number))
        cancel = partial(lifecycle.cancel, call.pk, actor="agent:support")

        vote, cancelled = race.together(_vote(call, world.bo), cancel)

        # An approved call may still be withdrawn; a withdrawn one is not approved any more.
        assert type(cancelled) is ToolCall
        assert cancelled.status == ToolCall.objects.get(pk=call.pk).status == S.CANCELLED
        assert type(vote) in (CallSettled, ToolCall)
        assert call.decisions.exists() == isinstance(vote, ToolCall)
        assert _is_whole(call)
        race.went("withdrawal" if isinstance(vote, CallSettled) else "approval")


def test_two_clocks_end_a_call_once(world, held_call):
    for race in racing.rounds():
        call = held_call(arguments=_arguments(race.number), age=HOUR)

        outcomes = race.together(*[partial(lifecycle.expire, call.pk)] * 2)

        place, _, (lost,) = racing.winner(outcomes)
        assert type(lost) is Conflict
        assert trail.codes(call) == ["held", "expired"]
        race.went(place)


def test_a_vote_and_the_clock_at_the_deadline_end_a_call_once(world, held_call):
    for race in racing.rounds("vote", "clock"):
        call = held_call(arguments=_arguments(race.number), age=HOUR)

        vote, clock = race.together(_vote(call, world.bo), partial(lifecycle.expire, call.pk))

        # Whoever comes first finds the deadline passed.
        assert (type(vote), type(clock)) in [(CallExpired, Conflict), (CallSettled, ToolCall)]
        assert trail.codes(call) == ["held", "expired"]
        race.went("clock" if isinstance(vote, CallSettled) else "vote")


def test_people_who_join_while_votes_are_cast_do_no_harm(world, held_call):
    """Deciding locks the voter and the membership; neither order may end in a deadlock."""
    others = [worlds.person(f"p{n}", role="approver", domain="billing") for n in range(4)]
    for number in range(5):
        calls = [held_call(arguments=_arguments(10 * number + n)) for n in range(4)]
        votes = [_vote(call, world.bo) for call in calls]
        fay = worlds.person(f"fay{number}", role="approver")
        join = partial(catalog.add_approvers, world.billing, [fay], actor=worlds.ACTOR)

        outcomes = racing.together(*votes, join, _vote(calls[0], others[0]))

        won, lost = racing.split(outcomes)
        assert {row.status for row in won if row is not None} == {S.APPROVED}
        assert [type(error) for error in lost] == [CallSettled]
