"""An entered session with an upstream, and who uses it; `connections` enters and leaves it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
from mcp.client import Client
from mcp.client.session import ClientSession

from mcp_bridge.upstreams.lines import Line

IDLE_SECONDS = 900.0


class Open:
    """A session that is entered, and who uses it."""

    def __init__(self, client: Client, line: Line) -> None:
        self.client = client
        self.line = line
        self.is_retired = False  # nobody new may use it
        self._users = 0
        self._used_at = time.monotonic()
        self._changed = asyncio.Event()

    @property
    def session(self) -> ClientSession:
        """Return the SDK's session."""
        return self.client.session

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep it from being left while somebody waits for an answer."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._used_at = time.monotonic()
            # Whoever keeps it is woken only to leave: thousands of reads end here.
            if self.is_retired and not self._users:
                self._changed.set()

    def retire(self) -> None:
        """Let nobody new in; it is left when the last answer has come."""
        self.is_retired = True
        self._changed.set()

    async def unused(self) -> None:
        """Return when it is time to leave: retired or idle for long, and nobody waits."""
        while self._users or not (self.is_retired or self._idle_in() <= 0):
            self._changed.clear()
            # While somebody waits for an answer, idleness begins later than now.
            with anyio.move_on_after(IDLE_SECONDS if self._users else self._idle_in()):
                await self._changed.wait()
        self.is_retired = True

    def _idle_in(self) -> float:
        """Return after how many seconds it will be idle if nobody uses it meanwhile."""
        return self._used_at + IDLE_SECONDS - time.monotonic()


@asynccontextmanager
async def retiring(opened: Open, ended: asyncio.Event) -> AsyncIterator[Open]:
    """Retire a session as soon as its child process has ended."""

    async def watch() -> None:
        await ended.wait()
        opened.retire()

    watching = asyncio.create_task(watch())
    try:
        yield opened
    finally:
        opened.retire()
        watching.cancel()
