"""The first run: an administrator sets the practice domain up, once, and is led to the call."""

import re

import pytest

from approvals import lifecycle, submission
from approvals.administration import practice
from approvals.models import Agent, AgentKey, AuditEvent, Domain, Tool, ToolCall, Upstream
from tests.support import world as worlds
from tests.support.dom import read
from tests.support.visiting import queries, text_of, visitor


def held_card(amount: int = 1) -> ToolCall:
    """Let the practice agent ask for a postcard."""
    worlds.list_tools(Upstream.objects.get(name="practice"), worlds.definition("send_postcard"))
    key = AgentKey.objects.get(agent__name="practice")
    tool = Tool.objects.get(upstream__name="practice")
    request = submission.Request(
        agent_id=key.agent_id,
        key_id=key.pk,
        tool_id=tool.pk,
        arguments={"customer": "me", "amount": amount},
    )
    answer = submission.submit(request)
    return ToolCall.objects.get(pk=answer.call.pk)


@pytest.mark.parametrize("name", ["ann", "bo", "aud", "eve"])
def test_only_administrators_find_it(world, name):
    client = visitor(getattr(world, name))

    assert client.get("/first-run/").status_code == 404
    assert client.post("/first-run/").status_code == 404
    assert client.get("/first-run/state/").status_code == 404
    assert not Domain.objects.filter(name="practice").exists()


def test_looking_sets_nothing_up_and_says_that_four_eyes_will_be_off(world):
    text = text_of(visitor(world.dee).get("/first-run/"))

    assert "Set up the practice domain" in text
    assert "Four eyes are off in this domain." in text
    assert not Domain.objects.filter(name="practice").exists()


def test_setting_up_makes_all_that_a_first_call_needs(world):
    response = visitor(world.dee).post("/first-run/")

    domain = Domain.objects.get(name="practice")
    agent = Agent.objects.get(name="practice")
    assert (domain.owner, domain.four_eyes) == (world.dee, False)
    assert list(domain.approver_groups.get().people.all()) == [world.dee]
    assert (agent.owner, list(agent.domains.all())) == (world.dee, [domain])
    assert Upstream.objects.get(name="practice").launch["args"] == ["-m", "mcp_bridge.practice"]
    assert re.search(rf"cs_{agent.keys.get().prefix}_[\w-]{{43}}", response.content.decode())
    assert "no-store" in response["Cache-Control"]
    assert "/mcp/practice" in response.content.decode()
    codes = AuditEvent.objects.filter(actor="person:dee").values_list("code", flat=True)
    assert {"domain.created", "upstream.put", "agent.created", "key.created"} <= set(codes)


def test_the_key_is_not_shown_again_and_nothing_is_set_up_twice(world):
    client = visitor(world.dee)
    client.post("/first-run/")

    again = client.post("/first-run/", follow=True)

    secret = re.compile(r"cs_[0-9a-f]{10}_[\w-]{20}")
    assert "Nothing was set up. There is a domain called practice already." in text_of(again)
    assert not secret.search(again.content.decode())
    assert AgentKey.objects.filter(agent__name="practice").count() == 1


def test_a_name_that_is_taken_leaves_nothing_half_done(world):
    Agent.objects.create(name="practice", owner=world.ann)

    visitor(world.dee).post("/first-run/")

    assert not Domain.objects.filter(name="practice").exists()
    assert not Upstream.objects.filter(name="practice").exists()


def test_the_page_says_whether_the_server_answers(world):
    client = visitor(world.dee)
    client.post("/first-run/")
    upstream = Upstream.objects.get(name="practice")

    before = text_of(client.get("/first-run/state/", headers={"HX-Request": "true"}))
    Upstream.objects.update(list_error="it \u202ebroke")
    broken = client.get("/first-run/state/", headers={"HX-Request": "true"}).content.decode()
    worlds.list_tools(upstream, worlds.definition("send_postcard"))
    after = text_of(client.get("/first-run/state/", headers={"HX-Request": "true"}))

    seen = client.get("/first-run/state/?seen=listed", headers={"HX-Request": "true"})

    assert seen.status_code == 204
    assert "Starting it" in before
    assert "does not answer" in broken
    assert "\u202e" not in broken
    assert "its tool is listed" in after


def test_the_first_call_is_held_and_the_page_leads_to_it_and_may_decide(world):
    client = visitor(world.dee)
    client.post("/first-run/")
    call = held_card()

    led = client.get("/first-run/state/", headers={"HX-Request": "true"})
    text = text_of(client.get("/first-run/"))
    decided = lifecycle.decide(call.pk, decider=world.dee, verdict="approve", binding=call.binding)
    after = text_of(client.get("/first-run/"))

    assert call.status == "pending"
    assert led["HX-Redirect"] == f"/calls/{call.pk}/"
    assert "It is waiting for you." in text
    assert decided.status == "approved"
    assert "It waits no longer." in after
    assert client.get("/first-run/state/").status_code == 200


def test_the_page_listens_until_a_call_waits_and_asks_by_itself_only_for_the_tool(world):
    client = visitor(world.dee)
    before = client.get("/first-run/").content.decode()
    starting = client.post("/first-run/").content.decode()
    worlds.list_tools(Upstream.objects.get(name="practice"), worlds.definition("send_postcard"))
    listed = client.get("/first-run/").content.decode()
    held_card()
    waiting = client.get("/first-run/").content.decode()

    pages = (before, starting, listed, waiting)
    assert ["data-live" in page for page in pages] == [False, True, True, False]
    assert ["hx-trigger" in page for page in pages] == [False, True, False, False]


def test_without_htmx_too_the_state_is_a_link_to_the_call_that_waits(world):
    client = visitor(world.dee)
    client.post("/first-run/")
    call = held_card()

    response = client.get("/first-run/state/?seen=listed")

    [lead] = read(response.content.decode()).elements
    assert "data-lead" in lead.attributes
    assert lead.attributes["href"] == f"/calls/{call.pk}/"


def test_an_empty_queue_leads_there_while_there_is_no_agent(world):
    there = text_of(visitor(world.dee).get("/"))
    AgentKey.objects.all().delete()
    Agent.objects.all().delete()

    assert "See your first call held" not in there
    assert "See your first call held" in text_of(visitor(world.dee).get("/"))
    assert "See your first call held" not in text_of(visitor(world.bo).get("/"))


def test_more_calls_need_no_more_queries(world):
    client = visitor(world.dee)
    client.post("/first-run/")
    held_card()
    few = queries(client, "/first-run/")
    practice_calls = ToolCall.objects.filter(agent__name=practice.NAME)
    held_card(amount=2)

    assert practice_calls.count() == 2
    assert queries(client, "/first-run/") == few
