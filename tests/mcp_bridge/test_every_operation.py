"""The refund story, from asking to the answer, with one database or socket operation broken.

An ordinary run breaks every one on a socket and every seventh of the rest; with
COUNTERSIGN_EVERY_OPERATION=1 it breaks each, before and after it is done.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import StringIO
from typing import Any

import httpx2
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection

from approvals import lifecycle, tasks
from approvals.models import Agent, Dispatch, ToolCall, database_now
from mcp_bridge import release
from tests.support.agent_view import told
from tests.support.bridging import Running
from tests.support.operations import SOCKET, Operations
from tests.support.running import until
from tests.support.upstreams import HttpUpstream
from tests.support.visiting import post_json, visitor
from tests.support.world import REFUND, World

EVERY = bool(os.environ.get("COUNTERSIGN_EVERY_OPERATION"))
STRIDE = 1 if EVERY else 7
LEAST = 60  # a story of fewer operations is not the whole one
S = ToolCall.Status


class Story:
    """One refund: an agent asks, Bo approves, a worker releases, the agent reads what came of it.

    Each of them tries again when something broke, as agents, people and sweeps do.
    """

    def __init__(self, memo: str, world: World, bridge: Running, operations: Operations) -> None:
        self.arguments = REFUND | {"memo": memo}
        self._key, self._bridge, self._operations = world.key, bridge, operations
        self._bo = visitor(world.bo)
        self._bo.raise_request_exception = False

    def tell(self) -> tuple[ToolCall, dict[str, Any]]:
        """Go through it; return the call and what the agent was told in the end."""
        ticket = until(self._ask, "a ticket")
        call = ToolCall.objects.get(pk=ticket)
        until(lambda: self._approve(call), "the approval")
        until(lambda: self._release(call), "the end of the call", 60)
        answer = until(lambda: self._read(call), "the answer")
        return ToolCall.objects.get(pk=call.pk), answer

    def _ask(self) -> str:
        answer = self._call("billing__refund", self.arguments)
        return str(told(answer).get("ticket", "")) if answer else ""

    def _approve(self, call: ToolCall) -> bool:
        body = {"verdict": "approve", "binding": call.binding}
        with self._operations.counted(), suppress(DatabaseError):
            post_json(self._bo, f"calls/{call.pk}/decisions/", body)
        connection.close()  # as a server does at the end of a request
        return ToolCall.objects.get(pk=call.pk).status != S.PENDING

    def _release(self, call: ToolCall) -> bool:
        """Do what clock, sweep and broker do in a second or a minute."""
        mine = ToolCall.objects.filter(pk=call.pk)
        mine.filter(status__in=(S.CLAIMED, S.DISPATCHED)).update(lease_until=database_now())
        mine.filter(status=S.APPROVED).update(not_before=None)
        for step in (lambda: release.release(str(call.pk)), tasks.sweep):
            # What a worker of Celery writes into its log.
            with self._operations.counted(), suppress(DatabaseError, OSError):
                step()
            connection.close()
        return ToolCall.objects.get(pk=call.pk).status in lifecycle.ANSWERED

    def _read(self, call: ToolCall) -> dict[str, Any]:
        asked = {"ticket": str(call.pk), "wait_seconds": 0}
        answer = self._call("approval_status", asked)
        is_of_the_call = answer.get("isError") is not True or "state" in told(answer)
        return answer if is_of_the_call else {}  # it was told to try again later

    def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        with self._operations.counted(), suppress(httpx2.HTTPError, AssertionError):
            answer: dict[str, Any] = self._bridge.call(self._key, tool, arguments)
            return answer
        return {}


def ways(names: Sequence[str]) -> Iterator[tuple[int, bool]]:
    """Yield which operations to break, by number, and whether that comes after they were done."""
    for number, name in enumerate(names, 1):
        for comes_after in (False, True):
            is_of_sample = number % STRIDE == 0 and comes_after == (number // STRIDE) % 2
            if EVERY or is_of_sample or name.startswith(SOCKET):
                yield number, comes_after


@pytest.mark.timeout(3_000 if EVERY else 300)
def test_whichever_operation_breaks_it_pays_at_most_once_and_the_agent_learns_the_end(
    world: World,
    bridge: Running,
    billing: HttpUpstream,
    settings: Any,
    monkeypatch: Any,
    capsys: Any,
):
    settings.SUBMITS_PER_SECOND = settings.SUBMITS_BURST = 10_000
    Agent.objects.update(grace_seconds=0)
    operations = Operations(monkeypatch)
    ended, tried = Counter[str](), 0
    for whole in ("the first one loads what is kept", "whole"):
        operations.break_at(0, comes_after=False)
        Story(whole, world, bridge, operations).tell()
        start_anew()
    names = operations.passed
    assert len(names) > LEAST

    for number, comes_after in ways(names):
        operations.break_at(number, comes_after=comes_after)
        memo = f"{number} {'after' if comes_after else 'before'}"
        call, answer = Story(memo, world, bridge, operations).tell()
        what = f"{operations.broken}, {memo}, left it {call.status}"
        check(call, answer, what)
        check_effects(call, billing, what)
        start_anew()
        tried += 1
        ended[call.status] += bool(operations.broken)

    # One story may have an operation more than another: what looks around does so by the clock.
    assert ended.total() > 0.9 * tried
    assert ended[S.UNKNOWN]
    for call in ToolCall.objects.all():  # and nothing happened later
        check_effects(call, billing, memo_of(call))
    said = StringIO()
    call_command("verify_audit", stdout=said)
    assert "The audit trail is whole" in said.getvalue()
    with capsys.disabled():
        print(f"\n{len(names)} operations, broken in {tried} ways: {dict(ended)};", end=" ")


def check(call: ToolCall, answer: dict[str, Any], what: str) -> None:
    """Compare the row with what the agent was told."""
    assert ToolCall.objects.filter(arguments_digest=call.arguments_digest).count() == 1, what
    assert Dispatch.objects.filter(call=call).count() == 1, what
    if call.status == S.SUCCEEDED:
        assert json.dumps(memo_of(call)) in answer["content"][0]["text"], what
    else:
        assert answer["isError"], what
        assert told(answer)["state"] == call.status, what


def check_effects(call: ToolCall, billing: HttpUpstream, what: str) -> None:
    """Compare the row with what the upstream did."""
    effects = [one["memo"] for one in billing.effects].count(memo_of(call))
    allowed = {"succeeded": {1}, "unknown": {0, 1}, "failed": {0}}
    assert effects in allowed[call.status], (what, effects)


def memo_of(call: ToolCall) -> str:
    return str(json.loads(bytes(call.arguments))["memo"])


def start_anew() -> None:
    """Leave the upstream, so that the next story connects again."""
    release.stop_claiming()
    release.wait_idle(10)
    release._work.is_stopping = False
