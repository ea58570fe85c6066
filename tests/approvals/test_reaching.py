"""Leavers: what too few people are left to approve holds, and says so once, on the call and beyond.

Nobody is counted out of a quorum: who leaves makes it harder to approve, and never easier.
"""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from approvals import lifecycle
from approvals.administration import catalog, groups, people
from approvals.audit.verify import Verification
from approvals.errors import Conflict, NotAllowed
from approvals.models import AuditEvent, Domain, Person, ToolCall
from approvals.tasks import sweep
from config import doctor
from tests.support import groups as staffing
from tests.support import trail
from tests.support import world as worlds
from tests.support.groups import STAGES, Staff, decide
from tests.support.visiting import text_of, visitor
from tests.support.world import ACTOR, World

S = ToolCall.Status


@pytest.fixture
def staff(world: World) -> Staff:
    """Return the people of the groups, whom the sweep knows already."""
    hired = staffing.hire(world)
    Domain.objects.update(people_changed_at=None)
    return hired


def _problems() -> list[object]:
    return list(Verification({key.value: to for key, to in lifecycle.MOVES.items()}).problems())


def _told(call: ToolCall) -> list[str]:
    """Return what was told of a call's reach."""
    return [code for code in trail.codes(call) if code.endswith("reach")]


def _fresh(call: ToolCall) -> ToolCall:
    return ToolCall.objects.get(pk=call.pk)


def test_when_too_few_are_left_the_call_holds_and_the_trail_says_so_once(world, staff, held_call):
    call = held_call(stages=STAGES)
    other = held_call(arguments={"customer": "c", "amount": 1})

    people.deactivate(staff.gus, actor=ACTOR)
    groups.remove_members(staff.owners, [staff.fay], actor=ACTOR)
    for _ in range(3):
        sweep()

    assert _told(call) == ["out_of_reach"]
    assert (_fresh(call).status, _fresh(call).is_out_of_reach) == (S.PENDING, True)
    event = trail._events(call)[-1]
    assert (event.actor, trail.facts(event)) == (
        "clock", {"version": 2, "groups": ["Owners"]},
    )  # fmt: skip
    assert _told(other) == []
    assert _problems() == []


def test_when_somebody_joins_the_trail_says_that_too(world, staff, held_call):
    call = held_call(stages=STAGES)
    groups.remove_members(staff.owners, [staff.gus, staff.fay], actor=ACTOR)
    sweep()

    groups.add_members(staff.owners, [staff.hal], actor=ACTOR)
    for _ in range(3):
        sweep()

    assert _told(call) == ["out_of_reach", "within_reach"]
    for person in (world.bo, world.cy, staff.hal):
        call = decide(_fresh(call), person)
    assert call.status == S.APPROVED
    assert _problems() == []


def test_an_approver_of_the_domain_who_joins_brings_calls_without_stages_within_reach(
    world, staff, held_call
):
    call = held_call(quorum=7)
    assert call.is_out_of_reach

    catalog.add_approvers(world.billing, [world.eve, world.aud], actor=ACTOR)
    sweep()

    assert _told(call) == ["within_reach"]


def test_a_call_is_held_as_out_of_reach_where_it_is_from_the_beginning(world, staff, held_call):
    call = held_call(stages=[{"group": "Heads", "quorum": 2}])

    sweep()

    assert call.is_out_of_reach
    assert trail.codes(call) == ["held"]
    assert trail.facts(trail._events(call)[0])["out_of_reach"] == ["Heads"]
    assert _problems() == []


def test_whose_signature_is_used_up_in_one_stage_is_missing_in_the_next(world, staff, held_call):
    """Fay alone is an owner once Gus has left; in Finance's stage she is one of three."""
    people.deactivate(staff.gus, actor=ACTOR)
    call = held_call(stages=STAGES)

    call = decide(call, staff.fay)

    assert (call.is_out_of_reach, call.version) == (True, 3)
    assert trail.codes(call) == ["held", "approve_signed", "out_of_reach"]
    people.reactivate(staff.gus, actor=ACTOR)
    sweep()
    assert _told(call) == ["out_of_reach", "within_reach"]
    assert _problems() == []


def test_a_no_that_uses_up_who_could_sign_is_told(world, held_call):
    call = held_call(quorum=2, deny_quorum=2)

    call = decide(call, world.bo, "reject")

    assert (call.status, _told(call)) == (S.PENDING, ["out_of_reach"])


def test_a_decision_that_ends_it_tells_nothing_of_its_reach(world, held_call):
    call = held_call()
    people.deactivate(world.cy, actor=ACTOR)

    call = decide(call, world.bo)

    assert trail.codes(call) == ["held", "approve_signed", "approved"]


def test_what_ended_out_of_reach_stays_as_it_ended(world, staff, held_call):
    call = held_call(stages=[{"group": "Heads", "quorum": 2}])
    lifecycle.cancel(call.pk, actor="agent:support")

    with trail.nothing_changes(call), pytest.raises(Conflict):
        lifecycle.look_at_reach(call.pk)


