"""Threads that do things to one database at the same moment, and leave no connection behind.

A race that is always won by the same side shows nothing of the other order: `rounds` repeats one
until it was seen in each of its orders.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

from django.db import connection, transaction
from django.db.models import F

from approvals.models import ToolCall, database_now
from tests.support import listening

PATIENCE_SECONDS = 60
_CONNECTIONS = 10  # fewer than the pool has, or those who meet would wait for those who do not
ROUNDS = 20
_MOST_ROUNDS = 200
_HEAD_START_SECONDS = 0.0005  # how much it grows, every second time around
_STANDS_STILL_SECONDS = 0.1  # in one statement: on SQLite it waits for the lock
Step: TypeAlias = "Callable[[], Any]"


class OneOrderOnly(Exception):
    """A race was repeated often, and never seen in each of its orders: it shows too little."""


class Round:
    """One repetition of a race, which is told afterwards in what order it went."""

    def __init__(self, number: int) -> None:
        """Take which one it is, from 0."""
        self.number = number
        self.order: object = None

    def together(self, *steps: Step) -> list[Any]:
        """Do all steps at the same moment; return what each returned or raised, in their order.

        Every second time around, each in its turn has a small head start, which grows.
        """
        turn, favoured = divmod(self.number, len(steps))
        pause = (turn % 2) * turn * _HEAD_START_SECONDS
        late = [
            step if place == favoured else _after(pause, step) for place, step in enumerate(steps)
        ]
        return together(*(late if pause else steps))

    def went(self, order: object) -> None:
        """Say which order was seen: whatever names it, such as who was first."""
        self.order = order


def rounds(*orders: object, least: int = ROUNDS) -> Iterator[Round]:
    """Yield rounds of a race until each of these orders was seen, and any two where none is named.

    Raises:
        OneOrderOnly: that did not happen in very many rounds.
    """
    seen: Counter[object] = Counter()
    number = 0
    while number < least or not _has_seen_all(seen, orders):
        if number >= _MOST_ROUNDS:
            raise OneOrderOnly(f"In {number} rounds these orders were seen: {dict(seen)}.")
        race = Round(number)
        yield race
        if race.order is None or (orders and race.order not in orders):
            raise OneOrderOnly(f"Round {number} went {race.order!r}, which is none of {orders}.")
        seen[race.order] += 1
        number += 1


def _has_seen_all(seen: Counter[object], orders: Sequence[object]) -> bool:
    return set(orders) <= set(seen) if orders else len(seen) > 1


def _after(seconds: float, step: Step) -> Step:
    def later() -> Any:
        threading.Event().wait(seconds)
        return step()

    return later


class Racer(threading.Thread):
    """One thread with a database connection of its own; keeps what its step returned or raised."""

    def __init__(
        self, step: Step, meeting: threading.Barrier | None = None, *, connects_first: bool = True
    ) -> None:
        """Take what to do, and where to wait for the others before."""
        super().__init__(daemon=True)
        self._step, self._meeting, self._connects_first = step, meeting, connects_first
        self._statement_since: float | None = None
        self.result: Any = None

    def run(self) -> None:
        try:
            if self._connects_first:
                # Before they meet: to connect takes longer than what is raced.
                connection.ensure_connection()
            if self._meeting is not None:
                self._meeting.wait(PATIENCE_SECONDS)
            with connection.execute_wrapper(self._watched):
                self.result = self._step()
        except Exception as error:  # noqa: BLE001 - it is the result
            self.result = error
        finally:
            connection.close()

    def outcome(self) -> Any:
        """Wait for the end; return what the step returned, or the exception it raised."""
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive(), "a step did not end"
        return self.result

    def is_within_a_statement(self) -> bool:
        """Return whether one statement has taken long enough to be waiting for something."""
        since = self._statement_since
        return since is not None and time.monotonic() - since > _STANDS_STILL_SECONDS

    def _watched(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._statement_since = time.monotonic()
        try:
            return execute(sql, params, many, context)
        finally:
            self._statement_since = None


def together(*steps: Step) -> list[Any]:
    """Do all steps at the same moment; return what each returned or raised, in their order."""
    meeting = threading.Barrier(len(steps))
    racers = [Racer(step, meeting, connects_first=len(steps) <= _CONNECTIONS) for step in steps]
    for racer in racers:
        racer.start()
    return [racer.outcome() for racer in racers]


def split(outcomes: Sequence[Any]) -> tuple[list[Any], list[Exception]]:
    """Return what was returned and what was raised."""
    raised = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    return [outcome for outcome in outcomes if outcome not in raised], raised


def winner(outcomes: Sequence[Any]) -> tuple[int, Any, list[Exception]]:
    """Return the place of the one step that had its way, its answer, and what others raised."""
    won, lost = split(outcomes)
    assert len(won) == 1, f"{len(won)} of {len(outcomes)} had their way: {outcomes}"
    return outcomes.index(won[0]), won[0], lost


def all_done(outcomes: Sequence[Any]) -> Sequence[Any]:
    """Return what the steps returned, none of which may have raised anything."""
    assert not split(outcomes)[1], f"not each had its way: {outcomes}"
    return outcomes


def delayed(call: ToolCall, step: Step, until: datetime) -> Any:
    """Start a step while the call cannot be written, and let it go on only at a moment."""
    with held_up(call, step) as (racer,):
        wait_across(until)
    return racer.result


def wait_across(moment: datetime) -> None:
    """Wait from before a moment until after it, by the database's clock."""
    assert database_now() < moment, "the machine was too slow to begin before it"
    listening.wait_until(lambda: database_now() >= moment)


@contextmanager
def held_up(call: ToolCall, *steps: Step) -> Iterator[list[Racer]]:
    """Start steps on a call that is locked; what the block does is committed before they go on.

    The block begins when every step waits for the lock, or went past it and has ended. PostgreSQL
    locks the row and lets them go on in this order; SQLite has one lock for all who write.
    """
    racers: list[Racer] = []
    with transaction.atomic():
        # By writing, so that it holds whatever the transaction began with.
        ToolCall.objects.filter(pk=call.pk).update(needs_attention=F("needs_attention"))
        for step in steps:
            racers.append(Racer(step))
            racers[-1].start()
            listening.wait_until(lambda: _all_wait(racers))
        yield racers
    for racer in racers:
        racer.outcome()


def _all_wait(racers: Sequence[Racer]) -> bool:
    racing = [racer for racer in racers if racer.is_alive()]
    if connection.vendor == "postgresql":
        return locks_waited_for() == len(racing)
    return all(racer.is_within_a_statement() for racer in racing)


def wait_for_locks(count: int) -> None:
    """Wait until so many transactions wait for a lock. PostgreSQL only."""
    listening.wait_until(lambda: locks_waited_for() == count)


def locks_waited_for() -> int:
    """Return how many transactions of this database wait for a lock."""
    with connection.cursor() as cursor:
        # Within a transaction it would show the same list of connections for ever.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])
