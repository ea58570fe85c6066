"""Threads that do things to one database at the same moment, and leave no connection behind."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

from django.db import connection, transaction

from approvals.models import ToolCall, database_now
from tests.support import listening

PATIENCE_SECONDS = 60
_CONNECTIONS = 10  # fewer than the pool has, or those who meet would wait for those who do not
Step: TypeAlias = "Callable[[], Any]"


class Racer(threading.Thread):
    """One thread with a database connection of its own; keeps what its step returned or raised."""

    def __init__(
        self, step: Step, meeting: threading.Barrier | None = None, *, connects_first: bool = True
    ) -> None:
        """Take what to do, and where to wait for the others before."""
        super().__init__(daemon=True)
        self._step, self._meeting, self._connects_first = step, meeting, connects_first
        self.result: Any = None

    def run(self) -> None:
        try:
            if self._connects_first:
                # Before they meet: to connect takes longer than what is raced.
                connection.ensure_connection()
            if self._meeting is not None:
                self._meeting.wait(PATIENCE_SECONDS)
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


def delayed(call: ToolCall, step: Step, until: datetime) -> Any:
    """Start a step while the call cannot be written, and let it go on only at a moment."""
    if connection.vendor == "postgresql":
        with held_up(call, step) as (racer,):
            wait_across(until)
        return racer.result
    # SQLite has one lock for all writers; BEGIN IMMEDIATE waits for it.
    with transaction.atomic():
        racer = Racer(step)
        racer.start()
        wait_across(until)
    return racer.outcome()


def wait_across(moment: datetime) -> None:
    """Wait from before a moment until after it, by the database's clock."""
    assert database_now() < moment, "the machine was too slow to begin before it"
    listening.wait_until(lambda: database_now() >= moment)


@contextmanager
def held_up(call: ToolCall, *steps: Step) -> Iterator[list[Racer]]:
    """Start steps, in this order, on a call whose row is locked; unlock it when the block ends.

    The block begins when every step waits for the lock. PostgreSQL only: SQLite locks no rows.
    """
    racers: list[Racer] = []
    with transaction.atomic():
        ToolCall.objects.select_for_update(no_key=True).get(pk=call.pk)
        for step in steps:
            racers.append(Racer(step))
            racers[-1].start()
            wait_for_locks(len(racers))
        yield racers
    for racer in racers:
        racer.outcome()


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
