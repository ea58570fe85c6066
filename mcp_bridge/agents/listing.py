"""Pure: which tools an agent is shown, page by page; used by the server and its companions."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from mcp_bridge.agents.identity import Caller
from mcp_bridge.snapshot import ToolFacts

PAGE = 200  # serialising thousands of tools at once would hold everybody up
_FRESH_MS = 10_000  # how long a client may keep a list

STATUS, CANCEL = "approval_status", "approval_cancel"
LONGEST_WAIT_SECONDS = 25

_TICKET = {"type": "string", "description": "The ticket of a held call.", "maxLength": 64}
COMPANIONS: Mapping[str, dict[str, Any]] = {
    CANCEL: {
        "name": CANCEL,
        "title": "Withdraw a held call",
        "description": (
            "Withdraw one of your own calls that waits for approval or has not been run yet."
            " Once it runs it cannot be withdrawn."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {"ticket": _TICKET},
            "required": ["ticket"],
            "additionalProperties": False,
        },
        "annotations": {
            "readOnlyHint": False,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
    },
    STATUS: {
        "name": STATUS,
        "title": "Ask after a held call",
        "description": (
            "Learn how one of your own held calls stands. Waits up to wait_seconds for a decision,"
            " and returns the tool's own result once there is one."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "ticket": _TICKET,
                "wait_seconds": {
                    "type": "integer",
                    "description": "How long to wait for an answer before saying how it stands.",
                    "minimum": 0,
                    "maximum": LONGEST_WAIT_SECONDS,
                },
            },
            "required": ["ticket"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    },
}


def page(caller: Caller, surface: str, cursor: str | None) -> dict[str, Any]:
    """Return one page of tools in the order of their names, as a `tools/list` result.

    Raises:
        MCPError: the cursor is not one of ours.
    """
    after = _decoded(cursor) if cursor else ""
    tools = _shown(caller, surface)
    names = [name for name in sorted(tools) if name > after]
    listed: dict[str, Any] = {
        "resultType": "complete",
        "tools": [tools[name] for name in names[:PAGE]],
        "ttlMs": _FRESH_MS,
        "cacheScope": "private",
    }
    if len(names) > PAGE:
        # By name, so that a list that changes between two pages loses nothing that stayed.
        listed["nextCursor"] = _encoded(names[PAGE - 1])
    return listed


def _shown(caller: Caller, surface: str) -> dict[str, dict[str, Any]]:
    visible = caller.snapshot.visible(caller.agent, surface)
    shown: dict[str, dict[str, Any]] = {}
    for name, tool in visible.items():
        is_direct = caller.snapshot.passes(caller.agent, tool)
        shown[name] = _definition(tool, is_direct=is_direct)
        if not is_direct:
            shown |= COMPANIONS
    return shown


def _definition(tool: ToolFacts, *, is_direct: bool) -> dict[str, Any]:
    """Return a tool as the upstream defines it, under the name agents use."""
    left_out = () if is_direct else ("outputSchema",)
    # A client would hold a ticket to the output schema, and throw the ticket away.
    kept = {key: value for key, value in tool.definition.items() if key not in left_out}
    return kept | {"name": tool.exposed_name}


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise MCPError(INVALID_PARAMS, "This cursor was not given by this server.") from None
