"""The in-process channel layer of the embedded default; production uses Redis instead."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from channels.layers import InMemoryChannelLayer


class LoopSafeInMemoryLayer(InMemoryChannelLayer):
    """An in-memory layer that worker threads may send through.

    Its queues belong to the loop that serves consumers, so every send from another thread is
    carried there; otherwise a message sat until an unrelated timer woke that loop.
    """

    _home: asyncio.AbstractEventLoop | None = None

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Make a channel, and note that consumers are served on this loop."""
        self._home = asyncio.get_running_loop()
        return str(await super().new_channel(prefix))

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to one channel, on the loop that serves it."""
        await self._at_home(super().send, channel, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to a group, on the loop that serves it."""
        await self._at_home(super().group_send, group, message)

    async def _at_home(
        self, operation: Callable[..., Coroutine[Any, Any, None]], *args: object
    ) -> None:
        home = self._home
        if home is None or home is asyncio.get_running_loop() or not home.is_running():
            await operation(*args)
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(operation(*args), home))
