"""Secrets planted everywhere, one story through every door, and a search of what it left behind."""

import base64
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from celery import current_app
from channels.layers import get_channel_layer
from django.core.cache import cache
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import Client

from approvals import canonical, events
from approvals.administration import agents, people
from approvals.models import Agent, AuditEvent, Person, ToolCall
from approvals.models import database_now as now
from mcp_bridge import release
from mcp_bridge.upstreams.sessions import Sessions
from tests.support import upstreams as servers
from tests.support import world as worlds
from tests.support.asking import put
from tests.support.bridging import LEGACY, MODERN, Running, running
from tests.support.canaries import Sinks, is_secret, listening
from tests.support.upstreams import HttpUpstream
from tests.support.visiting import form_of, page_of, post_json, visitor
from tests.support.world import ACTOR, PASSWORD, REFUND, World

ARGUMENT = "canary-argument-7f3a"
PLAIN, WRITE = "canary-plain-credential-91", "canary-write-credential-92"
PASSWORDS = ("canary-password-first", "canary-password-wrong", "canary-password-second")
NEVER = {"the plain credential": PLAIN, "the write credential": WRITE}
NEVER |= {f"password {number}": text for number, text in enumerate(PASSWORDS)}

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def sinks(world: World) -> Iterator[Sinks]:
    """Return sinks that fill from before the first secret is used."""
    Agent.objects.update(grace_seconds=0)
    cache.clear()
    sinks = Sinks()
    with listening(sinks):
        yield sinks


@pytest.fixture
def upstream(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpUpstream]:
    """Return the billing upstream, which wants one credential for reads and another for writes."""
    monkeypatch.setenv("CANARY_PLAIN", PLAIN)
    monkeypatch.setenv("CANARY_WRITE", WRITE)
    with servers.serving() as server:
        put(
            world.billing,
            server,
            "billing",
            launch={"headers": {"Authorization": "Bearer ${CANARY_PLAIN}"}},
            write_credentials={"headers": {"Authorization": "Bearer ${CANARY_WRITE}"}},
        )
        yield server


def tells(handler: servers.Handler, post: servers.Post) -> None:
    """Answer as a careless server does: the error repeats the credential it was sent."""
    handler.send(200, canonical.to_bytes({
        "jsonrpc": "2.0", "id": post.message["id"],
        "error": {"code": -32602, "message": f"bad token {post.headers['authorization']}"},
    }))  # fmt: skip


