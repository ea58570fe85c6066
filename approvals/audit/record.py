"""Writes audit events; only lifecycle, submission, administration, observations import it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from approvals import canonical, failpoints
from approvals.audit.chain import Event, Head, digest_of

log = logging.getLogger("approvals.events")

# A policy of a thousand rules fits.
MAX_DATA_BYTES = 1024 * 1024
_LIMITS = replace(canonical.DEFINITION, max_keys=12_000)


@dataclass(frozen=True)
class Entry:
    """What one event says; stream, number and digests come from the trail.

    Attributes:
        code: past tense, such as "call.approved".
        actor: "person:<name>", "agent:<name>", "worker:<name>", "clock" or "command".
        data: a JSON object of facts; never a secret and never whole arguments.
    """

    code: str
    actor: str
    at: datetime
    data: Mapping[str, object]


def record(stream: str, entry: Entry) -> Event:
    """Append one event to a stream, in the transaction that is open."""
    return record_many(stream, [entry])[0]


def record_many(stream: str, entries: Sequence[Entry]) -> list[Event]:
    """Append events to a stream in this order, in the transaction that is open."""
    if not entries:
        return []
    # Plain SQL: every read and every move comes through here, and models would more than double
    # what an event costs.
    with connection.cursor() as cursor:
        head = _locked_head(cursor, stream)
        events = []
        for entry in entries:
            event = _following(stream, head, entry)
            head = Head(event.seq, event.digest)
            events.append(event)
        _insert(cursor, events)
        cursor.execute(_MOVE_HEAD, [head.seq, head.digest, stream])
    failpoints.hit("audit-insert")
    if log.isEnabledFor(logging.INFO):
        transaction.on_commit(lambda: _log(events), robust=True)
    return events


def _log(events: Sequence[Event]) -> None:
    """Log that events were committed: what, of whom and by whom, and nothing of what they carry."""
    for event in events:
        facts = {"event": event.code, "seq": event.seq, "actor": event.actor}
        kind, _, name = event.stream.partition(":")
        facts |= {"call_id": name} if kind == "call" else {"stream": event.stream}
        log.info("%s of %s by %s", event.code, event.stream, event.actor, extra=facts)


# At most this many in one statement; SQLite takes so many parameters, and some more.
_AT_ONCE = 500
_INSERT = (
    "INSERT INTO approvals_auditevent (stream, seq, code, actor, at, data, digest, previous) VALUES"
)
_ROW = "(%s, %s, %s, %s, %s, %s, %s, %s)"
_SELECT_HEAD = "SELECT seq, digest FROM approvals_auditstream WHERE name = %s"
_MAKE_HEAD = (
    "INSERT INTO approvals_auditstream (name, seq, digest) VALUES (%s, 0, '')"
    " ON CONFLICT (name) DO NOTHING"
)
_MOVE_HEAD = "UPDATE approvals_auditstream SET seq = %s, digest = %s WHERE name = %s"


def _locked_head(cursor: CursorWrapper, stream: str) -> Head:
    """Return the head of a stream, which is made where there is none."""
    # The lock makes writers of one stream queue up; the guard refuses whoever got past it. SQLite
    # has one writer at a time anyway.
    lock = " FOR UPDATE" if connection.vendor == "postgresql" else ""
    select = _SELECT_HEAD + lock
    cursor.execute(select, [stream])
    row = cursor.fetchone()
    if row is None:
        cursor.execute(_MAKE_HEAD, [stream])
        cursor.execute(select, [stream])
        row = cursor.fetchone()
    return Head(*row)


def _following(stream: str, head: Head, entry: Entry) -> Event:
    event = Event(
        stream=stream,
        seq=head.seq + 1,
        code=entry.code,
        actor=entry.actor,
        at=entry.at,
        data=canonical.to_bytes(dict(entry.data), max_bytes=MAX_DATA_BYTES, limits=_LIMITS),
        previous=head.digest,
        digest="",
    )
    return replace(event, digest=digest_of(event))


def _insert(cursor: CursorWrapper, events: Sequence[Event]) -> None:
    for start in range(0, len(events), _AT_ONCE):
        some = events[start : start + _AT_ONCE]
        values = [value for event in some for value in _values(event)]
        cursor.execute(f"{_INSERT} {', '.join([_ROW] * len(some))}", values)


def _values(event: Event) -> tuple[str | int | bytes | None, ...]:
    at = connection.ops.adapt_datetimefield_value(event.at)
    facts = (event.stream, event.seq, event.code, event.actor, at, event.data)
    return (*facts, event.digest, event.previous)
