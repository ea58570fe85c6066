"""A read answered at the door has the answer that the SDK's server would give, whatever is asked.

Each request is sent twice. The second has a member that JSON-RPC knows nothing of: the SDK ignores
it, and the door answers nothing that it does not expect.
"""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from django.conf import settings

from approvals.models import AuditEvent, ToolCall
from mcp_bridge.agents import server
from mcp_bridge.agents.parts import Parts
from mcp_bridge.agents.passing import Passing
from mcp_bridge.asgi import transport_security
from tests.support.agent_view import CUSTOMER, PROVENANCE, other_domain, rules, told
from tests.support.bridging import LEGACY, MODERN, Down, Upstreams, headers_of, request, running
from tests.support.running import until
from tests.support.world import definition, list_tools, reviewed

READ = "billing__get_customer"
META = "io.modelcontextprotocol/"
TRACE = {"traceparent": "00-1-2-01", "tracestate": "a=b", "baggage": "c=d"}


@dataclass
class Asked:
    """One request; `at_the_door` says who must answer it."""

    arguments: Any = field(default_factory=lambda: CUSTOMER)
    meta: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    raw: Callable[[bytes], bytes] = lambda body: body
    path: str = "/mcp"
    at_the_door: bool = False

    def body(self, **more: Any) -> bytes:
        """Return the bytes of the request."""
        params = {"name": READ, "arguments": self.arguments, "_meta": self.meta} | self.params
        message = request("tools/call", params, era=MODERN)
        return self.raw(json.dumps(message | self.message | more).encode())


def at_the_door(**more: Any) -> Asked:
    return Asked(**more, at_the_door=True)


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def replace(body: bytes) -> bytes:
        assert old in body
        return body.replace(old, new)

    return replace


