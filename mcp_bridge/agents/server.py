"""The MCP server that agents talk to: which handlers there are; each is thin and says where to go.

Built by `McpMount`. One server object serves both protocol eras and every surface.
"""

from collections.abc import Mapping
from typing import Any

from mcp.server import Server
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp_types import CallToolRequestParams, CancelledNotificationParams, PaginatedRequestParams

from mcp_bridge.agents import calling, listing, tasks_extension
from mcp_bridge.agents.door import passage_of
from mcp_bridge.agents.identity import AgentToken
from mcp_bridge.agents.parts import Context, Parts
from mcp_bridge.agents.requests import KIND, key_of
from mcp_bridge.snapshot import EVERYWHERE

_INSTRUCTIONS = (
    "Some of these tools change things; a person decides about such calls before they run. A call"
    " that is HELD has not been executed: do not repeat it. Tell the user that it waits for"
    " approval, and call approval_status with its ticket to learn how it ended. NOT EXECUTED means"
    " that nothing was done; OUTCOME UNKNOWN means that it may have happened, so do not retry."
)


def build(parts: Parts) -> Server[Any]:
    """Return the server."""

    async def list_tools(ctx: Context, params: PaginatedRequestParams) -> dict[str, Any]:
        surface = passage_of(ctx.request).surface
        return listing.page(await parts.caller(ctx), surface, params.cursor)

    async def call_tool(ctx: Context, params: CallToolRequestParams) -> dict[str, Any]:
        return await calling.call_tool(parts, ctx, params)

    async def cancelled(ctx: Context, params: CancelledNotificationParams) -> None:
        caller, passage = await parts.caller(ctx), passage_of(ctx.request)
        await parts.requests.cancel(key_of(caller.key.id, passage.session, params.request_id))

    def input_schema(name: str) -> Mapping[str, Any] | None:
        return _visible_schema(parts, name)

    server: Server[Any] = Server(
        "countersign",
        version="1",
        title="Countersign",
        instructions=_INSTRUCTIONS,
        # Otherwise every modern call with arguments would run a whole tools/list.
        get_tool_input_schema=input_schema,
    )
    # Spans that nobody collects would cost every request; traces go upstream by `_meta`.
    server.middleware.clear()
    server.add_request_handler("tools/list", PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    server.add_notification_handler(
        "notifications/cancelled", CancelledNotificationParams, cancelled
    )
    tasks_extension.install(server, parts)
    parts.room.on(KIND, parts.requests.passed_on)
    return server


def _visible_schema(parts: Parts, name: str) -> Mapping[str, Any] | None:
    """Return a tool's input schema to check `Mcp-Param-*` headers by; None where it is hidden.

    The SDK calls this before any handler, so what is hidden must be so here too. None as well where
    the schema names no header: the SDK would walk through all of it, twice, at every call.
    """
    token, snapshot = get_access_token(), parts.snapshots.latest()
    if name in listing.COMPANIONS:
        schema: Mapping[str, Any] = listing.COMPANIONS[name]["inputSchema"]
        return schema
    if snapshot is None or not isinstance(token, AgentToken):
        return None
    agent = snapshot.agents.get(token.agent_id)
    tool = snapshot.visible(agent, EVERYWHERE).get(name) if agent else None
    return tool.input_schema if tool and tool.names_headers else None
