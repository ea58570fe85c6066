"""What the database refuses of stages, whoever asks; each clause is taken out once."""

from functools import partial
from typing import Any

import pytest

from approvals.models import ToolCall
from tests.support import groups as staffing
from tests.support import guarding
from tests.support.groups import STAGES, Staff
from tests.support.world import World

S = ToolCall.Status
MOVES, STARTS = "tool_call_moves_legally", "tool_call_starts_right"
EACH_STAGE = "approval needs the quorum of each stage"
ITS_TURN = "a decision is in the stage whose turn it is"
FIRST_STAGE = "a call begins with its first stage"
DENIED = "rejection needs its deny quorum"
NAMED = "a call escalates to the group its rule names"


@pytest.fixture
def staff(world: World) -> Staff:
    """Return the people of the groups."""
    return staffing.hire(world)


def test_three_approvals_in_one_stage_are_not_two_and_one(world, staff, held_call):
    call = held_call(stages=STAGES)
    with guarding.undone():
        guarding.remove("decision_fits_its_call")
        for person in (world.bo, world.cy, staff.fay):
            guarding.decision(call, person, stage=1).save()

        guarding.only_this_guard_stops(
            MOVES, EACH_STAGE, partial(guarding.update, call, status=S.APPROVED, version=2)
        )


def test_a_decision_is_neither_early_nor_in_no_stage(world, staff, held_call):
    call, plain = held_call(stages=STAGES), held_call(arguments={"customer": "c", "amount": 1})
    for on, stage in [(call, 2), (call, 0), (call, 3), (plain, 1)]:
        guarding.only_this_guard_stops(
            "decision_fits_its_call", ITS_TURN,
            partial(guarding.insert, guarding.decision(on, world.bo, stage=stage)),
        )  # fmt: skip


def test_a_full_stage_takes_no_more_decisions(world, staff, held_call):
    call = held_call(stages=STAGES)
    for person in (world.bo, world.cy):
        staffing.decide(call, person)

    guarding.only_this_guard_stops(
        "decision_fits_its_call", ITS_TURN,
        partial(guarding.insert, guarding.decision(call, staff.fay, stage=1)),
    )  # fmt: skip
    guarding.insert(guarding.decision(call, staff.fay, stage=2))


def test_a_new_call_asks_its_first_stage_for_what_its_stages_ask(staff, held_call):
    call, plain = held_call(stages=STAGES), held_call(arguments={"customer": "c", "amount": 1})
    guarding.insert(guarding.copy(call))

    refused: list[dict[str, Any]] = [
        {"stage": 0}, {"stage": 2}, {"asked_group": "Owners"}, {"asked_group": ""}, {"quorum": 1},
        {"quorum": 4}, {"escalated_to": "Heads"}, {"reminders": 1},
    ]  # fmt: skip
    for changes in refused:
        new = guarding.copy(call, **changes)
        guarding.only_this_guard_stops(STARTS, FIRST_STAGE, partial(guarding.insert, new))
    new = guarding.copy(plain, stage=1)
    guarding.only_this_guard_stops(STARTS, FIRST_STAGE, partial(guarding.insert, new))


@pytest.mark.parametrize(("noes", "deny_quorum"), [(0, 1), (1, 2)])
def test_a_call_is_not_rejected_below_its_deny_quorum(world, held_call, noes, deny_quorum):
    call = held_call(deny_quorum=deny_quorum)
    for person in (world.bo,)[:noes]:
        staffing.decide(call, person, "reject")

    guarding.only_this_guard_stops(
        MOVES, DENIED, partial(guarding.update, call, status=S.REJECTED, version=2 + noes)
    )


def test_a_call_escalates_once_and_only_to_the_group_of_its_rule(staff, held_call):
    call = held_call(stages=STAGES, escalate_to="Heads")

    guarding.only_this_guard_stops(
        MOVES, NAMED, partial(guarding.update, call, escalated_to="Owners", version=2)
    )
    guarding.update(call, escalated_to="Heads", version=2)
    guarding.only_this_guard_stops(
        MOVES, NAMED, partial(guarding.update, call, escalated_to="", version=3)
    )
