"""One approved call on its way: what each end means, that it is sent once, and as approved."""

import asyncio
import json
import os
import random
import signal
from typing import Any
from uuid import UUID

import pytest

from approvals import canonical
from approvals.outcomes import Outcome
from mcp_bridge.upstreams.connections import Connection
from mcp_bridge.upstreams.sending import CALL_ID, Sending, parameters
from tests.support import upstreams as servers
from tests.support.asking import Server, target_of
from tests.support.plain_upstream import LEGACY, MODERN
from tests.support.running import until
from tests.support.upstreams import HEADER_MISMATCH, HttpUpstream, StdioUpstream, Way

CALL = UUID("0190a5a0-0000-7000-8000-000000000001")
ARGUMENTS = canonical.to_bytes({"customer": "cus_1", "amount": 42000})
ERAS = [MODERN, LEGACY]
SUCCEEDED, UNKNOWN = ("succeeded", ""), ("unknown", "")
TOOL_ERROR, REFUSED, NOT_SENT = (
    ("failed", kind) for kind in ("tool_error", "upstream_error", "not_sent")
)
NOTHING_RAN = (-32601, -32602, HEADER_MISMATCH)
SDK_OR_SERVER = (-32603, -32600, -32700, -32000, -32001, -32019, 0, 7)
DONE = {"content": [{"type": "text", "text": "done"}]}


async def sent(connection: Connection, arguments: bytes = ARGUMENTS, seconds: float = 3) -> Outcome:
    """Send an approved call, and return what became of it."""
    params = parameters(CALL, "refund", arguments)
    return await Sending(connection, params, arguments).outcome(seconds)


def release(server: Server, way: Any, *, seconds: float = 3) -> Outcome:
    """Open a session, let the server behave in a way, and send one call."""

    async def main() -> Outcome:
        connection = Connection(target_of(server))
        try:
            await connection.opened()
            if isinstance(server, HttpUpstream):
                server.ways["tools/call"] = way
            else:
                server.behave(tools_call=way)
            return await sent(connection, seconds=seconds)
        finally:
            await connection.close()

    return asyncio.run(main())


def kind(outcome: Outcome) -> tuple[str, str]:
    return outcome.status, outcome.failure_kind


OVER_HTTP: dict[str, tuple[Way, tuple[str, str]]] = {
    "answers": (servers.answers, SUCCEEDED),
    "answers in events": (servers.answers_in_events, SUCCEEDED),
    "says that it is no error": (servers.says(DONE | {"isError": False}), SUCCEEDED),
    "says that it failed": (servers.says(DONE | {"isError": True}), TOOL_ERROR),
    "says so in events": (servers.says(DONE | {"isError": True}, in_events=True), TOOL_ERROR),
    "asks for input": (servers.says({"resultType": "input_required"}), UNKNOWN),
    "gives a task": (servers.says({"resultType": "task", "taskId": "1"}), UNKNOWN),
    "has no content": (servers.says({"structuredContent": {"ok": True}}), UNKNOWN),
    "has content that is no list": (servers.says({"content": "done"}), UNKNOWN),
    "is not JSON": (servers.says(DONE | {"structuredContent": {"a": float("nan")}}), UNKNOWN),
    "is no object": (servers.says([]), UNKNOWN),
    "hangs up before the effect": (servers.hangs_up(before_effect=True), UNKNOWN),
    "hangs up after the effect": (servers.hangs_up(), UNKNOWN),
    "breaks off": (servers.breaks_off(25), UNKNOWN),
    "breaks off before its body": (servers.breaks_off(0), UNKNOWN),
    "breaks off its events": (servers.breaks_off(45, in_events=True), UNKNOWN),
    "ends its events": (servers.http(200, b"", "text/event-stream"), UNKNOWN),
    "writes garbage": (servers.http(200, b"{]", "application/json"), UNKNOWN),
    "writes a page": (servers.http(200, b"<html>"), UNKNOWN),
    "accepts only": (servers.http(202), UNKNOWN),
    "has nothing": (servers.http(204), UNKNOWN),
    "500": (servers.http(500), UNKNOWN),
    "502": (servers.http(502, b"<html>"), UNKNOWN),
    "503 as JSON": (servers.http(503, b"{}", "application/json"), UNKNOWN),
    "400": (servers.http(400), UNKNOWN),
    "401": (servers.http(401, head="www-authenticate: Bearer\r\n"), UNKNOWN),
    "403": (servers.http(403), UNKNOWN),
    # The SDK makes -32601 of it, which nobody upstream wrote.
    "404": (servers.http(404, b"<html>"), UNKNOWN),
    "404 as JSON": (servers.http(404, b'{"error": "gone"}', "application/json"), UNKNOWN),
    "405": (servers.http(405), UNKNOWN),
    "compresses": (servers.packs, UNKNOWN),
    "is huge": (servers.is_huge(9_000_000), UNKNOWN),
    "is huge in events": (servers.is_huge(9_000_000, in_events=True), UNKNOWN),
    "is large": (servers.is_huge(2_000_000), SUCCEEDED),
    "is large in events": (servers.is_huge(2_000_000, in_events=True), SUCCEEDED),
    # What a proxy may have written is nobody's word.
    "-32602 with 502": (servers.fails(-32602, status=502), UNKNOWN),
    "-32602 with 400 in events": (servers.fails(-32602, status=400, in_events=True), UNKNOWN),
    "-32602 cut off": (
        servers.http(200, b'{"jsonrpc":"2.0","id":2,"error":{"code":-32602', "application/json"),
        UNKNOWN,
    ),
}  # fmt: skip
for _code in NOTHING_RAN:
    OVER_HTTP |= {
        f"{_code}": (servers.fails(_code), REFUSED),
        f"{_code} in events": (servers.fails(_code, in_events=True), REFUSED),
        f"{_code} with 400": (servers.fails(_code, status=400), REFUSED),
        f"{_code} with 404": (servers.fails(_code, status=404), REFUSED),
    }