REQUESTS = {
    "a read": at_the_door(),
    "on its own surface": at_the_door(path="/mcp/billing"),
    "an id of text": at_the_door(message={"id": "mine"}),
    "a large id": at_the_door(message={"id": 2**53 - 1}),
    "a trace": at_the_door(meta=TRACE),
    "a progress token": at_the_door(meta={"progressToken": 7}),
    "a name for the client": at_the_door(
        meta={f"{META}clientInfo": {"name": "tests", "version": "1", "more": 1}}
    ),
    "tasks declared": at_the_door(
        meta={f"{META}clientCapabilities": {"extensions": {f"{META}tasks": {}}}}
    ),
    "a log level": at_the_door(meta={f"{META}logLevel": "info"}),
    "more in _meta": at_the_door(meta={"example.org/a": [None, {"b": 1.5}]}),
    "arguments of the wrong type": at_the_door(arguments={"customer": 7, "amount": "one"}),
    "arguments that are missing": at_the_door(arguments={}),
    "arguments that are null": at_the_door(arguments=None),
    "arguments nobody asked for": at_the_door(arguments=CUSTOMER | {"memo": "x", "other": 1}),
    "arguments of other letters": at_the_door(arguments={"customer": "Ä\u2028€", "amount": 1}),
    "a name that is encoded": at_the_door(
        headers={"mcp-name": "=?base64?YmlsbGluZ19fZ2V0X2N1c3RvbWVy?="}
    ),
    "any kind of answer": at_the_door(headers={"accept": "*/*"}),
    "JSON only": at_the_door(headers={"accept": "application/json;q=0.9"}),
    "its own origin": at_the_door(headers={"origin": settings.PUBLIC_URL}),
    "JSON with a charset": at_the_door(headers={"content-type": "Application/JSON; charset=utf-8"}),
    # What is wrong, or might be, is the SDK's.
    "an origin of somebody else": Asked(headers={"origin": "https://evil.example"}),
    "a host of somebody else": Asked(headers={"host": "evil.example"}),
    "no kind of answer we give": Asked(headers={"accept": "text/html"}),
    "events only": Asked(headers={"accept": "text/event-stream"}),
    "no JSON": Asked(headers={"content-type": "text/plain"}),
    "a version nobody knows": Asked(headers={"mcp-protocol-version": "2031-01-01"}),
    "a version it does not speak": Asked(meta={f"{META}protocolVersion": LEGACY}),
    "an old version in the header": Asked(headers={"mcp-protocol-version": LEGACY}),
    "another method in the header": Asked(headers={"mcp-method": "tools/list"}),
    "no method in the header": Asked(headers={"mcp-method": ""}),
    "another name in the header": Asked(headers={"mcp-name": "billing__refund"}),
    "an encoded name that is broken": Asked(headers={"mcp-name": "=?base64?YmlsbGlu?="}),
    "another method": Asked(message={"method": "tools/list"}, headers={"mcp-method": "tools/list"}),
    "no version in _meta": Asked(raw=replaced(b'"io.modelcontextprotocol/protocolV', b'"v')),
    "no capabilities": Asked(raw=replaced(b'"io.modelcontextprotocol/clientC', b'"c')),
    "capabilities of the wrong type": Asked(meta={f"{META}clientCapabilities": 7}),
    "a client's name of the wrong type": Asked(meta={f"{META}clientInfo": "tests"}),
    "a log level nobody knows": Asked(meta={f"{META}logLevel": "shout"}),
    "a progress token of the wrong type": Asked(meta={"progressToken": [7]}),
    "_meta of the wrong type": Asked(message={"params": {"name": READ, "_meta": 7}}),
    "no _meta": Asked(message={"params": {"name": READ, "arguments": CUSTOMER}}),
    "answers to questions": Asked(params={"inputResponses": {}}),
    "a state": Asked(params={"requestState": "x"}),
    "an old task": Asked(params={"task": {"ttl": 1}}),
    "arguments in a list": Asked(arguments=[1]),
    "an argument twice": Asked(raw=replaced(b'"amount": 1', b'"amount": 1, "amount": 2')),
    "a name that is a number": Asked(params={"name": 7}, headers={"mcp-name": "7"}),
    "a tool nobody lists": Asked(params={"name": "billing__none"}),
    "a tool of a foreign domain": Asked(params={"name": "vault__open"}),
    "a tool that a rule denies": Asked(params={"name": "billing__get_secret"}),
    "no id": Asked(raw=replaced(b'"id": 1, ', b"")),
    "an id that is null": Asked(message={"id": None}),
    "an id that is true": Asked(message={"id": True}),
    "an id with a fraction": Asked(message={"id": 1.5}),
    "another JSON-RPC": Asked(message={"jsonrpc": "1.0"}),
    "params in a list": Asked(message={"params": [1]}),
    "no params": Asked(message={"params": None}),
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return what the door said of each request that may pass: whether it answers it."""
    found: list[bool] = []
    original = Passing._understood

    async def noted(self: Passing, *given: Any) -> Any:
        ask = await original(self, *given)
        found.append(ask is not None)
        return ask

    monkeypatch.setattr(Passing, "_understood", noted)
    return found


def told_of(response):
    """Return everything an agent could tell two answers apart by, but what names this one read."""
    text = response.text
    if response.headers.get("content-type") == "application/json" and PROVENANCE in text:
        own = json.loads(text)["result"]["_meta"][PROVENANCE]
        for key in own.keys() & {"read_id", "at"}:
            text = text.replace(own[key], key)
        text = re.sub(r'("audit":{"stream":"[^"]+","number":)\d+', r"\1n", text)
    headers = {key: value for key, value in response.headers.items() if key != "date"}
    if text != response.text:
        del headers["content-length"]  # the next read's number may have another digit
    return response.status_code, headers, text


def posted(bridge, world, asked, **more):
    body = asked.body(**more)
    try:
        own = headers_of(json.loads(body))
    except (TypeError, AttributeError, KeyError):  # has no params to be told in headers
        own = {"mcp-method": "tools/call", "mcp-name": READ}
    own = {key: str(value) for key, value in own.items()}
    return bridge.post(world.key, body, headers=own | asked.headers, path=asked.path)


def both(bridge, world, taken, asked):
    """Return what differs between the two ways, and whether the door took the first."""
    taken.clear()
    first = posted(bridge, world, asked)
    was_taken = any(taken)
    second = posted(bridge, world, asked, unexpected=1)
    assert taken.count(True) == was_taken, "the second went past the SDK too"
    ways = told_of(first), told_of(second)
    return ([] if ways[0] == ways[1] else ways), was_taken, first


def test_both_ways_answer_every_request_alike(bridge, world, taken):
    other_domain(world)
    secret = definition("get_secret")
    list_tools(world.upstream, definition("refund"), definition("get_customer"), secret)
    reviewed("get_secret", "read")
    rules(
        {"outcome": "deny", "tool": "billing__get_secret", "message": "Never."},
        {"outcome": "allow", "effect": "read", "name": "allow reads"},
    )

    found = {name: both(bridge, world, taken, asked) for name, asked in REQUESTS.items()}

    assert {name: ways for name, (ways, _, _) in found.items() if ways} == {}
    expected = {name: asked.at_the_door for name, asked in REQUESTS.items()}
    assert {name: was_taken for name, (_, was_taken, _) in found.items()} == expected
    statuses = {response.status_code for _, _, response in found.values()}
    assert statuses >= {200, 202, 400, 403, 406, 421}  # the corpus reaches what it means to
    assert not ToolCall.objects.exists()


def test_the_trace_and_the_event_are_the_same_both_ways(bridge, world, taken):
    assert both(bridge, world, taken, at_the_door(meta=TRACE | {"secret": "x"}))[1]

    first, second = (
        {key: value for key, value in meta.items() if not key.startswith(META)}
        for _, _, meta in bridge.upstreams.asked
    )
    assert first == second == TRACE
    events = [
        json.loads(bytes(event.data)) for event in AuditEvent.objects.filter(code="read.passed")
    ]
    own = [
        {k: v for k, v in event.items() if k not in ("read_id", "at", "duration_ms")}
        for event in events
    ]
    assert len(own) == 2
    assert own[0] == own[1]


class Says(Upstreams):
    """Upstreams that answer every read with one raw object, or an error."""

    answer: Any = None

    async def read(self, *_: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


PICTURE = {"type": "image", "data": "aGk=", "mimeType": "image/png", "annotations": {"priority": 1}}
RESULTS = {
    "text": {"content": [{"type": "text", "text": "hi"}]},
    "nothing": {"content": []},
    "no content": {"structuredContent": {"a": 1}},
    "a picture": {"content": [PICTURE, {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}]},
    "links": {
        "content": [
            {"type": "resource_link", "uri": "https://x.example/", "name": "x", "size": None},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "t", "mimeType": None}},
        ]
    },
    "structured": {"content": [], "structuredContent": {"a": [None, 1.0, True, {"b": None}]}},
    "structured as a list": {"content": [], "structuredContent": [1, 1e300, -0.0, "€\u2028"]},
    "structured as null": {"content": [], "structuredContent": None},
    "an error of the tool": {"content": [{"type": "text", "text": "no"}], "isError": True},
    "not an error": {"content": [], "isError": False},
    "members nobody knows": {"content": [PICTURE | {"x": 1}], "more": 1, "_x": 2},
    "a stamp of its own": {"content": [], "_meta": {f"{META}serverInfo": {"name": "x"}}},
    "_meta with nothing in it": {"content": [], "_meta": {"a/b": [None], "c": None}},
    "_meta that is null": {"content": [], "_meta": None},
    "_meta of the wrong type": {"content": [], "_meta": [1]},
    "a provenance of its own": {"content": [], "_meta": {PROVENANCE: {"read_id": "mine"}}},
    "a type": {"content": [], "resultType": "complete"},
    "a wish for input": {"resultType": "input_required", "inputRequests": {}},
    "a task": {"resultType": "task", "taskId": "7"},
    "content of no kind": {"content": [{"type": "hologram"}]},
    "text in place of content": {"content": "hello"},
    "half a character": {"content": [{"type": "text", "text": "\ud800"}]},
    "half a character, structured": {"content": [], "structuredContent": {"a": "\ud800"}},
    "two megabytes": {"content": [{"type": "text", "text": "x" * 2_000_000}]},
    "an error of ours": RuntimeError("a secret"),
    "no object at all": 7,
}  # fmt: skip


def test_both_ways_relay_every_result_alike(world, taken):
    says = Says()
    found = {}
    with running(says) as bridge:
        for name, says.answer in RESULTS.items():
            ways, was_taken, response = both(bridge, world, taken, at_the_door())
            assert was_taken, name
            found[name] = ways
            assert "a secret" not in response.text

    assert {name: ways for name, ways in found.items() if ways} == {}


def test_both_ways_say_alike_that_an_upstream_is_down(world, taken):
    with running(Down()) as bridge:
        ways, was_taken, response = both(bridge, world, taken, at_the_door())

    assert (ways, was_taken) == ([], True)
    assert told(response.json()["result"])["kind"] == "temporarily_unavailable"


def test_no_middleware_is_passed_by():
    parts = Parts(sessions=Upstreams())
    built = server.build(parts)
    built.middleware.append(lambda ctx, call_next: call_next(ctx))

    with pytest.raises(ValueError, match="middleware"):
        Passing(parts, built, transport_security())


def test_a_header_twice_is_left_to_the_sdk(bridge, world, taken):
    headers = [
        ("authorization", f"Bearer {world.key}"),
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "tools/call"),
        *2 * [("mcp-name", READ)],
    ]

    response = httpx2.post(f"{bridge.url}/mcp", content=Asked().body(), headers=headers)

    assert taken == [False]
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "mcp-name header appears more than once"


def test_a_tool_that_wants_its_arguments_in_headers_is_left_to_the_sdk(bridge, world, taken):
    schema = {"type": "object", "properties": {"who": {"type": "string", "x-mcp-header": "Who"}}}
    list_tools(world.upstream, definition("get_customer", inputSchema=schema))
    reviewed("get_customer", "read")

    refused = posted(bridge, world, Asked(arguments={"who": "me"}))
    passed = posted(bridge, world, Asked(arguments={"who": "me"}, headers={"mcp-param-who": "me"}))

    assert taken == [False, False]
    assert (refused.status_code, passed.status_code) == (400, 200)


def test_a_reader_that_went_away_leaves_its_event_both_ways(world, taken):
    gone, asked = threading.Event(), threading.Semaphore(0)

    class Slow(Upstreams):
        async def read(self, *_: Any) -> Any:
            asked.release()
            await asyncio.to_thread(gone.wait, 20)
            return {"content": []}

    with running(Slow()) as bridge:
        headers = {"mcp-method": "tools/call", "mcp-name": READ}
        for body in (Asked().body(), Asked().body(unexpected=1)):
            with pytest.raises(httpx2.TimeoutException):
                bridge.post(world.key, body, headers=headers, timeout=3)
            assert asked.acquire(timeout=20)
        gone.set()

        until(lambda: AuditEvent.objects.filter(code="read.passed").count() == 2, "both events")
    assert sorted(taken) == [False, True]
