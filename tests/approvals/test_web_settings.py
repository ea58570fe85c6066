"""The settings: what a person likes is kept, told in the trail, and times follow their zone."""

import json
from datetime import UTC, datetime

import pytest

from approvals.administration import agents, catalog
from approvals.models import AgentKey, AuditEvent, Person
from tests.support.visiting import page_of, queries, text_of, visitor


def keep(client, **fields):
    return client.post("/settings/", {"time_zone": "", "theme": "", **fields})


def test_what_is_set_is_kept_and_in_the_trail(world):
    client = visitor(world.bo)

    response = keep(client, time_zone="Europe/Berlin", notices="on", theme="dark")

    bo = Person.objects.get(pk=world.bo.pk)
    assert response["Location"] == "/settings/"
    assert (bo.time_zone, bo.uses_single_keys, bo.wants_notices) == ("Europe/Berlin", False, True)
    assert 'data-theme="dark"' in client.get("/").content.decode()
    event = AuditEvent.objects.filter(stream="person:bo").latest("seq")
    assert (event.code, event.actor) == ("person.preferences_set", "person:bo")
    assert json.loads(bytes(event.data))["time_zone"] == "Europe/Berlin"


def test_saving_what_is_so_already_tells_nobody(world):
    before = AuditEvent.objects.count()

    keep(visitor(world.bo), single_keys="on")

    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "x" * 200, "\x00"])
def test_a_zone_nobody_knows_is_refused(world, zone):
    response = keep(visitor(world.bo), time_zone=zone)

    assert response.status_code == 400
    assert "There is no such time zone." in text_of(response)
    assert Person.objects.get(pk=world.bo.pk).time_zone == ""


def test_a_stored_zone_that_is_gone_falls_back(world):
    Person.objects.update(time_zone="Mars/Olympus")

    assert visitor(world.bo).get("/settings/").status_code == 200


def test_times_are_in_the_readers_zone_with_its_offset(world):
    used = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)
    AgentKey.objects.update(last_used_at=used)
    client = visitor(world.ann)

    plain = text_of(client.get("/agents/"))
    keep(client, time_zone="Asia/Kolkata")

    assert "5 Jan 2026, 23:30 " in plain
    assert "6 Jan 2026, 05:00 +05:30" in text_of(client.get("/agents/"))


def test_the_trail_stays_in_utc(world, held_call):
    call = held_call()
    Person.objects.update(time_zone="Asia/Kolkata")

    asked = call.created_at.astimezone(UTC).strftime("%-d %b %Y %H:%M")

    assert asked in text_of(visitor(world.bo).get(page_of(call)))


def test_one_readers_zone_is_not_the_next_ones(world):
    AgentKey.objects.update(last_used_at=datetime(2026, 1, 5, 23, 30, tzinfo=UTC))
    keep(visitor(world.ann), time_zone="Asia/Kolkata")
    visitor(world.ann).get("/agents/")

    assert "5 Jan 2026, 23:30 " in text_of(visitor(world.dee).get("/agents/"))


def test_roles_are_told(world):
    words = {"bo": "Approver of", "aud": "Auditor.", "dee": "Administrator.", "eve": "None yet",
             "ann": "Owner of support"}  # fmt: skip

    for name, role in words.items():
        assert role in text_of(visitor(getattr(world, name)).get("/settings/"))


def test_the_foot_of_the_rail_leads_there_and_it_leads_on(world):
    client = visitor(world.bo)

    assert 'class="me" href="/settings/"' in client.get("/").content.decode()
    body = client.get("/settings/").content.decode()
    assert "/accounts/password/change/" in body
    assert "/accounts/2fa/" in body


def test_nobody_sets_anything_without_signing_in_or_a_token(world):
    assert keep(visitor()).status_code == 302
    assert keep(visitor(world.bo, csrf=True)).status_code == 403


def test_the_page_needs_few_queries_whatever_one_owns(world):
    client = visitor(world.ann)
    few = queries(client, "/settings/")
    for name in ("one", "two", "three"):
        domain = catalog.create_domain(name, purpose="p", owner=None, actor="command")
        catalog.add_approvers(domain, [world.ann], actor="command")
        agents.create_agent(name, owner=world.ann, domains=[name], actor="command")

    assert queries(client, "/settings/") <= few