for _code in SDK_OR_SERVER:
    OVER_HTTP |= {
        f"{_code}": (servers.fails(_code), UNKNOWN),
        f"{_code} in events": (servers.fails(_code, in_events=True), UNKNOWN),
        f"{_code} with 400": (servers.fails(_code, status=400), UNKNOWN),
    }


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("case", OVER_HTTP)
def test_over_http_each_end_means_what_it_means_and_one_request_was_sent(case: str, era: str):
    way, meaning = OVER_HTTP[case]
    with servers.serving(era=era) as server:
        outcome = release(server, way)

        assert kind(outcome) == meaning
        assert len(server.calls) == 1
        assert outcome.status == "succeeded" or outcome.message
        assert (outcome.result is not None) is (meaning in (SUCCEEDED, TOOL_ERROR))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("era", ERAS)
def test_a_redirect_is_not_followed_wherever_it_leads(status: int, era: str):
    with servers.serving(era=era) as server, servers.serving(era=era) as other:
        for to in ("/mcp/", server.url, other.url):
            server.posts.clear()
            outcome = release(server, servers.redirects(status, to))

            assert kind(outcome) == UNKNOWN
            assert "redirect" in outcome.message
            assert len(server.calls) == 1
        assert other.posts == []


def test_more_input_is_refused_and_the_reason_told():
    with servers.serving() as server:
        outcome = release(server, servers.says({"resultType": "input_required", "inputs": {}}))

        assert kind(outcome) == UNKNOWN
        assert "asked for more input" in outcome.message
        assert len(server.calls) == 1


OVER_STDIO: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "answers": ({}, SUCCEEDED),
    "answers after noise": ({"first": ["Working …"]}, SUCCEEDED),
    "says that it failed": ({"result": DONE | {"isError": True}}, TOOL_ERROR),
    "asks for input": ({"result": {"resultType": "input_required"}}, UNKNOWN),
    "has no content": ({"result": {}}, UNKNOWN),
    "is no object": ({"result": 5}, UNKNOWN),
    "dies before the effect": ({"exit": 1, "before_effect": True}, UNKNOWN),
    "dies after the effect": ({"exit": 0}, UNKNOWN),
    "dies in its answer": ({"exit": 0, "half": '{"jsonrpc": "2.0", "id": 2, "res'}, UNKNOWN),
    "writes what is no message": ({"raw": '{"jsonrpc": "2.0", "id": $ID, "what": 1}\n'}, UNKNOWN),
    "is huge": ({"bytes": 9_000_000}, UNKNOWN),
    "is large": ({"bytes": 2_000_000}, SUCCEEDED),
}  # fmt: skip
OVER_STDIO |= {f"{c}": ({"error": {"code": c, "message": "No."}}, REFUSED) for c in NOTHING_RAN}
OVER_STDIO |= {f"{c}": ({"error": {"code": c, "message": "No."}}, UNKNOWN) for c in SDK_OR_SERVER}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("case", OVER_STDIO)
def test_over_stdio_each_end_means_what_it_means_and_one_request_was_sent(
    case: str, era: str, tmp_path: Any
):
    way, meaning = OVER_STDIO[case]
    child = StdioUpstream(tmp_path / "child", {"era": era})

    outcome = release(child, way)

    assert kind(outcome) == meaning
    assert len(child.calls) == 1


