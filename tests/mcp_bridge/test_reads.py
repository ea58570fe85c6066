"""Reads and their trail: grouped, committed before the answer leaves, or the answer stays."""

import asyncio
import json
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import mcp_types as t
import pytest
from django.db import DatabaseError

from approvals import observations
from approvals.errors import TemporarilyUnavailable
from approvals.models import AuditEvent
from approvals.observations import ReadEntry
from mcp_bridge.agents.reads import ReadLog
from tests.support.agent_view import CUSTOMER, PROVENANCE, told
from tests.support.bridging import LEGACY, MODERN, Running, Upstreams, running
from tests.support.running import Installation, Process, free_port, until

READ = "billing__get_customer"


def entry(number=0):
    return ReadEntry(
        read_id=str(number), at=datetime(2026, 11, 21, tzinfo=UTC), agent="support",
        acts_for="ann", domain="billing", upstream="billing", tool=READ, definition_digest="d",
        arguments_digest="a", rule="allow reads", outcome="ok", duration_ms=1,
    )  # fmt: skip


def reads(**wanted):
    events = AuditEvent.objects.filter(code="read.passed", **wanted).order_by("pk")
    return [json.loads(bytes(event.data)) for event in events]


async def recorded(log, count):
    try:
        return await asyncio.gather(*(log.record(entry(number)) for number in range(count)))
    finally:
        await log.close()


def test_a_thousand_reads_share_a_few_commits(transactional_db, monkeypatch):
    groups: list[int] = []

    def record(run, entries):
        groups.append(len(entries))
        return original(run, entries)

    original = observations.record_reads
    monkeypatch.setattr(observations, "record_reads", record)
    log = ReadLog()

    numbers = asyncio.run(recorded(log, 1_000))

    assert numbers == list(range(1, 1_001))
    assert [read["read_id"] for read in reads(stream=log.stream)] == [str(n) for n in range(1000)]
    assert len(groups) < 10


def test_a_single_read_waits_for_its_own_commit_only(transactional_db):
    log = ReadLog()

    assert asyncio.run(recorded(log, 1)) == [1]


def test_a_reader_that_goes_away_leaves_its_event(transactional_db):
    log = ReadLog()

    async def leave():
        reader = asyncio.create_task(log.record(entry()))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await log.close()

    asyncio.run(leave())

    assert len(reads(stream=log.stream)) == 1


def test_a_trail_that_cannot_be_written_fails_the_whole_group_and_recovers(
    transactional_db, monkeypatch
):
    original = observations.record_reads
    failures = [DatabaseError("disk full")]

    def record(run, entries):
        if failures:
            raise failures.pop()
        return original(run, entries)

    monkeypatch.setattr(observations, "record_reads", record)
    log = ReadLog()

    async def twice():
        first = await asyncio.gather(log.record(entry(1)), return_exceptions=True)
        second = await log.record(entry(2))
        await log.close()
        return first, second

    (failed,), number = asyncio.run(twice())

    assert isinstance(failed, TemporarilyUnavailable)
    assert number == 1
    assert [read["read_id"] for read in reads(stream=log.stream)] == ["2"]


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_an_answer_is_withheld_when_its_event_cannot_be_written(bridge, world, monkeypatch, era):
    def record(run, entries):
        raise DatabaseError("disk full")

    monkeypatch.setattr(observations, "record_reads", record)

    result = bridge.call(world.key, READ, CUSTOMER, era=era)

    assert told(result)["kind"] == "temporarily_unavailable"
    assert told(result)["retryable"] is True
    assert "cus_8241" not in json.dumps(result)


def test_every_one_of_many_answers_names_its_own_event(bridge, world):
    ask = partial(bridge.call, world.key, READ)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(ask, [CUSTOMER | {"amount": n} for n in range(1, 101)]))

    named = {r["_meta"][PROVENANCE]["read_id"] for r in results}
    numbers = sorted(r["_meta"][PROVENANCE]["audit"]["number"] for r in results)
    assert named == {read["read_id"] for read in reads()}
    assert numbers == list(range(1, 101))


def acting(result=None, error=None):
    async def act(tool, arguments, meta):
        if error is not None:
            raise error
        return result

    return act


def test_an_error_of_the_tool_is_relayed_and_recorded(world):
    bad = t.CallToolResult(content=[t.TextContent(text="No such customer.")], is_error=True)
    with running(Upstreams(act=acting(bad))) as bridge:
        result = bridge.call(world.key, READ, CUSTOMER)

    assert result["isError"] is True
    assert result["content"][0]["text"] == "No such customer."
    assert reads()[0]["outcome"] == "tool_error"


class Answers(Upstreams):
    """Upstreams that answer with a raw object."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    async def read(self, *_: Any) -> Any:
        return self.result


GARBAGE = {
    "no such content": {"content": [{"type": "hologram"}]},
    "text for a list": {"content": "hello"},
    "a wish for input": {"resultType": "input_required", "inputRequests": {}},
    "a task": {"resultType": "task", "taskId": "7"},
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_of_an_upstream_is_its_error_and_is_recorded(world, garbage):
    with running(Answers(garbage)) as bridge:
        result = bridge.call(world.key, READ, CUSTOMER)

    assert result["isError"] is True
    assert told(result)["kind"] == "upstream_error"
    assert reads()[0]["outcome"] == "upstream_error"


def test_a_read_whose_agent_went_away_is_in_the_trail_all_the_same(world):
    asked, answer = threading.Event(), threading.Event()

    class Slow(Upstreams):
        async def read(self, *_: Any) -> Any:
            asked.set()
            await asyncio.to_thread(answer.wait, 20)
            return {"content": []}

    with running(Slow()) as bridge:
        with pytest.raises(Exception, match="timed out"):
            bridge.call(world.key, READ, CUSTOMER, timeout=0.5)
        assert asked.is_set()
        answer.set()

        until(reads, "the event")


def test_after_a_kill_every_answered_read_has_its_event(tmp_path):
    port = free_port()
    installation = Installation(tmp_path / "data")
    command = [sys.executable, "examples/echo.py", "--port", str(port)]
    echo = Process(command, tmp_path / "echo", installation.environment())
    echo.start("serves MCP")
    try:
        installation.populate(examples={}, echo=f"http://127.0.0.1:{port}/mcp")
        installation.start()
        answered = parallel_reads(installation, 200)
        installation.kill()
    finally:
        installation.kill()
        echo.kill()

    with closing(sqlite3.connect(installation.data / "countersign.sqlite3")) as database:
        rows = database.execute("SELECT data FROM approvals_auditevent WHERE code = 'read.passed'")
        kept = {json.loads(data)["read_id"] for (data,) in rows}
    assert len(answered) == 200
    assert answered <= kept


def parallel_reads(installation, count):
    """Return the read ids of so many answers."""
    bridge: Any = Running(installation.url, *3 * [cast(Any, None)])  # nothing but an address

    def ask(number):
        result = bridge.call(installation.key, "echo__echo", {"text": f"hello {number}"})
        return result["_meta"][PROVENANCE]["read_id"]

    with ThreadPoolExecutor(50) as pool:
        return set(pool.map(ask, range(count)))
