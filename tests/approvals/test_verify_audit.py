"""The verifier: everything that a hand changes in the trail, or in a call, is found and named."""

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import QuerySet

from approvals import lifecycle
from approvals.audit import chain
from approvals.audit.chain import Event, Problem
from approvals.audit.verify import Verification
from approvals.models import (
    AgentKey,
    AuditEvent,
    AuditStream,
    Decision,
    Dispatch,
    ToolCall,
    ToolDefinition,
)
from tests.support import history
from tests.support import world as worlds
from tests.support.tampering import Column, Hand, by_hand

S = ToolCall.Status
MOVES = {status.value: targets for status, targets in lifecycle.MOVES.items()}

# Columns without events: leases, parking, who is connected.
OPERATION = {
    "claimed_by", "lease_until", "claims_failed", "not_before", "needs_attention",
    "joins_repeats", "repeats", "attend_at", "agent_seen_at", "agent_left_at",
    "answer_delivered_at",
}  # fmt: skip
# Keys that nothing refers to, and when a definition was first seen, which its event says.
UNTOLD: dict[type[models.Model], set[str]] = {
    AuditEvent: {"id"},
    Decision: {"id"},
    Dispatch: {"id"},
    ToolCall: OPERATION,
    ToolDefinition: {"digest", "seen_at"},
}


@pytest.fixture
def calls(world: worlds.World, settings: Any) -> dict[str, ToolCall]:
    settings.SETTLE_QUARANTINE_SECONDS = 0
    return history.unfold(world)


def problems() -> list[Problem]:
    return list(Verification(MOVES).problems())


def test_a_past_with_everything_in_it_is_whole_and_counted(calls: dict[str, ToolCall]) -> None:
    verification = Verification(MOVES)

    found = list(verification.problems())

    assert found == []
    assert verification.events == AuditEvent.objects.count()
    assert verification.streams == AuditStream.objects.count()
    assert verification.calls == ToolCall.objects.count() == len(calls)
    assert {call.status for call in calls.values()} == set(S)


# -- one column at a time ------------------------------------------------------------------------


def fields_of(model: type[models.Model]) -> list[Column]:
    untold = UNTOLD.get(model, set())
    return [field for field in model._meta.concrete_fields if field.name not in untold]


def stream_of(row: models.Model) -> str:
    match row:
        case AuditEvent():
            return row.stream
        case AuditStream():
            return row.name
        case ToolCall():
            return f"call:{row.pk}"
        case Decision() | Dispatch():
            return f"call:{row.call_id}"
        case ToolDefinition():
            return f"definition:{row.pk}"
    raise AssertionError(row)


@pytest.mark.parametrize(
    "model", [AuditEvent, AuditStream, ToolCall, Decision, Dispatch, ToolDefinition]
)
def test_a_change_of_any_column_is_found_and_its_place_named(
    calls: dict[str, ToolCall], world: worlds.World, model: type[models.Model]
) -> None:
    hand, chance = Hand(world), random.Random(model.__name__)
    rows = list(model._default_manager.order_by("pk"))
    missed = []

    for field in fields_of(model):
        for row in chance.sample(rows, min(4, len(rows))):
            with by_hand():
                hand.change(row, field)
                if not any(problem.place.startswith(stream_of(row)) for problem in problems()):
                    missed.append(f"{field} of {row!r}")

    assert missed == []
    assert problems() == []


def test_columns_of_operation_are_no_part_of_the_trail(
    calls: dict[str, ToolCall], world: worlds.World
) -> None:
    hand = Hand(world)

    with by_hand():
        for name in OPERATION:
            field = ToolCall._meta.get_field(name)
            assert isinstance(field, models.Field)
            for call in (calls["pending"], calls["cut"]):
                hand.change(ToolCall.objects.get(pk=call.pk), field)
        found = problems()

    assert found == []


# -- rows that are dropped or put in -------------------------------------------------------------


def found_after(change: Callable[[], object]) -> list[str]:
    with by_hand():
        change()
        return [str(problem) for problem in problems()]


def events_of(call: ToolCall) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(stream=f"call:{call.pk}")


def test_a_dropped_event_leaves_a_gap_that_is_named(calls: dict[str, ToolCall]) -> None:
    call = calls["succeeded"]

    found = found_after(events_of(call).filter(seq=3).delete)

    assert f"call:{call.pk}#4: #3 is missing before it" in found


def test_a_dropped_beginning_is_named(calls: dict[str, ToolCall]) -> None:
    call = calls["pending"]
    call_again = calls["rejected"]

    assert f"call:{call.pk}#1: all events of the stream are missing" in found_after(
        events_of(call).delete
    )
    assert f"call:{call_again.pk}#2: #1 is missing before it" in found_after(
        events_of(call_again).filter(seq=1).delete
    )