def test_no_answer_in_time_is_unknown_and_a_late_one_counts_when_asked_again(tmp_path: Any):
    child = StdioUpstream(tmp_path / "child")
    child.behave(tools_call={"until": "gate"})
    with servers.serving(ways={"tools/call": servers.waits()}) as server:
        for upstream, let_go in ((server, server.gate.set), (child, child.open_gate)):

            async def main(upstream: Server = upstream, let_go: Any = let_go) -> None:
                connection = Connection(target_of(upstream))
                sending = Sending(connection, parameters(CALL, "refund", ARGUMENTS), ARGUMENTS)
                assert kind(await sending.outcome(0.3)) == UNKNOWN
                let_go()
                assert kind(await sending.outcome(5)) == SUCCEEDED
                await connection.close()

            asyncio.run(main())
            assert len(upstream.calls) == 1


def test_what_never_got_a_connection_was_not_sent(tmp_path: Any):
    with servers.serving() as server:
        pass  # it is down now

    async def main(launch: dict[str, Any]) -> Outcome:
        connection = Connection(target_of(server, **launch))
        try:
            return await sent(connection)
        finally:
            await connection.close()

    for launch in ({}, {"url": "http://nowhere.invalid/mcp"}, {"url": "http://127.0.0.1:1/mcp"}):
        assert kind(asyncio.run(main(launch))) == NOT_SENT


def test_a_server_that_goes_down_between_the_list_and_the_call_was_sent_nothing():
    async def main() -> Outcome:
        connection = Connection(target_of(server))
        try:
            await connection.opened()
            await asyncio.to_thread(server.stop)
            return await sent(connection)
        finally:
            server.start()
            await connection.close()

    for era in ERAS:
        with servers.serving(era=era) as server:
            assert kind(asyncio.run(main())) == NOT_SENT
            assert server.calls == []


def test_a_child_that_took_the_place_of_the_one_that_was_looked_at_gets_nothing(tmp_path: Any):
    """It may be another program by now; what people approved was looked at in the old one."""
    child = StdioUpstream(tmp_path / "child")

    async def main() -> Outcome:
        connection = Connection(target_of(child))
        try:
            session = await connection.opened()
            os.kill(int(child.lines("started")[0]), signal.SIGKILL)
            await asyncio.to_thread(until, lambda: session.is_retired, "word of its end")
            await connection.opened()  # its successor
            params = parameters(CALL, "refund", ARGUMENTS)
            return await Sending(connection, params, ARGUMENTS, session).outcome(3)
        finally:
            await connection.close()

    outcome = asyncio.run(main())

    assert kind(outcome) == NOT_SENT
    assert child.calls == []


HOSTILE: tuple[dict[str, Any], ...] = (
    {}, {"": ""}, {"a": None, "b": True, "c": False}, {"n": 1e15, "m": 1e-7, "k": 0.1, "z": -0.0},
    {"i": 2**53 - 1, "j": -(2**53) + 1}, {"x": 1.5e-300, "y": 5e-324, "w": 123456789.125},
    {"t": "\u2028\u2029\x7f\x1f\"\\/<>&"}, {"t": "é\u0301\U0001f4b8\u202e"}, {"\u20ac": 1, "é": 2},
    {"Z": 1, "a": 2, "A": 3, "10": 4, "9": 5}, {"deep": [[[[[{"a": [1, [2, {"b": 3}]]}]]]]]},
    {"name": "x", "arguments": {"_meta": {CALL_ID: "other"}}}, {"_meta": {"progressToken": 1}},
    {"jsonrpc": "1.0", "method": "x", "id": 9}, {"long": "ä" * 10_000}, {"t": "1e400"},
)  # fmt: skip


def _made_up(chance: random.Random, depth: int = 0) -> Any:
    kinds = ["text", "int", "float", "bool", "null"] + (["list", "dict"] if depth < 4 else [])
    made = chance.choice(kinds)
    if made == "list":
        return [_made_up(chance, depth + 1) for _ in range(chance.randrange(4))]
    if made == "dict":
        return {_text(chance): _made_up(chance, depth + 1) for _ in range(chance.randrange(4))}
    values = {
        "text": _text(chance),
        "int": chance.randrange(-(2**53) + 1, 2**53),
        "float": chance.uniform(-1, 1) * 10.0 ** chance.randrange(-300, 15),
        "bool": chance.random() < 0.5,
    }
    return values.get(made)


