"""approval_status and approval_cancel: for agents whose clients know nothing of tasks."""

from django.db import Error
from mcp_types import CallToolRequestParams

from approvals import access, lifecycle
from approvals.errors import (
    ApprovalsError,
    Conflict,
    InvalidInput,
    NotAllowed,
    TemporarilyUnavailable,
)
from approvals.models import ToolCall
from mcp_bridge import schema_check
from mcp_bridge.agents import listing, results
from mcp_bridge.agents.door import passage_of
from mcp_bridge.agents.holding import follow
from mcp_bridge.agents.parts import Context, Parts, log_failure, now
from mcp_bridge.agents.results import Provenance, Result
from mcp_bridge.agents.waiting import read_call
from mcp_bridge.threads import in_database

_VALIDATORS = {
    name: schema_check.compiled(tool["inputSchema"]) for name, tool in listing.COMPANIONS.items()
}
_USUAL_WAIT_SECONDS = 20


async def call(parts: Parts, ctx: Context, params: CallToolRequestParams) -> Result:
    """Answer a call of either companion tool."""
    try:
        arguments = _checked(ctx, params)
        if params.name == listing.CANCEL:
            return await _cancel(parts, ctx, str(arguments["ticket"]))
        return await _status(parts, ctx, arguments)
    except ApprovalsError as error:
        refusal = error
    except Error as error:
        log_failure(error)
        refusal = TemporarilyUnavailable(retry_after_seconds=5)
    provenance = Provenance(params.name, now(), call_id=refusal.call_id or "")
    return results.refusal(refusal, provenance)


def _checked(ctx: Context, params: CallToolRequestParams) -> dict[str, object]:
    refusal = passage_of(ctx.request).refusal
    if refusal is not None:
        raise refusal
    arguments = params.arguments or {}
    if problems := schema_check.problems(_VALIDATORS[params.name], arguments):
        raise InvalidInput(problems=problems)
    return arguments


async def _status(parts: Parts, ctx: Context, arguments: dict[str, object]) -> Result:
    agent = (await parts.caller(ctx)).agent
    # Whoever set a short grace did so because its client gives up early.
    usual = min(_USUAL_WAIT_SECONDS, agent.grace_seconds)
    wait = arguments.get("wait_seconds", usual)
    own = await in_database(access.get_agent_call, agent.id, str(arguments["ticket"]))
    return await follow(parts, ctx, own.pk, float(str(wait)))


async def _cancel(parts: Parts, ctx: Context, ticket: str) -> Result:
    agent = (await parts.caller(ctx)).agent
    own = await in_database(access.get_agent_call, agent.id, ticket)
    reason = "The agent withdrew it."
    try:
        await in_database(lifecycle.cancel, own.pk, actor=f"agent:{agent.name}", reason=reason)
    except Conflict as error:
        row = await in_database(read_call, own.pk)
        if row.status != ToolCall.Status.CANCELLED:
            # No kind of its own: it is not the agent's any more to withdraw.
            raise NotAllowed(error.message, call_id=own.pk) from None
    row = await in_database(read_call, own.pk)
    text = f"WITHDRAWN: {row.sentence}. Nothing was done, and nobody will be asked."
    facts = {"call_id": str(row.pk), "state": row.status}
    return results.told(text, facts, results.of_call(row, now()), is_error=False)
