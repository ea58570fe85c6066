"""How many reads of one agent are in work at once: who floods waits behind itself."""

from asyncio import Semaphore
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from approvals.errors import RateLimited

_MOST_WAITING = 500  # requests of one agent; a connection each


@dataclass
class _Gate:
    places: Semaphore
    users: int = 0  # in work or waiting


class Places:
    """The places of every agent, by name; used on one event loop. Idle names cost nothing."""

    def __init__(self, each: int) -> None:
        """Prepare the places.

        Args:
            each: how many a name has; 0 means without limit.
        """
        self._each = each
        self._gates: dict[Hashable, _Gate] = {}

    @asynccontextmanager
    async def taken(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for a place of a name's own, first come first served, and keep it for the block.

        Raises:
            RateLimited: too many of that name wait already.
        """
        if self._each <= 0:
            yield
            return
        gate = self._gates.setdefault(name, _Gate(Semaphore(self._each)))
        if gate.users >= self._each + _MOST_WAITING:
            raise RateLimited(retry_after_seconds=1)
        gate.users += 1
        try:
            async with gate.places:
                yield
        finally:
            gate.users -= 1
            if not gate.users:
                del self._gates[name]

    def __len__(self) -> int:
        """Return how many names have something in work or waiting."""
        return len(self._gates)
