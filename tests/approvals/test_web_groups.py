"""The page of a domain's approver groups: what it shows, what its forms change, and for whom."""

from typing import Any

import pytest
from django.test import Client

from approvals.administration import groups, people, policy
from approvals.models import ApproverGroup, AuditEvent
from tests.support import groups as staffing
from tests.support import trail
from tests.support.groups import STAGES, Staff
from tests.support.visiting import attempts, text_of, visitor
from tests.support.world import ACTOR, World

ADDRESS = "/catalogue/domains/billing/groups/"


@pytest.fixture
def staff(world: World) -> Staff:
    """Return the people of the groups."""
    return staffing.hire(world)


@pytest.fixture
def dee(world: World) -> Client:
    """Return an administrator's browser."""
    return visitor(world.dee)


def _change(client: Client, group: ApproverGroup, do: str, person: str) -> Any:
    return client.post(f"{ADDRESS}{group.pk}/", {"do": do, "person": person}, follow=True)


def _members(group: ApproverGroup) -> list[str]:
    return list(group.people.order_by("username").values_list("username", flat=True))


def _events(code: str) -> list[tuple[str, dict[str, object]]]:
    events = AuditEvent.objects.filter(stream="domain:billing", code=code).order_by("seq")
    return [(event.actor, trail.facts(event)) for event in events]


def test_it_shows_who_is_in_each_group_who_keeps_it_and_what_asks_it(
    world: World, staff: Staff, dee: Client, held_call: Any
) -> None:
    rule = {"name": "big refunds", "outcome": "hold", "stages": STAGES, "escalate_to": "Heads"}
    policy.load_rules({"rules": [rule]}, source="test", actor=ACTOR)
    held_call(stages=STAGES)
    people.deactivate(staff.hal, actor=ACTOR)

    response = dee.get(ADDRESS)

    rows = {row.group.name: row for row in response.context["rows"]}
    assert list(rows) == ["Finance", "Heads", "Owners", "approvers"]
    assert [member.username for member in rows["Finance"].members] == ["bo", "cy", "fay"]
    assert (rows["Finance"].rules, rows["Finance"].waiting) == (["big refunds"], 1)
    assert (rows["Heads"].rules, rows["Owners"].waiting) == (["big refunds"], 0)
    assert [name for name, row in rows.items() if row.is_deserted] == ["Heads"]
    shown = text_of(response)
    assert "kept by Ann Tester" in shown
    assert "Asked by big refunds. 1 held call waits for it now." in shown
    assert "deactivated: signs no more" in shown
    assert "Nobody is in it who could sign" in shown


def test_the_catalogue_leads_an_administrator_there_and_nobody_else(world: World) -> None:
    assert ADDRESS in visitor(world.dee).get("/catalogue/").content.decode()
    for person in (world.bo, world.ann, world.aud):
        assert ADDRESS not in visitor(person).get("/catalogue/").content.decode()


def test_a_group_is_created_and_says_so(world: World, dee: Client) -> None:
    response = dee.post(ADDRESS, {"name": "Finance", "owner": "ann"}, follow=True)

    group = ApproverGroup.objects.get(name="Finance")
    assert (group.domain, group.owner, _members(group)) == (world.billing, world.ann, [])
    assert "Finance is there. Nobody is in it yet." in text_of(response)
    assert _events("group.created") == [("person:dee", {"group": "Finance", "owner": "ann"})]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"name": "a/b"}, "Must be 1 to 64 letters"),
        ({"name": "Approvers"}, "Is taken"),
        ({"name": ""}, "Must be"),
        ({"name": "Finance", "owner": "zoe"}, "There is no person called"),
    ],
)
def test_a_group_that_cannot_be_is_refused_and_nothing_typed_is_lost(
    world: World, dee: Client, typed: dict[str, str], words: str
) -> None:
    response = dee.post(ADDRESS, typed)

    assert response.status_code == 400
    assert "Nothing was changed." in text_of(response)
    assert words in text_of(response)
    assert f'value="{typed["name"]}"' in response.content.decode()
    assert ApproverGroup.objects.count() == 1


