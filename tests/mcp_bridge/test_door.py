"""The door: strict JSON, sizes, rates and surfaces, each refused with a clear answer and no row."""

import socket
import time

import httpx2
import pytest

from approvals.administration import agents, catalog
from approvals.models import ToolCall
from mcp_bridge.agents import bodies
from mcp_bridge.agents.door import surface_of
from tests.support.agent_view import BEFORE_SQL
from tests.support.bridging import LEGACY, MODERN, answer_in, headers_of, request, running
from tests.support.world import ACTOR

REFUND = "billing__refund"
HALVES = (
    b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"billing__refund",'
    b'"arguments":',
    b"}}",
)

# What stands where arguments belong, and the place that the answer names.
BAD_ARGUMENTS = {
    "a list": (b"[]", "$"),
    "a number": (b"7", "$"),
    "duplicate key": (b'{"amount":1,"amount":2}', "$.amount"),
    "NaN": (b'{"amount":NaN}', "$.amount"),
    "infinity": (b'{"amount":-Infinity}', "$.amount"),
    "1e400": (b'{"amount":1e400}', "$.amount"),
    "1e16": (b'{"amount":1e16}', "$.amount"),
    "2^53": (b'{"amount":9007199254740992}', "$.amount"),
    "hundreds of digits": (b'{"amount":' + b"9" * 400 + b"}", "$.amount"),
    "U+0000": (b'{"customer":"a\\u0000b"}', "$.customer"),
    "lone surrogate": (b'{"customer":"\\ud800"}', "$.customer"),
    "a bad key": (b'{"a\\u0000":1}', "$"),
    "65 levels deep": (b'{"a":' * 65 + b"1" + b"}" * 65, "$.a.a"),
    "33 levels deep": (b'{"a":' * 33 + b"1" + b"}" * 33, "$.a.a"),
    "a long text": (b'{"memo":"' + b"x" * 33_000 + b'"}', "$.memo"),
    "too many keys": (b"{" + b",".join(b'"k%d":1' % n for n in range(2001)) + b"}", "$"),
    "too large": (b'{"memo":[' + b",".join([b'"' + b"x" * 30_000 + b'"'] * 3) + b"]}", "$"),
}


def raw(bridge, world, body, **more):
    began = time.monotonic()
    answer = bridge.post(world.key, body, era=LEGACY, **more)
    assert time.monotonic() - began < 10  # seconds, on however busy a machine
    assert not ToolCall.objects.exists()
    return answer


@BEFORE_SQL
@pytest.mark.parametrize(("arguments", "place"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_bad_arguments_are_a_tool_error_that_names_the_place(bridge, world, arguments, place):
    answer = answer_in(raw(bridge, world, arguments.join(HALVES)))

    assert answer["id"] == 7
    told = answer["result"]["structuredContent"]
    assert answer["result"]["isError"] is True
    assert told["kind"] == "invalid_input"
    assert told["path"].startswith(place)
    assert told["retryable"] is False


def test_bad_arguments_are_a_tool_error_in_the_modern_era_too(bridge, world):
    body = request("tools/call", {"name": REFUND, "arguments": {"amount": 1}}, era=MODERN)
    headers = headers_of(body)
    text = bytes(httpx2.Request("POST", "http://x", json=body).content)

    answer = bridge.post(
        world.key, text.replace(b'{"amount":1}', b'{"amount":1,"amount":2}'), headers=headers
    )

    assert answer.status_code == 200
    assert answer_in(answer)["result"]["structuredContent"]["path"] == "$.amount"


# Bodies that are bad elsewhere: the code, and the place that the answer names.
BAD_BODIES = {
    "not JSON": (b'{"jsonrpc":', -32700, "$"),
    "nothing": (b"", -32700, "$"),
    "not UTF-8": (b'{"a":"\xff"}', -32700, "$"),
    "a byte order mark": (b"\xef\xbb\xbf{}", -32700, "$"),
    "two values": (b"{}{}", -32700, "$"),
    "duplicate id": (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32600, "$.id"),
    "duplicate name": (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call",'
        b'"params":{"name":"a","name":"b","arguments":{}}}',
        -32600,
        "$.params.name",
    ),
    "id 1e400": (b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}', -32600, "$.id"),
    "NaN in _meta": (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"a":NaN}}}',
        -32600,
        "$.params._meta.a",
    ),
    "bad arguments and a bad _meta": (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a",'
        b'"arguments":{"a":NaN},"_meta":{"b":NaN}}}',
        -32600,
        "$.params.arguments.a",
    ),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, "$"),
    "a number": (b"7", -32600, "$"),
    "endless brackets": (b"[" * 200_000, -32700, "$"),
}


