"""Releases while the database fails, or while another worker wants the same call: sent once or not.

The failures are real where they can be: on PostgreSQL the server ends the session. A commit whose
confirmation is lost is made by the driver's wrapper, after it has committed.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlunsplit

import psycopg
import pytest
from django.db import OperationalError, connection
from django.db.backends.base import base

from approvals.administration import catalog
from approvals.lifecycle import claiming
from approvals.models import Dispatch, ToolCall, Upstream
from mcp_bridge import release
from mcp_bridge.upstreams.releasing import Releases
from tests.support import upstreams as servers
from tests.support import world as worlds
from tests.support.asking import put
from tests.support.running import until
from tests.support.upstreams import HttpUpstream
from tests.support.world import ACTOR, REFUND, World

S = ToolCall.Status
Approved = Callable[..., ToolCall]


pytestmark = pytest.mark.usefixtures("worker")


def fresh(call: ToolCall) -> ToolCall:
    return ToolCall.objects.get(pk=call.pk)


def delivered(call: ToolCall) -> threading.Thread:
    """Deliver the message in a thread of its own."""
    thread = threading.Thread(target=release.release, args=(str(call.pk),))
    thread.start()
    return thread


def breaks_the_commit_of_a_dispatch(
    monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> list[bool]:
    """Let the next commit of a dispatch fail, before or after it happened; return when it did."""
    wrapper: Any = base.BaseDatabaseWrapper
    commit, broken = wrapper._commit, list[bool]()

    def breaking(self: Any) -> None:
        if broken or not Dispatch.objects.exists():
            commit(self)
            return
        broken.append(True)
        if is_committed:
            commit(self)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(wrapper, "_commit", breaking)
    return broken


def test_a_dispatch_that_was_committed_without_word_of_it_sends_nothing(
    approved: Approved, billing: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    call = approved()
    broken = breaks_the_commit_of_a_dispatch(monkeypatch, is_committed=True)

    release.release(str(call.pk))

    assert broken
    call = fresh(call)
    assert (call.status, call.failure_kind) == (S.FAILED, ToolCall.Failure.NOT_SENT)
    assert Dispatch.objects.count() == 1
    assert billing.calls == []


def test_a_dispatch_that_was_not_committed_sends_nothing_and_is_tried_again(
    approved: Approved, billing: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    call = approved()
    broken = breaks_the_commit_of_a_dispatch(monkeypatch, is_committed=False)

    release.release(str(call.pk))

    assert broken
    assert fresh(call).status == S.APPROVED
    assert billing.calls == []
    assert not Dispatch.objects.exists()
    until(lambda: _released(call).status == S.SUCCEEDED, "that it runs")
    assert billing.effects == [REFUND]


def _released(call: ToolCall) -> ToolCall:
    release.release(str(call.pk))
    return fresh(call)


@pytest.mark.postgres
def test_a_session_that_the_server_ends_at_the_commit_sends_nothing(
    approved: Approved, billing: HttpUpstream
):
    """The real thing: a deferred trigger ends its own session while the dispatch is committed."""
    call = approved()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER ends AFTER INSERT ON approvals_dispatch"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION end_session()"
        )
    try:
        release.release(str(call.pk))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION end_session CASCADE")

    assert fresh(call).status == S.APPROVED
    assert billing.calls == []
    until(lambda: _released(call).status == S.SUCCEEDED, "that it runs")
    assert billing.effects == [REFUND]


@pytest.mark.postgres
def test_a_database_that_goes_away_during_the_call_does_not_cost_the_outcome(
    approved: Approved, billing: HttpUpstream
):
    call = approved()
    ended = []

    def ends_every_session(handler: servers.Handler, post: servers.Post) -> None:
        with psycopg.connect(_address(), autocommit=True) as other:
            ended.extend(
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND query NOT LIKE %s", ["%KEEP THIS ONE%"],
                ).fetchall()
            )  # fmt: skip
        servers.answers(handler, post)

    billing.ways["tools/call"] = ends_every_session
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'KEEP THIS ONE'")

    release.release(str(call.pk))

    assert len(ended) >= 1
    assert fresh(call).status == S.SUCCEEDED
    assert len(billing.calls) == 1


def _address() -> str:
    known = connection.get_connection_params()
    host, port = known.get("host") or "127.0.0.1", known.get("port") or 5432
    user = known.get("user") or "postgres"
    return urlunsplit(("postgres", f"{user}@{host}:{port}", f"/{known['dbname']}", "", ""))


def test_two_workers_that_are_woken_for_one_call_send_it_once(
    approved: Approved, billing: HttpUpstream
):
    rounds = 5
    calls = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(rounds)]
    barrier = threading.Barrier(2)

    async def work(name: str) -> None:
        releases = Releases(name, lambda: True)
        for call in calls:
            await asyncio.to_thread(barrier.wait, 20)
            await releases.release(call.pk)
        await releases.close()

    workers = [threading.Thread(target=asyncio.run, args=(work(f"worker-{n}"),)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert {fresh(call).status for call in calls} == {S.SUCCEEDED}
    assert sorted(effect["memo"] for effect in billing.effects) == [str(n) for n in range(rounds)]
    assert Dispatch.objects.count() == rounds


@contextmanager
def standing_still(upstream: Upstream) -> Iterator[None]:
    """Hold the lock of an upstream's turns, as a worker that is stopped in the middle does."""
    with psycopg.connect(_address()) as frozen:
        turns = "SELECT 1 FROM approvals_upstream WHERE id = %s FOR NO KEY UPDATE"
        frozen.execute(turns, [upstream.pk])
        yield


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return cursor.fetchone() is not None


@pytest.mark.postgres
def test_an_answer_is_written_down_while_somebody_stands_still_with_the_turns(
    approved: Approved, billing: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    """Seen to fail with claims in the threads that everything else uses."""
    monkeypatch.setattr(claiming, "_WAIT_SECONDS", 60)
    billing.ways["tools/call"] = servers.waits()
    first = approved(arguments=REFUND | {"memo": "first"})
    running = [delivered(first)]
    until(lambda: len(billing.calls) == 1, "the first call")
    others = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(8)]

    with standing_still(first.upstream):
        running += [delivered(call) for call in others]
        until(waits_for_a_lock, "somebody waiting for the turns")
        billing.gate.set()
        until(lambda: fresh(first).status == S.SUCCEEDED, "the answer being written down", 10)

    for thread in running:
        thread.join(20)
    assert {fresh(call).status for call in others} == {S.SUCCEEDED}


@pytest.mark.postgres
def test_somebody_who_stands_still_at_one_upstream_holds_up_no_other_for_long(
    approved: Approved, billing: HttpUpstream, world: World
):
    """Seen to fail without a limit on how long a claim waits for its lock."""
    stuck = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(8)]
    with servers.serving() as server:
        other = put(world.billing, server, "other")
        worlds.list_tools(other, worlds.definition("refund"))
        tool = catalog.review_tool(catalog.get_tool("other", "refund"), effect="write", actor=ACTOR)
        elsewhere = worlds.walk(worlds.hold(world, tool=tool), world, S.APPROVED)

        with standing_still(stuck[0].upstream):
            running = [delivered(call) for call in stuck]
            until(waits_for_a_lock, "somebody waiting for the turns")
            running.append(delivered(elsewhere))
            until(lambda: fresh(elsewhere).status == S.SUCCEEDED, "the other upstream's call", 15)
        for thread in running:
            thread.join(20)
