"""What the database refuses to do to a tool call, whoever asks; raw statements only.

Each refusal is shown twice over: with its own words while the guard is there, and gone as soon as
that one clause is taken out, so that no test passes because another guard stands behind it.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from django.db import connection

from approvals import guards, lifecycle
from approvals.models import (
    Agent,
    AgentKey,
    Domain,
    HistoryRow,
    Tool,
    ToolCall,
    Upstream,
    database_now,
)
from tests.support import guarding, tampering

S = ToolCall.Status
MOVES, STARTS = "tool_call_moves_legally", "tool_call_starts_right"
NEVER_CHANGES = "what was asked never changes"
STATE_STEPS = "a change of state steps the version"
STARTS_RIGHT = "a tool call starts pending, or approved by an allow rule"

# What moves, and what is of operation only; every other column is what was asked.
MOVED = {
    "status", "version", "moved_at", "settled_at", "status_reason", "failure_kind", "result",
    "result_digest", "result_is_cut", "fence", "stage", "asked_group", "escalated_to", "reminders",
    "is_out_of_reach",
}  # fmt: skip
OPERATION = {
    "claimed_by", "lease_until", "claims_failed", "not_before", "needs_attention",
    "joins_repeats", "repeats", "attend_at", "agent_seen_at", "agent_left_at",
    "answer_delivered_at",
}  # fmt: skip
COLUMNS: dict[str, Any] = {str(field.column): field for field in ToolCall._meta.concrete_fields}
ASKED = [name for name in COLUMNS if name not in MOVED | OPERATION]


@pytest.fixture
def others(world, held_call) -> dict[str, Any]:
    """Return another row of everything that a call refers to."""
    domain = Domain.objects.create(name="other")
    upstream = Upstream.objects.create(domain=domain, name="other", launch={"url": "x"})
    tool = Tool.objects.create(upstream=upstream, name="x", exposed_name="x")
    agent = Agent.objects.create(name="other", owner=world.eve)
    key = AgentKey.objects.create(agent=agent, prefix="other", acts_for=world.eve)
    earlier = held_call(arguments={"customer": "earlier", "amount": 1})
    people = dict.fromkeys(("owner_id", "acts_for_id"), world.eve)
    rows = {"domain_id": domain, "upstream_id": upstream, "tool_id": tool, "agent_id": agent}
    return {**people, **rows, "key_id": key, "supersedes_id": earlier}


def _change(call: ToolCall, column: str, others: Mapping[str, Any]) -> Any:
    """Return another value for one column of a call, of the same kind."""
    if column in others:
        return others[column].pk
    return tampering.other(getattr(call, COLUMNS[column].attname), COLUMNS[column])


def _only_its_own_line_stops(call: ToolCall, column: str, value: Any, words: str) -> None:
    line = rf"NEW\.{column} IS (NOT|DISTINCT FROM) OLD\.{column}\b"
    sql, count = re.subn(line, "FALSE", guards.expected(connection.vendor)[MOVES])
    assert count == 1, column
    with guarding.undone(), guarding.refused(words):
        guarding.update(call, **{column: value})
    with guarding.undone():
        guarding.replace(MOVES, sql)
        guarding.update(call, **{column: value})


def _alone(call: ToolCall) -> ToolCall:
    """Take away what refers to a call: its foreign key would hold the id as well."""
    HistoryRow.objects.filter(pk=call.pk).delete()
    return call


def test_no_column_of_what_was_asked_can_be_changed(held_call, others):
    """Each column's own line is taken out of the guard once, and then it can."""
    call = _alone(held_call())

    for column in ASKED:
        value = _change(call, column, others)
        _only_its_own_line_stops(call, column, value, NEVER_CHANGES)


def test_every_column_is_judged(held_call):
    """A column that is added later is asked, moved or of operation: it must be put somewhere."""
    sql = guards.expected(connection.vendor)[MOVES]

    assert not MOVED & OPERATION
    assert set(COLUMNS) > MOVED | OPERATION
    assert {name for name in COLUMNS if f"NEW.{name} " in sql} >= set(ASKED) | MOVED


def test_columns_of_operation_may_change_without_a_move(held_call):
    call = held_call(status=S.CLAIMED)

    for column in OPERATION - {"joins_repeats"}:
        with guarding.undone():
            guarding.update(call, **{column: _change(call, column, {})})


def test_a_call_loses_its_key_only_when_the_key_goes(held_call, others):
    call = held_call()

    guarding.update(call, key_id=None)
    with guarding.undone(), guarding.refused(NEVER_CHANGES):
        guarding.update(call, key_id=others["key_id"].pk)


@pytest.mark.parametrize("steps", [-1, 2, 100])
def test_a_version_neither_jumps_nor_goes_back(held_call, steps):
    call = held_call(quorum=2)

    guarding.only_this_guard_stops(
        MOVES, "the version steps by one",
        lambda: guarding.update(call, version=call.version + steps),
    )  # fmt: skip


