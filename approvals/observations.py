"""What was seen but changes no call: refusals, reads, forbidden attempts, who is there."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

from django.db import DatabaseError, transaction

from approvals import access, events, lifecycle
from approvals.audit import record as audit
from approvals.canonical import rfc3339
from approvals.models import Look, Person, Tool, ToolCall, database_now

log = logging.getLogger(__name__)

LOOK_LASTS = timedelta(seconds=30)
_LOOK_KEPT_FOR = timedelta(seconds=5)  # a second tab of the same person writes nothing

_WINDOW_SECONDS = 60
_EVENTS_PER_WINDOW = 20  # of one agent's refusals of one kind; the rest are counted only


@dataclass(frozen=True)
class ReadEntry:
    """One read that passed, as the trail keeps it; arguments only as a digest."""

    read_id: str
    at: datetime
    agent: str
    acts_for: str
    domain: str
    upstream: str
    tool: str
    definition_digest: str
    arguments_digest: str
    rule: str
    outcome: str
    duration_ms: int


def record_reads(run: str, entries: Sequence[ReadEntry]) -> list[int]:
    """Append reads to the stream of one bridge run; return their numbers in the same order."""
    numbers = _record_reads(run, entries)
    tools_called(entry.tool for entry in entries)
    return numbers


def tools_called(names: Iterable[str]) -> None:
    """Note that tools, by their exposed names, were called; to the minute. Call it after commit.

    A hint for the catalogue, so it never fails, and most calls of it ask no database.
    """
    for name in _calls.fresh(names):
        try:
            # One row a statement: two processes can then never wait for each other in a circle.
            Tool.objects.filter(exposed_name=name).update(last_called_at=database_now())
        except DatabaseError as error:
            log.warning("When %s was last called could not be noted: %s", name, error)


@transaction.atomic(durable=True)
def _record_reads(run: str, entries: Sequence[ReadEntry]) -> list[int]:
    recorded = audit.record_many(
        f"reads:{run}",
        [
            audit.Entry("read.passed", f"agent:{entry.agent}", entry.at, _facts(entry))
            for entry in entries
        ],
    )
    return [event.seq for event in recorded]


def refused(*, agent: str, kind: str, tool: str, why: str, **data: object) -> None:
    """Record that an agent was refused, and why really; sampled, so a flood cannot fill the trail.

    Args:
        kind: what the agent was told, such as "not_found".
        why: what the audit may know and the agent may not.
    """
    unrecorded = _samples.take(agent, kind)
    if unrecorded is None:
        return
    facts = {"kind": kind, "tool": tool[:200], "why": why[:500], **data}
    if unrecorded:
        facts["unrecorded_before"] = unrecorded
    _record(f"agent:{agent}", "call.refused", f"agent:{agent}", facts)


def person_event(person: Person, code: str, **data: object) -> None:
    """Record what a person tried or read, in the stream of that person."""
    actor = f"person:{person.get_username()}"
    _record(actor, code, actor, data)


def looked(call: ToolCall, person: Person) -> None:
    """Note that a page of the person shows a call; not evidence, so no audit event.

    Looks that are over are deleted here, so that the table holds only who is there.
    """
    now = database_now()
    last = Look.objects.filter(call=call, person=person).values_list("at", flat=True).first()
    if last is not None and now - last < _LOOK_KEPT_FOR:
        return
    with transaction.atomic():
        Look.objects.update_or_create(call=call, person=person, defaults={"at": now})
        Look.objects.filter(at__lt=now - LOOK_LASTS).delete()
        if last is None or now - last > LOOK_LASTS:
            events.publish_look_on_commit(call)


def payload_read(person: Person, calls: Iterable[ToolCall]) -> None:
    """Record that an auditor reads what calls carry: one event for one request.

    Whoever approves a domain, owns an agent or is acted for reads as part of their work.
    """
    ids = [str(call.pk) for call in access.seen_only_as_auditor(person, calls)]
    if len(ids) == 1:
        person_event(person, "call.read", call=ids[0])
    elif ids:
        person_event(person, "call.read", calls=ids)


def agent_returned(call_id: UUID) -> None:
    """Note that the agent is waiting for, or asking after, its call."""
    ToolCall.objects.filter(pk=call_id).update(agent_seen_at=database_now(), agent_left_at=None)


def agent_left(call_id: UUID) -> None:
    """Note that the agent's connection dropped while it waited; the call stays."""
    waiting = ToolCall.objects.filter(pk=call_id).exclude(status__in=lifecycle.SETTLED)
    waiting.update(agent_left_at=database_now())


def answer_delivered(call_id: UUID) -> None:
    """Note that the answer reached an open request; once settled, repeats make new calls."""
    now = database_now()
    call = ToolCall.objects.filter(pk=call_id)
    call.update(answer_delivered_at=now, agent_seen_at=now, agent_left_at=None)
    call.filter(status__in=lifecycle.SETTLED).update(joins_repeats=False)


def close_repeats(after: timedelta) -> int:
    """Let identical requests make new calls where the old was settled longer ago than `after`."""
    settled = ToolCall.objects.filter(
        joins_repeats=True,
        status__in=lifecycle.SETTLED,
        settled_at__lt=database_now() - after,
    )
    return settled.update(joins_repeats=False)


@transaction.atomic(durable=True)
def _record(stream: str, code: str, actor: str, data: dict[str, object]) -> None:
    audit.record(stream, audit.Entry(code, actor, database_now(), data))


def _facts(entry: ReadEntry) -> dict[str, object]:
    # Not `asdict`: copying deeply what cannot change would be a fifth of what an event costs.
    facts = vars(entry) | {"at": rfc3339(entry.at)}
    return {key: value for key, value in facts.items() if key != "agent"}


class _Samples:
    """Counts refusals per agent and kind within a window; per process, which is enough here."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def take(self, agent: str, kind: str) -> int | None:
        """Return how many went unrecorded before this one, or None when this one does too."""
        now = time.monotonic()
        with self._lock:
            started, count = self._seen.get((agent, kind), (now, 0))
            missed = 0
            if now - started >= _WINDOW_SECONDS:
                missed = max(0, count - _EVENTS_PER_WINDOW)
                started, count = now, 0
            self._seen[(agent, kind)] = (started, count + 1)
            return missed if count < _EVENTS_PER_WINDOW else None


class _Calls:
    """Remembers which tools this process noted as called within the last minute."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._noted: dict[str, float] = {}

    def fresh(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that have to be noted now, each once."""
        now = time.monotonic()
        with self._lock:
            wanted = [
                name
                for name in dict.fromkeys(names)
                if now - self._noted.get(name, now - _WINDOW_SECONDS) >= _WINDOW_SECONDS
            ]
            self._noted.update(dict.fromkeys(wanted, now))
        return wanted


_samples = _Samples()
_calls = _Calls()
