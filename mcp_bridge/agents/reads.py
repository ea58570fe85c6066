"""The trail of reads that passed: nothing leaves for the agent before its event is committed.

Owned by `McpMount`, used by the path of a read. What has gathered is written as soon as the last
write is done: a single read waits for one commit, a thousand share one.
"""

import asyncio
import logging
import uuid

from approvals import observations
from approvals.errors import TemporarilyUnavailable
from approvals.observations import ReadEntry
from mcp_bridge.threads import DatabaseThreads

log = logging.getLogger(__name__)

_AT_ONCE = 1_000  # events in one transaction

_Waiting = tuple[ReadEntry, "asyncio.Future[int]"]


class ReadLog:
    """Writes read events in groups, in the stream of this run of the bridge."""

    def __init__(self) -> None:
        self.run = uuid.uuid4().hex[:16]
        self.stream = f"reads:{self.run}"
        self._threads = DatabaseThreads(1, "bridge-reads")
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, entry: ReadEntry) -> int:
        """Return the event's number in `stream`, once it is committed.

        Raises:
            TemporarilyUnavailable: the trail cannot be written, so the answer must not leave.
        """
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        # A caller that goes away takes nothing back: what was read belongs in the trail.
        return await asyncio.shield(written)

    async def close(self) -> None:
        """Write what has gathered, then end the thread."""
        if self._writing is not None:
            await self._writing
        self._threads.close()

    async def _write(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                await self._write_group(group)
        finally:
            self._writing = None

    async def _write_group(self, group: list[_Waiting]) -> None:
        entries = [entry for entry, _ in group]
        try:
            numbers = await self._threads.run(observations.record_reads, self.run, entries)
        except Exception:
            log.exception("%d reads could not be written into the trail.", len(group))
            for _, written in group:
                written.set_exception(
                    TemporarilyUnavailable(
                        "The audit trail cannot be written, so the answer is withheld.",
                        retry_after_seconds=5,
                    )
                )
                written.exception()  # a reader that went away must not leave a complaint
            return
        for (_, written), number in zip(group, numbers, strict=True):
            written.set_result(number)
