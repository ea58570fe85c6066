"""tasks/get, tasks/update and tasks/cancel on the SDK's low-level server; used by `server` only.

`mcp_types` still has the task types of 2025-11-25, which are others; these are SEP-2663's.
"""

from typing import Any

from mcp.server import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    RequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from approvals import access, lifecycle, observations
from approvals.errors import NotFound
from approvals.models import ToolCall
from mcp_bridge.agents import task_view
from mcp_bridge.agents.holding import delivered, follows_tasks
from mcp_bridge.agents.parts import Context, Parts, now
from mcp_bridge.agents.requests import withdraw
from mcp_bridge.agents.waiting import read_call
from mcp_bridge.threads import in_background, in_database


class TaskParams(RequestParams):
    """Names a task."""

    task_id: str


class TaskUpdateParams(TaskParams):
    """Gives a task what it asked for; ours ask for nothing."""

    input_responses: dict[str, Any] | None = None


def install(server: Server[Any], parts: Parts) -> None:
    """Announce the extension and serve its methods."""

    async def get(ctx: Context, params: TaskParams) -> dict[str, Any]:
        call = await _own_call(parts, ctx, params)
        result = None
        if call.status in lifecycle.ANSWERED:
            result = await delivered(call)
        else:
            in_background(observations.agent_returned, call.pk)
        return task_view.shown(call, now(), result)

    async def update(ctx: Context, params: TaskUpdateParams) -> dict[str, Any]:
        await _own_call(parts, ctx, params)
        return {}

    async def cancel(ctx: Context, params: TaskParams) -> dict[str, Any]:
        call = await _own_call(parts, ctx, params)
        # One that was sent already goes on; the extension asks only that we try.
        await withdraw(call.pk, call.agent.name)
        return {}

    server.extensions[task_view.TASKS] = {}
    server.add_request_handler("tasks/get", TaskParams, get)
    server.add_request_handler("tasks/update", TaskUpdateParams, update)
    server.add_request_handler("tasks/cancel", TaskParams, cancel)


async def _own_call(parts: Parts, ctx: Context, params: TaskParams) -> ToolCall:
    """Return the caller's call.

    Raises:
        MCPError: the header names another task, the extension is not declared, or there is no such
            task for this agent; another agent's does not exist for it.
    """
    is_modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    if is_modern and ctx.request is not None:
        named = decode_header_value(ctx.request.headers.get(MCP_NAME_HEADER))
        if named != params.task_id:
            raise MCPError(HEADER_MISMATCH, "Mcp-Name does not match params.taskId")
    if not follows_tasks(ctx):
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "Missing required client capability",
            {"requiredCapabilities": {"extensions": {task_view.TASKS: {}}}},
        )
    caller = await parts.caller(ctx)
    try:
        call = await in_database(access.get_agent_call, caller.agent.id, params.task_id)
        return await in_database(read_call, call.pk)
    except NotFound:
        raise MCPError(INVALID_PARAMS, "Failed to retrieve task: Task not found") from None
