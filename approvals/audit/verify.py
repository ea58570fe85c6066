"""Verifies the trail against the database: every chain, and every call it tells of; doors call it.

The judging is in `chain` and `replay`, which are pure, and in `rows`. Here the tables are read, in
one pass whose memory does not grow with them, and so that a row which was changed by hand into
something no model can read is a finding like any other.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from approvals import canonical
from approvals.audit.chain import Event, Head, Problem, Walk
from approvals.audit.replay import Moves, Replay
from approvals.audit.rows import differences
from approvals.models import (
    Agent,
    AuditEvent,
    AuditStream,
    Decision,
    Domain,
    ToolCall,
    ToolDefinition,
    Upstream,
)

_CALL = "call:"
_EVENTS_AT_ONCE = 2_000
_STREAMS_AT_ONCE = 50  # of calls: a row may hold a result of 1 MiB
_EVENTS = "SELECT stream, seq, code, actor, {at}, data, previous, digest FROM approvals_auditevent"
_UNREADABLE = (AttributeError, OverflowError, TypeError, ValidationError, ValueError)


@dataclass(slots=True)
class _Stream:
    """A stream that was walked to its end."""

    walk: Walk
    replay: Replay | None  # of a call


class Verification:
    """One look at everything, as of one moment; counts what it saw."""

    def __init__(self, moves: Moves) -> None:
        """Take the arrows of the life cycle, which this layer may not import."""
        self.moves = moves
        self.streams = self.events = self.calls = 0

    def problems(self) -> Iterator[Problem]:
        """Yield everything that is not as it was written, in order of streams, then the rest."""
        with _snapshot():
            yield from self._streams()
            yield from _emptied_streams()
            yield from _calls_without_events()
            yield from _absent_streams()
            yield from _changed_definitions()

    def _streams(self) -> Iterator[Problem]:
        walked: list[_Stream] = []
        for row in _event_rows():
            self.events += 1
            event = _event(row)
            if event is None:
                yield Problem(f"{row[0]}#{row[1]}", "its columns are not those of an event")
                continue
            if not walked or walked[-1].walk.stream != event.stream:
                if len(walked) >= _STREAMS_AT_ONCE:
                    yield from self._ends(walked)
                    walked = []
                walked.append(self._start(event.stream))
            current = walked[-1]
            yield from current.walk.step(event)
            if current.replay is not None:
                yield from current.replay.step(event)
        yield from self._ends(walked)

    def _start(self, stream: str) -> _Stream:
        self.streams += 1
        is_call = stream.startswith(_CALL)
        replay = Replay(stream.removeprefix(_CALL), self.moves) if is_call else None
        return _Stream(Walk(stream), replay)

    def _ends(self, walked: Sequence[_Stream]) -> Iterator[Problem]:
        """Compare walked streams with their heads, and those of calls with their rows."""
        names = [stream.walk.stream for stream in walked]
        heads = _heads(names)
        replays = [stream.replay for stream in walked if stream.replay is not None]
        calls = _calls([replay.call_id for replay in replays])
        for stream in walked:
            yield from stream.walk.end(heads.get(stream.walk.stream))
            if stream.replay is not None:
                yield from self._call(stream.replay, calls)

    def _call(self, replay: Replay, calls: dict[str, ToolCall | None]) -> Iterator[Problem]:
        place = _CALL + replay.call_id
        if replay.call_id not in calls:
            yield Problem(place, "its row is missing, or what that refers to")
            return
        call = calls[replay.call_id]
        self.calls += 1
        try:
            if call is None:
                raise ValueError
            for message in differences(call, replay.story, self.moves):
                yield Problem(place, message)
        except _UNREADABLE:
            yield Problem(place, "its row holds what no call has")


@contextmanager
def _snapshot() -> Iterator[None]:
    """Look at one moment, so that a call that moves on meanwhile is not taken for a broken one."""
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "sqlite":
        # Deferred, unlike Django's own: writers must not wait for this.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield


def _event_rows() -> Iterator[tuple[Any, ...]]:
    """Yield raw rows: a model would fail on the first one that is not as it should be."""
    # On SQLite a moment is text, and Django's converter would end the whole pass on a bad one.
    at = "CAST(at AS text)" if connection.vendor == "sqlite" else "at"
    with connection.chunked_cursor() as cursor:
        cursor.execute(_EVENTS.format(at=at) + " ORDER BY stream, seq")
        while rows := cursor.fetchmany(_EVENTS_AT_ONCE):
            yield from rows


def _event(row: Sequence[Any]) -> Event | None:
    stream, seq, code, actor, at, data, previous, digest = row
    try:
        # Text is in UTC.
        at = datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
        data = bytes(data)
    except _UNREADABLE:
        return None
    texts = (stream, code, actor, previous, digest)
    if not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(seq, int) or not isinstance(at, datetime):
        return None
    return Event(stream, seq, code, actor, at, data, previous, digest)


def _heads(names: Sequence[str]) -> dict[str, Head]:
    """Return heads by name; one whose number is none (SQLite keeps anything) counts as missing."""
    heads = AuditStream.objects.filter(name__in=names)
    found: list[tuple[str, Any, Any]] = list(heads.values_list("name", "seq", "digest"))
    return {name: Head(seq, digest) for name, seq, digest in found if isinstance(seq, int)}


def _calls(ids: Sequence[str]) -> dict[str, ToolCall | None]:
    """Return calls by id; None stands for a row that cannot be read."""
    rows = ToolCall.objects.select_related(
        "agent", "key", "owner", "acts_for", "domain", "upstream", "tool", "dispatch"
    ).prefetch_related("decisions__approver")
    wanted = [call_id for call_id in ids if _is_id(call_id)]
    try:
        return {str(pk): call for pk, call in rows.in_bulk(wanted).items()}
    except _UNREADABLE:
        return {call_id: call for call_id in wanted for call in _one(rows, call_id)}


def _one(rows: QuerySet[ToolCall], call_id: str) -> list[ToolCall | None]:
    try:
        return list(rows.filter(pk=call_id))
    except _UNREADABLE:
        return [None]


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _emptied_streams() -> Iterator[Problem]:
    """Yield streams whose head remembers events of which none is left."""
    events = AuditEvent.objects.filter(stream=OuterRef("name"))
    for head in AuditStream.objects.filter(~Exists(events)).iterator():
        yield Problem(f"{head.name}#{head.seq}", "all events of the stream are missing")


def _calls_without_events() -> Iterator[Problem]:
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT id FROM approvals_toolcall")
        while rows := cursor.fetchmany(_EVENTS_AT_ONCE):
            streams = {_CALL + _written(call_id) for (call_id,) in rows}
            found = AuditEvent.objects.filter(stream__in=streams).values_list("stream", flat=True)
            for stream in sorted(streams.difference(found.distinct())):
                yield Problem(stream, "there is such a call, but no event of it")


def _written(call_id: object) -> str:
    try:
        return str(UUID(str(call_id)))  # SQLite keeps it without hyphens
    except ValueError:
        return str(call_id)


def _absent_streams() -> Iterator[Problem]:
    """Yield streams that must exist because calls refer to what they tell of."""
    calls = ToolCall.objects.all()
    deciders = Decision.objects.order_by().values_list("approver__username", flat=True).distinct()
    referred: dict[str, Iterable[str]] = {
        "agent": Agent.objects.filter(pk__in=calls.values("agent")).values_list("name", flat=True),
        "domain": Domain.objects.filter(pk__in=calls.values("domain")).values_list(
            "name", flat=True
        ),
        "upstream": Upstream.objects.filter(pk__in=calls.values("upstream")).values_list(
            "name", flat=True
        ),
        "person": deciders,
    }
    expected = [f"{kind}:{name}" for kind, names in referred.items() for name in names]
    expected += ["policy"] if calls.filter(policy_version__gt=0).exists() else []
    remaining = iter(expected)
    while names := list(islice(remaining, 500)):
        events = AuditEvent.objects.filter(stream__in=names, seq=1)
        for name in sorted(set(names).difference(events.values_list("stream", flat=True))):
            yield Problem(name, "calls refer to it, but its first event is missing")


def _digest(body: Any) -> str:
    try:
        return canonical.digest(bytes(body))
    except TypeError:  # SQLite keeps text where bytes belong, if a hand wrote it there
        return ""


def _changed_definitions() -> Iterator[Problem]:
    """Yield definitions, which calls hold by digest only, that are not what people looked at."""
    bodies = ToolDefinition.objects.values_list("digest", "body")
    for digest, body in bodies.iterator(chunk_size=100):
        if _digest(body) != digest:
            yield Problem(f"definition:{digest}", "its digest does not match: it was changed")
    known = ToolDefinition.objects.values("digest")
    lost = ToolCall.objects.exclude(definition_digest__in=known).values_list("definition_digest")
    for (digest,) in lost.order_by().distinct():
        yield Problem(f"definition:{digest}", "calls refer to it, but it is missing")