def test_nothing_of_a_state_changes_without_a_version(held_call):
    call = held_call(status=S.DISPATCHED)

    for column in MOVED - {"version", "status", "fence", "escalated_to"}:
        _only_its_own_line_stops(call, column, _change(call, column, {}), STATE_STEPS)


def test_a_legal_move_without_a_version_is_refused(held_call):
    call = held_call()

    guarding.only_this_guard_stops(
        MOVES, STATE_STEPS, lambda: guarding.update(call, status=S.CANCELLED)
    )


def test_a_settled_call_stays_as_it_is(held_call):
    for status in (S.SUCCEEDED, S.FAILED, S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID):
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        guarding.only_this_guard_stops(
            MOVES, "a settled call stays as it is",
            partial(guarding.update, call, version=call.version + 1, result=b"{}"),
        )  # fmt: skip


@pytest.mark.parametrize("fence", [0, 1, 2, 4])
def test_a_claim_steps_the_fence_by_one(held_call, fence):
    """A call that was claimed once already: the fence must neither stay, jump nor go back."""
    call = _claimed_before(held_call)
    claimed: dict[str, Any] = {"status": S.CLAIMED, "version": call.version + 1}

    guarding.only_this_guard_stops(
        MOVES, "only a claim steps the fence, and by one",
        lambda: guarding.update(call, fence=fence, **claimed),
    )  # fmt: skip
    guarding.update(call, fence=call.fence + 1, **claimed)


def _claimed_before(held_call) -> ToolCall:
    call = held_call(status=S.CLAIMED)
    claim = lifecycle.Claim(call, call.fence, "test")
    call = lifecycle.unclaim(claim, reason="Nobody listened.")
    guarding.update(call, status=S.CLAIMED, version=call.version + 1, fence=call.fence + 1)
    claim = lifecycle.Claim(call, call.fence + 1, "test")
    call = lifecycle.unclaim(claim, reason="Nobody listened.")
    assert call.fence == 2
    return call


@pytest.mark.parametrize("fence", [0, 2])
@pytest.mark.parametrize("to", [S.APPROVED, S.CANCELLED])
def test_no_other_move_touches_the_fence(held_call, to, fence):
    call = held_call(status=S.CLAIMED)

    guarding.only_this_guard_stops(
        MOVES, "only a claim steps the fence, and by one",
        lambda: guarding.update(call, status=to, version=call.version + 1, fence=fence),
    )  # fmt: skip


def test_the_fence_does_not_move_by_itself(held_call):
    call = held_call(status=S.APPROVED)

    guarding.only_this_guard_stops(
        MOVES, "only a claim steps the fence, and by one",
        lambda: guarding.update(call, version=call.version + 1, fence=call.fence + 1),
    )  # fmt: skip


@pytest.mark.parametrize("votes", [0, 1])
def test_a_call_is_not_approved_below_its_quorum(world, held_call, votes):
    call = held_call(quorum=2)
    for person in (world.bo, world.cy)[:votes]:
        lifecycle.decide(call.pk, decider=person, verdict="approve", binding=call.binding)
    version = 1 + votes

    guarding.only_this_guard_stops(
        MOVES, "approval needs its quorum",
        lambda: guarding.update(call, status=S.APPROVED, version=version + 1),
    )  # fmt: skip


def test_a_rejection_does_not_count_for_the_quorum(world, held_call):
    call = held_call()
    guarding.decision(call, world.bo, verdict="reject").save()

    guarding.only_this_guard_stops(
        MOVES, "approval needs its quorum",
        lambda: guarding.update(call, status=S.APPROVED, version=2),
    )  # fmt: skip


def test_a_call_is_not_dispatched_without_its_dispatch(held_call):
    call = held_call(status=S.CLAIMED)

    guarding.only_this_guard_stops(
        MOVES, "dispatched needs its dispatch",
        lambda: guarding.update(call, status=S.DISPATCHED, version=call.version + 1),
    )  # fmt: skip


def test_a_call_that_was_settled_never_joins_repeats_again(held_call):
    """On SQLite, UPDATE OR REPLACE would delete whichever call stands in the way of that."""
    call = held_call(status=S.CANCELLED)
    guarding.update(call, joins_repeats=False)

    guarding.only_this_guard_stops(
        MOVES, "a call that no longer joins repeats stays so",
        lambda: guarding.update(call, joins_repeats=True),
    )  # fmt: skip


def test_a_new_call_may_be_held_or_admitted(held_call):
    call = held_call()
    allowing = {**call.rule, "outcome": "allow"}

    guarding.insert(guarding.copy(call))
    guarding.insert(guarding.copy(call, quorum=0, status=S.APPROVED, rule=allowing))


