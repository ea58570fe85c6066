"""What is known of one request on its way upstream: transports write it, whoever sent it reads it.

A request is watched by a header of ours, which the transports take off before anything leaves. A
watched request leaves once, whatever the SDK above would do about redirects or refused sign-ins.
"""

import asyncio
import json
import math
import re
import secrets
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from approvals import canonical, failpoints
from approvals.errors import InvalidInput

WATCH_HEADER = "x-countersign-watch"
_HAND_OVER_SECONDS = 1.0
_BETWEEN_EVENTS = re.compile(rb"(?:\r\n|\r|\n){2}")


class Refused(Exception):
    """We do not let this leave; the message says why."""


@dataclass
class Exchange:
    """One request, and what came back.

    Attributes:
        arguments: canonical bytes that alone may leave as a call's arguments; None: not a release.
        keeps_body: whether what came back is kept as evidence.
        leaves_before: by the monotonic clock; later it is not ours to send any more.
        attempts: how often somebody tried to send it.
        has_left: bytes of it may have reached the upstream.
        status: HTTP status; 0 where there is none.
        trouble: in words, what was wrong with the connection or the answer.
        has_broken: the connection itself failed; asking again may help.
    """

    arguments: bytes | None = None
    keeps_body: bool = False
    leaves_before: float = math.inf
    attempts: int = 0
    has_left: bool = False
    status: int = 0
    content_type: str = ""
    body: bytearray = field(default_factory=bytearray)
    trouble: str = ""
    has_broken: bool = False
    # Of whoever waits for the answer; set while somebody does.
    patience: asyncio.Timeout | None = None

    def ended(self) -> None:
        """Note that nothing more will come; an answer that did come is handed over within this."""
        if self.patience is not None:
            self.patience.reschedule(asyncio.get_running_loop().time() + _HAND_OVER_SECONDS)

    def broke(self, how: str) -> None:
        """Note that the connection failed."""
        self.trouble, self.has_broken = how, True

    def begin(self, message: bytes) -> None:
        """Let a message leave, once and as it was approved.

        Raises:
            Refused: it left already, it is too late, or these are not the approved arguments.
        """
        self.attempts += 1
        if self.attempts > 1:
            raise Refused("it would have been sent a second time")
        if time.monotonic() >= self.leaves_before:
            self.trouble = "it could not be sent in time"
            raise Refused(self.trouble)
        if self.arguments is not None and _arguments_in(message) != self.arguments:
            self.trouble = "what would have been sent is not what was approved"
            raise Refused(self.trouble)

    def passes(self, point: str) -> None:
        """Pass a failpoint on the way out, if this is a release."""
        if self.arguments is not None:
            failpoints.hit(point)

    def messages(self) -> Iterator[dict[str, object]]:
        """Yield the JSON objects that stand in what the upstream sent: its JSON, or its events."""
        body, texts = bytes(self.body), list[bytes]()
        if self.content_type.startswith("application/json"):
            texts = [body]
        elif self.content_type.startswith("text/event-stream"):
            texts = [
                b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
                for event in _BETWEEN_EVENTS.split(body)
            ]
        for text in texts:
            try:
                message = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                yield message


class Watched:
    """The requests of one connection that are on their way, by the name in their watch header."""

    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}

    @contextmanager
    def watching(self, exchange: Exchange) -> Iterator[dict[str, str]]:
        """Yield the header under which this exchange is found."""
        name = secrets.token_hex(8)
        self._exchanges[name] = exchange
        try:
            yield {WATCH_HEADER: name}
        finally:
            del self._exchanges[name]

    def take(self, headers: MutableMapping[str, str]) -> Exchange:
        """Take our header off, and return the exchange it names, or a new one where there is none.

        Raises:
            Refused: nobody waits for this request any more.
        """
        name = headers.pop(WATCH_HEADER, None)
        if name is None:
            return Exchange()
        if name not in self._exchanges:
            raise Refused("nobody waits for it any more")
        return self._exchanges[name]


def _arguments_in(message: bytes) -> bytes | None:
    try:
        return canonical.to_bytes(json.loads(message)["params"]["arguments"])
    except (ValueError, KeyError, TypeError, InvalidInput):
        return None
