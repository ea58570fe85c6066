"""Checks arguments against input schemas before anything else happens to them, in bounded time.

Owned by `McpMount`, used by the path of a call. Most schemas are checked on the spot. Those that an
agent could make slow go to a process of their own, which is killed when it takes too long.
"""

import asyncio
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from jsonschema.protocols import Validator

from approvals.errors import InvalidInput, RateLimited, TemporarilyUnavailable, UpstreamError
from mcp_bridge.schema_check import Unusable, compiled, is_bounded, problems, weight
from mcp_bridge.snapshot import ToolFacts

log = logging.getLogger(__name__)

LIMIT_SECONDS = 1.0
_START_SECONDS = 10.0
_PENALTY_SECONDS = 10.0  # whose arguments took too long does not get to do it again at once
_ON_THE_SPOT = 100_000  # parts of the schema times bytes of the arguments; some 100 ms at worst
_AT_MOST_KEPT = 5_000
_LINE_BYTES = 1024 * 1024


class TookTooLong(Exception):
    """The check was not done within its limit."""


@dataclass(frozen=True)
class _Known:
    """A schema that was looked at once; `validator` is None where only the other process may."""

    validator: Validator | None
    weight: int
    unusable: str = ""


class Schemas:
    """Holds what was compiled, by definition digest, and the process of slow checks."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._slow = _SlowChecks()
        self._penalties: dict[int, float] = {}

    async def check(
        self, tool: ToolFacts, arguments: Mapping[str, Any], size: int, agent_id: int
    ) -> None:
        """Return when the arguments are as the tool wants them.

        Args:
            size: of the arguments in canonical bytes.

        Raises:
            InvalidInput: with the path of each problem.
            UpstreamError: the tool's schema cannot be used.
            RateLimited: this agent's arguments took too long a moment ago.
        """
        known = self._look_up(tool)
        if known.unusable:
            raise _unusable(tool, known.unusable)
        if known.validator is not None and known.weight * size <= _ON_THE_SPOT:
            try:
                found = problems(known.validator, arguments)
            except Unusable as error:
                raise _unusable(tool, str(error)) from None
        else:
            found = await self._check_slowly(tool, arguments, agent_id)
        if found:
            raise InvalidInput(problems=found)

    async def close(self) -> None:
        """End the other process."""
        await self._slow.close()

    def _look_up(self, tool: ToolFacts) -> _Known:
        known = self._known.get(tool.definition_digest)
        if known is None:
            if len(self._known) >= _AT_MOST_KEPT:
                self._known.clear()
            known = self._known[tool.definition_digest] = _looked_at(tool.input_schema)
        return known

    async def _check_slowly(
        self, tool: ToolFacts, arguments: Mapping[str, Any], agent_id: int
    ) -> list[dict[str, str]]:
        left = self._penalties.get(agent_id, 0.0) - time.monotonic()
        if left > 0:
            raise RateLimited(
                "Checking this agent's arguments took too long a moment ago.",
                retry_after_seconds=round(left, 1),
            )
        self._penalties.pop(agent_id, None)
        try:
            answer = await self._slow.ask(tool.definition_digest, tool.input_schema, arguments)
        except TookTooLong:
            self._penalties[agent_id] = time.monotonic() + _PENALTY_SECONDS
            raise InvalidInput(
                "These arguments take too long to check against the tool's schema.", path="$"
            ) from None
        if "unusable" in answer:
            raise _unusable(tool, answer["unusable"])
        found: list[dict[str, str]] = answer["problems"]
        return found


def _looked_at(schema: Mapping[str, Any]) -> _Known:
    if not is_bounded(schema):
        return _Known(None, 0)
    try:
        return _Known(compiled(schema), weight(schema))
    except Unusable as error:
        return _Known(None, 0, str(error))


def _unusable(tool: ToolFacts, why: str) -> UpstreamError:
    return UpstreamError(
        f"Nothing was done: {tool.exposed_name}'s input schema cannot be used: {why}"
    )


class _SlowChecks:
    """One process that checks one thing at a time; started at the first, again after a kill."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._sent: set[str] = set()
        self._turn = asyncio.Lock()
        self._asking: set[asyncio.Task[dict[str, Any]]] = set()

    async def ask(
        self, digest: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what the process answers.

        Raises:
            TookTooLong: it was killed over this. TemporarilyUnavailable: it does not run.
        """
        asking = asyncio.create_task(self._ask(digest, schema, arguments))
        self._asking.add(asking)
        asking.add_done_callback(self._asked)
        # A caller that goes away must not leave its answer to the next one.
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        self._sent.clear()
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    def _asked(self, asking: asyncio.Task[dict[str, Any]]) -> None:
        self._asking.discard(asking)
        if not asking.cancelled():
            asking.exception()  # whoever waits has it; nobody may be waiting any more

    async def _ask(
        self, digest: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        asked: dict[str, Any] = {"digest": digest, "arguments": arguments}
        async with self._turn:
            process = await self._running()
            if digest not in self._sent:
                asked["schema"] = schema
            try:
                answer = await self._exchange(process, asked)
            except BaseException:
                await self.close()
                raise
            if "problems" in answer:
                self._sent.add(digest)
            return answer

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            await self.close()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mcp_bridge.agents.schema_worker",
                stdin=PIPE,
                stdout=PIPE,
                cwd=settings.BASE_DIR,
                env={},  # it needs no secret, so it gets none
                limit=_LINE_BYTES,
            )
            try:
                await _line(self._process, _START_SECONDS)
            except TookTooLong:
                await self.close()
                raise _down() from None
        return self._process

    @staticmethod
    async def _exchange(process: Process, asked: dict[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None  # noqa: S101 - it was started with a pipe
        with suppress(ConnectionError):  # it died: reading its answer says so
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            await process.stdin.drain()
        return await _line(process, LIMIT_SECONDS)


async def _line(process: Process, seconds: float) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    try:
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()
    except TimeoutError:
        raise TookTooLong from None
    if not line:
        raise _down()
    answer: dict[str, Any] = json.loads(line)
    return answer


def _down() -> TemporarilyUnavailable:
    return TemporarilyUnavailable(
        "Arguments cannot be checked right now; nothing was done.", retry_after_seconds=2
    )
