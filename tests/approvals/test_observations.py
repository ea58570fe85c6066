"""What is seen and changes no call: refusals, reads, forbidden attempts, who is connected."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError

from approvals import canonical, lifecycle, observations
from approvals.errors import InvalidInput
from approvals.models import AuditEvent, AuditStream, Tool, ToolCall, database_now
from approvals.observations import ReadEntry
from tests.support.world import World

S = ToolCall.Status
READ = ReadEntry(
    read_id="r1", at=datetime(2026, 7, 28, 9, 30, tzinfo=UTC), agent="support", acts_for="ann",
    domain="billing", upstream="billing", tool="billing__get_customer",
    definition_digest="d" * 64, arguments_digest="a" * 64, rule="allow reads", outcome="ok",
    duration_ms=12,
)  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a clock that stands."""
    standing = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(observations, "time", SimpleNamespace(monotonic=lambda: standing.seconds))
    return standing


def told(stream: str) -> list[dict[str, Any]]:
    events = AuditEvent.objects.filter(stream=stream).order_by("seq")
    facts = [canonical.parse(bytes(event.data)) for event in events]
    assert all(isinstance(each, dict) for each in facts)
    return facts  # type: ignore[return-value]


def refuse(times: int = 1, **changes: str) -> None:
    wanted = {"agent": "support", "kind": "not_found", "tool": "deploys__deploy", "why": "foreign"}
    for _ in range(times):
        observations.refused(**{**wanted, **changes})


# -- refusals ------------------------------------------------------------------------------------


def test_a_refusal_keeps_what_the_agent_may_not_know(db: None, clock: Any) -> None:
    refuse(domain="deploys")

    event = AuditEvent.objects.get(stream="agent:support")
    assert (event.code, event.actor) == ("call.refused", "agent:support")
    assert told("agent:support") == [
        {"kind": "not_found", "tool": "deploys__deploy", "why": "foreign", "domain": "deploys"}
    ]


def test_long_words_of_a_refusal_are_cut(db: None, clock: Any) -> None:
    refuse(tool="t" * 10_000, why="w" * 10_000)

    (facts,) = told("agent:support")
    assert (facts["tool"], facts["why"]) == ("t" * 200, "w" * 500)


def test_a_flood_of_refusals_is_counted_and_cannot_fill_the_trail(db: None, clock: Any) -> None:
    refuse(times=500)
    assert len(told("agent:support")) == 20

    clock.seconds += 59
    refuse()
    assert len(told("agent:support")) == 20

    clock.seconds += 1
    refuse()
    assert len(told("agent:support")) == 21
    assert told("agent:support")[-1]["unrecorded_before"] == 481


def test_refusals_of_another_kind_or_agent_are_counted_apart(db: None, clock: Any) -> None:
    refuse(times=50)

    refuse(kind="rate_limited")
    refuse(agent="other")

    assert told("agent:support")[-1]["kind"] == "rate_limited"
    assert len(told("agent:other")) == 1


def test_a_quiet_window_has_nothing_unrecorded(db: None, clock: Any) -> None:
    refuse(times=3)
    clock.seconds += 60
    refuse()

    assert all("unrecorded_before" not in facts for facts in told("agent:support"))


# -- reads and people ----------------------------------------------------------------------------


def test_reads_are_numbered_in_their_order_in_the_stream_of_one_run(db: None) -> None:
    first = observations.record_reads("run1", [READ, replace(READ, read_id="r2")])
    second = observations.record_reads("run1", [replace(READ, read_id="r3", outcome="tool_error")])
    other = observations.record_reads("run2", [READ])

    assert (first, second, other) == ([1, 2], [3], [1])
    assert [facts["read_id"] for facts in told("reads:run1")] == ["r1", "r2", "r3"]
    event = AuditEvent.objects.get(stream="reads:run1", seq=1)
    assert (event.code, event.actor, event.at) == ("read.passed", "agent:support", READ.at)
    assert told("reads:run1")[0] == {
        "read_id": "r1", "at": "2026-07-28T09:30:00.000000Z", "acts_for": "ann",
        "domain": "billing", "upstream": "billing", "tool": "billing__get_customer",
        "definition_digest": "d" * 64, "arguments_digest": "a" * 64, "rule": "allow reads",
        "outcome": "ok", "duration_ms": 12,
    }  # fmt: skip


