"""How many releases go to one upstream at a time, and who is next: agents take turns."""

from asyncio import Future, get_running_loop
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Line:
    """The line before one upstream; used on one event loop."""

    def __init__(self, places: int) -> None:
        """Open it.

        Args:
            places: how many may be at the upstream at once.
        """
        self._free = places
        self._waiting: OrderedDict[int, deque[Future[None]]] = OrderedDict()

    @property
    def length(self) -> int:
        """Return how many wait."""
        return sum(map(len, self._waiting.values()))

    def waiting_of(self, agent_id: int) -> int:
        """Return how many of an agent's wait."""
        return len(self._waiting.get(agent_id, ()))

    @asynccontextmanager
    async def place(self, agent_id: int) -> AsyncIterator[None]:
        """Wait for a place and keep it; an agent with many calls waits behind one with few."""
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait(agent_id)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, agent_id: int) -> None:
        turn: Future[None] = get_running_loop().create_future()
        self._waiting.setdefault(agent_id, deque()).append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # the place was given to us in the moment we gave up
            raise

    def _pass_on(self) -> None:
        """Give a place to the agent whose turn it is, or keep it free."""
        while self._waiting:
            agent_id, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[agent_id] = turns  # at the end: others come first now
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
