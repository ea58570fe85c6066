"""Stages: who may decide when, what a decision moves, and what four eyes and noes do in between."""

from itertools import permutations
from typing import Any

import pytest

from approvals import access, lifecycle
from approvals.administration import groups, policy
from approvals.audit.verify import Verification
from approvals.errors import AlreadyDecided, BindingBroken, CallSettled, NotAllowed
from approvals.models import Person, ToolCall
from tests.support import groups as staffing
from tests.support import trail
from tests.support import world as worlds
from tests.support.groups import STAGES, Staff, decide
from tests.support.world import World

S = ToolCall.Status


@pytest.fixture
def staff(world: World) -> Staff:
    """Return the people of the groups."""
    return staffing.hire(world)


def _problems() -> list[object]:
    """Return what an auditor would find: the rows are what the events add up to."""
    return list(Verification({key.value: to for key, to in lifecycle.MOVES.items()}).problems())


def _why(person: Person, call: ToolCall, verdict: str = "approve") -> str:
    call = ToolCall.objects.get(pk=call.pk)
    return access.may_decide(person, call, verdict).why


def test_two_of_one_group_then_one_of_another_approve(world, staff, held_call):
    call = held_call(stages=STAGES)
    assert (call.quorum, call.stage, call.asked_group) == (3, 1, "Finance")

    call = decide(call, world.bo)
    assert (call.status, call.stage, call.asked_group) == (S.PENDING, 1, "Finance")
    call = decide(call, world.cy)
    assert (call.status, call.stage, call.asked_group) == (S.PENDING, 2, "Owners")
    call = decide(call, staff.gus)

    assert (call.status, call.version) == (S.APPROVED, 5)
    assert list(call.decisions.values_list("approver__username", "stage")) == [
        ("bo", 1), ("cy", 1), ("gus", 2),
    ]  # fmt: skip
    assert trail.codes(call) == ["held", *["approve_signed"] * 3, "approved"]
    assert _problems() == []


def test_only_the_group_whose_turn_it_is_approves(world, staff, held_call):
    """Whatever the order people come in: each is let in exactly when it is their group's turn."""
    members = {"Finance": {"bo", "cy", "fay"}, "Owners": {"gus", "fay"}}
    people = {one.username: one for one in (world.bo, world.cy, staff.fay, staff.gus)}
    for number, order in enumerate(permutations(people)):
        call = held_call(stages=STAGES, arguments={"customer": "c", "amount": number + 1})
        finance = owners = 0
        for name in order:
            turn = "Finance" if finance < 2 else "Owners"
            if owners:
                with trail.nothing_changes(call), pytest.raises((CallSettled, NotAllowed)):
                    decide(call, people[name])
            elif name in members[turn]:
                decide(call, people[name])
                finance, owners = (finance + 1, 0) if turn == "Finance" else (2, 1)
            else:
                with trail.nothing_changes(call), pytest.raises(NotAllowed, match=turn):
                    decide(call, people[name])
        call.refresh_from_db()
        assert call.status == (S.APPROVED if owners else S.PENDING)


def test_one_person_in_two_groups_counts_once(world, staff, held_call):
    call = held_call(stages=STAGES)
    decide(call, staff.fay)
    decide(call, world.bo)

    with trail.nothing_changes(call), pytest.raises(AlreadyDecided):
        decide(call, staff.fay)

    assert decide(call, staff.gus).status == S.APPROVED


def test_who_is_not_asked_is_told_whose_turn_it_is(world, staff, held_call):
    call = held_call(stages=STAGES)

    assert _why(world.bo, call) == ""
    assert _why(staff.gus, call) == "It is the turn of Finance."
    assert _why(staff.hal, call) == "Only Finance, Owners can decide."
    assert _why(world.eve, call) == "Only an approver of this domain can decide."


def test_any_of_the_groups_may_say_no_at_any_time(world, staff, held_call):
    for person in (world.bo, staff.gus):
        call = held_call(stages=STAGES, arguments={"customer": person.username, "amount": 1})

        assert decide(call, person, "reject").status == S.REJECTED

    call = held_call(stages=STAGES)
    with trail.nothing_changes(call), pytest.raises(NotAllowed, match="Only Finance, Owners"):
        decide(call, staff.hal, "reject")
    assert _problems() == []


def test_everybody_who_may_decide_in_any_stage_sees_it(world, staff, held_call):
    call = held_call(stages=STAGES)

    for person in (world.bo, staff.fay, staff.gus, staff.hal):
        assert access.get_call(person, call.pk) == call


