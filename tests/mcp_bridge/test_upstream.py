"""Reads from upstreams that misbehave: each gets its own clear answer, and costs nobody else."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any

import pytest

from approvals.errors import ApprovalsError, NotFound, TemporarilyUnavailable, UpstreamError
from approvals.models import Revision, Upstream
from mcp_bridge.upstreams.failures import in_full
from tests.support import upstreams as servers
from tests.support.asking import Asking, asking, put
from tests.support.plain_upstream import LEGACY, MODERN
from tests.support.running import is_alive, until
from tests.support.upstreams import HttpUpstream, StdioUpstream, Way
from tests.support.world import World

SOON = 10.0  # seconds; what waits for nothing is answered, on however busy a machine


@pytest.fixture
def bridge() -> Iterator[Asking]:
    with asking() as ours:
        yield ours


@pytest.fixture
def server() -> Iterator[HttpUpstream]:
    with servers.serving() as upstream:
        yield upstream


@pytest.fixture
def child(tmp_path: Any) -> StdioUpstream:
    return StdioUpstream(tmp_path / "child")


def refusal(ask: Callable[[], object]) -> ApprovalsError:
    """Return the error that a read ends with; fail when it takes long."""
    began = time.monotonic()
    with pytest.raises(ApprovalsError) as caught:
        ask()
    assert time.monotonic() - began < SOON
    return caught.value


BROKEN, UNUSABLE = TemporarilyUnavailable, UpstreamError

# What a server over HTTP does to a call, the error the agent gets, and a word of it.
OVER_HTTP: dict[str, tuple[Way, type[ApprovalsError], str]] = {
    "hangs up": (servers.hangs_up(), BROKEN, "broke"),
    "breaks off its JSON": (servers.breaks_off(20), BROKEN, "broke off"),
    "breaks off its events": (servers.breaks_off(40, in_events=True), BROKEN, "broke off"),
    "ends its events without an answer": (
        servers.http(200, b"", "text/event-stream"), UNUSABLE, "without a response",
    ),
    "writes garbage": (servers.http(200, b"{]", "application/json"), UNUSABLE, "read"),
    "writes another message": (
        servers.http(200, b'{"hello": 1}', "application/json"), UNUSABLE, "read",
    ),
    "writes a page": (servers.http(200, b"<html>"), UNUSABLE, "text/html"),
    "accepts only": (servers.http(202), UNUSABLE, "202"),
    "502": (servers.http(502, b"<html>"), UNUSABLE, "502"),
    "500 as JSON": (servers.http(500, b"{}", "application/json"), UNUSABLE, "500"),
    "401": (servers.http(401, head='www-authenticate: Bearer x="y"\r\n'), UNUSABLE, "401"),
    "403": (servers.http(403), UNUSABLE, "403"),
    "404": (servers.http(404), UNUSABLE, "404"),
    "307": (servers.redirects(307, "/elsewhere"), UNUSABLE, "redirect"),
    "308": (servers.redirects(308, "http://127.0.0.1:1/mcp"), UNUSABLE, "redirect"),
    "302": (servers.redirects(302, "/elsewhere"), UNUSABLE, "redirect"),
    "compresses": (servers.packs, UNUSABLE, "gzip"),
    "is huge": (servers.is_huge(9_000_000), UNUSABLE, "bytes"),
    "is huge in events": (servers.is_huge(9_000_000, in_events=True), UNUSABLE, "bytes"),
    "an error": (servers.fails(-32602), UNUSABLE, "This is error -32602"),
    "an error with 400": (servers.fails(-32602, status=400), UNUSABLE, "This is error -32602"),
    "an error in events": (servers.fails(-32603, in_events=True), UNUSABLE, "error -32603"),
    "is no object": (servers.says([1, 2]), UNUSABLE, "read"),
    "content is no list": (servers.says({"content": "x"}), UNUSABLE, "no tool result"),
}  # fmt: skip


@pytest.mark.sqlite  # as the next ones: nothing here depends on the database
@pytest.mark.parametrize("case", OVER_HTTP)
def test_each_failure_over_http_is_told_at_once_and_by_its_kind(
    world: World, bridge: Asking, case: str
):
    way, kind, word = OVER_HTTP[case]
    for era in (MODERN, LEGACY):
        with servers.serving(era=era) as server:
            upstream = put(world.billing, server)
            bridge.run(bridge.sessions.connection(upstream.pk))
            bridge.read(upstream)
            server.ways["tools/call"] = way

            error = refusal(lambda: bridge.read(upstream))  # noqa: B023 - called here

            assert type(error) is kind, era
            assert word in error.message, era
            assert len(server.calls) == 2, era  # nothing is sent again behind our back
            del server.ways["tools/call"]
            assert bridge.read(upstream)["content"], era


@pytest.mark.sqlite
def test_a_failure_over_http_costs_no_other_request_of_the_session(
    world: World, bridge: Asking, server: HttpUpstream
):
    upstream = put(world.billing, server)
    server.ways["tools/call"] = servers.waits()
    others = [bridge.reading(upstream) for _ in range(5)]
    until(lambda: len(server.calls) == 5, "five calls that wait")

    for way, _, _ in OVER_HTTP.values():
        server.ways["tools/call"] = way
        refusal(lambda: bridge.read(upstream))

    server.gate.set()
    assert [other.result(5)["content"][0]["type"] for other in others] == ["text"] * 5


# The same over stdio.
OVER_STDIO: dict[str, tuple[dict[str, Any], type[ApprovalsError], str]] = {
    "dies": ({"exit": 3}, BROKEN, "ended"),
    "dies with half a line": ({"exit": 0, "half": '{"jsonrpc": "2.0", "re'}, BROKEN, "ended"),
    "is huge": ({"bytes": 9_000_000}, BROKEN, "line of more than"),
    "an error": ({"error": {"code": -32602, "message": "No."}}, UNUSABLE, "No."),
    "an answer that is none": (
        {"raw": '{"jsonrpc": "2.0", "id": $ID, "result": 5}\n'}, UNUSABLE, "read",
    ),
    "content is no list": ({"result": {"content": 5}}, UNUSABLE, "no tool result"),
}  # fmt: skip


@pytest.mark.sqlite
@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.parametrize("case", OVER_STDIO)
def test_each_failure_over_stdio_is_told_at_once_and_the_next_read_succeeds(
    world: World, bridge: Asking, child: StdioUpstream, case: str, era: str
):
    way, kind, word = OVER_STDIO[case]
    child.script["era"] = era
    child.behave()
    upstream = put(world.billing, child)
    bridge.read(upstream)
    child.behave(tools_call=way)

    error = refusal(lambda: bridge.read(upstream))

    assert type(error) is kind
    assert word in error.message
    assert len(child.calls) == 2
    child.behave()
    assert bridge.read(upstream)["content"]


@pytest.mark.sqlite
def test_a_child_that_died_while_idle_is_started_again_by_the_next_read(
    world: World, bridge: Asking, child: StdioUpstream
):
    upstream = put(world.billing, child)
    bridge.read(upstream)

    os.kill(int(child.lines("started")[0]), signal.SIGKILL)
    until(lambda: not is_alive(int(child.lines("started")[0])), "the child's end")

    assert bridge.read(upstream)["content"]
    assert child.started(2)


@pytest.mark.sqlite
def test_noise_on_stdout_disturbs_nobody(world: World, bridge: Asking, child: StdioUpstream):
    child.script["greeting"] = "Welcome!\n\n[info] listening\n"
    child.behave()

    assert bridge.read(put(world.billing, child))["content"]


@pytest.mark.sqlite
def test_an_upstream_that_does_not_answer_is_given_up_after_its_time(
    world: World, bridge: Asking, server: HttpUpstream, child: StdioUpstream, settings: Any
):
    settings.UPSTREAM_TIMEOUT_SECONDS = 0.4
    server.ways["tools/call"] = servers.waits()
    child.behave(tools_call={"is_silent": True})
    slow = [put(world.billing, server), put(world.billing, child, "child")]

    for upstream in slow:
        with pytest.raises(TemporarilyUnavailable, match=r"did not answer within 0.4 s"):
            bridge.read(upstream)


@pytest.mark.sqlite
@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_a_server_that_hangs_on_everything_is_answered_for_in_time_each_time(
    world: World, bridge: Asking, settings: Any, era: str
):
    """A cancelled request is told to old servers in a message that hangs as well."""
    settings.UPSTREAM_TIMEOUT_SECONDS = 0.4
    with servers.serving(era=era) as server:
        upstream = put(world.billing, server)
        bridge.read(upstream)
        hang = servers.waits()
        server.ways |= {"tools/call": hang, "notifications/cancelled": hang}
        for _ in range(3):
            assert type(refusal(lambda: bridge.read(upstream))) is TemporarilyUnavailable

        del server.ways["tools/call"]
        settings.UPSTREAM_TIMEOUT_SECONDS = 30  # for a machine that is busy with other things

        assert bridge.read(upstream)["content"]


@pytest.mark.sqlite
def test_an_upstream_that_is_down_is_told_at_once_and_found_again(
    world: World, bridge: Asking, server: HttpUpstream
):
    upstream = put(world.billing, server)
    server.stop()

    error = refusal(lambda: bridge.read(upstream))

    assert type(error) is TemporarilyUnavailable
    assert "cannot be connected to" in error.message
    assert error.retry_after_seconds
    server.start()
    assert until(lambda: _answer(bridge, upstream), "an answer after it is back")


@pytest.mark.sqlite
@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_an_upstream_that_went_down_after_it_was_reached_is_found_again(
    world: World, bridge: Asking, era: str
):
    with servers.serving(era=era) as server:
        upstream = put(world.billing, server)
        bridge.read(upstream)
        server.stop()

        assert type(refusal(lambda: bridge.read(upstream))) is TemporarilyUnavailable

        server.start()
        assert until(lambda: _answer(bridge, upstream), "an answer after it is back")


def _answer(bridge: Asking, upstream: Upstream) -> object:
    try:
        return bridge.read(upstream)
    except TemporarilyUnavailable:
        return None


@pytest.mark.sqlite
def test_a_session_that_the_server_forgot_costs_one_read(world: World, bridge: Asking):
    with servers.serving(era=LEGACY) as server:
        upstream = put(world.billing, server)
        bridge.read(upstream)
        server.ways["tools/call"] = servers.http(404)
        refusal(lambda: bridge.read(upstream))
        del server.ways["tools/call"]

        assert bridge.read(upstream)["content"]

        begun = [post for post in server.posts if post.method == "initialize"]
        assert len(begun) == 2


@pytest.mark.sqlite
def test_a_program_that_is_not_there_is_told_by_name(
    world: World, bridge: Asking, child: StdioUpstream
):
    upstream = put(world.billing, child, launch={"command": "/no/such/program"})

    error = refusal(lambda: bridge.read(upstream))

    assert type(error) is TemporarilyUnavailable
    assert "/no/such/program" in error.message


def test_many_reads_share_one_session(world: World, bridge: Asking, server: HttpUpstream):
    count = 40
    upstream = put(world.billing, server)

    waiting = [bridge.reading(upstream, {"customer": str(n)}) for n in range(count)]
    wait(waiting, 20)

    texts = [answer.result(0)["content"][0]["text"] for answer in waiting]
    assert [f'"customer": "{n}"' in text for n, text in enumerate(texts)] == [True] * count
    assert len([post for post in server.posts if post.method == "server/discover"]) == 1


@pytest.mark.sqlite
def test_only_what_belongs_to_the_call_goes_upstream(
    world: World, bridge: Asking, server: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PLAIN_TOKEN", "plain-secret")
    headers = {"Authorization": "Bearer ${PLAIN_TOKEN}"}
    upstream = put(
        world.billing, server, launch={"headers": headers},
        write_credentials={"headers": {"authorization": "Bearer ${WRITE_TOKEN}"}},
    )  # fmt: skip

    bridge.read(upstream, traceparent="00-a-b-01")

    (call,) = server.calls
    assert call.headers["authorization"] == "Bearer plain-secret"
    assert not [name for name in call.headers if "countersign" in name]
    meta = call.message["params"]["_meta"]
    assert meta.pop("traceparent") == "00-a-b-01"
    assert meta.pop("io.modelcontextprotocol/clientCapabilities") == {}
    assert {key.partition("/")[0] for key in meta} == {"io.modelcontextprotocol"}


@pytest.mark.sqlite
def test_a_missing_secret_is_named_and_nothing_is_sent(
    world: World, bridge: Asking, server: HttpUpstream
):
    headers = {"authorization": "Bearer ${NOT_SET_ANYWHERE}"}
    upstream = put(world.billing, server, launch={"headers": headers})

    error = refusal(lambda: bridge.read(upstream))

    assert type(error) is TemporarilyUnavailable
    assert "NOT_SET_ANYWHERE" in error.message
    assert server.posts == []


def test_a_changed_address_is_followed_within_two_seconds(
    world: World, bridge: Asking, server: HttpUpstream
):
    upstream = put(world.billing, server)
    bridge.keep_fresh()
    bridge.read(upstream)
    with servers.serving() as other:
        put(world.billing, other)

        until(lambda: bridge.read(upstream) and other.calls, "a read at the new address", 2)


def test_an_upstream_that_is_switched_off_is_left_within_two_seconds(
    world: World, bridge: Asking, child: StdioUpstream
):
    upstream = put(world.billing, child)
    bridge.keep_fresh()
    bridge.read(upstream)

    Upstream.objects.filter(pk=upstream.pk).update(is_enabled=False)
    Revision.bump()

    until(lambda: _is_not_found(bridge, upstream), "that it is not found", 2)
    until(lambda: not is_alive(int(child.lines("started")[0])), "the child's end", 5)


def _is_not_found(bridge: Asking, upstream: Upstream) -> bool:
    try:
        bridge.read(upstream)
    except NotFound:
        return True
    return False


def test_a_slow_list_of_one_upstream_delays_no_change_of_another(
    world: World, bridge: Asking, server: HttpUpstream, child: StdioUpstream
):
    server.ways["tools/list"] = servers.waits()
    put(world.billing, server)
    upstream = put(world.billing, child, "child")
    bridge.keep_fresh()
    until(lambda: [post for post in server.posts if post.method == "tools/list"], "a list")

    Upstream.objects.filter(pk=upstream.pk).update(is_enabled=False)
    Revision.bump()

    until(lambda: _is_not_found(bridge, upstream), "that it is not found", 2)


def test_who_waits_for_an_answer_gets_it_though_the_upstream_was_changed(
    world: World, bridge: Asking, server: HttpUpstream
):
    upstream = put(world.billing, server)
    bridge.keep_fresh()
    server.ways["tools/call"] = servers.waits()
    waiting = bridge.reading(upstream)
    until(lambda: server.calls, "the call")
    with servers.serving() as other:
        put(world.billing, other)
        until(lambda: _asked(bridge, upstream, other), "a read at the new address", 2)

    server.gate.set()

    assert waiting.result(5)["content"]


def _asked(bridge: Asking, upstream: Upstream, server: HttpUpstream) -> bool:
    """Begin another read; return whether one has come to this server."""
    bridge.reading(upstream)
    return bool(server.calls)


def test_sessions_end_with_their_process_though_a_server_hangs(
    world: World, server: HttpUpstream, child: StdioUpstream
):
    hang = servers.waits()
    with asking() as bridge:
        for upstream in (put(world.billing, server), put(world.billing, child, "child")):
            bridge.read(upstream)
        server.ways |= {"DELETE": hang, "tools/call": hang}
        began = time.monotonic()
    assert time.monotonic() - began < 20  # not as long as the servers hang
    until(lambda: not is_alive(int(child.lines("started")[0])), "the child's end", 10)


def test_a_childs_last_words_are_for_operators_and_not_for_agents(
    world: World, bridge: Asking, child: StdioUpstream
):
    child.script |= {"exit": 1, "last_words": "No such table: accounts"}
    child.write()
    upstream = put(world.billing, child)

    error = refusal(lambda: bridge.read(upstream))

    assert error.message == "The upstream server plain cannot be reached: it ended."
    assert in_full(error) == f"{error.message} Its last words: No such table: accounts"