def test_people_are_put_in_and_taken_out_with_an_event_each(
    world: World, staff: Staff, dee: Client
) -> None:
    added = _change(dee, staff.heads, "add", "gus")
    removed = _change(dee, staff.heads, "remove", "hal")

    assert "Gus Tester is in Heads." in text_of(added)
    assert "Hal Tester is no longer in Heads. What they signed stays signed." in text_of(removed)
    assert _members(staff.heads) == ["gus"]
    heads = {"group": "Heads", "people": ["gus"]}
    assert _events("group.members_added")[-1] == ("person:dee", heads)
    assert _events("group.members_removed") == [("person:dee", heads | {"people": ["hal"]})]


def test_who_left_can_still_be_taken_out_and_not_put_in(staff: Staff, dee: Client) -> None:
    people.deactivate(staff.hal, actor=ACTOR)

    assert _change(dee, staff.heads, "remove", "hal").status_code == 200
    assert _change(dee, staff.heads, "add", "hal").status_code == 400
    assert _members(staff.heads) == []


def test_somebody_else_answers_for_it_or_whoever_owns_the_domain(
    world: World, staff: Staff, dee: Client
) -> None:
    assert "Gus Tester answers for Heads." in text_of(_change(dee, staff.heads, "own", "gus"))
    assert "Whoever owns the domain answers" in text_of(_change(dee, staff.heads, "own", ""))

    staff.heads.refresh_from_db()
    assert staff.heads.owner is None
    assert [facts["owner"] for _, facts in _events("group.owner_set")] == ["gus", ""]


def test_nobody_puts_themselves_into_a_group(world: World, staff: Staff, dee: Client) -> None:
    """An administrator changes who decides, and decides nothing."""
    response = _change(dee, staff.heads, "add", "dee")

    assert response.status_code == 403
    assert "Nobody puts themselves into a group" in text_of(response)
    assert _members(staff.heads) == ["hal"]
    assert attempts(world.dee) == ["group_change.refused"]
    groups.add_members(staff.heads, [world.dee], actor="person:other")
    assert _members(staff.heads) == ["dee", "hal"]


@pytest.mark.parametrize(("do", "person"), [("add", "zoe"), ("remove", "gus"), ("own", "zoe")])
def test_a_change_that_cannot_be_changes_nothing(
    staff: Staff, dee: Client, do: str, person: str
) -> None:
    response = _change(dee, staff.heads, do, person)

    assert response.status_code == 400
    assert "Nothing was changed." in text_of(response)
    assert (_members(staff.heads), staff.heads.owner_id) == (["hal"], staff.heads.owner_id)


def test_what_no_form_of_ours_sends_is_not_there(world: World, staff: Staff, dee: Client) -> None:
    assert _change(dee, staff.heads, "delete", "hal").status_code == 404
    elsewhere = f"/catalogue/domains/other/groups/{staff.heads.pk}/"
    assert dee.post(elsewhere, {"do": "add", "person": "bo"}).status_code == 404
    assert dee.post(f"{ADDRESS}999999/", {"do": "add", "person": "bo"}).status_code == 404
    assert _members(staff.heads) == ["hal"]


def test_a_form_of_another_site_changes_nothing(world: World, staff: Staff) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.dee)

    for address, form in [
        (ADDRESS, {"name": "Finance2"}),
        (f"{ADDRESS}{staff.heads.pk}/", {"do": "remove", "person": "hal"}),
    ]:
        assert client.post(address, form).status_code == 403
    assert _members(staff.heads) == ["hal"]


def test_who_sees_the_domain_and_does_not_administer_is_refused_and_noted(
    world: World, staff: Staff
) -> None:
    assert _change(visitor(world.bo), staff.heads, "add", "bo").status_code == 403
    assert attempts(world.bo) == ["group_change.refused"]
    assert _members(staff.heads) == ["hal"]