@pytest.mark.parametrize(
    ("votes", "status"),
    [
        (["bo-"], S.PENDING),
        (["bo-", "gus-"], S.REJECTED),
        (["bo-", "cy+", "fay+"], S.PENDING),
        (["bo-", "cy+", "fay+", "gus+"], S.APPROVED),
        (["cy+", "bo-", "fay+", "gus-"], S.REJECTED),
        (["cy+", "fay+", "bo-", "gus+"], S.APPROVED),
    ],
    ids=" ".join,
)
def test_a_no_below_the_deny_quorum_ends_nothing(world, staff, held_call, votes, status):
    people = {"bo": world.bo, "cy": world.cy, "fay": staff.fay, "gus": staff.gus}
    call = held_call(stages=STAGES, deny_quorum=2)

    for vote in votes:
        call = decide(call, people[vote[:-1]], "approve" if vote[-1] == "+" else "reject")

    assert call.status == status
    assert _problems() == []


def test_when_neither_yes_nor_no_can_win_it_stays_held(world, held_call):
    """Two approvers, two needed for each: one of each, and only time or a newcomer ends it."""
    call = held_call(quorum=2, deny_quorum=2)
    decide(call, world.bo)

    call = decide(call, world.cy, "reject")

    assert call.status == S.PENDING
    newcomer = worlds.person("fay", role="approver", domain="billing")
    assert decide(call, newcomer).status == S.APPROVED


def test_a_rule_adds_four_eyes_and_never_takes_them_away(world, held_call):
    groups.add_members(world.billing.approver_groups.get(), [world.ann], actor=worlds.ACTOR)
    for of_domain, of_rule in [(True, False), (False, True), (True, True), (False, False)]:
        world.billing.four_eyes = of_domain
        world.billing.save()
        world.refund.refresh_from_db()
        arguments = {"customer": f"{of_domain} {of_rule}", "amount": 1}
        call = held_call(four_eyes=of_rule, arguments=arguments)

        assert call.four_eyes is (of_domain or of_rule)
        if call.four_eyes:
            with trail.nothing_changes(call), pytest.raises(NotAllowed, match="Four eyes"):
                decide(call, world.ann)
        else:
            assert decide(call, world.ann).status == S.APPROVED


# -- what today's rule asks of recorded approvals


def _load(**rule: Any) -> None:
    policy.load_rules({"rules": [{"outcome": "hold", **rule}]}, source="test", actor=worlds.ACTOR)


@pytest.mark.parametrize(
    ("today", "runs"),
    [
        ({"stages": STAGES}, True),
        ({"stages": STAGES[::-1]}, True),
        ({"stages": STAGES[:1]}, True),
        ({"quorum": 3}, True),
        ({"quorum": 4}, False),
        ({"stages": [{"group": "Finance", "quorum": 3}]}, False),
        ({"stages": [{"group": "Heads"}]}, False),
        ({"stages": STAGES, "four_eyes": True}, True),
    ],
    ids=str,
)
def test_dispatch_holds_the_recorded_approvals_against_todays_stages(
    world, staff, held_call, today, runs
):
    call = held_call(stages=STAGES)
    for person in (world.bo, world.cy, staff.gus):
        decide(call, person)
    claim = lifecycle.claim(call.pk, worker="w1")
    _load(**today)

    if runs:
        assert lifecycle.dispatch(claim, seen=worlds.seen(call)).status == S.DISPATCHED
    else:
        with pytest.raises(BindingBroken, match="got stricter"):
            lifecycle.dispatch(claim, seen=worlds.seen(call))


def test_a_no_that_would_end_it_today_stands_in_its_way(world, held_call):
    call = held_call(deny_quorum=2)
    decide(call, world.bo, "reject")
    decide(call, world.cy)
    claim = lifecycle.claim(call.pk, worker="w1")
    _load(deny_quorum=1)

    with pytest.raises(BindingBroken, match="got stricter"):
        lifecycle.dispatch(claim, seen=worlds.seen(call))


# -- leavers


def test_who_left_signs_no_more_and_what_they_signed_stays(world, staff, held_call):
    call = held_call(stages=STAGES)
    decide(call, world.bo)

    groups.remove_members(staff.finance, [world.bo, world.cy], actor=worlds.ACTOR)
    Person.objects.filter(pk=staff.gus.pk).update(is_active=False)

    with trail.nothing_changes(call), pytest.raises(NotAllowed):
        decide(call, world.cy)
    call = decide(call, staff.fay)
    assert (call.status, call.asked_group) == (S.PENDING, "Owners")
    staff.gus.refresh_from_db()
    with trail.nothing_changes(call), pytest.raises(NotAllowed):
        decide(call, staff.gus)
