"""The sessions one process keeps with upstream servers, on one event loop, with one credential set.

The bridge has one with the plain set, for reads and lists; a worker has one with the write set, for
releases.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from mcp.shared.exceptions import MCPError
from mcp_types import HEADER_MISMATCH, PARSE_ERROR, SERVER_INFO_META_KEY

from approvals import events, wording
from approvals.errors import ApprovalsError, NotFound, TemporarilyUnavailable, UpstreamError
from approvals.models import Revision
from mcp_bridge.threads import in_database
from mcp_bridge.upstreams import catalog, targets
from mcp_bridge.upstreams.connections import Connection
from mcp_bridge.upstreams.exchange import Exchange, Refused
from mcp_bridge.upstreams.targets import PLAIN, Target

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LISTS_AT_ONCE = 8
_ACTOR = "bridge"


class Sessions:
    """Every upstream this process talks to; use it on the loop that made it."""

    def __init__(self, credentials: str = PLAIN) -> None:
        """Prepare; nothing is connected yet.

        Args:
            credentials: the set of secrets this process has: plain or write.
        """
        self._credentials = credentials
        self._connections: dict[int, Connection] = {}
        self._leaving: dict[asyncio.Task[None], Connection] = {}
        self._revision = -1
        self._changed: set[int] = set()  # upstreams whose list changed, or may have
        self._listing: dict[int, asyncio.Task[None]] = {}  # lists that are being read, by upstream
        self._room = asyncio.Semaphore(_LISTS_AT_ONCE)

    async def read(
        self, upstream_id: int, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the upstream's CallToolResult as a JSON object.

        Args:
            meta: what goes along; nothing of the agent's but where its call belongs in a trace.

        Raises:
            TemporarilyUnavailable: it cannot be reached, broke off, or did not answer in time.
            UpstreamError: it answered with an error, or with what is no result.
        """
        connection = self._connections.get(upstream_id) or await self.connection(upstream_id)
        params = {"name": tool, "arguments": dict(arguments), "_meta": dict(meta)}
        target, seconds = connection.target, settings.UPSTREAM_TIMEOUT_SECONDS
        exchange = Exchange()
        try:
            async with asyncio.timeout(seconds):
                result = await connection.request("tools/call", params, exchange)
        except TimeoutError:
            raise TemporarilyUnavailable(
                f"The upstream server {target.name} did not answer within {seconds} s."
            ) from None
        except (MCPError, Refused) as error:
            if isinstance(error, MCPError) and error.code == HEADER_MISMATCH:
                self._changed.add(upstream_id)  # which headers it wants stands in its list
            raise _failure(target, tool, exchange, error) from None
        if why := _unreadable(result):
            raise UpstreamError(f"The upstream server {target.name} failed at {tool}: {why}.")
        return without_stamp(result)

    async def connection(self, upstream_id: int) -> Connection:
        """Return the kept connection to an upstream, as the database describes it now.

        Raises:
            NotFound: there is none, or it is switched off.
        """
        target = await in_database(targets.load, upstream_id, self._credentials)
        if target is None:
            self._leave(upstream_id)
            raise NotFound("There is no such upstream server.")
        return self._connect(target)

    async def keep_fresh(self) -> None:
        """Read lists again and again, and follow what administrators change, until cancelled."""
        due_at: dict[int, float] = {}
        clock = asyncio.get_running_loop().time
        while True:
            await self._look(due_at, clock())
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Leave every session, also those that others still wait for answers in."""
        for upstream_id in list(self._connections):
            self._leave(upstream_id)
        await asyncio.gather(*(connection.close() for connection in self._leaving.values()))

    async def _look(self, due_at: dict[int, float], now: float) -> None:
        """Follow the database, and begin to read the lists that are due.

        Args:
            due_at: when each upstream's list is to be read again, by the loop's clock.
        """
        try:
            await self._follow()
        except DatabaseError as error:
            log.warning("Changes to upstreams are not followed: %s", error)
        for upstream_id, connection in self._connections.items():
            is_due = now >= due_at.get(upstream_id, 0.0)
            # A slow one keeps neither the others waiting nor this look.
            if upstream_id in self._listing or not (is_due or upstream_id in self._changed):
                continue
            self._changed.discard(upstream_id)
            due_at[upstream_id] = now + settings.CATALOG_REFRESH_SECONDS
            self._listing[upstream_id] = asyncio.create_task(self._refresh(connection))

    async def _refresh(self, connection: Connection) -> None:
        target = connection.target
        if target.has_write_set and target.credentials == PLAIN:
            # A worker lists too where it has credentials of its own: it may see more.
            events.start_refresh(target.upstream_id, target.domain)
        try:
            async with self._room:
                await catalog.refresh(connection, actor=_ACTOR)
        except ApprovalsError as error:
            log.info("A list was not read: %s", error)  # the upstream's row says so too
        except DatabaseError as error:
            log.warning("A list was not taken over: %s", error)
        except Exception:
            log.exception("The list of %s was not taken over.", target.name)
        finally:
            if self._listing.get(target.upstream_id) is asyncio.current_task():
                del self._listing[target.upstream_id]

    async def _follow(self) -> None:
        """Take over what changed in the database since the last look."""
        revision = await in_database(Revision.current)
        if revision == self._revision:
            return
        wanted = await in_database(targets.load_all, self._credentials)
        for upstream_id in self._connections.keys() - wanted.keys():
            self._leave(upstream_id)
        for target in wanted.values():
            self._connect(target)
        self._revision = revision

    def _connect(self, target: Target) -> Connection:
        known = self._connections.get(target.upstream_id)
        if known is not None and known.target == target:
            return known
        self._leave(target.upstream_id)
        self._changed.add(target.upstream_id)  # another server, or other credentials: another list
        # Workers list before each release anyway, and hear nothing in between.
        heard = self._changed.add if self._credentials == PLAIN else None
        connection = Connection(target, list_changed=heard)
        self._connections[target.upstream_id] = connection
        return connection

    def _leave(self, upstream_id: int) -> None:
        """Use a connection no longer; answers still waited for may come."""
        connection = self._connections.pop(upstream_id, None)
        if connection is None:
            return
        if listing := self._listing.pop(upstream_id, None):
            listing.cancel()
        leaving = asyncio.create_task(connection.close(settings.UPSTREAM_TIMEOUT_SECONDS))
        self._leaving[leaving] = connection
        leaving.add_done_callback(self._left)

    def _left(self, leaving: asyncio.Task[None]) -> None:
        del self._leaving[leaving]


def without_stamp(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result without what the upstream says of itself; that is about our connection."""
    meta = result.get("_meta")
    if not isinstance(meta, Mapping) or SERVER_INFO_META_KEY not in meta:
        return dict(result)
    kept = {key: value for key, value in meta.items() if key != SERVER_INFO_META_KEY}
    return {**result, "_meta": kept}


