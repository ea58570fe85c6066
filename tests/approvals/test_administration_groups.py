"""Approver groups: who makes them, who is in them, and rules that name one nobody has."""

import io

import pytest
from django.core.management import CommandError, call_command

from approvals.administration import groups, policy
from approvals.errors import InvalidInput
from approvals.models import ApproverGroup, AuditEvent, Domain, Person, PolicyVersion
from tests.support import groups as staffing
from tests.support import trail
from tests.support.world import ACTOR, World


def _told(code: str) -> list[dict[str, object]]:
    events = AuditEvent.objects.filter(stream="domain:billing", code=code).order_by("seq")
    return [trail.facts(event) for event in events]


def test_a_group_has_people_and_an_owner_and_the_trail_says_so(world: World) -> None:
    group = groups.create_group(world.billing, "Finance", owner=world.ann, actor=ACTOR)
    groups.add_members(group, [world.cy, world.bo], actor=ACTOR)
    groups.remove_members(group, [world.bo], actor=ACTOR)

    assert (group.owner, list(group.people.all())) == (world.ann, [world.cy])
    assert _told("group.created") == [{"group": "Finance", "owner": "ann"}]
    assert _told("group.members_added") == [{"group": "Finance", "people": ["bo", "cy"]}]
    assert _told("group.members_removed") == [{"group": "Finance", "people": ["bo"]}]


@pytest.mark.parametrize(
    "name", ["", " x", "x ", "a/b", "x" * 65, "a\nb", "Ünits", "approvers", "Approvers"]
)
def test_a_name_that_is_odd_or_taken_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        groups.create_group(world.billing, name, owner=None, actor=ACTOR)

    assert caught.value.path == "$.name"
    assert world.billing.approver_groups.count() == 1


def test_whoever_is_in_no_group_cannot_be_taken_out(world: World) -> None:
    group = groups.create_group(
        world.billing, "Finance", owner=None, people=[world.bo], actor=ACTOR
    )

    with pytest.raises(InvalidInput, match="'cy' is not in billing/Finance"):
        groups.remove_members(group, [world.bo, world.cy], actor=ACTOR)

    assert list(group.people.all()) == [world.bo]


# -- rules that name groups


def _refused(*rules: dict[str, object]) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        policy.load_rules({"rules": list(rules)}, source="test", actor=ACTOR)
    return [problem["path"] for problem in caught.value.problems]


def test_a_group_that_no_domain_a_rule_can_match_has_is_refused_in_each_place(world: World) -> None:
    staffing.hire(world)
    other = Domain.objects.create(name="deploys")
    ApproverGroup.objects.create(domain=other, name="Ops")
    good: dict[str, object] = {
        "outcome": "hold",
        "stages": [{"group": "Finance"}],
        "escalate_to": "Heads",
    }

    assert _refused(
        good,
        {"outcome": "hold", "stages": [{"group": "Finance"}, {"group": "Nobody"}]},
        {"outcome": "hold", "domain": "billing", "stages": [{"group": "Ops"}]},
        {"outcome": "hold", "tool": "billing__*", "stages": [{"group": "Ops"}]},
        {**good, "domain": "deploys", "stages": [{"group": "Ops"}]},
    ) == [
        "$.rules[1].stages[1].group",
        "$.rules[2].stages[0].group",
        "$.rules[3].stages[0].group",
        "$.rules[4].escalate_to",
    ]  # fmt: skip
    assert not PolicyVersion.objects.exists()

    here = {"outcome": "hold", "tool": "later__*", "stages": [{"group": "Ops"}]}
    policy.load_rules({"rules": [good, here]}, source="test", actor=ACTOR)


# -- the command


def _command(*words: str) -> str:
    out = io.StringIO()
    call_command("approver_group", *words, stdout=out)
    return out.getvalue()


def test_the_command_creates_a_group_and_changes_who_is_in_it(world: World) -> None:
    words = ["billing", "Finance", "--create", "--owner", "ann", "--add", "bo", "cy"]
    assert _command(*words) == "billing/Finance: bo, cy.\n"
    Person.objects.filter(username="bo").update(is_active=False)

    assert _command("billing", "Finance", "--remove", "bo", "--add", "dee") == (
        "billing/Finance: cy, dee.\n"
    )


def test_the_command_says_who_answers_for_a_group(world: World) -> None:
    _command("billing", "approvers", "--owner", "ann")

    assert world.billing.approver_groups.get().owner == world.ann
    assert _told("group.owner_set") == [{"group": "approvers", "owner": "ann"}]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["billing", "Finance"], "There is no group 'Finance' in 'billing'; there is: approvers"),
        (["billing", "Finance", "--create", "--add", "nobody"], "no person called 'nobody'"),
        (["nowhere", "Finance", "--create"], "There is no domain 'nowhere'"),
        (["billing", "approvers", "--owner", "nobody"], "no person called 'nobody'"),
        (["billing", "Finance", "--create", "--remove", "dee"], "'dee' is not in billing/Finance"),
        (["billing", "approvers", "--remove", "dee"], "'dee' is not in billing/approvers"),
    ],
)
def test_a_command_that_is_wrong_changes_nothing(world: World, words: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        _command(*words)

    assert world.billing.approver_groups.count() == 1