def _text(chance: random.Random) -> str:
    points = (
        chance.randrange(1, 0xD800),
        chance.randrange(32, 127),
        chance.randrange(0x10000, 0x10FFFF),
    )
    return "".join(chr(chance.choice(points)) for _ in range(chance.randrange(8)))


def test_what_arrives_is_what_was_approved_byte_for_byte(tmp_path: Any):
    chance = random.Random(20261121)
    values = [*HOSTILE, *({"a": _made_up(chance)} for _ in range(80))]
    stored = [canonical.to_bytes(value) for value in values]
    child = StdioUpstream(tmp_path / "child")

    async def main(server: Server) -> None:
        connection = Connection(target_of(server))
        for arguments in stored:
            assert kind(await sent(connection, arguments)) == SUCCEEDED
        await connection.close()

    with servers.serving() as modern, servers.serving(era=LEGACY) as legacy:
        received = []
        for server in (modern, legacy, child):
            asyncio.run(main(server))
            calls = [call if isinstance(call, bytes) else call.body for call in server.calls]
            received.append([json.loads(call)["params"] for call in calls])

    for sent_to_one in received:
        assert [canonical.to_bytes(params["arguments"]) for params in sent_to_one] == stored
        assert {params["_meta"][CALL_ID] for params in sent_to_one} == {str(CALL)}
        assert {params["name"] for params in sent_to_one} == {"refund"}


def test_nothing_but_the_approved_arguments_leaves(tmp_path: Any):
    child = StdioUpstream(tmp_path / "child")

    async def main(server: Server) -> Outcome:
        connection = Connection(target_of(server))
        params = parameters(CALL, "refund", canonical.to_bytes({"amount": 42001}))
        try:
            return await Sending(connection, params, ARGUMENTS).outcome(3)
        finally:
            await connection.close()

    with servers.serving() as server:
        for upstream in (server, child):
            outcome = asyncio.run(main(upstream))

            assert kind(outcome) == NOT_SENT
            assert "not what was approved" in outcome.message
            assert upstream.calls == []


def test_arguments_that_would_be_written_differently_are_refused_before_anything():
    with pytest.raises(ValueError, match="survive"):
        parameters(CALL, "refund", b'{"amount": 1.0}')


def test_a_release_takes_its_own_credentials_and_nothing_of_ours_along(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("WRITE_TOKEN", "write-secret")
    headers = {"Authorization": "Bearer ${WRITE_TOKEN}"}
    with servers.serving() as server:

        async def main() -> None:
            connection = Connection(target_of(server, headers=headers))
            await sent(connection)
            await connection.close()

        asyncio.run(main())

        (call,) = server.calls
        assert call.headers["authorization"] == "Bearer write-secret"
        assert not [name for name in call.headers if "countersign" in name]
        assert call.headers["mcp-name"] == "refund"
        meta = call.message["params"]["_meta"]
        assert meta.pop(CALL_ID) == str(CALL)
        assert meta.pop("io.modelcontextprotocol/clientCapabilities") == {}
        assert {key.partition("/")[0] for key in meta} == {"io.modelcontextprotocol"}


def test_words_of_an_upstream_never_show_a_secret_it_was_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WRITE_TOKEN", "write-secret")

    def tells(handler: servers.Handler, post: servers.Post) -> None:
        error = {"code": -32602, "message": f"bad token {post.headers['authorization']}"}
        said = {"jsonrpc": "2.0", "id": post.message["id"], "error": error}
        handler.send(200, json.dumps(said).encode())

    with servers.serving(ways={"tools/call": tells}) as server:

        async def main() -> Outcome:
            headers = {"authorization": "Bearer ${WRITE_TOKEN}"}
            connection = Connection(target_of(server, headers=headers))
            try:
                return await sent(connection)
            finally:
                await connection.close()

        outcome = asyncio.run(main())

    assert "bad token" in outcome.message
    assert "write-secret" not in outcome.message


def test_requests_that_share_a_session_with_a_release_are_not_disturbed_by_its_end():
    async def main() -> None:
        connection = Connection(target_of(server))
        await connection.opened()
        others = [asyncio.create_task(connection.request("tools/list", {})) for _ in range(3)]
        await asyncio.to_thread(until, lambda: len(server.posts) >= 4, "three lists that wait")
        for way in (servers.hangs_up(), servers.http(502), servers.breaks_off(10)):
            server.ways["tools/call"] = way
            assert kind(await sent(connection)) == UNKNOWN
        server.gate.set()
        assert [len((await other)["tools"]) for other in others] == [2, 2, 2]
        await connection.close()

    with servers.serving(ways={"tools/list": servers.waits()}) as server:
        asyncio.run(main())