@BEFORE_SQL
@pytest.mark.parametrize(("body", "code", "place"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_body_is_a_protocol_error_that_names_the_place(bridge, world, body, code, place):
    answer = raw(bridge, world, body)

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["code"] == code
    assert error["data"]["error"]["kind"] == "invalid_input"
    assert error["data"]["error"]["path"].startswith(place)


def test_an_error_carries_the_id_where_it_can_be_read(bridge, world):
    body = b'{"jsonrpc":"2.0","id":"mine","method":"tools/list","params":{"cursor":NaN}}'

    assert raw(bridge, world, body).json()["id"] == "mine"


def test_a_megabyte_of_arguments_is_too_large(bridge, world):
    body = (b'{"memo":"' + b"x" * 1_000_000 + b'"}').join(HALVES)

    answer = raw(bridge, world, body)

    assert answer.status_code == 413
    assert answer.json()["error"]["data"]["error"]["kind"] == "invalid_input"


def connect(bridge):
    host, _, port = bridge.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def head(world, *lines):
    start = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {world.key}\r\n"
    return (start + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def test_a_megabyte_in_chunks_of_unknown_length_is_too_large(bridge, world):
    with connect(bridge) as peer:
        peer.sendall(head(world, "Transfer-Encoding: chunked"))
        for _ in range(5):
            peer.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

        assert peer.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_arrive_is_given_up(bridge, world, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)

    with connect(bridge) as peer:
        peer.sendall(head(world, "Content-Length: 100") + b'{"json')

        assert peer.recv(100).startswith(b"HTTP/1.1 408")


def test_without_a_key_the_body_is_not_even_read(bridge):
    with connect(bridge) as peer:
        peer.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n")

        assert peer.recv(100).startswith(b"HTTP/1.1 401")


def test_too_many_requests_of_one_key_are_told_when_to_come_back(world, settings):
    settings.REQUESTS_PER_SECOND = 3
    other = agents.create_key(world.agent, acts_for=world.ann, actor=ACTOR)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    with running() as bridge:
        answers = [bridge.post(world.key, body, era=LEGACY) for _ in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]

        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        told = refused[0].json()["error"]["data"]["error"]
        assert (told["kind"], told["retryable"]) == ("rate_limited", True)
        assert bridge.post(other, body, era=LEGACY).status_code == 200


def test_beyond_the_limit_the_answer_comes_before_the_body_and_ends_the_connection(world, settings):
    settings.REQUESTS_PER_SECOND = 0.001  # one now, and the next in a quarter of an hour
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    with running() as bridge:
        assert bridge.post(world.key, body, era=LEGACY).status_code == 200
        with connect(bridge) as peer:
            peer.sendall(head(world, "Content-Length: 100000"))  # and not a byte of the body

            answer = b"".join(iter(lambda: peer.recv(65536), b"")).lower()

    assert answer.startswith(b"http/1.1 429")
    assert b"connection: close" in answer
    assert b"retry-after" in answer


def test_a_foreign_domain_looks_like_one_that_does_not_exist(bridge, world):
    catalog.create_domain("secret", purpose="", owner=None, actor=ACTOR)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}

    foreign, unknown, odd = (
        bridge.post(world.key, body, path=path, era=LEGACY)
        for path in ("/mcp/secret", "/mcp/nowhere", "/mcp/a/b")
    )

    assert foreign.status_code == unknown.status_code == odd.status_code == 404
    assert foreign.content == unknown.content == odd.content


@BEFORE_SQL
@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp/billing", "/mcp/billing/"])
def test_an_own_surface_is_served(bridge, world, path):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}

    assert bridge.post(world.key, body, path=path, era=LEGACY).status_code == 200


@BEFORE_SQL
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
def test_only_post_is_served(bridge, world, method):
    headers = {"authorization": f"Bearer {world.key}", "accept": "text/event-stream"}

    answer = httpx2.request(method, f"{bridge.url}/mcp", headers=headers)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@BEFORE_SQL
@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 421), ({"origin": "http://evil.example"}, 403)],
    ids=["host", "origin"],
)
@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_rebound_name_and_a_foreign_origin_are_refused(bridge, world, headers, status, era):
    body = request("tools/list", {}, era=era)

    answer = bridge.post(world.key, body, era=era, headers={**headers_of(body), **headers})

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "surface"),
    [
        ("/mcp", ""), ("/mcp/", ""), ("/mcp/billing", "billing"), ("/mcp/billing/", "billing"),
        ("/mcp/c", None), ("/mcp/c/refunds", None), ("/mcp/Billing", None), ("/mcp//", None),
        ("/mcp/billing/x", None), ("/mcpx", None), ("/mcp/9a", None),
    ],
)  # fmt: skip
def test_a_path_names_a_surface_or_nothing(path, surface):
    assert surface_of(path) == surface
