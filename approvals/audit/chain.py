"""Pure: what makes a chain of events, and where one is broken; needs rows as values, no database.

An export can be checked by this alone. It shows that nothing was changed, dropped, put in or cut
off since it was written, unless whoever did so could write the chain, and its head, anew as well.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from approvals import canonical
from approvals.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Event:
    """One event: the row without its key."""

    stream: str
    seq: int
    code: str
    actor: str
    at: datetime
    data: bytes  # RFC 8785 bytes of the facts
    previous: str  # digest of seq - 1; empty for the first
    digest: str  # SHA-256 hex over all of the above


@dataclass(frozen=True, slots=True)
class Head:
    """What a stream's head says of its newest event."""

    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it was written."""

    place: str  # a stream, `stream#seq`, or the table and key of a row
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def digest_of(event: Event) -> str:
    """Return the digest an event must carry: SHA-256 over the canonical JSON of its columns."""
    return canonical.digest_of(
        {
            "stream": event.stream,
            "seq": event.seq,
            "code": event.code,
            "actor": event.actor,
            "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "data": canonical.digest(bytes(event.data)),
            "previous": event.previous,
        }
    )


class Walk:
    """Walks one stream in order of its numbers and remembers no more than where it is."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.newest = Head(0, "")

    def step(self, event: Event) -> Iterator[Problem]:
        """Take the next event; yield what is wrong between the last one and it, or with it."""
        place = f"{self.stream}#{event.seq}"
        expected, before = self.newest.seq + 1, self.newest.digest
        self.newest = Head(event.seq, event.digest)
        if event.seq > expected:
            # What it says of the one before cannot be looked at, so that is not a second problem.
            yield Problem(place, f"{_missing(expected, event.seq - 1)} before it")
        elif event.seq < expected:
            yield Problem(place, f"comes after #{expected - 1}, and does not belong there")
        elif event.previous != before:
            yield Problem(place, _unlinked(event.seq))
        if not _is_as_written(event):
            yield Problem(place, "its digest does not match: it was changed after it was written")

    def end(self, head: Head | None) -> Iterator[Problem]:
        """Compare where the walk ended with the stream's head."""
        newest = self.newest
        if head is None:
            yield Problem(self.stream, "its head is missing, or holds no number")
        elif head.seq > newest.seq:
            yield Problem(
                f"{self.stream}#{head.seq}",
                f"{_missing(newest.seq + 1, head.seq)}: the end was cut off",
            )
        elif head.seq < newest.seq:
            yield Problem(
                f"{self.stream}#{newest.seq}",
                f"the stream's head knows {head.seq} events only: it was put in, or the head set"
                " back",
            )
        elif head.digest != newest.digest:
            yield Problem(
                f"{self.stream}#{newest.seq}", "is not the event the stream's head stands for"
            )


def check(events: Iterable[Event], head_of: Callable[[str], Head | None]) -> Iterator[Problem]:
    """Yield what is wrong with whole streams.

    Args:
        events: each stream's together, in order of their numbers.
        head_of: what the head of a stream says; None when it has none. A stream that lost all its
            events does not occur in `events`: compare the names of the heads for that.
    """
    for stream, steps in groupby(events, key=lambda event: event.stream):
        walk = Walk(stream)
        for event in steps:
            yield from walk.step(event)
        yield from walk.end(head_of(stream))


def _is_as_written(event: Event) -> bool:
    try:
        return event.digest == digest_of(event)
    except (InvalidInput, AttributeError, TypeError, ValueError):
        # A hand that changes rows can leave what no event was ever written with.
        return False


def _missing(first: int, last: int) -> str:
    return f"#{first} is missing" if first == last else f"#{first} to #{last} are missing"


def _unlinked(seq: int) -> str:
    if seq == 1:
        return "is the first, but names one before it: the beginning was cut off"
    return f"does not follow #{seq - 1} as that stands: one of them was changed or put in"
