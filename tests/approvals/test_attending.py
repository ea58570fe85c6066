"""What the clock tells while people are asked: two reminders, and one escalation."""

from datetime import timedelta

import pytest

from approvals import access, lifecycle
from approvals.audit.verify import Verification
from approvals.errors import Conflict, NotAllowed
from approvals.models import ToolCall
from approvals.tasks import sweep
from tests.support import groups as staffing
from tests.support import trail
from tests.support.groups import STAGES, Staff, decide
from tests.support.world import World

S = ToolCall.Status
HALF, NEARLY = timedelta(minutes=31), timedelta(minutes=55)  # of the rule's hour


@pytest.fixture
def staff(world: World) -> Staff:
    """Return the people of the groups."""
    return staffing.hire(world)


def _problems() -> list[object]:
    return list(Verification({key.value: to for key, to in lifecycle.MOVES.items()}).problems())


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (timedelta(minutes=29), []),
        (HALF, [50]),
        (timedelta(minutes=53), [50]),
        (NEARLY, [50, 90]),
    ],
    ids=str,
)
def test_people_are_reminded_once_at_half_and_once_near_the_end(held_call, age, told):
    call = held_call(age=age)

    for _ in range(4):
        sweep()

    call.refresh_from_db()
    assert (call.status, call.reminders) == (S.PENDING, len(told))
    assert trail.codes(call) == ["held", *["reminded"] * len(told)]
    events = [event for event in trail._events(call) if event.code == "call.reminded"]
    assert [(event.actor, trail.facts(event)["percent"]) for event in events] == [
        ("clock", percent) for percent in told
    ]
    assert _problems() == []


@pytest.mark.parametrize("status", [status for status in S if status != S.PENDING])
def test_nobody_is_reminded_of_what_is_decided(held_call, status):
    call = held_call(status=status, age=timedelta(hours=2) if status == S.EXPIRED else HALF)

    with trail.nothing_changes(call), pytest.raises(Conflict):
        lifecycle.attend(call.pk)


def test_the_other_group_signs_from_the_chosen_moment_on(world, staff, held_call):
    call = held_call(
        stages=STAGES, escalate_to="Heads", escalate_after=40, age=timedelta(minutes=25)
    )
    with trail.nothing_changes(call), pytest.raises(NotAllowed, match="Only Finance, Owners"):
        decide(call, staff.hal)

    sweep()
    call.refresh_from_db()

    assert (call.escalated_to, call.asked_group) == ("Heads", "Finance")
    assert access.may_decide(staff.hal, call)
    decide(call, staff.hal)
    decide(call, world.bo)
    assert decide(call, staff.gus).status == S.APPROVED
    assert trail.codes(call)[:3] == ["held", "escalated", "approve_signed"]
    assert trail.facts(trail._events(call)[1])["group"] == "Heads"
    assert _problems() == []


def test_it_escalates_once(staff, held_call):
    call = held_call(stages=STAGES, escalate_to="Heads", age=NEARLY)

    for _ in range(5):
        sweep()

    assert trail.codes(call) == ["held", "escalated", "reminded", "reminded"]
