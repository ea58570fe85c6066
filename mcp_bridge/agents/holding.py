"""The path of a call that people or a rule must let through: one row, shown in four ways.

Used by `calling`, the companion tools and the Tasks extension. Which way is decided per request,
from what that request says its client can do. The row outlives the request: a client that goes away
has not withdrawn its call, and one that asks the same again joins it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseTrouble  # whatever a database's driver may raise
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from approvals import canonical, events, lifecycle, observations, submission
from approvals.errors import InvalidInput, NotFound, RateLimited
from approvals.models import ToolCall
from approvals.submission import Request, Submitted
from mcp_bridge.agents import asking, results, task_view
from mcp_bridge.agents.parts import Ask, Context, Parts, now
from mcp_bridge.agents.requests import key_of, withdraw
from mcp_bridge.agents.results import Result
from mcp_bridge.agents.waiting import read_call
from mcp_bridge.threads import in_background, in_database

_KEY, _SUPERSEDES, _ACTS_FOR = (
    f"countersign/{name}" for name in ("idempotency_key", "supersedes", "acts_for")
)
_LONGEST = 200


async def hold(parts: Parts, ask: Ask) -> Result:
    """Make the call, or join the one this repeats, and return the view this client can use.

    Raises:
        RateLimited, and whatever `submission.submit` raises.
    """
    request = _request(ask)
    agent, ctx = ask.caller.agent, ask.ctx
    assert ctx is not None  # noqa: S101 - the door answers nothing that is held
    if wait := parts.submits.take(agent.id):
        raise RateLimited(
            f"At most {settings.SUBMITS_PER_SECOND} calls a second; nothing was done.",
            retry_after_seconds=max(0.1, round(wait, 1)),
        )
    key = key_of(ask.caller.key.id, ask.passage.session, ctx.request_id)
    with parts.requests.opened(key, agent.name) as opened:
        submitted = await _submit(request)
        call = submitted.call
        opened.call_id = call.pk
        if opened.is_cancelled:  # by a message that overtook us
            await withdraw(call.pk, agent.name)
        if submitted.joined:
            in_background(observations.agent_returned, call.pk)
        else:
            _prepare_release(parts, ask)
        if follows_tasks(ctx) and call.status not in lifecycle.ANSWERED:
            # Of one that stood already, who signed has to be read as well.
            return task_view.created(await _whole(submitted), now())
        # More open requests than calls it may have: those that are too many get tickets at once.
        is_crowded = parts.requests.count(agent.name) > 2 * settings.PENDING_PER_AGENT
        patience = 0 if is_crowded else agent.grace_seconds
        return await follow(parts, ctx, call.pk, patience, joined=submitted.joined)


async def follow(
    parts: Parts, ctx: Context, call_id: UUID, patience_seconds: float, *, joined: bool = False
) -> Result:
    """Wait until a call is answered or patience is over, and return how it stands."""

    async def tick(call: ToolCall, waited: float) -> None:
        message = f"{await _how_far(call)} ({waited:.0f} s)."
        await ctx.session.report_progress(round(waited, 3), None, message)

    try:
        call = await parts.room.answered(
            call_id, patience_seconds, tick if _wants_progress(ctx) else None
        )
    except asyncio.CancelledError:
        in_background(observations.agent_left, call_id)
        raise
    return await delivered(call, joined=joined)


async def _how_far(call: ToolCall) -> str:
    if not asking.is_more_than_one(call):
        return "Waiting for a person to decide"
    # Nobody is woken for a signature that ends nothing, so the row may be older than that.
    with suppress(DatabaseTrouble):
        call = await in_database(read_call, call.pk)
    return f"Waiting for people to decide: {asking.in_words(call)}"


def _wants_progress(ctx: Context) -> bool:
    """Return whether to tell it of progress; ten thousand that do not need not be woken for it."""
    meta = (ctx.params or {}).get("_meta")
    return isinstance(meta, Mapping) and "progressToken" in meta


async def delivered(call: ToolCall, *, joined: bool = False) -> Result:
    """Return how a call stands; when that is its answer, note first that it reached the agent.

    First, because the note is what lets the same request make a new call: an agent that has its
    answer in hand must not get it again for the next thing it asks.
    """
    if call.status in lifecycle.ANSWERED:
        # A request that is not open any more is cancelled here, before the note.
        await asyncio.sleep(0)
        await in_database(observations.answer_delivered, call.pk)
    return results.answer(call, public_url=settings.PUBLIC_URL, at=now(), joined=joined)


def follows_tasks(ctx: Context) -> bool:
    """Return whether this very request declares the Tasks extension, on a protocol that has it."""
    capabilities = ctx.session.client_capabilities
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS or capabilities is None:
        return False
    return task_view.TASKS in (capabilities.extensions or {})


def _prepare_release(parts: Parts, ask: Ask) -> None:
    """Let a worker open its session and list the tools while people decide.

    The release looks again by itself; but opening a session can take longer than deciding.
    """
    upstream = ask.tool.upstream_id
    if not parts.prepared.take(upstream):
        events.start_refresh(upstream, ask.tool.domain)


async def _submit(request: Request) -> Submitted:
    submitting = asyncio.create_task(in_database(submission.submit, request))
    try:
        return await asyncio.shield(submitting)
    except asyncio.CancelledError:
        submitting.add_done_callback(_left_without_ticket)
        raise


async def _whole(submitted: Submitted) -> ToolCall:
    call = submitted.call
    return await in_database(read_call, call.pk) if submitted.joined else call


def _left_without_ticket(submitting: asyncio.Task[Submitted]) -> None:
    """Note that the agent of a call went away while it was being made."""
    if not submitting.cancelled() and submitting.exception() is None:
        in_background(observations.agent_left, submitting.result().call.pk)


def _request(ask: Ask) -> Request:
    meta = ask.meta
    supersedes = _text(meta, _SUPERSEDES)
    return Request(
        agent_id=ask.caller.agent.id,
        key_id=ask.caller.key.id,
        tool_id=ask.tool.id,
        arguments=ask.arguments,
        idempotency_key=_text(meta, _KEY),
        supersedes=_ticket(supersedes) if supersedes else None,
        claimed_acts_for=_text(meta, _ACTS_FOR),
        definition_digest=ask.tool.definition_digest,
    )


def _text(meta: Mapping[str, Any], key: str) -> str:
    value = meta.get(key)
    if value is None:
        return ""
    path = canonical.path_of(("_meta", key))
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput("must be a text that is not empty", path=path)
    if len(value) > _LONGEST:
        raise InvalidInput(f"has {len(value)} characters; at most {_LONGEST}", path=path)
    return value


def _ticket(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no call of yours by that ticket to supersede.") from None