@pytest.mark.parametrize("status", [status for status in S if status != S.PENDING])
def test_only_of_a_held_call_it_is_told(world, held_call, status):
    call = held_call(status=status)
    Person.objects.filter(pk__in=[world.bo.pk, world.cy.pk]).update(is_active=False)

    with trail.nothing_changes(call), pytest.raises(Conflict):
        lifecycle.look_at_reach(call.pk)


def test_the_sweep_looks_until_what_was_under_way_must_be_written(world, held_call):
    """A vote that began before somebody left, and knew nothing of it, is found by a later round."""
    call = held_call(quorum=2)
    sweep()
    people.deactivate(world.cy, actor=ACTOR)
    sweep()
    ToolCall.objects.filter(pk=call.pk).update(is_out_of_reach=False, version=3)
    lately = Domain.objects.get(pk=world.billing.pk).people_changed_at
    assert lately is not None

    sweep()
    assert _fresh(call).is_out_of_reach

    Domain.objects.update(people_changed_at=lately - timedelta(seconds=11))
    sweep()
    assert Domain.objects.get(pk=world.billing.pk).people_changed_at is None


# -- who leaves ------------------------------------------------------------------------------------


def test_who_left_neither_signs_in_nor_decides_and_what_they_signed_counts(world, staff, held_call):
    call = held_call(stages=STAGES)
    client = visitor(world.bo)
    decide(call, world.bo)

    people.deactivate(world.bo, actor="person:dee")

    assert client.get("/").status_code == 302
    with pytest.raises(NotAllowed):
        decide(held_call(arguments={"customer": "c", "amount": 1}), world.bo)
    decide(call, world.cy)
    assert decide(call, staff.gus).status == S.APPROVED
    event = AuditEvent.objects.get(stream="person:bo", code="person.deactivated")
    assert event.actor == "person:dee"
    assert trail.facts(event) == {"groups": ["billing/Finance", "billing/approvers"]}


def test_nobody_leaves_twice_and_nobody_is_back_who_never_left(world):
    people.deactivate(world.bo, actor=ACTOR)
    with pytest.raises(Conflict, match="deactivated already"):
        people.deactivate(world.bo, actor=ACTOR)

    people.reactivate(world.bo, actor=ACTOR)
    with pytest.raises(Conflict, match="active already"):
        people.reactivate(world.bo, actor=ACTOR)
    codes = AuditEvent.objects.filter(stream="person:bo").order_by("seq")
    assert list(codes.values_list("code", flat=True))[1:] == [
        "person.deactivated", "person.reactivated",
    ]  # fmt: skip


def test_the_last_who_administers_stays(world):
    with pytest.raises(Conflict, match="Nobody else administers"):
        people.deactivate(world.dee, actor=ACTOR)

    worlds.person("fay", role="admin")
    people.deactivate(world.dee, actor=ACTOR)


def _run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("deactivate_person", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_deactivates_undoes_it_and_names_the_agents_that_go_on(world):
    said, warned = _run("ann")
    assert (said, "support" in warned) == ("Deactivated ann.\n", True)
    assert _run("bo") == ("Deactivated bo.\n", "")
    assert _run("bo", "--undo") == ("bo can sign in again.\n", "")
    with pytest.raises(CommandError, match="active already"):
        _run("bo", "--undo")
    with pytest.raises(CommandError, match="no person called 'zoe'"):
        _run("zoe")


# -- who is told -----------------------------------------------------------------------------------


@pytest.fixture
def stuck(world: World, staff: Staff, held_call: Any) -> ToolCall:
    """Return a call that nobody is left to approve, beside one that is not."""
    held_call(arguments={"customer": "c", "amount": 1})
    call = held_call(stages=STAGES)
    groups.remove_members(staff.owners, [staff.gus, staff.fay], actor=ACTOR)
    sweep()
    return _fresh(call)


def test_an_administrator_is_told_on_the_queue_and_finds_the_calls(world, stuck):
    queue = visitor(world.dee).get("/")
    found = visitor(world.dee).get("/?show=stuck")

    assert "1 held call cannot be approved by whom there is" in text_of(queue)
    assert b"/?show=stuck" in queue.content
    assert [row.call for group in found.context["groups"] for row in group.rows] == [stuck]


@pytest.mark.parametrize("who", ["bo", "aud", "ann"])
def test_nobody_else_has_that_view(world, stuck, who):
    client = visitor(getattr(world, who))

    assert "cannot be approved by whom there is" not in text_of(client.get("/"))
    asked = client.get("/?show=stuck")
    assert asked.context["show"] == ("mine" if who == "bo" else "all")
    assert "Out of reach" not in text_of(asked)


def test_without_such_a_call_the_queue_says_nothing_of_it(world, held_call):
    held_call()

    assert "cannot be approved" not in text_of(visitor(world.dee).get("/"))


def test_the_doctor_names_the_groups_that_lack_people(stuck):
    found = [one for one in doctor._calls() if "approve" in one.said]

    assert [(one.state, one.said) for one in found] == [
        ("warning", "1 held call cannot be approved by whom there is: Owners of billing.")
    ]
    assert "approver_group" in found[0].do
