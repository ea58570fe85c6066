"""One upstream's session, kept: a task of its own enters it, stays in it and leaves it.

A client must be closed by the task that opened it; anybody on the same loop may send through it.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
from mcp.client import Client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import mcp_param_headers
from mcp_types import (
    CONNECTION_CLOSED,
    PARSE_ERROR,
    Implementation,
    ToolListChangedNotification,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from mcp_bridge.upstreams.direct import DirectReads
from mcp_bridge.upstreams.exchange import Exchange, Watched
from mcp_bridge.upstreams.failures import Failure, reason_of
from mcp_bridge.upstreams.lines import Line, line_to
from mcp_bridge.upstreams.opened import Open, retiring
from mcp_bridge.upstreams.targets import Target

log = logging.getLogger(__name__)

# The SDK logs what it cannot parse, and that may hold secrets of the upstream's; what goes wrong is
# told through exchanges and lines.
for _name in ("client", "mcp.client.streamable_http", "mcp.shared.jsonrpc_dispatcher"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

CONNECT_SECONDS = 20.0  # old servers ignore the first question; the SDK gives them 10 s of these
_LEAVE_SECONDS = 5.0
_PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # between failures to connect, in a row
_LEFT: Final = Failure("it is being left")
_NO_SESSION = "Session terminated"  # what the SDK makes of HTTP 404 in the handshake era
_HearListChanged = Callable[[int], None]


class Connection:
    """A way to one upstream, opened at the first use and again after it broke."""

    def __init__(self, target: Target, list_changed: _HearListChanged | None = None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            list_changed: told the upstream's id when it says that its list changed.
        """
        self.target = target
        # By tool: which arguments a modern server wants repeated in which HTTP headers.
        self.header_maps: Mapping[str, Mapping[tuple[str, ...], str]] = {}
        self._list_changed = list_changed
        self._watched = Watched()
        self._opening: asyncio.Future[Open] | None = None
        self._owners: set[asyncio.Task[None]] = set()
        self._scopes: set[anyio.CancelScope] = set()  # one in each owner
        self._mode = "auto"
        self._failures = 0
        self._failure = _LEFT
        self._not_before = 0.0

    async def opened(self) -> Open:
        """Return the open session, opening it when there is none.

        Raises:
            TemporarilyUnavailable: the upstream cannot be reached; the message says why.
        """
        opening = self._opening
        if opening is None or (opening.done() and _is_over(opening)):
            opening = self._open()
        # Whoever stops waiting must not take the session from others who wait for it.
        return await asyncio.shield(opening)

    async def request(
        self,
        method: str,
        params: Mapping[str, Any],
        exchange: Exchange | None = None,
        within: Open | None = None,
    ) -> dict[str, Any]:
        """Send one request and return its raw result.

        Raw on purpose: the SDK's typed methods check results after the upstream has acted, and
        refuse a whole list for one bad entry.

        Args:
            within: the session to send it in, over or not; None for whichever is open.

        Raises:
            TemporarilyUnavailable: no session. Refused: it may not leave.
            MCPError: the upstream's error, or one that the SDK made of whatever went wrong.
        """
        exchange = exchange or Exchange()
        if within is not None:
            return await self._request(within, method, params, exchange)
        opened = await self.opened()
        try:
            return await self._request(opened, method, params, exchange)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED or exchange.has_left:
                raise
        # The session was over, and nothing left; whoever looks after it may not know yet.
        opened.retire()
        return await self._request(await self.opened(), method, params, exchange)

    async def _request(
        self, opened: Open, method: str, params: Mapping[str, Any], exchange: Exchange
    ) -> dict[str, Any]:
        session = opened.session
        data: dict[str, Any] = {"method": method, "params": dict(params)}
        repeated = self._repeated(opened, method, params)
        if direct := _direct(opened, method, exchange):
            with opened.used():
                return await direct.request(session, data, repeated, exchange)
        with opened.used(), self._watched.watching(exchange) as header:
            options: Any = {"headers": {**header, **repeated}}
            session._stamp(data, options)  # noqa: SLF001 - the SDK has no public raw request
            try:
                async with asyncio.timeout(None) as exchange.patience:
                    return await session._dispatcher.send_raw_request(  # noqa: SLF001 - as above
                        method, data["params"], options
                    )
            except TimeoutError:
                raise MCPError(PARSE_ERROR, "the answer is to another request") from None
            except MCPError as error:
                if error.code == CONNECTION_CLOSED or error.message == _NO_SESSION:
                    self._note(opened, exchange)
                raise
            finally:
                exchange.patience = None

    def drop(self) -> None:
        """Use another session from now on; who waits for an answer in this one still gets it."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.add_done_callback(_retire)

    async def close(self, patience_seconds: float = 0.0) -> None:
        """Leave, and return when it is left; answers still waited for get this long to come."""
        self.drop()
        if not self._owners:
            return
        _, running = await asyncio.wait(set(self._owners), timeout=patience_seconds + 0.05)
        # Not the tasks: that would also cancel how they end their child processes.
        for scope in self._scopes:
            scope.cancel()
        if running:
            await asyncio.wait(running, timeout=_LEAVE_SECONDS)

    def _repeated(self, opened: Open, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        known = self.header_maps.get(str(params.get("name"))) if method == "tools/call" else None
        is_modern = opened.session.protocol_version in MODERN_PROTOCOL_VERSIONS
        return mcp_param_headers(known, params["arguments"]) if known and is_modern else {}

    def _note(self, opened: Open, exchange: Exchange) -> None:
        """Take over from a session that is over what is known of why, and use it no longer.

        A server may write the same error code and go on; a child that ended has left its words.
        """
        has_ended = self.target.transport == "stdio" and opened.line.trouble
        if has_ended:
            exchange.broke(opened.line.trouble)
        if has_ended or exchange.status == 404:
            opened.retire()

    def _open(self) -> "asyncio.Future[Open]":
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise self._failure.of(self.target, wait)
        opening = self._opening = asyncio.get_running_loop().create_future()
        owner = asyncio.create_task(self._own(opening), name=f"upstream-{self.target.name}")
        self._owners.add(owner)
        owner.add_done_callback(self._owners.discard)
        return opening

    async def _own(self, opening: "asyncio.Future[Open]") -> None:
        """Enter a session, stay in it and leave it; nothing that goes wrong leaves this task."""
        failure = _LEFT
        try:
            for mode in self._modes():
                failure = await self._stay(mode, opening)
                if opening.done() or not failure.may_try_other:
                    break
        finally:
            if not opening.done():
                self._fail(opening, failure)

    async def _stay(self, mode: str, opening: "asyncio.Future[Open]") -> Failure:
        """Stay in a session until it is over, and return why it is, or why there was none."""
        line: Line | None = None
        ended = asyncio.Event()
        try:
            with anyio.fail_after(CONNECT_SECONDS) as limit, _kept_in(self._scopes, limit):
                async with (
                    line_to(self.target, self._watched, ended.set) as line,
                    self._client(line, mode) as client,
                    retiring(Open(client, line), ended) as opened,
                    self._listening(client),
                ):
                    limit.deadline = math.inf
                    self._succeed(client, opening, opened)
                    await opened.unused()
        except asyncio.CancelledError:
            raise
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - it is this upstream's only
            log.info("Upstream %s: %s", self.target.name, type(error).__name__)
            return Failure(
                reason_of(error, line, CONNECT_SECONDS),
                last_words=line.last_words if line is not None else "",
                # Some old stdio servers end when they are first asked what era they are of.
                may_try_other=ended.is_set() and not isinstance(error, TimeoutError),
            )
        return _LEFT

    def _client(self, line: Line, mode: str) -> Client:
        return Client(
            line.streams,
            mode=mode,
            cache=None,
            message_handler=self._hear,
            client_info=Implementation(name="countersign", version="1"),
        )

    def _modes(self) -> tuple[str, str]:
        return ("auto", "legacy") if self._mode == "auto" else ("legacy", "auto")

    def _succeed(self, client: Client, opening: "asyncio.Future[Open]", opened: Open) -> None:
        is_old = client.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS
        # What is known to be old is not asked again: the question may cost it ten seconds.
        self._mode = "legacy" if is_old else "auto"
        self._failures = 0
        if not opening.done():
            opening.set_result(opened)

    def _fail(self, opening: "asyncio.Future[Open]", failure: Failure) -> None:
        pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        self._mode = "auto"
        self._failure, self._not_before = failure, time.monotonic() + pause
        opening.set_exception(failure.of(self.target, pause))
        opening.exception()  # retrieved: nobody may be waiting any more

    async def _hear(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification) and self._list_changed is not None:
            self._list_changed(self.target.upstream_id)

    @asynccontextmanager
    async def _listening(self, client: Client) -> AsyncIterator[None]:
        """Hear of changed lists from a modern server, which has to be asked for that."""
        tools = client.server_capabilities.tools
        is_wanted = self._list_changed is not None and tools is not None and tools.list_changed
        if not is_wanted or client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            yield
            return
        listening = asyncio.create_task(_listen(client))
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.wait([listening])


def _direct(opened: Open, method: str, exchange: Exchange) -> DirectReads | None:
    """Return the lean way for reads, where there is one; a release is always watched."""
    is_read = method == "tools/call" and exchange.arguments is None
    is_modern = opened.session.protocol_version in MODERN_PROTOCOL_VERSIONS
    return opened.line.direct if is_read and is_modern else None


@contextmanager
def _kept_in(scopes: set[anyio.CancelScope], scope: anyio.CancelScope) -> Iterator[None]:
    scopes.add(scope)
    try:
        yield
    finally:
        scopes.discard(scope)


async def _listen(client: Client) -> None:
    """Keep the stream open on which list changes are told; `_hear` gets them like any other."""
    try:
        async with client.listen(tools_list_changed=True) as events:
            async for _ in events:
                continue
    except (MCPError, SubscriptionLost, ListenNotSupportedError, TimeoutError):
        return  # lists are read again and again anyway


def _retire(opening: "asyncio.Future[Open]") -> None:
    if not _is_over(opening):
        opening.result().retire()


def _is_over(opening: "asyncio.Future[Open]") -> bool:
    return opening.exception() is not None or opening.result().is_retired
