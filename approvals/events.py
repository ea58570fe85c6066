"""After a commit: tell pages, bridges and workers which row changed. All of it is hints.

One daemon thread with a loop of its own sends them, so that neither a web request nor a release
waits for Redis, and a broken broker costs a log line and nothing else: sweeps, reconnects and
look-agains find whatever a lost hint would have started.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from typing import Any, cast
from uuid import UUID

from celery import current_app
from channels.layers import BaseChannelLayer, get_channel_layer
from django.conf import settings
from django.db import transaction
from kombu import Connection

from approvals import failpoints
from approvals.models import ToolCall

log = logging.getLogger(__name__)

BRIDGES = "bridges"
_SECONDS_TO_LIVE = 10  # of a release message: a dead worker must not fill the broker
_AT_MOST_WAITING = 10_000


def domain_group(domain_id: int) -> str:
    """Return the channel group of the pages that may see a domain's calls."""
    return f"domain.{domain_id}"


def person_group(person_id: int) -> str:
    """Return the channel group of one person's pages."""
    return f"person.{person_id}"


def release_queue(domain_name: str) -> str:
    """Return the Celery queue whose workers hold the domain's write credentials."""
    return f"release.{domain_name}"


def messages_waiting(queue: str, broker: Connection) -> int:
    """Return how many messages wait in a queue of the workers."""
    channel: Any = broker.default_channel
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except broker.channel_errors:
        return 0  # nobody has used that queue yet


def publish_on_commit(call: ToolCall) -> None:
    """Announce, once the open transaction is committed, that a call is what it is now."""
    # Read now: one transaction may move a call twice, and each move has its own hint.
    news = {"type": "call.changed", "call": str(call.pk), "version": call.version}
    groups = {
        domain_group(call.domain_id),
        person_group(call.owner_id),
        person_group(call.acts_for_id),
    }
    messages = [(group, news) for group in groups]
    messages.append((BRIDGES, {**news, "status": str(call.status)}))
    is_ready = call.status == ToolCall.Status.APPROVED and call.not_before is None
    domain_name = call.domain.name if is_ready else ""

    def publish() -> None:
        failpoints.hit("outbox")
        _hints.send(_tell(messages))
        if is_ready:
            wake_release(call.pk, domain_name)

    # Robust: what was committed stays committed, so nothing here may look like a failure of it.
    transaction.on_commit(publish, robust=True)


def publish_look_on_commit(call: ToolCall) -> None:
    """Announce, once the open transaction is committed, that somebody opened a call.

    In the words of any hint: a page that has this version already asks who looks.
    """
    news = {"type": "call.changed", "call": str(call.pk), "version": call.version}
    group = domain_group(call.domain_id)
    transaction.on_commit(lambda: _hints.send(_tell([(group, news)])), robust=True)


def wake_release(call_id: UUID, domain_name: str) -> None:
    """Ask a worker of the domain to look at an approved call."""
    _hints.send(
        asyncio.to_thread(
            _send_task, "mcp_bridge.release", str(call_id), release_queue(domain_name)
        )
    )


def start_refresh(upstream_id: int, domain_name: str) -> None:
    """Ask a worker of the domain to list an upstream's tools again."""
    _hints.send(
        asyncio.to_thread(_send_task, "mcp_bridge.refresh", upstream_id, release_queue(domain_name))
    )


def start_backtest(backtest_id: int) -> None:
    """Ask a worker of the core queue to try a policy on past calls."""
    queue = settings.CELERY_TASK_DEFAULT_QUEUE
    _hints.send(asyncio.to_thread(_send_task, "approvals.backtest", backtest_id, queue))


def wait_until_sent(seconds: float) -> None:
    """Let what is under way leave before a short-lived process, such as a command, ends."""
    _hints.wait(seconds)


async def _tell(messages: list[tuple[str, dict[str, Any]]]) -> None:
    layer = cast(BaseChannelLayer, get_channel_layer())  # settings name one
    for group, message in messages:
        await layer.group_send(group, message)


def _send_task(name: str, argument: str | int, queue: str) -> None:
    current_app.send_task(
        name,
        [argument],
        queue=queue,
        expires=_SECONDS_TO_LIVE,
        retry=False,
    )


class _Hints:
    """The thread that sends; started at the first hint, so that a fork or a command has none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = 0

    def send(self, hint: Coroutine[Any, Any, None]) -> None:
        """Hand a coroutine over; it is dropped when the broker is so slow that too many wait."""
        with self._lock:
            loop = self._running_loop() if self._waiting < _AT_MOST_WAITING else None
            if loop is None:
                hint.close()
                return
            self._waiting += 1
        asyncio.run_coroutine_threadsafe(self._run(hint), loop)

    def wait(self, seconds: float) -> None:
        """Return when no hint waits any more, or when the time is over."""
        end = time.monotonic() + seconds
        while self._waiting and time.monotonic() < end:
            time.sleep(0.01)

    async def _run(self, hint: Coroutine[Any, Any, None]) -> None:
        try:
            # A hint that a broker does not take in time is of no use, and others need the room.
            async with asyncio.timeout(_SECONDS_TO_LIVE):
                await hint
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises
            log.warning("A hint was not sent (%r); the sweeps will find it.", error)
        finally:
            with self._lock:
                self._waiting -= 1

    def _running_loop(self) -> asyncio.AbstractEventLoop | None:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            try:
                threading.Thread(target=loop.run_forever, name="hints", daemon=True).start()
            except RuntimeError as error:  # no more threads, or the interpreter goes down
                loop.close()
                log.warning("Hints cannot be sent (%s); the sweeps will find it.", error)
                return None
            self._loop = loop
        return self._loop


_hints = _Hints()
