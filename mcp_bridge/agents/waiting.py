"""Waits for people: one subscription per process, and a future per request that waits.

Used by the paths of held calls. A message is a hint, so whoever is woken reads the row; and every
few seconds one query looks at all calls waited for, in case a hint was lost.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from django.db.models import prefetch_related_objects

from approvals import events, lifecycle
from approvals.models import ToolCall
from mcp_bridge.threads import in_database

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 3.0
TICK_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_FEW = 500  # ids in a query
_OVERLAP = timedelta(minutes=2)  # for clocks that differ, and for what was committed late

Tick = Callable[[ToolCall, float], Awaitable[None]]
Handler = Callable[[dict[str, Any]], Awaitable[None]]


class WaitingRoom:
    """Everybody in this process who waits for a call to be answered."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        self._handlers: dict[str, Handler] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def on(self, kind: str, handler: Handler) -> None:
        """Hand messages of another kind, sent to all bridges, to `handler`."""
        self._handlers[kind] = handler

    async def answered(
        self, call_id: UUID, patience_seconds: float, tick: Tick | None = None
    ) -> ToolCall:
        """Return the call's row: once it is answered, or as it is when patience is over.

        Args:
            tick: called every few seconds with the row as it was read, and the seconds waited.
        """
        began = time.monotonic()
        until = began + patience_seconds
        news = asyncio.Event()
        self._waiting.setdefault(call_id, set()).add(news)
        try:
            while True:
                # Listening before reading: what happens after the read is heard.
                news.clear()
                row = await in_database(read_call, call_id)
                is_over = time.monotonic() >= until or self._is_closing
                if row.status in lifecycle.ANSWERED or is_over:
                    return row
                told = None if tick is None else partial(tick, row)
                await _news_or_end(news, (began, until), told)
        finally:
            self._leave(call_id, news)

    def close(self) -> None:
        """Let everybody go: those who wait get their tickets now."""
        self._is_closing = True
        self._wake(list(self._waiting))

    async def listen(self) -> None:
        """Receive hints until cancelled; a broken broker costs speed, not answers."""
        while True:
            try:
                await self._receive()
            except Exception as error:  # noqa: BLE001 - whatever the layer's client raises
                log.warning("Hints cannot be received (%s); looking every few seconds.", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def look_again(self) -> None:
        """Look at every call waited for, every few seconds, in one query; until cancelled."""
        since: datetime | None = None
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            if not self._waiting:
                continue
            began = datetime.now(UTC)
            try:
                self._wake(await in_database(answered_among, list(self._waiting), since))
                since = began
            except Exception as error:  # noqa: BLE001 - the next look is seconds away
                log.warning("Waiting calls could not be looked at: %s", error)

    async def _receive(self) -> None:
        layer: Any = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(events.BRIDGES, channel)
        try:
            while True:
                await self._handle(await layer.receive(channel))
        finally:
            await layer.group_discard(events.BRIDGES, channel)

    async def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "call.changed":
            if message["status"] in lifecycle.ANSWERED:
                self._wake([UUID(message["call"])])
        elif handler := self._handlers.get(message["type"]):
            await handler(message)

    def _leave(self, call_id: UUID, news: asyncio.Event) -> None:
        others = self._waiting[call_id]
        others.discard(news)
        if not others:
            del self._waiting[call_id]

    def _wake(self, call_ids: Iterable[UUID]) -> None:
        for call_id in call_ids:
            for news in self._waiting.get(call_id, ()):
                news.set()


async def _news_or_end(
    news: asyncio.Event, span: tuple[float, float], tick: Callable[[float], Awaitable[None]] | None
) -> None:
    """Return at news or when the time is over; tick meanwhile."""
    began, until = span
    longest = TICK_SECONDS if tick is not None else math.inf
    while (now := time.monotonic()) < until:
        try:
            async with asyncio.timeout(min(longest, until - now)):
                await news.wait()
                return
        except TimeoutError:
            if tick is not None and time.monotonic() < until:
                await tick(time.monotonic() - began)


def read_call(call_id: UUID) -> ToolCall:
    """Return a call with what an answer names. Synchronous."""
    related = ToolCall.objects.select_related("agent", "domain", "upstream", "tool")
    call = related.get(pk=call_id)
    if call.status == ToolCall.Status.PENDING and call.version > 1:
        prefetch_related_objects([call], "decisions")  # a first version has none
    return call


def answered_among(call_ids: list[UUID], since: datetime | None = None) -> list[UUID]:
    """Return which of these calls are answered by now. Synchronous.

    Args:
        since: when they, or those of them that were waited for then, were last looked at.
    """
    answered = ToolCall.objects.filter(status__in=lifecycle.ANSWERED)
    if since is None or len(call_ids) <= _FEW:
        return list(answered.filter(pk__in=call_ids).values_list("pk", flat=True))
    # Ten thousand ids cost more to ask for than what was answered meanwhile costs to read. Whoever
    # came later has read its own row.
    lately = answered.filter(moved_at__gte=since - _OVERLAP).values_list("pk", flat=True)
    return list(set(call_ids).intersection(lately))