NOT_BEGUN: list[dict[str, Any]] = [
    *({"status": status} for status in S if status != S.PENDING),
    {"version": 2},
    {"version": 0},
    {"fence": 1},
    {"quorum": 0},
    {"result": b"{}"},
    {"settled_at": database_now},
    {"status": S.APPROVED, "quorum": 0},  # by a rule that holds
    {"status": S.APPROVED, "quorum": 1, "rule": {"outcome": "allow"}},
    {"status": S.APPROVED, "quorum": 0, "rule": {"outcome": "deny"}},
    {"status": S.APPROVED, "quorum": 0, "rule": {}},
]


@pytest.mark.parametrize("changes", NOT_BEGUN, ids=", ".join)
def test_a_new_call_that_has_a_past_is_refused(held_call, changes):
    call = held_call()
    values = {name: value() if callable(value) else value for name, value in changes.items()}

    guarding.only_this_guard_stops(
        STARTS, STARTS_RIGHT, lambda: guarding.insert(guarding.copy(call, **values))
    )


def test_a_call_cannot_be_deleted(held_call):
    call = _alone(held_call())

    guarding.only_this_guard_stops(
        "tool_call_stays", "a tool call is never deleted", lambda: guarding.delete(call)
    )


@pytest.mark.postgres
def test_calls_cannot_be_truncated(held_call):
    """The tables that refer to calls are truncated with them, and have guards of their own."""
    held_call()
    with guarding.undone():
        for guard in ("decision_is_not_truncated", "dispatch_is_not_truncated"):
            guarding.remove(guard)

        guarding.only_this_guard_stops(
            "tool_call_is_not_truncated", "a tool call is never deleted",
            _truncate_calls,
        )  # fmt: skip


def _truncate_calls() -> None:
    guarding.execute("TRUNCATE approvals_toolcall CASCADE")
    assert not ToolCall.objects.exists()


@pytest.mark.sqlite
def test_a_call_is_never_replaced(held_call):
    """REPLACE deletes what is in the way of any unique column, and asks no DELETE guard."""
    call, other = held_call(), held_call(arguments={"customer": "other", "amount": 1})
    keyed = guarding.copy(call, idempotency_key="key-1")
    heir = guarding.copy(call, supersedes_id=other.pk)
    for row in (keyed, heir):
        guarding.insert(row)
    (place,) = guarding.fetch("SELECT rowid FROM approvals_toolcall WHERE id = %s", [call.pk.hex])

    for row, changes in (
        (guarding.copy(call, pk=call.pk), {}),
        (guarding.copy(call, arguments_digest=call.arguments_digest), {}),
        (guarding.copy(call, idempotency_key="key-1"), {}),
        (guarding.copy(call, supersedes_id=other.pk), {}),
        (guarding.copy(call), {"rowid": place}),
    ):
        guarding.only_this_guard_stops(
            STARTS, "a tool call is never replaced",
            partial(guarding.insert, row, "INSERT OR REPLACE", **changes),
        )  # fmt: skip


@pytest.mark.sqlite
def test_another_call_is_never_replaced_by_changing_one(held_call):
    call, other = held_call(), held_call(arguments={"customer": "other", "amount": 1})
    (place,) = guarding.fetch("SELECT rowid FROM approvals_toolcall WHERE id = %s", [other.pk.hex])

    guarding.only_this_guard_stops(
        MOVES, NEVER_CHANGES, lambda: guarding.update(call, "UPDATE OR REPLACE", rowid=place)
    )


@pytest.mark.sqlite
def test_a_state_is_text(held_call):
    """Bytes read like text in an arrow, and would then equal no state that a guard asks about."""
    call = held_call()

    def approve() -> None:
        approved = "UPDATE approvals_toolcall SET status = CAST('approved' AS BLOB), version = 2"
        guarding.execute(f"{approved} WHERE id = %s", [call.pk.hex])

    guarding.only_this_guard_stops(MOVES, "a state is text", approve)


@pytest.mark.sqlite
def test_whether_a_new_call_replaces_another_is_found_by_indexes(db):
    """The guard looks on every insert; without an index for each look it would read the table."""
    sql = guards.expected("sqlite")[STARTS]
    questions = re.findall(r"SELECT 1 FROM approvals_toolcall\s+WHERE ([^()]+?)\s*\)", sql)
    assert len(questions) == 5

    for question in questions:
        plain = re.sub(r"NEW\.\w+", "'x'", question)
        steps = guarding.fetch_all(
            f"EXPLAIN QUERY PLAN SELECT 1 FROM approvals_toolcall WHERE {plain}"
        )

        assert ["SEARCH" in step[-1] for step in steps] == [True], (question, steps)
        assert "agent_id" not in question or "one_" in steps[0][-1], steps
