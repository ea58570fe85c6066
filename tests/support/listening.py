"""Listens to hints as pages, bridges and workers do: real channel groups and real queues."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celery import Celery, current_app
from channels.layers import get_channel_layer
from kombu.simple import SimpleQueue

from approvals import events
from config.celery import app as ours

NOBODY = "redis://127.0.0.1:1/0"  # a port on which nobody listens
_PATIENCE_SECONDS = 60


def wait_until(is_so: Callable[[], object]) -> None:
    """Look again and again until something is so; fail when it is not in time."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    turn = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so in time"
        turn.wait(0.005)


def wait_until_sent() -> None:
    """Wait until no hint is under way any more."""
    wait_until(lambda: events._hints._waiting == 0)


@contextmanager
def broken_broker() -> Iterator[None]:
    """Send messages to workers to a port on which nobody listens."""
    broken = Celery("broken", broker=NOBODY, set_as_current=False)
    broken.conf.broker_connection_timeout = 0.2
    try:
        broken.set_current()
        broken.set_default()
        yield
        wait_until_sent()
    finally:
        ours.set_current()
        ours.set_default()


@dataclass(frozen=True)
class Message:
    """One message of a worker's queue."""

    task: str
    arguments: list[Any]
    seconds_to_live: float


class Heard:
    """What was heard in some groups and queues since listening began."""

    def __init__(self, loop: asyncio.AbstractEventLoop, queues: list[str]) -> None:
        self._loop, self._queues = loop, queues
        self._channels: dict[str, str] = {}
        self._messages: dict[str, list[dict[str, Any]]] = {}
        self._releases: list[Message] = []
        self._layer: Any = get_channel_layer()

    @property
    def releases(self) -> list[Message]:
        """Return the messages to workers, in order."""
        self._listen()
        return self._releases

    def of(self, group: str) -> list[dict[str, Any]]:
        """Return what was told to groups whose names begin so, in order."""
        self._listen()
        found = [heard for name, heard in self._messages.items() if name.startswith(group)]
        return [message for heard in found for message in heard]

    def all(self) -> list[dict[str, Any]]:
        """Return what was told to any group."""
        return self.of("")

    def forget(self) -> None:
        """Begin anew."""
        self._listen()
        self._releases = []
        self._messages = {name: [] for name in self._channels}

    def join(self, group: str) -> None:
        """Listen to a group as well."""
        self._channels[group] = self.run(self._join(group))
        self._messages[group] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the loop that listens, as consumers do on theirs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)

    async def _join(self, group: str) -> str:
        channel = str(await self._layer.new_channel())
        await self._layer.group_add(group, channel)
        return channel

    def _listen(self) -> None:
        wait_until_sent()
        for group, channel in self._channels.items():
            self._messages[group] += self.run(self._drain(channel))
        for queue in self._queues:
            self._releases += _taken_from(queue)

    async def _drain(self, channel: str) -> list[dict[str, Any]]:
        """Return what is in a channel: all that comes before a word of our own."""
        await self._layer.send(channel, {"type": "end"})
        messages = []
        while (message := await self._layer.receive(channel))["type"] != "end":
            messages.append(dict(message))
        return messages


@contextmanager
def to(*groups: str, queues: list[str] | None = None) -> Iterator[Heard]:
    """Listen to groups of the channel layer and to queues of the broker."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="listening")
    thread.start()
    for queue in queues or []:
        _taken_from(queue)
    wait_until_sent()
    heard = Heard(loop, queues or [])
    try:
        for group in groups:
            heard.join(group)
        yield heard
    finally:
        wait_until_sent()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_SECONDS)
        loop.close()


def _taken_from(queue: str) -> list[Message]:
    with current_app.connection_for_read() as connection:
        simple = SimpleQueue(connection.default_channel, queue, no_ack=True)
        messages = []
        try:
            while True:
                messages.append(_message(simple.get_nowait()))
        except SimpleQueue.Empty:
            return messages


def _message(raw: Any) -> Message:
    arguments, _, _ = raw.decode()
    expires = datetime.fromisoformat(raw.headers["expires"])
    left = (expires - datetime.now(UTC)).total_seconds()
    return Message(raw.headers["task"], list(arguments), left)
