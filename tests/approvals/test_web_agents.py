"""The agents: who sees and changes them, keys shown once, and the switch that stops all."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from approvals.administration import agents, people
from approvals.models import Agent, AgentKey, AuditEvent, database_now
from tests.support.visiting import attempts, queries, text_of, visitor

HOSTILE = "<b>nightly</b>\u202ejob"


def newest(stream="agent:support"):
    return AuditEvent.objects.filter(stream=stream).order_by("seq").last()


def told(event):
    return json.loads(bytes(event.data))


def new_key(client, agent, **fields):
    form = {"after": agents.newest_key(agent), "label": "nightly job", **fields}
    return client.post(f"/agents/{agent.name}/keys/", form)


def key_in(response) -> str:
    found = re.findall(r"cs_[0-9a-f]{10}_[\w-]{43}", response.content.decode())
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("name", "status"),
    [("dee", 200), ("ann", 200), ("aud", 200), ("bo", 404), ("eve", 404)],
)
def test_administrators_owners_and_auditors_see_agents(world, name, status):
    client = visitor(getattr(world, name))

    assert client.get("/agents/").status_code == status
    assert client.get("/agents/support/").status_code == status
    assert ("/agents/" in client.get("/").content.decode()) == (status == 200)


@pytest.mark.parametrize(
    "address",
    ["/agents/", "/agents/support/", "/agents/-/new/", "/agents/-/stop/", "/agents/-/resume/",
     "/first-run/", "/settings/"],
)  # fmt: skip
def test_no_page_has_what_the_policy_of_its_content_forbids(world, address):
    body = visitor(world.dee).get(address).content.decode()

    for forbidden in (" style=", "<style", "javascript:", "<script>"):
        assert forbidden not in body
    assert not re.search(r"<[^>]* on[a-z]+=", body)


def test_nobody_sees_agents_without_signing_in(world):
    for address in ("/agents/", "/agents/support/", "/agents/-/stop/", "/agents/-/new/"):
        assert visitor().get(address).status_code == 302


def test_an_owner_sees_their_own_agents_only(world):
    agents.create_agent("other", owner=world.eve, domains=["billing"], actor="command")

    assert "other" not in text_of(visitor(world.ann).get("/agents/"))
    assert visitor(world.ann).get("/agents/other/").status_code == 404
    assert "other" in text_of(visitor(world.dee).get("/agents/"))


def test_the_list_says_what_an_agent_is_and_does(world, held_call):
    held_call()
    AgentKey.objects.update(last_used_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC))

    text = text_of(visitor(world.aud).get("/agents/"))

    for words in ("support Ann Tester", "Running", "billing", "read and write", "1 call",
                  "1 Mar 2026, 09:30"):  # fmt: skip
        assert words in text
    assert "Pause support" not in visitor(world.aud).get("/agents/").content.decode()


def test_an_auditor_reads_and_changes_nothing(world):
    client, prefix = visitor(world.aud), world.key.split("_")[1]

    answers = [
        client.post("/agents/support/pause/", {"paused": "yes"}),
        new_key(client, world.agent),
        client.post(f"/agents/support/keys/{prefix}/revoke/"),
        client.post("/agents/-/stop/"),
        client.post("/agents/-/resume/", {"agent": "support"}),
        client.post("/agents/-/new/", {"name": "mine"}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 6
    assert len(attempts(world.aud)) == 6
    assert not Agent.objects.get().is_paused
    assert AgentKey.objects.get().revoked_at is None


def test_others_cannot_tell_an_agent_from_none(world):
    client = visitor(world.bo)

    for address in ("support", "nothing"):
        assert client.post(f"/agents/{address}/pause/", {"paused": "yes"}).status_code == 404
        assert client.post(f"/agents/{address}/keys/").status_code == 404
    assert client.post("/agents/-/stop/").status_code == 404
    assert client.get("/agents/-/new/").status_code == 404


def test_forms_need_the_token_of_their_page(world):
    client = visitor(world.dee, csrf=True)

    for address in ("support/pause/", "support/keys/", "-/stop/", "-/new/"):
        assert client.post(f"/agents/{address}").status_code == 403
    assert AgentKey.objects.count() == 1


# -- creating ------------------------------------------------------------------------------------


def test_an_administrator_creates_an_agent(world):
    form = {"name": "triage", "owner": "ann", "domain": "billing", "effect": "read", "grace": "7"}

    response = visitor(world.dee).post("/agents/-/new/", form)

    agent = Agent.objects.get(name="triage")
    assert response["Location"] == "/agents/triage/"
    assert (agent.owner, agent.may_read, agent.may_write) == (world.ann, True, False)
    assert agent.grace_seconds == 7
    assert newest("agent:triage").actor == "person:dee"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Upper"}, "lower-case letters"),
        ({"name": "support"}, "taken"),
        ({"owner": "nobody"}, "no person called"),
        ({"domain": []}, "at least one domain"),
        ({"domain": ["elsewhere"]}, "no such domain any more"),
        ({"effect": []}, "read, write or both"),
        ({"grace": "601"}, "from 0 to 600"),
        ({"grace": "soon"}, "whole number"),
    ],
)
def test_a_form_that_cannot_be_says_why_beside_the_field(world, changes, words):
    good = {"name": "n", "owner": "ann", "domain": "billing", "effect": "read", "grace": "7"}

    response = visitor(world.dee).post("/agents/-/new/", {**good, **changes})

    assert response.status_code == 400
    assert words in text_of(response)
    assert Agent.objects.count() == 1


# -- keys ----------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_never_again(world):
    client = visitor(world.ann)

    shown = new_key(client, world.agent)
    key = key_in(shown)
    row = AgentKey.objects.get(prefix=key.split("_")[1])

    assert row.secret_digest == hashlib.sha256(key.split("_", 2)[2].encode()).hexdigest()
    assert "no-store" in shown["Cache-Control"]
    assert (row.label, row.acts_for, row.expires_at) == ("nightly job", world.ann, None)
    assert key not in client.get("/agents/support/").content.decode()
    assert client.get("/agents/support/keys/")["Location"] == "/agents/support/"
    assert key.split("_")[2] not in str(told(newest()))
    assert (newest().code, told(newest())["label"]) == ("key.created", "nightly job")


def test_the_same_form_sent_again_makes_no_second_key(world):
    client = visitor(world.ann)
    after = agents.newest_key(world.agent)
    new_key(client, world.agent, after=after)

    again = new_key(client, world.agent, after=after)

    assert again["Location"] == "/agents/support/"
    assert "No key was made" in text_of(client.get("/agents/support/"))
    assert AgentKey.objects.count() == 2


@pytest.mark.parametrize("after", ["", "x", "-1", "9" * 40])
def test_a_form_without_its_place_makes_no_key(world, after):
    new_key(visitor(world.ann), world.agent, after=after)

    assert AgentKey.objects.count() == 1


def test_an_owner_makes_keys_that_act_for_themselves_and_administrators_any(world):
    refused = new_key(visitor(world.ann), world.agent, acts_for="eve")
    made = new_key(visitor(world.dee), world.agent, acts_for="eve")

    assert refused.status_code == 403
    assert key_in(made)
    assert AgentKey.objects.latest("pk").acts_for == world.eve


def test_a_key_ends_when_its_last_day_is_over_where_the_maker_is(world):
    people.set_preferences(
        world.ann, time_zone="Asia/Tokyo", uses_single_keys=True, wants_notices=False, actor="x"
    )
    world.ann.refresh_from_db()
    day = (database_now() + timedelta(days=30)).date()

    new_key(visitor(world.ann), world.agent, ends_on=day.isoformat())

    end = AgentKey.objects.latest("pk").expires_at
    assert end == datetime(day.year, day.month, day.day, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ends_on": "soon"}, "A date such as"),
        ({"ends_on": "2001-01-01"}, "From today"),
        ({"ends_on": "9999-12-31"}, "From today"),
        ({"label": "x" * 61}, "at most 60"),
        ({"label": "a\x00b"}, "character"),
        ({"acts_for": "nobody"}, "no person called"),
    ],
)
def test_a_key_that_cannot_be_says_why(world, fields, words):
    response = new_key(visitor(world.dee), world.agent, **fields)

    assert response.status_code == 400
    assert words in text_of(response)
    assert AgentKey.objects.count() == 1


def test_several_keys_live_side_by_side_and_are_revoked_one_by_one(world):
    client = visitor(world.ann)
    prefix = key_in(new_key(client, world.agent)).split("_")[1]

    asked = client.get(f"/agents/support/keys/{prefix}/revoke/")
    still = AgentKey.objects.get(prefix=prefix).revoked_at
    client.post(f"/agents/support/keys/{prefix}/revoke/")

    assert "cannot be undone" in text_of(asked)
    assert still is None
    assert AgentKey.objects.filter(revoked_at=None).count() == 1
    assert (newest().code, newest().actor) == ("key.revoked", "person:ann")
    assert client.get(f"/agents/support/keys/{prefix}/revoke/").status_code == 302
    assert "Keys that have ended" in text_of(client.get("/agents/support/"))


def test_a_key_of_another_agent_is_not_revoked_under_this_name(world):
    agents.create_agent("other", owner=world.eve, domains=["billing"], actor="command")
    prefix = world.key.split("_")[1]

    assert visitor(world.eve).post(f"/agents/other/keys/{prefix}/revoke/").status_code == 404
    assert AgentKey.objects.get().revoked_at is None


def test_what_people_write_is_shown_as_text(world):
    AgentKey.objects.update(label=HOSTILE)

    body = visitor(world.ann).get("/agents/support/").content.decode()

    assert "<b>nightly" not in body
    assert "\u202e" not in body
    assert "&lt;b&gt;nightly" in body


# -- stopping ------------------------------------------------------------------------------------


def test_pausing_and_resuming_take_one_press(world):
    client = visitor(world.ann)

    client.post("/agents/support/pause/", {"paused": "yes", "from": "list"})
    paused = Agent.objects.get().is_paused
    text = text_of(client.get("/agents/"))
    client.post("/agents/support/pause/", {"paused": "no"})

    assert paused
    assert "support is paused" in text
    assert not Agent.objects.get().is_paused
    assert newest().code == "agent.resumed"
    assert client.get("/agents/support/pause/").status_code == 405


def test_stopping_all_asks_first_and_says_what_it_does_not_stop(world, held_call):
    held_call()
    held_call("dispatched", arguments={"amount": 2})

    text = text_of(visitor(world.dee).get("/agents/-/stop/"))

    assert "1 call not sent yet stays" in text
    assert "Calls already dispatched are not stopped: 1 is running" in text
    assert not Agent.objects.get().is_paused


def test_stopping_all_pauses_what_one_may_manage_and_is_in_the_trail(world):
    agents.create_agent("other", owner=world.eve, domains=["billing"], actor="command")

    visitor(world.ann).post("/agents/-/stop/", {"reason": "Odd refunds."})
    mine = list(Agent.objects.filter(is_paused=True).values_list("name", flat=True))
    visitor(world.dee).post("/agents/-/stop/")

    assert mine == ["support"]
    assert (newest().code, told(newest())["reason"]) == ("agent.paused", "Odd refunds.")
    assert not Agent.objects.filter(is_paused=False).exists()
    assert AuditEvent.objects.filter(code="agent.paused").count() == 2


def test_a_reason_no_database_keeps_stops_nobody(world):
    response = visitor(world.dee).post("/agents/-/stop/", {"reason": "a\x00b"})

    assert response.status_code == 400
    assert not Agent.objects.get().is_paused


def test_only_what_is_ticked_resumes(world):
    agents.create_agent("other", owner=world.eve, domains=["billing"], actor="command")
    client = visitor(world.dee)
    client.post("/agents/-/stop/")

    client.post("/agents/-/resume/", {"agent": ["other", "nothing"]})

    assert list(Agent.objects.filter(is_paused=True)) == [world.agent]


# -- texts and size ------------------------------------------------------------------------------


def test_the_texts_name_this_installation_and_the_domain_one_chose(world, settings):
    settings.PUBLIC_URL = "https://cs.example"
    client = visitor(world.ann)

    whole = client.get("/agents/support/").content.decode()
    part = client.get("/agents/support/?to=billing").content.decode()
    foreign = client.get("/agents/support/?to=elsewhere").content.decode()

    assert whole.count("https://cs.example/mcp") == 5
    assert "/mcp/" not in whole
    assert part.count("https://cs.example/mcp/billing") == 5
    assert "elsewhere" not in foreign


def test_more_agents_and_keys_need_no_more_queries(world):
    client = visitor(world.dee)
    few = queries(client, "/agents/"), queries(client, "/agents/support/")

    for number in range(5):
        agent = agents.create_agent(
            f"a{number}", owner=world.ann, domains=["billing"], actor="command"
        )
        agents.create_key(agent, acts_for=world.ann, actor="command")
        agents.create_key(world.agent, acts_for=world.bo, actor="command")

    assert (queries(client, "/agents/"), queries(client, "/agents/support/")) == few


def test_agents_come_by_the_page(world):
    for number in range(55):
        Agent.objects.create(name=f"a{number:02}", owner=world.ann)

    response = visitor(world.dee).get("/agents/?page=2")

    assert len(response.context["rows"]) == 6
    assert "51 to 56 of 56" in text_of(response)
