"""The bridge as an ASGI application, beside the people's or alone; `config.asgi` builds it."""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import FrameType
from typing import Any, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from approvals import metrics
from mcp_bridge import threads
from mcp_bridge.agents import health, metadata, server
from mcp_bridge.agents.bodies import App, Receive, Scope, Send
from mcp_bridge.agents.door import Door, Ways
from mcp_bridge.agents.identity import KeyVerifier, auth_settings
from mcp_bridge.agents.parts import Parts, Reader
from mcp_bridge.agents.passing import Passing

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0


class Upstreams(Reader, Protocol):
    """The bridge's sessions with upstream servers, with plain credentials."""

    async def keep_fresh(self) -> None:
        """Read the upstreams' lists again and again, until cancelled."""

    async def close(self) -> None:
        """Leave every session."""


class McpMount:
    """The running MCP side of one process: one task enters it, keeps it and leaves it.

    The SDK's session managers must be entered and left by the same task; nobody else's lifespan
    does that, so it is started by ours, or by the first request where a server has none.
    """

    def __init__(self, upstreams: Callable[[], Upstreams] | None = None) -> None:
        self._upstreams = upstreams or _upstreams
        self._app: App | None = None
        self._parts: Parts | None = None
        self._runner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Start once; whoever comes while it starts waits for the same start."""
        if self._ready is None or self._runner is None or self._runner.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._stopping = asyncio.Event()
            self._runner = asyncio.create_task(self._run(self._ready), name="mcp-mount")
        await asyncio.shield(self._ready)

    async def stop(self) -> None:
        """Let those who wait have their tickets, then end everything that runs here."""
        if self._runner is None:
            return
        self.drain()
        self._stopping.set()
        _, running = await asyncio.wait([self._runner], timeout=_STOP_SECONDS)
        if running:
            self._runner.cancel()
            await asyncio.wait(running, timeout=_STOP_SECONDS)
        self._runner = self._ready = None

    def drain(self) -> None:
        """Hold no request open any longer; call it when the server begins to stop."""
        if self._parts is not None:
            self._parts.room.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request to /mcp… or to the protected-resource metadata."""
        if metadata.is_here(scope["path"]):
            await metadata.answer(scope, send)
            return
        await self.start()
        assert self._app is not None  # noqa: S101 - set before `start` returns
        await self._app(scope, receive, send)

    async def _run(self, ready: asyncio.Future[None]) -> None:
        try:
            upstreams = self._upstreams()
            parts = self._parts = Parts(sessions=upstreams)
            metrics.count_here("waits", parts.room.__len__)
            try:
                await self._serve(parts, upstreams, ready)
            finally:
                self._app = self._parts = None
                await _closed(parts, upstreams)
        except Exception as error:
            if ready.done():
                log.exception("The bridge ended; the next request starts it again.")
            else:
                ready.set_exception(error)

    async def _serve(self, parts: Parts, upstreams: Upstreams, ready: asyncio.Future[None]) -> None:
        managers, self._app = _applications(parts)
        async with asyncio.TaskGroup() as group:
            keeping = [
                group.create_task(_kept(work))
                for work in (parts.room.listen(), parts.room.look_again(), upstreams.keep_fresh())
            ]
            async with managers[0].run(), managers[1].run():
                ready.set_result(None)
                await self._stopping.wait()
            for task in keeping:
                task.cancel()


class Bridge:
    """The root ASGI application: lifespan, /mcp and its metadata; the rest goes to `others`."""

    def __init__(self, mount: McpMount, others: Any = None) -> None:
        """Put the parts together.

        Args:
            others: serves every other path and web sockets; None for a bridge of its own, which
                has only its health to show.
        """
        self.mount = mount
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and _is_ours(scope["path"]):
            await self.mount(scope, receive, send)
        elif self._others is not None:
            await self._others(scope, receive, send)
        elif scope["type"] == "http":
            await health.answer(scope, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.mount.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
            try:
                await self.mount.start()
                self._drain_at_signals()
            except Exception as error:
                log.exception("The bridge cannot start.")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})

    def _drain_at_signals(self) -> None:
        """Let those who wait go as soon as a stop is asked for.

        A server tells us of its end only after it has closed connections, and by then those who
        wait on them have been cut off without their tickets.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def chained(number: signal.Signals) -> None:
            before = signal.getsignal(number)

            def handle(received: int, frame: FrameType | None) -> None:
                loop.call_soon_threadsafe(self.mount.drain)
                if callable(before):
                    before(received, frame)

            signal.signal(number, handle)

        for number in (signal.SIGTERM, signal.SIGINT):
            chained(number)


def _is_ours(path: str) -> bool:
    return path == "/mcp" or path.startswith("/mcp/") or metadata.is_here(path)


def _applications(parts: Parts) -> tuple[list[StreamableHTTPSessionManager], App]:
    """Return two session managers of one server, and the door in front of both."""
    mcp, verifier = server.build(parts), KeyVerifier(parts.snapshots)
    # The SDK's whole application checks keys a second time and routes what has one address; it
    # serves whom the door does not know, and those it knows go straight to the sessions.
    stranger: Any = mcp.streamable_http_app(
        streamable_http_path="/mcp",
        stateless_http=True,
        auth=auth_settings(),
        token_verifier=verifier,
        transport_security=transport_security(),
    )
    # JSON answers do not notice a hang-up and carry no progress, so they serve only reads that
    # pass. Most of those are answered at the door; old clients', and odd ones, still come here.
    streaming, plain = _sessions(mcp, json_response=False), _sessions(mcp, json_response=True)
    passing = Passing(parts, mcp, transport_security())
    ways = Ways(stranger, streaming.handle_request, plain.handle_request, passing.answered)
    return [streaming, plain], Door(verifier, ways)


def _sessions(mcp: Server[Any], *, json_response: bool) -> StreamableHTTPSessionManager:
    return StreamableHTTPSessionManager(
        mcp,
        # With several processes, a session would have to find its own one.
        stateless=True,
        json_response=json_response,
        security_settings=transport_security(),
    )


def transport_security() -> TransportSecuritySettings:
    """Return which Host and Origin headers are let in, as settings say."""
    public = urlsplit(settings.PUBLIC_URL)
    hosts = [host.strip(".") for host in settings.ALLOWED_HOSTS]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection="*" not in hosts,
        allowed_hosts=[public.netloc, *hosts, *(f"{host}:*" for host in hosts)],
        allowed_origins=[f"{public.scheme}://{public.netloc}"],
    )


async def _kept(work: Coroutine[Any, Any, None]) -> None:
    """Do background work; should it end by an error, that must not take the bridge with it."""
    try:
        await work
    except Exception:
        log.exception("Background work of the bridge ended.")


async def _closed(parts: Parts, upstreams: Upstreams) -> None:
    closing: list[Awaitable[None]] = [
        parts.reads.close(),
        parts.schemas.close(),
        upstreams.close(),
    ]
    for outcome in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.error("The bridge did not end cleanly.", exc_info=outcome)
    parts.snapshots.close()
    await threads.close()


def _upstreams() -> Upstreams:
    # Only a process that serves agents needs the client side.
    from mcp_bridge.upstreams.sessions import Sessions

    return Sessions()