@contextmanager
def no_events() -> Iterator[None]:
    """Let the database refuse whatever is written to the trail."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and "auditevent" in sql:
            raise DatabaseError("The disk is full.")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield


class Story:
    """What everybody does, over HTTP, MCP and in a worker; each answer goes into a sink."""

    def __init__(self, world: World, bridge: Running, upstream: HttpUpstream, sinks: Sinks) -> None:
        self.world, self.bridge, self.upstream, self.sinks = world, bridge, upstream, sinks

    def call(self, tool: str, key: str, era: str, **arguments: Any) -> None:
        given = {"name": tool, "arguments": {**REFUND, "memo": ARGUMENT, **arguments}}
        answer = self.bridge.ask(key, "tools/call", given, era=era)
        self.sinks.keep("answers to the agent", repr(answer))

    def strange(self, key: str) -> None:
        """Let a stranger ask: with a key that is none."""
        answer = self.bridge.post(key, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, era=LEGACY)
        assert answer.status_code == 401
        self.sinks.keep("error pages", answer.content)

    def ask(self) -> None:
        key = self.world.key
        for era in (LEGACY, MODERN):
            self.bridge.ask(key, "tools/list", era=era)
            for way in (servers.answers, tells, servers.hangs_up(), servers.http(401)):
                self.upstream.ways["tools/call"] = way
                self.call("billing__get_customer", key, era)
            self.call("billing__refund", key, era, customer=era)
            self.call("billing__refund", key, era, amount="not a number")
            self.call("billing__nothing", key, era)
            self.strange(key[:-1] + ("x" if key[-1] != "x" else "y"))
        ended = agents.create_key(self.world.agent, acts_for=self.world.ann, actor=ACTOR)
        agents.revoke_key(ended.split("_")[1], actor=ACTOR)
        self.strange(ended)

    def sign_in(self) -> None:
        first, wrong, second = PASSWORDS
        people.create_person("gil", role="approver", password=first, actor=ACTOR)
        gil = Client()
        for password in (wrong, first):
            form = {"login": "gil", "password": password}
            self.sinks.keep("pages", gil.post("/accounts/login/", form).content)
        form = {"oldpassword": first, "password1": second, "password2": second}
        answer = gil.post("/accounts/password/change/", form)
        assert answer.status_code == 302
        assert Person.objects.get(username="gil").check_password(second)

    def be_refused(self, call: ToolCall) -> None:
        """Try what nobody may, and what breaks: none of these answers shows the call."""
        for name in ("eve", "dee", ""):
            client = visitor(getattr(self.world, name) if name else None, csrf=not name)
            client.raise_request_exception = False
            form = {"verdict": "reject", "binding": "x", "reason": "No."}
            answers = [post_json(client, f"calls/{call.pk}/decisions/", dict(form))]
            if name != "dee":  # who sees the call, and is shown it with the refusal
                answers += [client.get(page_of(call)), client.post(page_of(call, "decide/"), form)]
            for answer in answers:
                assert answer.status_code in (302, 401, 403, 404)
                self.sinks.keep("error pages", answer.content)
        breaking = visitor(self.world.bo)
        breaking.raise_request_exception = False
        with no_events():
            answer = breaking.post(page_of(call, "decide/"), form_of(call, self.world.bo))
        assert answer.status_code == 500
        self.sinks.keep("error pages", answer.content)

    def read(self, call: ToolCall) -> None:
        client = visitor(self.world.bo)
        for path in (page_of(call), page_of(call, "parts/"), f"/api/v1/calls/{call.pk}/"):
            self.sinks.keep("pages", client.get(path).content)

    def look_around(self, call: ToolCall) -> None:
        client = visitor(self.world.dee)
        for path in (
            "/", "/history/", "/insights/", "/catalogue/", "/agents/", "/agents/support/",
            "/settings/", f"/catalogue/tools/{call.tool_id}/", "/api/v1/calls/",
            f"/api/v1/audit/events/?call={call.pk}",
        ):  # fmt: skip
            self.sinks.keep("pages", client.get(path).content)

    def release(self) -> None:
        ways = [servers.answers, tells, servers.hangs_up()]
        for number, way in enumerate(ways):
            call = worlds.hold(
                self.world, arguments={**REFUND, "memo": ARGUMENT, "amount": number + 1}
            )
            answer = visitor(self.world.bo).post(
                page_of(call, "decide/"), form_of(call, self.world.bo)
            )
            assert answer.status_code == 302
            self.upstream.ways["tools/call"] = way
            release.release(str(call.pk))
            self.read(ToolCall.objects.get(pk=call.pk))

    def report(self) -> None:
        told = io.StringIO()
        call_command("verify_audit", stdout=told, stderr=told)
        self.sinks.keep("reports", told.getvalue())


@pytest.fixture
def story(world: World, upstream: HttpUpstream, sinks: Sinks) -> Iterator[Story]:
    with running(cast(Any, Sessions())) as bridge:
        yield Story(world, bridge, upstream, sinks)


# Where the arguments of a call may be read: by those who see the call, by the agent and by the
# upstream; and in two columns, the second of which is what the upstream answered.
OF_ARGUMENTS = {
    "answers to the agent", "pages", "requests upstream",
    "tables: approvals_toolcall.arguments", "tables: approvals_toolcall.result",
}  # fmt: skip


def test_no_secret_is_found_where_it_does_not_belong(story: Story, sinks: Sinks) -> None:
    key = story.world.key
    story.ask()
    story.sign_in()
    call = ToolCall.objects.filter(status="pending").first()
    assert call is not None
    story.be_refused(call)
    story.read(call)
    story.release()
    story.look_around(call)
    story.report()
    events.wait_until_sent(5)
    sinks.read_tables()
    for post in story.upstream.posts:
        sinks.keep("requests upstream", f"{post.headers} {post.body!r}")

    assert sinks.found(ARGUMENT) == OF_ARGUMENTS
    assert {name: sinks.found(text) for name, text in NEVER.items()} == {
        name: {"requests upstream"} if "credential" in name else set() for name in NEVER
    }
    assert sinks.found(key.split("_", 2)[2]) == set()
    assert sinks.found(key.split("_")[1], among="requests upstream") == set()
    reads = [post for post in story.upstream.calls if PLAIN in post.headers["authorization"]]
    writes = [post for post in story.upstream.calls if post not in reads]
    assert (len(reads), len(writes)) == (8, 3)
    assert {post.headers["authorization"] for post in writes} == {f"Bearer {WRITE}"}
    approved = ToolCall.objects.filter(dispatch__isnull=False).order_by("created_at")
    assert [canonical.to_bytes(post.message["params"]["arguments"]) for post in writes] == [
        bytes(call.arguments) for call in approved
    ]


def test_the_search_finds_what_is_planted_in_each_sink(sinks: Sinks, world: World) -> None:
    planted = "canary-of-the-search-0c"
    log, layer = logging.getLogger("tests.canaries"), cast(Any, get_channel_layer())

    log.debug("A call with %s.", {"memo": planted})
    async_to_sync(layer.group_send)("domain.1", {"type": "call.changed", "call": planted})
    current_app.send_task("tests.nothing", [planted], queue="tests")
    Agent.objects.update(name=planted)
    AuditEvent.objects.create(
        stream="test", seq=1, code="x", actor="x", at=now(), digest="", data=planted.encode()
    )
    sinks.read_tables()
    for sink in ("pages", "error pages", "reports"):
        sinks.keep(sink, f"<p>{planted}".encode())
    sinks.keep("answers to the agent", {"body": base64.b64encode(f"ab{planted}c".encode())})

    assert sinks.found(planted) == {
        "logs", "messages to pages", "messages to workers", "pages", "error pages", "reports",
        "answers to the agent", "tables: approvals_agent.name", "tables: approvals_auditevent.data",
    }  # fmt: skip
    assert sinks.found("canary-of-nobody") == set()


def test_an_error_that_is_logged_is_searched_with_its_traceback(sinks: Sinks) -> None:
    try:
        int("canary-of-an-error")
    except ValueError:
        logging.getLogger("tests.canaries").exception("It broke.")

    assert sinks.found("canary-of-an-error") == {"logs"}


@pytest.mark.parametrize("text", [f"cs_{'0a' * 5}_{'A-_b' * 10}xyz", PASSWORD])
def test_the_watch_over_all_tests_sees_keys_and_passwords(text: str) -> None:
    assert is_secret(f"somebody came with {text}.")
    assert not is_secret("somebody came with cs_0a0a0a0a0a and a password")