def test_no_reads_are_no_event_and_no_stream(db: None) -> None:
    assert observations.record_reads("run1", []) == []

    assert not AuditStream.objects.exists()


def test_reads_are_recorded_together_or_not_at_all(db: None) -> None:
    broken = replace(READ, tool="\ud800")

    with pytest.raises(InvalidInput):
        observations.record_reads("run1", [READ, broken])

    assert not AuditEvent.objects.exists()


def test_what_a_person_tried_is_in_their_own_stream(world: World) -> None:
    observations.person_event(world.eve, "decision.refused", call="x", why="not yours")

    event = AuditEvent.objects.filter(stream="person:eve").order_by("-seq")[0]
    assert (event.code, event.actor) == ("decision.refused", "person:eve")
    assert told("person:eve")[-1] == {"call": "x", "why": "not yours"}


# -- who is connected ----------------------------------------------------------------------------


def fresh(call: ToolCall) -> ToolCall:
    return ToolCall.objects.get(pk=call.pk)


def test_an_agent_that_leaves_and_returns_changes_no_version(held_call: Any) -> None:
    call = held_call()

    observations.agent_left(call.pk)
    left = fresh(call)
    observations.agent_returned(call.pk)
    back = fresh(call)

    assert left.agent_left_at is not None
    assert back.agent_left_at is None
    assert back.agent_seen_at > call.agent_seen_at
    assert (left.version, back.version) == (1, 1)
    assert AuditEvent.objects.filter(stream=f"call:{call.pk}").count() == 1


def test_an_agent_does_not_leave_what_is_settled(held_call: Any) -> None:
    call = held_call(status=S.REJECTED)

    observations.agent_left(call.pk)

    assert fresh(call).agent_left_at is None


@pytest.mark.parametrize("status", S)
def test_a_delivered_answer_ends_joining_only_of_a_settled_call(held_call: Any, status: S) -> None:
    call = held_call(status=status)

    observations.answer_delivered(call.pk)

    after = fresh(call)
    assert after.answer_delivered_at is not None
    assert after.agent_left_at is None
    assert after.joins_repeats is (status not in lifecycle.SETTLED)
    assert after.version == call.version


@pytest.mark.parametrize(
    "note",
    [observations.agent_left, observations.agent_returned, observations.answer_delivered],
)
def test_notes_about_a_call_that_is_not_there_do_nothing(
    db: None, note: Callable[[object], None]
) -> None:
    note(uuid4())

    assert not AuditEvent.objects.exists()


def test_repeats_are_closed_a_while_after_the_end_and_not_before(held_call: Any) -> None:
    old, young = (held_call(status=S.REJECTED, arguments={"n": n}) for n in range(2))
    waiting = held_call(arguments={"n": 2}, age=timedelta(hours=2))
    unknown = held_call(status=S.UNKNOWN, arguments={"n": 3})

    assert observations.close_repeats(after=timedelta(minutes=10)) == 0
    ended = [fresh(call).settled_at for call in (old, young)]
    assert ended[0] is not None
    assert ended[1] is not None
    after = database_now() - ended[0] - (ended[1] - ended[0]) / 2
    assert observations.close_repeats(after=after) == 1

    assert [fresh(call).joins_repeats for call in (old, young, waiting, unknown)] == [
        False, True, True, True,
    ]  # fmt: skip


def test_a_tool_that_is_read_was_called(world: World) -> None:
    observations.record_reads("run1", [READ, READ])

    assert {tool.name: tool.last_called_at is None for tool in Tool.objects.all()} == {
        "get_customer": False,
        "refund": True,
    }


def test_when_a_tool_was_called_is_noted_once_in_a_minute(
    world: World, clock: Any, django_assert_num_queries: Any
) -> None:
    observations.tools_called(["billing__refund", "billing__refund"])
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    Tool.objects.update(last_called_at=long_ago)

    clock.seconds += 59
    with django_assert_num_queries(0):
        observations.tools_called(["billing__refund"])
    clock.seconds += 1
    observations.tools_called(["billing__refund", "billing__gone"])

    assert Tool.objects.get(name="refund").last_called_at != long_ago


def test_a_note_that_cannot_be_written_withholds_no_answer(
    db: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> datetime:
        raise DatabaseError("gone")

    recorded = observations.record_reads("run1", [READ])
    monkeypatch.setattr(observations, "database_now", broken)
    observations.tools_called(["billing__refund"])

    assert recorded == [1]
    assert "could not be noted" in caplog.text
