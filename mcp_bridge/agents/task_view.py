"""Pure: a call as a task of the extension io.modelcontextprotocol/tasks (SEP-2663)."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from approvals.canonical import rfc3339
from approvals.lifecycle import ANSWERED
from approvals.models import ToolCall
from mcp_bridge.agents import results

TASKS = "io.modelcontextprotocol/tasks"

S = ToolCall.Status
# How long after its deadline a call can be asked after; its row stays longer.
_KEPT = timedelta(days=1)


def created(call: ToolCall, at: datetime) -> dict[str, Any]:
    """Return a call as the result of the `tools/call` that made it."""
    return {"resultType": "task", **_task(call, at)}


def shown(call: ToolCall, at: datetime, result: dict[str, Any] | None) -> dict[str, Any]:
    """Return a call as the result of `tasks/get`; `result` is that of an answered call.

    An unhappy end is a completed task with an error result: `failed` is for JSON-RPC errors.
    """
    task = {"resultType": "complete", **_task(call, at)}
    if call.status == S.CANCELLED or call.status not in ANSWERED:
        return task
    return task | {"result": result}


def _task(call: ToolCall, at: datetime) -> dict[str, Any]:
    return {
        "taskId": str(call.pk),
        "status": _status(call),
        "statusMessage": _message(call),
        "createdAt": rfc3339(call.created_at),
        "lastUpdatedAt": rfc3339(call.moved_at),
        "ttlMs": _milliseconds(call.run_by_at - call.created_at + _KEPT),
        "pollIntervalMs": 1000 * results.ask_again_seconds(call, at),
        "_meta": {results.PROVENANCE: results.of_call(call, at).as_dict()},
    }


def _status(call: ToolCall) -> str:
    # A person is being asked, not the client: that is `working`, never `input_required`.
    if call.status not in ANSWERED:
        return "working"
    return "cancelled" if call.status == S.CANCELLED else "completed"


def _message(call: ToolCall) -> str:
    if call.status in ANSWERED:
        return f"{S(call.status).label}. {call.status_reason}".strip()
    return results.how_it_stands(call, settings.PUBLIC_URL)


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
