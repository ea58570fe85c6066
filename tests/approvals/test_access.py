"""Who sees what, and who may decide, settle and withdraw: each person against each call."""

from typing import Any
from uuid import uuid4

import pytest

from approvals import access
from approvals.administration import agents, catalog
from approvals.errors import NotFound
from approvals.models import AgentKey, Domain, Person, ToolCall
from tests.support import world as worlds
from tests.support.world import ACTOR, World

NAMES = ("ann", "bo", "cy", "dee", "eve", "aud")


@pytest.fixture
def people(world: World) -> dict[str, Person]:
    return {name: getattr(world, name) for name in NAMES}


def able(people: dict[str, Person], may: Any) -> set[str]:
    """Return the names of the people of whom `may(person)` is true."""
    return {name for name, person in people.items() if may(person)}


def test_a_call_is_seen_by_its_approvers_its_owner_and_those_who_see_all(
    people: dict[str, Person], held_call: Any
) -> None:
    call = held_call()

    assert able(people, lambda p: access.visible_to(p).filter(pk=call.pk).exists()) == {
        "ann", "bo", "cy", "dee", "aud",
    }  # fmt: skip


def test_whoever_a_call_acts_for_sees_it(people: dict[str, Person], world: World) -> None:
    AgentKey.objects.update(acts_for=world.eve)
    call = worlds.hold(world)

    assert access.get_call(world.eve, call.pk) == call
    assert not access.may_decide(world.eve, call)
    assert not access.may_withdraw(world.eve, call)


def test_an_approver_of_another_domain_sees_nothing_here(world: World, held_call: Any) -> None:
    deploys = catalog.create_domain("deploys", purpose="What runs.", owner=None, actor=ACTOR)
    catalog.add_approvers(deploys, [world.eve], actor=ACTOR)
    call = held_call()

    assert list(access.domains_of(world.eve)) == [deploys]
    assert not access.visible_to(world.eve).exists()
    assert not access.may_decide(world.eve, call)
    assert not access.may_settle(world.eve, call)


def test_a_call_is_listed_once_for_an_approver_who_is_everything_else_too(
    world: World, held_call: Any
) -> None:
    catalog.add_approvers(world.billing, [world.ann], actor=ACTOR)
    world.billing.approver_groups.create(name="more").people.add(world.ann)
    call = held_call()

    assert list(access.visible_to(world.ann)) == [call]
    assert list(access.domains_of(world.ann)) == [world.billing]


def test_foreign_and_unknown_calls_look_the_same(world: World, held_call: Any) -> None:
    call = held_call()
    answers = []

    for wanted in (call.pk, str(call.pk), uuid4(), "not-an-id", "", "0" * 400, "'; --"):
        with pytest.raises(NotFound) as refused:
            access.get_call(world.eve, wanted)
        answers.append(refused.value.as_dict())

    assert all(answer == answers[0] for answer in answers)
    assert access.get_call(world.bo, str(call.pk)) == call


def test_one_agents_ticket_does_not_exist_for_another(world: World, held_call: Any) -> None:
    call = held_call()
    other = agents.create_agent("other", owner=world.ann, domains=["billing"], actor=ACTOR)
    answers = []

    for agent, ticket in ((other, call.pk), (world.agent, uuid4()), (other, "nonsense")):
        with pytest.raises(NotFound) as refused:
            access.get_agent_call(agent.pk, ticket)
        answers.append(refused.value.as_dict())

    assert all(answer == answers[0] for answer in answers)
    assert access.get_agent_call(world.agent.pk, str(call.pk)) == call


def test_approvers_decide_and_settle_and_the_owner_withdraws(
    people: dict[str, Person], held_call: Any
) -> None:
    call = held_call()

    assert able(people, lambda p: access.may_decide(p, call)) == {"bo", "cy"}
    assert able(people, lambda p: access.may_decide(p, call, "reject")) == {"bo", "cy"}
    assert able(people, lambda p: access.may_settle(p, call)) == {"bo", "cy"}
    assert able(people, lambda p: access.may_withdraw(p, call)) == {"ann"}


@pytest.mark.parametrize("who", ["owner", "acts_for"])
def test_four_eyes_forbid_approving_but_not_rejecting(world: World, who: str) -> None:
    catalog.add_approvers(world.billing, [world.ann, world.eve], actor=ACTOR)
    AgentKey.objects.update(acts_for=world.eve)
    call = worlds.hold(world)
    person = world.ann if who == "owner" else world.eve

    permission = access.may_decide(person, call)

    assert not permission
    assert permission.why.startswith("Four eyes")
    assert access.may_decide(person, call, "reject")


def test_without_four_eyes_the_owner_may_approve_what_was_held_without_them(
    world: World, held_call: Any
) -> None:
    catalog.add_approvers(world.billing, [world.ann], actor=ACTOR)
    before = held_call()
    Domain.objects.update(four_eyes=False)
    world.billing.refresh_from_db()
    after = worlds.hold(world, arguments={"customer": "cus_1"})

    assert not access.may_decide(world.ann, ToolCall.objects.get(pk=before.pk))
    assert access.may_decide(world.ann, ToolCall.objects.get(pk=after.pk))


@pytest.mark.parametrize("name", NAMES)
def test_whoever_is_switched_off_sees_and_may_do_nothing(
    world: World, held_call: Any, name: str
) -> None:
    call = held_call()
    person = getattr(world, name)
    person.is_active = False
    person.save()

    assert not access.visible_to(person).exists()
    assert not access.may_decide(person, call)
    assert not access.may_settle(person, call)
    assert not access.may_withdraw(person, call)


def test_an_approver_who_left_the_group_may_not_decide_any_more(
    world: World, held_call: Any
) -> None:
    call = held_call()
    world.billing.approver_groups.get().people.remove(world.bo)

    assert not access.may_decide(world.bo, call)
    assert not access.visible_to(world.bo).exists()


def test_each_refusal_says_why(world: World, held_call: Any) -> None:
    call = held_call()

    for permission in (
        access.may_decide(world.dee, call),
        access.may_settle(world.dee, call),
        access.may_withdraw(world.dee, call),
    ):
        assert permission.why.endswith(".")
        assert permission.why.startswith("Only ")
