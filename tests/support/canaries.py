"""Where a secret could turn up: logs, messages, tables, answers, what reaches upstream servers.

A sink is filled by what really happens; `found` says in which places of it a text stands, as it is
or as an encoding would carry it.
"""

import base64
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from celery.signals import before_task_publish
from channels.layers import InMemoryChannelLayer, channel_layers
from django.db import connection

from tests.support.world import PASSWORD

# Whatever test made it: an agent's key with its secret, or the password of everybody in tests.
_SECRET = re.compile(rf"cs_[0-9a-f]{{10}}_[\w-]{{43}}|{PASSWORD}")


def is_secret(text: str) -> bool:
    """Return whether a text holds an agent's key or a person's password."""
    return bool(_SECRET.search(text))


class Sinks:
    """What was written somewhere while a story ran: the sink, the place in it, the text."""

    def __init__(self) -> None:
        self._kept: dict[str, list[str]] = defaultdict(list)

    def keep(self, sink: str, text: object) -> None:
        """Add what went into a sink."""
        if isinstance(text, bytes | bytearray | memoryview):
            text = bytes(text).decode(errors="replace")
        self._kept[sink].append(text if isinstance(text, str) else repr(text))

    def found(self, secret: str, among: str = "") -> set[str]:
        """Return the sinks, of those whose name begins with `among`, in which a secret stands."""
        forms = ways_to_write(secret)
        return {
            sink
            for sink, texts in self._kept.items()
            if sink.startswith(among) and any(form in text for text in texts for form in forms)
        }

    def read_tables(self) -> None:
        """Keep every value of every table that is text, JSON or bytes."""
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                names = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    for name, value in zip(names, row, strict=True):
                        if isinstance(value, str | bytes | memoryview | dict | list):
                            self.keep(f"tables: {table}.{name}", value)


def ways_to_write(secret: str) -> set[str]:
    """Return a text as logs, addresses, JSON and base64 would carry it, whatever stands before."""
    forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    for before in range(3):
        packed = base64.b64encode(b"x" * before + secret.encode()).decode()
        forms.add(packed[4 if before else 0 : -4])  # what its neighbours do not change
    return forms


class _Log(logging.Handler):
    def __init__(self, sinks: Sinks) -> None:
        super().__init__(logging.DEBUG)
        self._sinks = sinks
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._sinks.keep("logs", self.format(record))


class _Layer(InMemoryChannelLayer):
    def __init__(self, sinks: Sinks) -> None:
        super().__init__()
        self._sinks = sinks

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self._sinks.keep("messages to pages", f"{channel} {message}")
        await super().send(channel, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self._sinks.keep("messages to pages", f"{group} {message}")
        await super().group_send(group, message)


class _Watch(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.look(self.format(record))

    def look(self, text: str) -> None:
        if is_secret(text):
            self.seen.append(text)


@contextmanager
def watching() -> Iterator[list[str]]:
    """Collect every log line and every message to workers that holds a key or a password."""
    root, watch = logging.getLogger(), _Watch()

    def published(body: object = None, headers: object = None, **_: object) -> None:
        watch.look(f"{body!r} {headers!r}")

    root.addHandler(watch)
    before_task_publish.connect(published)
    try:
        yield watch.seen
    finally:
        before_task_publish.disconnect(published)
        root.removeHandler(watch)


@contextmanager
def listening(sinks: Sinks, level: int = logging.DEBUG) -> Iterator[None]:
    """Fill the sinks with every log line and with every message to pages and workers."""
    root, log = logging.getLogger(), _Log(sinks)

    def published(body: object = None, headers: object = None, **_: object) -> None:
        sinks.keep("messages to workers", f"{body!r} {headers!r}")

    before = root.level
    layer = channel_layers.set("default", _Layer(sinks))
    root.addHandler(log)
    root.setLevel(level)
    before_task_publish.connect(published)
    try:
        yield
    finally:
        before_task_publish.disconnect(published)
        root.setLevel(before)
        root.removeHandler(log)
        if layer is None:  # nobody had asked for one yet; whoever does now gets the usual one
            channel_layers.backends.pop("default", None)
        else:
            channel_layers.set("default", layer)
