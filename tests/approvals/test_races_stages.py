"""Decisions on calls with stages or a deny quorum, at the same moment; see test_races_deciding."""

from functools import partial

import pytest

from approvals import lifecycle
from approvals.errors import CallSettled, NotAllowed
from approvals.models import Person, ToolCall
from tests.support import groups as staffing
from tests.support import racing, trail
from tests.support import world as worlds

S = ToolCall.Status


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


def test_the_last_votes_of_two_stages_at_once_keep_their_order(world, held_call):
    """Gus waits for his turn: with Bo's vote first both count, with his first only Bo's does."""
    staff = staffing.hire(world)
    stages = [{"group": "Finance", "quorum": 1}, {"group": "Owners", "quorum": 1}]
    for race in racing.rounds("in turn", "too early"):
        call = held_call(arguments=_arguments(race.number), stages=stages)

        first, second = race.together(_vote(call, world.bo), _vote(call, staff.gus))

        call.refresh_from_db()
        assert isinstance(first, ToolCall)
        is_in_turn = isinstance(second, ToolCall)
        assert is_in_turn or type(second) is NotAllowed
        assert call.status == (S.APPROVED if is_in_turn else S.PENDING)
        signed = dict(call.decisions.values_list("approver__username", "stage"))
        assert signed == ({"bo": 1, "gus": 2} if is_in_turn else {"bo": 1})
        assert _is_whole(call)
        race.went("in turn" if is_in_turn else "too early")


def test_of_two_members_at_once_one_fills_the_last_place_of_a_stage(world, held_call):
    staffing.hire(world)
    stages = [{"group": "Finance", "quorum": 1}, {"group": "Owners", "quorum": 1}]
    for race in racing.rounds("bo", "cy"):
        call = held_call(arguments=_arguments(race.number), stages=stages)

        outcomes = race.together(_vote(call, world.bo), _vote(call, world.cy))

        place, won, (lost,) = racing.winner(outcomes)
        assert type(lost) is NotAllowed
        assert (won.status, won.stage, won.asked_group) == (S.PENDING, 2, "Owners")
        assert list(call.decisions.values_list("stage", flat=True)) == [1]
        assert _is_whole(call)
        race.went(("bo", "cy")[place])


def test_the_last_no_and_the_last_yes_at_once_one_stands(world, held_call):
    fay = worlds.person("fay", role="approver", domain="billing")
    for race in racing.rounds("approved", "rejected"):
        call = held_call(arguments=_arguments(race.number), deny_quorum=2)
        _vote(call, fay, "reject")()

        outcomes = race.together(_vote(call, world.bo), _vote(call, world.cy, "reject"))

        _, won, (lost,) = racing.winner(outcomes)
        assert type(lost) is CallSettled
        assert ToolCall.objects.get(pk=call.pk).status == won.status
        noes = call.decisions.filter(verdict="reject").count()
        assert noes == (2 if won.status == S.REJECTED else 1)
        assert _is_whole(call)
        race.went(won.status)
