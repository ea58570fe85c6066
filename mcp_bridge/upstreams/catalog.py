"""Mirrors what upstream servers list: read, sanitised tool by tool, handed to the catalogue."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from django.db import IntegrityError
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import x_mcp_header_map

from approvals import canonical, wording
from approvals.administration import catalog
from approvals.administration.catalog import Differences, ListedTool, Listing
from approvals.errors import InvalidInput, TemporarilyUnavailable
from mcp_bridge.threads import in_database
from mcp_bridge.upstreams.connections import Connection
from mcp_bridge.upstreams.exchange import Exchange, Refused
from mcp_bridge.upstreams.exposing import MAX_TOOLS, Sieve
from mcp_bridge.upstreams.failures import in_full
from mcp_bridge.upstreams.opened import Open

LIST_SECONDS = 15.0
_MOST_PAGES = 200
_MAX_INFO_BYTES = 4_000


async def refresh(connection: Connection, *, actor: str) -> Differences:
    """Read an upstream's list and take it over; when that fails, keep the old one and say why.

    Raises:
        TemporarilyUnavailable: it could not be read; the reason is on the upstream's row by then.
    """
    try:
        listing = await read_list(connection)
        return await take_over(connection, listing, actor=actor)
    except TemporarilyUnavailable as error:
        target = connection.target
        which = f"With the {target.credentials} credentials: " if target.has_write_set else ""
        why = which + in_full(error)
        await in_database(catalog.record_list_failure, target.upstream_id, why)
        raise


async def take_over(connection: Connection, listing: Listing, *, actor: str) -> Differences:
    """Write what was listed; calls that wait on a changed tool become void.

    Raises:
        TemporarilyUnavailable: two tools would be exposed under one name.
    """
    upstream_id = connection.target.upstream_id
    try:
        return await in_database(catalog.record_listing, upstream_id, listing, actor=actor)
    except IntegrityError as error:
        raise TemporarilyUnavailable(
            f"What the upstream server {connection.target.name} lists contradicts what it listed"
            " before: two of its tools share one exposed name."
        ) from error


def digest_of(tool: ListedTool) -> str:
    """Return the digest of a tool's definition."""
    return canonical.definition_digest(tool.definition)


async def read_list(connection: Connection, within: Open | None = None) -> Listing:
    """Return what an upstream lists now with the credentials of this connection.

    A session that cannot list is left: whatever is wrong with it, the next one may be right.

    Args:
        within: the session to read it in; None for whichever is open.

    Raises:
        TemporarilyUnavailable: it cannot be reached, or its answer is no list.
    """
    exchange, sieve = Exchange(), Sieve(connection.target.name)
    try:
        opened = within or await connection.opened()
        async with asyncio.timeout(LIST_SECONDS):
            async for page in _pages(connection, exchange, within):
                # Schemas may be large and odd; others on this loop do not wait for that.
                await asyncio.to_thread(sieve.add, page)
    except (TimeoutError, MCPError, Refused) as error:
        connection.drop()
        words = exchange.trouble or str(error) or f"no answer within {LIST_SECONDS:.0f} s"
        if exchange.status >= 400:
            words = f"{words}, HTTP {exchange.status}"
        raise _no_list(connection, words) from None
    tools = sieve.tools()
    connection.header_maps = {
        tool.name: found
        for tool in tools
        if (found := x_mcp_header_map(tool.definition["inputSchema"]))
    }
    info = opened.client.server_info
    return Listing(
        tools=tools,
        credentials=connection.target.listed_with,
        dropped=sieve.dropped(),
        server_info=_bounded(info.model_dump(mode="json", exclude_none=True) if info else {}),
    )


async def _pages(
    connection: Connection, exchange: Exchange, within: Open | None
) -> AsyncIterator[list[Any]]:
    """Yield the pages of a list, and stop at one that would never end.

    Args:
        exchange: is told what broke, of whichever page it was.
    """
    seen: set[str] = set()
    cursor: object = None
    count = 0
    for _ in range(_MOST_PAGES):
        exchange.attempts = 0
        params = {} if cursor is None else {"cursor": cursor}
        answer = await connection.request("tools/list", params, exchange, within)
        page = answer.get("tools")
        if not isinstance(page, list):
            raise _no_list(connection, "its answer is no list")
        yield page
        count += len(page)
        cursor = answer.get("nextCursor")
        if not isinstance(cursor, str) or not cursor:
            return
        if cursor in seen:
            raise _no_list(connection, "its list leads in a circle")
        if count > MAX_TOOLS:
            return  # the sieve says so
        seen.add(cursor)
    raise _no_list(connection, f"its list has more than {_MOST_PAGES} pages")


def _no_list(connection: Connection, why: str) -> TemporarilyUnavailable:
    words = wording.clean(connection.target.redacted(why), 200)
    return TemporarilyUnavailable(
        f"The upstream server {connection.target.name} did not list its tools ({words})."
    )


def _bounded(info: dict[str, Any]) -> dict[str, Any]:
    """Return what a server says of itself, if it can be kept; it is shown to administrators."""
    try:
        if len(canonical.to_bytes(info, limits=canonical.DEFINITION)) <= _MAX_INFO_BYTES:
            return info
    except InvalidInput:
        pass
    return {"name": wording.clean(str(info.get("name")), 200)}
