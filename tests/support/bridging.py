"""A real bridge for tests: served by uvicorn on a free port, over real MCP servers in memory."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import mcp_types as t
import uvicorn
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server

from approvals.errors import TemporarilyUnavailable, UpstreamError
from mcp_bridge.asgi import Bridge, McpMount

LEGACY, MODERN = "2025-11-25", "2026-07-28"
_META = "io.modelcontextprotocol/"

Act = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Awaitable[t.CallToolResult]]


async def echoes(
    tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]
) -> t.CallToolResult:
    """Answer with what was asked; what upstreams do unless a test says otherwise."""
    text = json.dumps({"tool": tool, "arguments": arguments}, sort_keys=True)
    return t.CallToolResult(
        content=[t.TextContent(text=text)], structured_content={"arguments": dict(arguments)}
    )


@dataclass
class Upstreams:
    """The bridge's sessions: one client of a real in-memory MCP server for all upstreams."""

    act: Act = echoes
    asked: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list)
    _client: Client | None = None
    _connected: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(
        self, upstream_id: int, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Ask the server, as `mcp_bridge.upstreams.sessions` does."""
        await self._connected.wait()
        assert self._client is not None
        params = {"name": tool, "arguments": dict(arguments), "_meta": dict(meta)}
        request = t.CallToolRequest.model_validate({"method": "tools/call", "params": params})
        try:
            result = await self._client.session.send_request(request, t.CallToolResult)
        except Exception as error:
            raise UpstreamError(str(error)) from error
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def keep_fresh(self) -> None:
        """Hold the connection: entered and left by this one task."""
        async with Client(self._server(), cache=None) as self._client:
            self._connected.set()
            await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is left to close."""

    def _server(self) -> Server[Any]:
        async def call(ctx: Any, params: t.CallToolRequestParams) -> t.CallToolResult:
            meta = (ctx.params or {}).get("_meta", {})
            self.asked.append((params.name, params.arguments or {}, meta))
            return await self.act(params.name, params.arguments or {}, meta)

        return Server("upstream", version="1", on_call_tool=call)


class Down(Upstreams):
    """Upstreams that cannot be reached."""

    async def read(self, *_: Any) -> Mapping[str, Any]:
        raise TemporarilyUnavailable("The upstream server cannot be reached.")


@dataclass
class Running:
    """A bridge at an address."""

    url: str
    mount: McpMount
    upstreams: Upstreams
    loop: asyncio.AbstractEventLoop

    def post(
        self,
        key: str,
        body: object,
        *,
        path: str = "/mcp",
        era: str = MODERN,
        headers: Mapping[str, str | bytes] | None = None,
        timeout: float = 30,
    ) -> httpx2.Response:
        """POST one message as an agent; `body` is an object, or bytes as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given: dict[str, Any] = {
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": era,
            **(headers or {}),
        }
        return httpx2.post(self.url + path, content=raw, headers=given, timeout=timeout)

    def ask(
        self,
        key: str,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        era: str = MODERN,
        extensions: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send one request with everything its era wants, and return the JSON-RPC answer."""
        body = request(method, params, era=era, extensions=extensions)
        headers = headers_of(body) if era == MODERN else {}
        response = self.post(
            key, body, era=era, headers=headers | dict(more.pop("headers", {})), **more
        )
        return answer_in(response)

    def call(self, key: str, tool: str, arguments: Mapping[str, Any], **more: Any) -> Any:
        """Call a tool over HTTP, and return its result; fails on a protocol error."""
        params = {"name": tool, "arguments": dict(arguments)} | more.pop("params", {})
        answer = self.ask(key, "tools/call", params, **more)
        assert "result" in answer, answer
        return answer["result"]


def request(
    method: str,
    params: Mapping[str, Any] | None,
    *,
    era: str,
    extensions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a JSON-RPC request of an era."""
    body = dict(params or {})
    if era == MODERN:
        meta = {
            f"{_META}protocolVersion": MODERN,
            f"{_META}clientCapabilities": {"extensions": dict(extensions)} if extensions else {},
        }
        body["_meta"] = meta | dict(body.get("_meta", {}))
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": body}


def headers_of(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that newer revisions want to see beside a body."""
    headers = {"mcp-method": body["method"]}
    params = body["params"]
    if name := params.get("name") or params.get("taskId"):
        headers["mcp-name"] = name
    return headers


def answer_in(response: httpx2.Response) -> dict[str, Any]:
    """Return the JSON-RPC answer of a response: its JSON body, or the last event of its stream."""
    if "text/event-stream" not in response.headers.get("content-type", ""):
        found: dict[str, Any] = response.json()
        return found
    events = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    last: dict[str, Any] = json.loads(events[-1])
    return last


@contextmanager
def running(upstreams: Upstreams | None = None) -> Iterator[Running]:
    """Serve a bridge, with a mount of its own, until the block ends."""
    upstreams = upstreams or Upstreams()
    mount = McpMount(lambda: upstreams)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        Bridge(mount), log_config=None, log_level="warning", timeout_graceful_shutdown=2
    )
    server, loops = uvicorn.Server(config), []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve([listener])

    started = threading.Event()
    original = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await original(sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]  # to be told, not to poll
    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="bridge")
    thread.start()
    try:
        assert started.wait(20), "the bridge did not start"
        host, port = listener.getsockname()
        yield Running(f"http://{host}:{port}", mount, upstreams, loops[0])
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the bridge did not stop"


@asynccontextmanager
async def client(url: str, key: str, *, era: str, **options: Any) -> AsyncIterator[Client]:
    """Connect the SDK's own client as an agent, over HTTP."""
    mode = "auto" if era == MODERN else "legacy"
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=30) as http,
        Client(
            streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, cache=None, **options
        ) as connected,
    ):
        yield connected
