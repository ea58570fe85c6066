"""One kept way to one upstream: one session for all, one POST per request, nothing inherited."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from approvals.errors import TemporarilyUnavailable
from mcp_bridge.upstreams import catalog, connections, outbound
from mcp_bridge.upstreams.connections import Connection
from mcp_bridge.upstreams.exchange import Exchange, Watched
from tests.support import upstreams as servers
from tests.support.asking import Server, target_of
from tests.support.plain_upstream import LEGACY, MODERN
from tests.support.running import is_alive, until
from tests.support.upstreams import StdioUpstream
from tests.support.world import definition

CALL = {"name": "refund", "arguments": {}}


@pytest.fixture
def child(tmp_path: Path) -> StdioUpstream:
    return StdioUpstream(tmp_path / "child")


def test_requests_that_come_at_once_open_one_session(child: StdioUpstream):
    async def main(server: Server) -> None:
        connection = Connection(target_of(server))
        asked = [connection.request("tools/list", {}) for _ in range(10)]
        assert [len(answer["tools"]) for answer in await asyncio.gather(*asked)] == [2] * 10
        await connection.close()

    with servers.serving() as server:
        asyncio.run(main(server))
        assert len([post for post in server.posts if post.method == "server/discover"]) == 1
    asyncio.run(main(child))
    assert len(child.lines("started")) == 1


def test_who_stops_waiting_for_a_session_takes_it_from_nobody():
    async def main() -> None:
        connection = Connection(target_of(server))
        first, second = (asyncio.create_task(connection.opened()) for _ in range(2))
        await asyncio.to_thread(until, lambda: server.posts, "the question who it is")
        first.cancel()
        server.gate.set()
        assert (await second).session.protocol_version == MODERN
        await connection.close()

    with servers.serving(ways={"server/discover": servers.waits()}) as server:
        asyncio.run(main())


def test_a_watched_request_leaves_once_though_the_client_above_would_send_it_again():
    async def main() -> Exchange:
        watched, exchange = Watched(), Exchange()
        transport = outbound.UpstreamTransport(watched, "127.0.0.1")
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL}
        async with httpx2.AsyncClient(transport=transport, follow_redirects=True) as http:
            with watched.watching(exchange) as header:
                for _ in range(3):
                    await http.post(server.url, json=message, headers=header)
            after = await http.post(server.url, json=message, headers=header)
        assert after.status_code == 502  # nobody waits for it any more
        return exchange

    for status in (200, 307, 308):
        way = servers.answers if status == 200 else servers.redirects(status, "/mcp")
        with servers.serving(ways={"tools/call": way}) as server:
            exchange = asyncio.run(main())

            assert len(server.calls) == 1
            assert exchange.status == status
            assert _ours(server.calls[0].headers) == set()


def _ours(headers: Any) -> set[str]:
    return {name for name in headers if "countersign" in name}


def test_a_name_with_several_addresses_is_reached_at_the_one_that_listens():
    """`localhost` may be ::1 first, where nobody listens."""

    async def main() -> None:
        connection = Connection(target_of(server, url=f"http://localhost:{server.port}/mcp"))
        assert (await connection.request("tools/list", {}))["tools"]
        await connection.close()

    with servers.serving() as server:
        asyncio.run(main())
        assert {post.headers["host"] for post in server.posts} == {f"localhost:{server.port}"}


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def main() -> None:
        connection = Connection(target_of(server))
        assert (await connection.request("tools/list", {}))["tools"]
        assert (await connection.request("tools/call", CALL))["content"]
        await connection.close()

    with servers.serving() as server:
        asyncio.run(main())


def test_a_child_inherits_no_secret_of_ours(
    child: StdioUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SECRET_KEY", "ours")
    monkeypatch.setenv("WRITE_TOKEN", "given")
    seen = tmp_path / "environment"
    program = f"env > {seen}; exec {child.launch['command']} {' '.join(child.launch['args'])}"

    async def main() -> None:
        launch = {"command": "/bin/sh", "args": ["-c", program], "env": {"T": "${WRITE_TOKEN}"}}
        connection = Connection(target_of(child, **launch))
        await connection.opened()
        await connection.close()

    asyncio.run(main())

    lines = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert lines["T"] == "given"
    assert "SECRET_KEY" not in lines
    assert "WRITE_TOKEN" not in lines
    assert "DJANGO_SETTINGS_MODULE" not in lines


def test_whatever_a_child_started_ends_with_it(child: StdioUpstream, tmp_path: Path):
    pid = tmp_path / "pid"
    server = f"{child.launch['command']} {' '.join(child.launch['args'])}"
    program = f"sleep 1000 & echo $! > {pid}; trap '' TERM; {server}; sleep 1000"

    async def main() -> None:
        launch = {"command": "/bin/sh", "args": ["-c", program]}
        connection = Connection(target_of(child, **launch))
        await connection.opened()
        await connection.close()

    asyncio.run(main())

    until(lambda: not is_alive(int(pid.read_text())), "the end of the child's own child", 6)


def test_tries_to_reach_what_is_down_are_spaced_out(child: StdioUpstream):
    async def main() -> list[str]:
        connection = Connection(target_of(child, command="/no/such/program"))
        said = []
        for _ in range(20):
            with pytest.raises(TemporarilyUnavailable) as caught:
                await connection.opened()
            said.append(caught.value.message)
            assert caught.value.retry_after_seconds
        await connection.close()
        return said

    said = asyncio.run(main())

    assert all("/no/such/program" in message for message in said)


def test_an_old_server_that_ends_when_asked_of_its_era_is_begun_the_old_way(child: StdioUpstream):
    child.script["era"] = LEGACY
    child.behave(server_discover={"exit": 1})

    async def main() -> str | None:
        connection = Connection(target_of(child))
        version = (await connection.opened()).session.protocol_version
        connection.drop()
        await connection.opened()
        await connection.close()
        return version

    assert asyncio.run(main()) == LEGACY
    # Twice the first time; once it is known how to begin, once.
    assert len(child.lines("started")) == 3


def test_a_child_that_says_nothing_is_given_up_after_its_time_and_not_tried_twice(
    child: StdioUpstream, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.5)
    child.behave(server_discover={"is_silent": True})

    async def main() -> None:
        connection = Connection(target_of(child))
        with pytest.raises(TemporarilyUnavailable, match="did not answer within"):
            await connection.opened()
        await connection.close()

    asyncio.run(main())

    assert len(child.lines("started")) == 1


def test_arguments_a_server_wants_in_headers_are_repeated_there():
    schema = {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    }
    tool = definition("refund", inputSchema=schema)

    async def main() -> None:
        connection = Connection(target_of(server))
        await catalog.read_list(connection)
        params = {"name": "refund", "arguments": {"region": "eu"}}
        await connection.request("tools/call", params)
        await connection.close()

    for era, wanted in ((MODERN, "eu"), (LEGACY, None)):
        with servers.serving(era=era, tools=[tool]) as server:
            asyncio.run(main())
            (call,) = server.calls
            assert call.headers.get("mcp-param-region") == wanted
            assert json.loads(call.body)["params"]["arguments"] == {"region": "eu"}
