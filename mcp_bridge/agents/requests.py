"""Which call each open request waits for, so that a handshake-era client can cancel its request.

Such a client sends `notifications/cancelled` as a request of its own, which may reach another
bridge process; so it is passed on to all. Newer clients cancel by `tasks/cancel`.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from mcp.shared.dispatcher import coerce_request_id

from approvals import events, lifecycle
from approvals.errors import Conflict
from mcp_bridge.threads import in_database

log = logging.getLogger(__name__)

KIND = "request.cancelled"
_LINGER_SECONDS = 10.0
# Key id, the client's session, and the request's id in it.
Key = tuple[int, str, str | int]


@dataclass
class OpenRequest:
    """One request that is being answered; `call_id` is known once its call is made."""

    agent: str
    call_id: UUID | None = None
    is_cancelled: bool = False


class OpenRequests:
    """The open requests of this process."""

    def __init__(self) -> None:
        self._open: dict[Key, list[OpenRequest]] = defaultdict(list)
        self._per_agent: Counter[str] = Counter()

    def count(self, agent: str) -> int:
        """Return how many requests of an agent are open."""
        return self._per_agent[agent]

    @contextmanager
    def opened(self, key: Key, agent: str) -> Iterator[OpenRequest]:
        """Keep a request findable while it is open, and for a moment after its client left."""
        request = OpenRequest(agent)
        self._open[key].append(request)
        self._per_agent[agent] += 1
        lingers = False
        try:
            yield request
        except asyncio.CancelledError:
            # The client's cancellation may come behind the news that it is gone.
            lingers = True
            raise
        finally:
            self._per_agent[agent] -= 1
            wait = _LINGER_SECONDS if lingers else 0.0
            asyncio.get_running_loop().call_later(wait, self._forget, key, request)

    async def cancel(self, key: Key) -> None:
        """Withdraw the call an open request waits for, wherever that request is open."""
        if await self._cancel_here(key):
            return
        layer: Any = get_channel_layer()
        try:
            await layer.group_send(events.BRIDGES, {"type": KIND, "key": list(key)})
        except Exception as error:  # noqa: BLE001 - whatever the layer's client raises
            log.warning("A cancellation was not passed on: %s", error)

    async def passed_on(self, message: dict[str, Any]) -> None:
        """Cancel what another process was told about; a handler of the waiting room."""
        key_id, session, request_id = message["key"]
        await self._cancel_here((key_id, session, request_id))

    def _forget(self, key: Key, request: OpenRequest) -> None:
        self._open[key].remove(request)
        if not self._open[key]:
            del self._open[key]

    async def _cancel_here(self, key: Key) -> bool:
        found = self._open.get(key, [])
        # Two clients without sessions may count alike: cancelling the wrong call would be worse.
        if len(found) != 1:
            return False
        (request,) = found
        request.is_cancelled = True
        if request.call_id is not None:
            await withdraw(request.call_id, request.agent)
        return True


def key_of(key_id: int, session: str, request_id: str | int | None) -> Key:
    """Return under what a request is found; "7" and 7 are the same request."""
    return (key_id, session, coerce_request_id(request_id if request_id is not None else ""))


async def withdraw(call_id: UUID, agent: str) -> None:
    """Cancel a call for its agent; one that was sent already stays as it is."""
    with suppress(Conflict):
        await in_database(
            lifecycle.cancel,
            call_id,
            actor=f"agent:{agent}",
            reason="The client cancelled its request.",
        )
