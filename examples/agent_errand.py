"""One errand of the scripted agent: make a call, follow it while people decide, tell the end.

Used by agent.py only. An errand outlives its connection: after a broken one it goes on from the
ticket it holds, or asks the same again, which the bridge joins to the call it already has.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import mcp_types as t
from agent_bridge import (
    Lost,
    Place,
    Refused,
    Task,
    TaskCancel,
    TaskGet,
    TaskParams,
    TaskState,
    Unreachable,
    converse,
)
from mcp.client import Client

DONE, NOT_EXECUTED, NO_CONNECTION, UNKNOWN, STILL_HELD = 0, 1, 2, 3, 4
WAITING = {
    "pending": "waiting for a person to decide",
    "approved": "approved, about to run",
    "claimed": "approved, about to run",
    "dispatched": "running",
    "working": "waiting",
}
LONG_POLL_SECONDS = 25
PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Held:
    """A call that people have not answered yet. `says` is what the model would read."""

    ticket: str
    state: str
    says: str
    approval_url: str = ""
    expires_at: str = ""
    pause_seconds: float = PAUSE_SECONDS


Answer = Held | t.CallToolResult


def say(line: str) -> None:
    """Print one line at once, with nothing in it that could drive the terminal."""
    try:
        print("".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in line), flush=True)
    except BrokenPipeError:
        # Nobody reads any more, but the exit code still tells the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def quote(text: str) -> None:
    """Print what the model reads, set off from what we say."""
    for line in text.splitlines() or ["(nothing)"]:
        say(f"  | {line}")


class Errand:
    """One call from asking to its end, over as many connections as that takes."""

    def __init__(self, tool: str, arguments: dict[str, Any], *, waits: bool) -> None:
        self._tool = tool
        self._arguments = arguments
        self._waits = waits
        self._held: Held | None = None
        self._asked_at = 0.0

    async def go_on(self, client: Client, place: Place) -> int:
        """Ask, or go on following what was asked before; return the exit code."""
        if self._held is None:
            answer = await self._ask(client)
        else:
            answer = await _look(client, place, self._held.ticket, LONG_POLL_SECONDS)
        while isinstance(answer, Held):
            self._tell_held(answer)
            self._held = answer
            if not self._waits:
                say(f"Not waiting. Ask later with: agent.py status {answer.ticket}")
                return DONE
            answer = await self._look_again(client, place, answer)
        return tell_end(answer)

    def tell_lost(self, why: str) -> None:
        """Say that the connection broke, and what that means for the call."""
        say(f"The connection broke ({why}). That does not cancel the call; connecting again.")

    def give_up(self) -> int:
        """Say that the end of this call is not known."""
        ticket = f" Ask later with: agent.py status {self._held.ticket}" if self._held else ""
        say(f"OUTCOME UNKNOWN: the bridge stays away, and the call may still be decided.{ticket}")
        return UNKNOWN

    async def _ask(self, client: Client) -> Answer:
        arguments = json.dumps(self._arguments, ensure_ascii=False)
        say(f"Calling {self._tool} {arguments}")
        self._asked_at = self._asked_at or time.monotonic()
        result = await client.session.call_tool(
            self._tool,
            self._arguments,
            progress_callback=self._progress,
            allow_claimed=True,
            allow_input_required=True,
        )
        return _understood(result)

    async def _look_again(self, client: Client, place: Place, held: Held) -> Answer:
        began = time.monotonic()
        if place.view == "task":
            await anyio.sleep(held.pause_seconds)
        answer = await _look(client, place, held.ticket, LONG_POLL_SECONDS)
        if isinstance(answer, Held) and time.monotonic() - began < 1:
            # The bridge did not wait with us, so the pause is ours to keep.
            await anyio.sleep(answer.pause_seconds)
        return answer

    def _tell_held(self, held: Held) -> None:
        if self._held is not None:
            seconds = round(time.monotonic() - self._asked_at)
            say(f"  {WAITING.get(held.state, held.state)}, {seconds} s so far")
            return
        say("HELD. The model reads:")
        quote(held.says)
        say(f"Ticket {held.ticket}{_until(held.expires_at)}.")
        if held.approval_url:
            say(f"A person decides at {held.approval_url}")

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        say(f"  {message or f'waiting, {round(time.monotonic() - self._asked_at)} s so far'}")


async def carry_out(place: Place, errand: Errand) -> int:
    """Run an errand to its end, connecting again when the connection breaks on the way.

    Raises:
        Unreachable: there was no connection to begin with, or the key is not accepted.
    """
    stood = False
    give_up_at = 0.0

    async def step(client: Client) -> int:
        nonlocal stood, give_up_at
        if not stood:
            tell_connected(place, client)
        stood, give_up_at = True, 0.0
        return await errand.go_on(client, place)

    while True:
        try:
            return await converse(place, step)
        except Lost as lost:
            errand.tell_lost(str(lost))
        except Unreachable:
            if give_up_at == 0.0:
                raise
        give_up_at = give_up_at or time.monotonic() + place.patience_seconds
        if time.monotonic() > give_up_at:
            return errand.give_up()
        await anyio.sleep(PAUSE_SECONDS)


def tell_connected(place: Place, client: Client) -> None:
    """Say to whom we speak, how, and with which key."""
    server = client.server_info
    name = (server.title or server.name) if server else "an unnamed server"
    say(
        f"Connected to {name} at {place.url} "
        f"(MCP {client.protocol_version}) with the key {place.key_name}"
    )


async def tell_status(client: Client, place: Place, ticket: str) -> int:
    """Say once how a ticket stands, and return the exit code."""
    answer = await _look(client, place, ticket, 0)
    if not isinstance(answer, Held):
        return tell_end(answer)
    say(f"Still held: {WAITING.get(answer.state, answer.state)}{_until(answer.expires_at)}.")
    quote(answer.says)
    return STILL_HELD


async def withdraw(client: Client, place: Place, ticket: str) -> int:
    """Cancel a held call, and return the exit code."""
    if place.view == "task":
        params = TaskParams(taskId=ticket)
        await client.session.send_request(TaskCancel(params=params), t.EmptyResult)
        say(f"Asked to withdraw {ticket}; it may have been decided before.")
        return DONE
    result = await client.call_tool("approval_cancel", {"ticket": ticket})
    say("Not withdrawn. The model reads:" if result.is_error else "Withdrawn. The model reads:")
    quote(_text(result))
    return NOT_EXECUTED if result.is_error else DONE


def tell_end(result: t.CallToolResult) -> int:
    """Say how a call ended, and return the exit code."""
    text = _text(result)
    facts = result.structured_content if isinstance(result.structured_content, dict) else {}
    if text.startswith("OUTCOME UNKNOWN") or facts.get("kind") == "outcome_unknown":
        headline, code = "OUTCOME UNKNOWN. The model reads:", UNKNOWN
    elif text.startswith("NOT EXECUTED"):
        headline, code = "NOT EXECUTED. The model reads:", NOT_EXECUTED
    elif result.is_error:
        headline, code = "The answer is an error. The model reads:", NOT_EXECUTED
    else:
        headline, code = "Done. The model reads:", DONE
    say(headline)
    quote(text)
    fresh = {name: value for name, value in facts.items() if value != text}
    said = json.dumps(fresh, ensure_ascii=False)
    if fresh and said not in text:  # many servers repeat the facts as text, for older clients
        say(f"  = {said}")
    return code


async def _look(client: Client, place: Place, ticket: str, wait_seconds: int) -> Answer:
    if place.view == "task":
        params = TaskParams(taskId=ticket)
        state = await client.session.send_request(TaskGet(params=params), TaskState)
        return _task_answer(state)
    result = await client.session.call_tool(
        "approval_status", {"ticket": ticket, "wait_seconds": wait_seconds}, allow_claimed=True
    )
    return _try_later(ticket, result) or _understood(result)


def _try_later(ticket: str, result: t.Result) -> Held | None:
    """Return the call as still held when only the question came at a bad moment."""
    if not isinstance(result, t.CallToolResult) or not result.is_error:
        return None
    facts = result.structured_content
    if not isinstance(facts, dict) or not isinstance(facts.get("kind"), str):
        return None
    if facts["kind"] not in ("rate_limited", "temporarily_unavailable"):
        return None
    pause = float(facts.get("retry_after_seconds") or PAUSE_SECONDS)
    return Held(ticket, "pending", _text(result), pause_seconds=pause)


def _understood(result: t.Result) -> Answer:
    if isinstance(result, Task):
        pause = result.poll_interval_ms / 1000
        return Held(result.task_id, result.status, result.status_message, pause_seconds=pause)
    if not isinstance(result, t.CallToolResult):
        raise Refused(
            "The server asks for more input, which this agent gives none.", is_definite=False
        )
    facts = result.structured_content
    if result.is_error or not isinstance(facts, dict) or facts.get("state") not in WAITING:
        return result
    if not isinstance(facts.get("ticket"), str):
        return result
    return Held(
        facts["ticket"],
        facts["state"],
        _text(result),
        approval_url=str(facts.get("approval_url") or ""),
        expires_at=str(facts.get("expires_at") or ""),
        pause_seconds=float(facts.get("retry_after_seconds") or PAUSE_SECONDS),
    )


def _task_answer(state: TaskState) -> Answer:
    if state.status == "working":
        pause = state.poll_interval_ms / 1000
        return Held(state.task_id, "working", state.status_message, pause_seconds=pause)
    if state.status == "completed" and state.result is not None:
        return t.CallToolResult.model_validate(state.result)
    # cancelled, failed, or input_required, which nobody here can give
    why = (
        (state.error or {}).get("message") or state.status_message or f"the task is {state.status}"
    )
    prefix = "OUTCOME UNKNOWN" if state.status == "failed" else "NOT EXECUTED"
    return t.CallToolResult(content=[t.TextContent(text=f"{prefix}: {why}")], is_error=True)


def _text(result: t.CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, t.TextContent))


def _until(expires_at: str) -> str:
    try:
        moment = datetime.fromisoformat(expires_at).astimezone(UTC)
    except ValueError:
        return ""
    return f", to be decided by {moment:%H:%M} UTC on {moment.day} {moment:%B}"
