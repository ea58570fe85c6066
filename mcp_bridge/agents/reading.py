"""The path of a read that passes: to the upstream, into the trail, and only then to the agent.

docs/performance.md says where its time goes; `manage.py benchmark --only reads` measures it.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from approvals.errors import ApprovalsError, UpstreamError
from approvals.observations import ReadEntry
from mcp_bridge.agents import results
from mcp_bridge.agents.parts import Ask, Parts, now
from mcp_bridge.agents.results import Provenance, Result

# What an agent may hand on to upstreams: where its call belongs in a trace, and nothing else.
_FORWARDED = ("traceparent", "tracestate", "baggage")
_LONGEST_FORWARDED = 8_192


async def read(parts: Parts, ask: Ask, arguments_digest: str) -> Result:
    """Return the upstream's answer, or why there is none; either way its event is committed.

    Raises:
        TemporarilyUnavailable: the trail cannot be written.
    """
    read_id, at, began = str(uuid4()), now(), time.perf_counter()
    answer: Mapping[str, Any] | ApprovalsError
    outcome = "abandoned"
    try:
        answer = await _ask_upstream(parts, ask)
        outcome = "tool_error" if answer.get("isError") else "ok"
    except ApprovalsError as error:
        answer, outcome = error, error.code
    except asyncio.CancelledError:
        # The agent went away, but the upstream was asked.
        _keep(parts, _entry(ask, read_id, at, arguments_digest, (outcome, began)))
        raise
    entry = _entry(ask, read_id, at, arguments_digest, (outcome, began))
    number = await parts.reads.record(entry)
    provenance = Provenance(
        tool=ask.tool.exposed_name,
        at=now(),
        read_id=read_id,
        upstream=ask.tool.upstream,
        definition_digest=ask.tool.definition_digest,
        domain=ask.tool.domain,
        decided_by=f"rule:{ask.judgement.rule}",
        stream=parts.reads.stream,
        number=number,
    )
    if isinstance(answer, ApprovalsError):
        return results.refusal(answer, provenance)
    return results.relayed(answer, provenance)


async def _ask_upstream(parts: Parts, ask: Ask) -> Mapping[str, Any]:
    meta = {
        key: value
        for key in _FORWARDED
        if isinstance(value := ask.meta.get(key), str) and len(value) <= _LONGEST_FORWARDED
    }
    tool = ask.tool
    result = await parts.sessions.read(tool.upstream_id, tool.name, ask.arguments, meta)
    if result.get("resultType", "complete") != "complete":
        raise UpstreamError("The upstream server asks for more input, which a read is not given.")
    if not results.is_relayable(result):
        raise UpstreamError("The upstream server's answer is not a tool result that MCP knows.")
    return result


def _entry(
    ask: Ask, read_id: str, at: datetime, arguments_digest: str, ended: tuple[str, float]
) -> ReadEntry:
    outcome, began = ended
    return ReadEntry(
        read_id=read_id,
        at=at,
        agent=ask.caller.agent.name,
        acts_for=ask.caller.key.acts_for,
        domain=ask.tool.domain,
        upstream=ask.tool.upstream,
        tool=ask.tool.exposed_name,
        definition_digest=ask.tool.definition_digest,
        arguments_digest=arguments_digest,
        rule=ask.judgement.rule,
        outcome=outcome,
        duration_ms=round((time.perf_counter() - began) * 1000),
    )


_kept: set[asyncio.Task[None]] = set()


def _keep(parts: Parts, entry: ReadEntry) -> None:
    """Write an event that no answer waits for."""

    async def record() -> None:
        with suppress(ApprovalsError):  # logged where it failed
            await parts.reads.record(entry)

    task = asyncio.create_task(record())
    _kept.add(task)
    task.add_done_callback(_kept.discard)
