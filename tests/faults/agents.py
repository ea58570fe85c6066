"""Agents of a fault run: they ask until they are told, in either era, and write it down."""

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.journal import Journal
from tests.faults.plans import Asker, Plan
from tests.faults.web import Answer, Broken, Web
from tests.support import wire

ANSWERED = {"succeeded", "failed", "unknown", "rejected", "expired", "cancelled", "void"}
AGAIN_SECONDS = 0.25
_PROVENANCE = "countersign/provenance"


@dataclass(frozen=True)
class Told:
    """What an answer says of a call; no state: it says nothing of one."""

    call: str = ""
    state: str = ""
    read: str = ""
    number: int = 0  # of the newest event in the call's stream
    kind: str = ""  # of an error

    @property
    def is_end(self) -> bool:
        """Return whether the agent need not ask again."""
        return self.state in ANSWERED or self.state == "gone"


def told_by(message: dict[str, Any]) -> Told:
    """Return what a JSON-RPC answer to tools/call or tasks/get says."""
    result = message.get("result")
    if not isinstance(result, dict):
        return Told(kind=str(message.get("error", {}).get("message", "no result")))
    if "taskId" in result:
        return _told_by_task(result)
    facts = result.get("structuredContent") or {}
    provenance = (result.get("_meta") or {}).get(_PROVENANCE) or {}
    call = str(provenance.get("call_id", ""))
    state = str(facts.get("state", ""))
    if call and not state and "kind" not in facts:
        state = "failed" if result.get("isError") else "succeeded"
    return Told(
        call,
        state,
        str(provenance.get("read_id", "")),
        int((provenance.get("audit") or {}).get("number", 0)),
        str(facts.get("kind", "")),
    )


def _told_by_task(result: dict[str, Any]) -> Told:
    if result["status"] == "working":
        return Told(result["taskId"], "working")
    if result["status"] == "cancelled":
        return Told(result["taskId"], "cancelled")
    return told_by({"result": result["result"]}) if "result" in result else Told(kind="no result")


@dataclass
class Agent:
    """One agent's key, journal, and what it has been told of each of its tickets."""

    asker: Asker
    key: str
    ports: Sequence[int]
    journal: Journal
    told: dict[str, str] = field(default_factory=dict)  # by ticket: the last state
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _idle: list[Web] = field(default_factory=list)

    async def ask(self, plan: Plan) -> Told:
        """Ask for something until there is a ticket or an answer."""
        meta = {"countersign/idempotency_key": plan.key} if plan.key else {}
        params = {"name": plan.exposed, "arguments": plan.arguments, "_meta": meta}
        self.journal.write("asking", number=plan.number, tool=plan.exposed)
        while True:
            told = await self._try("tools/call", params)
            if told is not None and (told.call or told.read):
                self._note(told, plan.number)
                return told
            if told is not None and told.kind not in _PASSING:
                self.journal.write("refused", number=plan.number, kind=told.kind)
            await asyncio.sleep(AGAIN_SECONDS)

    async def learn(self, call: str, seconds: float) -> Told:
        """Ask once how a call stands, and wait up to so long for its end."""
        if self.asker.tasks:
            told = await self._try("tasks/get", {"taskId": call})
            if told is not None and not told.is_end:
                await asyncio.sleep(min(seconds, 0.5))
        else:
            asked = {"ticket": call, "wait_seconds": int(seconds)}
            params = {"name": "approval_status", "arguments": asked}
            told = await self._try("tools/call", params)
        if told is not None and told.kind in _GONE:
            told = Told(call, "gone")  # nobody will ever tell more; the checker hears of it
        if told is None or told.call != call:
            await asyncio.sleep(AGAIN_SECONDS)
            return Told(call)
        self._note(told)
        return told

    async def learn_the_end(self, call: str) -> Told:
        """Ask until the call is answered."""
        while not (told := await self.learn(call, 15)).is_end:
            pass
        return told

    async def cancel(self, call: str) -> None:
        """Withdraw a call, if it still can be."""
        if self.asker.tasks:
            await self._try("tasks/cancel", {"taskId": call})
            return
        params = {"name": "approval_cancel", "arguments": {"ticket": call}}
        told = await self._try("tools/call", params)
        if told is not None and told.state == "cancelled":
            self.journal.write("withdrew", call=call)

    def _note(self, told: Told, number: int | None = None) -> None:
        if told.read:
            self.journal.write("read", read=told.read, number=number)
            return
        if self.told.get(told.call) == told.state and number is None:
            return
        self.told[told.call] = told.state
        facts = {"call": told.call, "state": told.state, "event": told.number}
        self.journal.write("told", **facts, **({} if number is None else {"number": number}))

    async def _try(self, method: str, params: dict[str, Any]) -> Told | None:
        """Send one request to one of the bridges; None when no answer came."""
        number = next(self._numbers)
        message = wire.message(number, method, params, era=self.asker.era, tasks=self.asker.tasks)
        body = json.dumps(message).encode()
        # A kept connection to any bridge, or a new one to the next.
        web = self._idle.pop() if self._idle else Web(self.ports[number % len(self.ports)])
        try:
            headers = wire.headers(self.key, message, era=self.asker.era)
            answer = await web.request("POST", "/mcp", body, headers)
            told = told_by(_message_in(answer))
        except (Broken, ValueError, KeyError, IndexError):
            web.close()
            return None
        self._idle.append(web)
        return told


_GONE = {"not_found", "Failed to retrieve task: Task not found"}
# What passes by itself: asking again is what an agent would do.
_PASSING = {"temporarily_unavailable", "rate_limited", "queue_full", "definition_changed"}


def _message_in(answer: Answer) -> dict[str, Any]:
    if "text/event-stream" not in answer.headers.get("content-type", ""):
        found: dict[str, Any] = json.loads(answer.body)
        return found
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    last: dict[str, Any] = json.loads(lines[-1])
    return last
