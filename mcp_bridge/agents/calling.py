"""The path of a `tools/call`: seen, checked, judged; then passed, refused or held.

Used by the server, and at the door for reads that pass. No rule lives here: `submission` judges,
the snapshot only tells what surely passes, and whatever else is allowed becomes a call.
"""

from django.db import Error
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams

from approvals import canonical, observations
from approvals.errors import ApprovalsError, NotAllowed, NotFound, TemporarilyUnavailable
from mcp_bridge.agents import companions, holding, listing, reading, results
from mcp_bridge.agents.door import Passage, passage_of
from mcp_bridge.agents.identity import Caller, asked_by
from mcp_bridge.agents.parts import Ask, Context, Parts, log_failure, now
from mcp_bridge.agents.results import Provenance, Result
from mcp_bridge.snapshot import hidden
from mcp_bridge.threads import in_database


async def call_tool(parts: Parts, ctx: Context, params: CallToolRequestParams) -> Result:
    """Answer one `tools/call`; every refusal that the model can act on is a tool error."""
    caller, passage = await parts.caller(ctx), passage_of(ctx.request)
    if params.name in listing.COMPANIONS:
        return await companions.call(parts, ctx, params)
    tool = caller.snapshot.visible(caller.agent, passage.surface).get(params.name)
    if tool is None:
        raise await _unknown(caller, passage, params.name)
    asked = asked_by(caller, ctx.params)
    judgement = caller.snapshot.judge(caller.agent, tool, asked)
    return await answer(parts, Ask(caller, passage, tool, judgement, ctx.params or {}, ctx))


async def answer(parts: Parts, ask: Ask) -> Result:
    """Answer a call of a tool that the agent may see."""
    try:
        return await _answer(parts, ask)
    except ApprovalsError as error:
        return results.refusal(error, _provenance(ask, error))
    except Error as error:
        log_failure(error)
        refusal = TemporarilyUnavailable(retry_after_seconds=5)
        return results.refusal(refusal, _provenance(ask, refusal))


async def _answer(parts: Parts, ask: Ask) -> Result:
    if ask.passage.refusal is not None:
        raise ask.passage.refusal
    body = canonical.to_bytes(dict(ask.arguments))
    agent = ask.caller.agent
    await parts.schemas.check(ask.tool, ask.arguments, len(body), agent.id)
    if ask.judgement.outcome == "deny":
        why = f"denied by rule {ask.judgement.rule}"
        await _record(ask.caller, "not_allowed", ask.tool.exposed_name, why)
        raise NotAllowed(ask.judgement.message)
    if ask.judgement.passes:
        return await reading.read(parts, ask, canonical.digest(body))
    return await holding.hold(parts, ask)


async def _unknown(caller: Caller, passage: Passage, name: str) -> MCPError:
    """Return what an agent is told of a tool it cannot see, whether there is one or not."""
    tool = caller.snapshot.tools.get(name)
    why = hidden(caller.agent, passage.surface, tool) if tool else "no such tool is listed"
    await _record(caller, "not_found", name, why)
    error = NotFound(f"Unknown tool: {name[:100]}")
    return MCPError(INVALID_PARAMS, error.message, {"error": error.as_dict()})


async def _record(caller: Caller, kind: str, tool: str, why: str) -> None:
    """Keep the true reason of a refusal; the agent is refused also when that fails."""
    try:
        await in_database(
            observations.refused, agent=caller.agent.name, kind=kind, tool=tool, why=why
        )
    except Error as error:
        log_failure(error)


def _provenance(ask: Ask, error: ApprovalsError) -> Provenance:
    is_denied = isinstance(error, NotAllowed)
    return Provenance(
        tool=ask.tool.exposed_name,
        at=now(),
        call_id=error.call_id or "",
        upstream=ask.tool.upstream,
        definition_digest=ask.tool.definition_digest,
        domain=ask.tool.domain,
        decided_by=f"rule:{ask.judgement.rule}" if is_denied else "",
        stream=f"agent:{ask.caller.agent.name}" if is_denied else "",
    )
