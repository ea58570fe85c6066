"""A process that stands still in a submit holds up nobody for long: PostgreSQL ends it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from approvals import submission
from approvals.errors import TemporarilyUnavailable
from approvals.models import Agent, AuditEvent, ToolCall
from tests.support import racing
from tests.support import world as worlds
from tests.support.world import World

pytestmark = pytest.mark.postgres


@pytest.fixture
def world(transactional_db: None) -> World:
    return worlds.build()


def submit(world: World, amount: int) -> ToolCall:
    arguments = {"customer": "cus_1", "amount": amount}
    return submission.submit(
        submission.Request(world.agent.pk, None, world.refund.pk, arguments)
    ).call


@contextmanager
def stands_still(act: Callable[[], object]) -> Iterator[list[Any]]:
    """Let a thread stop for good once it has an agent's row, as a process that is stopped does.

    Yields:
        what became of it, once the block is over.
    """
    has_row, goes_on, ended = threading.Event(), threading.Event(), list[Any]()

    def stop_at_the_row(execute: Any, query: str, *rest: Any) -> Any:
        found = execute(query, *rest)
        if "approvals_agent" in query and "FOR NO KEY UPDATE" in query:
            has_row.set()
            assert goes_on.wait(racing.PATIENCE_SECONDS)
        return found

    def run() -> None:
        try:
            with connection.execute_wrapper(stop_at_the_row):
                ended.append(act())
        except Exception as error:  # noqa: BLE001 - what it ends with is what is asked
            ended.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert has_row.wait(racing.PATIENCE_SECONDS)
    try:
        yield ended
    finally:
        goes_on.set()
        thread.join(racing.PATIENCE_SECONDS)


def test_who_stands_still_in_a_submit_loses_the_agents_row_and_made_no_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_FROZEN_SECONDS", 1)

    with stands_still(partial(submit, world, 1)) as ended:
        call = submit(world, 2)

    assert isinstance(ended[0], DatabaseError)
    assert [one.pk for one in ToolCall.objects.all()] == [call.pk]


def test_a_submit_that_waits_too_long_is_told_to_come_again_and_did_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_WAIT_SECONDS", 1)
    events = AuditEvent.objects.count()

    def hold_the_row() -> None:
        with transaction.atomic():
            Agent.objects.select_for_update(no_key=True).get(pk=world.agent.pk)

    with stands_still(hold_the_row), pytest.raises(TemporarilyUnavailable) as refused:
        submit(world, 1)

    assert (refused.value.retryable, refused.value.retry_after_seconds) == (True, 1)
    assert (ToolCall.objects.count(), AuditEvent.objects.count()) == (0, events)
    assert submit(world, 1).status == ToolCall.Status.PENDING


def test_the_bounds_end_with_the_submit(world: World) -> None:
    submit(world, 1)

    with connection.cursor() as cursor:
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == ("0",)