def test_a_tail_that_was_cut_off_is_named(calls: dict[str, ToolCall]) -> None:
    call = calls["succeeded"]

    found = found_after(events_of(call).filter(seq__gte=5).delete)

    assert f"call:{call.pk}#6: #5 to #6 are missing: the end was cut off" in found


def test_a_tail_cut_off_together_with_its_head_is_missed_by_the_row(
    calls: dict[str, ToolCall],
) -> None:
    call = calls["rejected"]

    def cut() -> None:
        events_of(call).filter(seq=3).delete()
        last = events_of(call).get(seq=2)
        AuditStream.objects.filter(name=last.stream).update(seq=2, digest=last.digest)

    found = found_after(cut)

    assert f'call:{call.pk}: status is "rejected" in the row, but "pending" in the events' in found
    assert f"call:{call.pk}: version is 3 in the row, but 2 in the events" in found


@pytest.mark.parametrize("kind", ["agent", "domain", "upstream", "policy", "person"])
def test_a_stream_that_calls_refer_to_is_missed_even_without_its_head(
    calls: dict[str, ToolCall], kind: str
) -> None:
    name = {"policy": "policy", "person": "person:bo", "agent": "agent:support"}.get(
        kind, f"{kind}:billing"
    )

    def remove() -> None:
        AuditEvent.objects.filter(stream=name).delete()
        AuditStream.objects.filter(name=name).delete()

    assert found_after(remove) == [f"{name}: calls refer to it, but its first event is missing"]


def test_a_call_without_its_stream_is_named(calls: dict[str, ToolCall]) -> None:
    call = calls["void"]

    def remove() -> None:
        events_of(call).delete()
        AuditStream.objects.filter(name=f"call:{call.pk}").delete()

    assert found_after(remove) == [f"call:{call.pk}: there is such a call, but no event of it"]


def test_a_stream_without_its_head_is_named(calls: dict[str, ToolCall]) -> None:
    head = AuditStream.objects.get(name="agent:support")

    assert found_after(head.delete) == ["agent:support: its head is missing, or holds no number"]


def test_an_event_put_in_at_the_end_is_named_though_it_follows(
    calls: dict[str, ToolCall],
) -> None:
    last = events_of(calls["succeeded"]).order_by("-seq")[0]

    def put_in() -> None:
        event = Event(
            last.stream, last.seq + 1, "call.void", "clock", last.at, b"{}", last.digest, ""
        )
        columns = asdict(event) | {"digest": chain.digest_of(event)}
        AuditEvent.objects.create(**columns)

    found = found_after(put_in)

    assert any(
        line.startswith(f"{last.stream}#{last.seq + 1}: the stream's head") for line in found
    )


@pytest.mark.parametrize("rows", ["call", "decision", "dispatch"])
def test_a_deleted_row_is_missed_by_the_events(calls: dict[str, ToolCall], rows: str) -> None:
    call = calls["succeeded"]

    def delete() -> None:
        with connection.cursor() as cursor:
            column = "id" if rows == "call" else "call_id"
            table = "approvals_toolcall" if rows == "call" else f"approvals_{rows}"
            key = call.pk.hex if connection.vendor == "sqlite" else call.pk
            cursor.execute(f"DELETE FROM {table} WHERE {column} = %s", [key])

    found = found_after(delete)

    message = {
        "call": "its row is missing, or what that refers to",
        "decision": "the events have a decision of bo, but its row is missing",
        "dispatch": "the events have a dispatch, but its row is missing",
    }
    assert found == [f"call:{call.pk}: {message[rows]}"]


def test_a_decision_put_in_by_hand_is_named(
    calls: dict[str, ToolCall], world: worlds.World
) -> None:
    call = calls["pending"]

    def put_in() -> None:
        call.decisions.create(
            approver=world.cy, verdict="approve", binding=call.binding, at=call.created_at,
            owner_id=call.owner_id, acts_for_id=call.acts_for_id, four_eyes=call.four_eyes,
        )  # fmt: skip

    assert found_after(put_in) == [f"call:{call.pk}: the decision of cy has no event"]


def test_a_missing_or_changed_definition_is_named(calls: dict[str, ToolCall]) -> None:
    digest = calls["pending"].definition_digest
    definition = ToolDefinition.objects.filter(digest=digest)

    lost = found_after(definition.delete)
    changed = found_after(lambda: definition.update(body=b"{}"))

    assert lost == [f"definition:{digest}: calls refer to it, but it is missing"]
    assert changed == [f"definition:{digest}: its digest does not match: it was changed"]


def test_a_key_deleted_with_leave_of_the_guards_is_no_finding_but_a_cleared_one_is(
    calls: dict[str, ToolCall],
) -> None:
    call = calls["pending"]

    cleared = found_after(lambda: ToolCall.objects.filter(pk=call.pk).update(key=None))
    deleted = found_after(AgentKey.objects.filter(agent=call.agent).delete)

    assert len(cleared) == 1
    assert cleared[0].startswith(f"call:{call.pk}: key is")
    assert deleted == []