def explained(target: Target, exchange: Exchange, error: Exception) -> str:
    """Return in words why there is no result, without secrets; the upstream's own words are cut."""
    words = exchange.trouble
    if not words and isinstance(error, MCPError) and error.code == PARSE_ERROR:
        words = "its answer cannot be read"
    if not words and exchange.status >= 400 and str(error) in _OF_THE_SDK:
        words = f"it answered HTTP {exchange.status}"
    return wording.clean(target.redacted(words or str(error)), 300).rstrip(".")


# What the SDK says where an HTTP status is all there was.
_OF_THE_SDK = frozenset({"Server returned an error response", "Session terminated", "Not Found"})


def _failure(target: Target, tool: str, exchange: Exchange, error: Exception) -> ApprovalsError:
    """Return what an agent is told of an error; a 401 of the upstream's is not the agent's."""
    words = explained(target, exchange, error)
    if not exchange.has_left:
        return TemporarilyUnavailable(
            f"The upstream server {target.name} cannot be reached: {words}.", retry_after_seconds=5
        )
    kind = TemporarilyUnavailable if exchange.has_broken else UpstreamError
    return kind(f"The upstream server {target.name} failed at {tool}: {words}.")


def _unreadable(result: Mapping[str, Any]) -> str:
    """Return why a result cannot be relayed; empty when it can."""
    kind = result.get("resultType", "complete")
    if kind == "input_required":
        return "it asks for more input, which a read is not given"
    if kind != "complete" or not isinstance(result.get("content"), list):
        return "its answer is no tool result"
    return "" if is_json(result) else "its answer is not JSON"


def is_json(result: Mapping[str, Any]) -> bool:
    """Return whether a result can be written as JSON; the SDK lets NaN and infinities in."""
    try:
        json.dumps(result, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True
