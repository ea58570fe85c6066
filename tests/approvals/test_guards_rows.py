"""What the database refuses to do to decisions, dispatches and events; raw statements only.

As with calls, each refusal is gone as soon as the one clause that stands for it is taken out.
"""

from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from approvals import canonical, lifecycle
from approvals.models import AuditEvent, Decision, Dispatch, ToolCall, database_now
from tests.support import guarding

S = ToolCall.Status
FITS_CALL, FITS_CLAIM, FOLLOWS = (
    "decision_fits_its_call", "dispatch_fits_its_claim", "audit_event_follows",
)  # fmt: skip
COPIES = "a decision copies its pending call"
LIVE_CLAIM = "a dispatch belongs to the live claim"
ONE_BEFORE = "an audit event follows the one before"


def _stays_as_it_is(row, kind: str, words: str, **changes: Any) -> None:
    for name, value in changes.items():
        guarding.only_this_guard_stops(
            f"{kind}_never_changes", f"{words} is never changed",
            partial(guarding.update, row, **{name: value}),
        )  # fmt: skip
    guarding.only_this_guard_stops(
        f"{kind}_stays", f"{words} is never deleted", partial(guarding.delete, row)
    )


# -- decisions


def test_a_decision_neither_changes_nor_goes(world, held_call):
    call = held_call(quorum=2)
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)

    _stays_as_it_is(
        call.decisions.get(), "decision", "a decision", verdict="reject", reason="Other words.",
        binding="0" * 64, approver_id=world.cy.pk, at=database_now(), assurance="passkey",
    )  # fmt: skip


def test_a_decision_on_a_pending_call_is_accepted(world, held_call):
    guarding.insert(guarding.decision(held_call(), world.bo))


def test_a_decision_on_any_other_call_is_refused(world, held_call):
    for status in S:
        if status == S.PENDING:
            continue
        call = held_call(status=status, arguments={"customer": status, "amount": 1})
        late = guarding.decision(call, world.eve)

        guarding.only_this_guard_stops(FITS_CALL, COPIES, partial(guarding.insert, late))


@pytest.mark.parametrize("column", ["binding", "owner_id", "acts_for_id", "four_eyes"])
def test_a_decision_with_a_false_copy_is_refused(world, held_call, column):
    """The CHECK for four eyes reads these copies: who could falsify them could approve alone."""
    values: dict[str, Any] = {"binding": "0" * 64, "four_eyes": False}
    row = guarding.decision(held_call(), world.bo)

    guarding.only_this_guard_stops(
        FITS_CALL, COPIES,
        partial(guarding.insert, row, **{column: values.get(column, world.eve.pk)}),
    )  # fmt: skip


def test_a_decision_on_no_call_at_all_is_refused(world, held_call):
    row = guarding.decision(held_call(), world.bo)

    with guarding.undone(), guarding.refused(COPIES):
        guarding.insert(row, call_id=uuid4())


def _call_of_two(world, held_call):
    """Return a call whose agent is Ann's, made with a key that acts for Bo."""
    world.agent.keys.update(acts_for=world.bo)
    return held_call()


def _drop_check() -> None:
    """Take the CHECK for four eyes away; SQLite knows no such statement, so its text is edited."""
    if guarding.vendor() == "postgresql":
        guarding.execute("ALTER TABLE approvals_decision DROP CONSTRAINT four_eyes_hold")
    else:
        guarding.execute("PRAGMA ignore_check_constraints = ON")


@pytest.fixture
def _checks(db):
    yield
    if guarding.vendor() == "sqlite":
        guarding.execute("PRAGMA ignore_check_constraints = OFF")


@pytest.mark.usefixtures("_checks")
@pytest.mark.parametrize("name", ["ann", "bo"])
def test_four_eyes_are_the_databases_own_law(world, held_call, name):
    """The agent's owner (Ann) and whom it acts for (Bo) cannot approve, even in raw SQL."""
    call = _call_of_two(world, held_call)
    row = guarding.decision(call, getattr(world, name))

    with guarding.undone(), guarding.refused("four_eyes_hold"):
        guarding.insert(row)
    with guarding.undone():
        _drop_check()
        guarding.insert(row)


def test_four_eyes_forbid_no_rejection_and_nobody_else(world, held_call):
    call = _call_of_two(world, held_call)

    guarding.insert(guarding.decision(call, world.ann, verdict="reject"))
    guarding.insert(guarding.decision(call, world.cy))


def test_a_domain_without_four_eyes_lets_its_owner_approve(world, held_call):
    type(world.billing).objects.update(four_eyes=False)

    guarding.insert(guarding.decision(held_call(), world.ann))


@pytest.mark.postgres
def test_a_person_decides_once(world, held_call):
    call = held_call(quorum=2)
    guarding.insert(guarding.decision(call, world.bo))

    with guarding.undone(), guarding.refused("one_decision_per_person"):
        guarding.insert(guarding.decision(call, world.bo, verdict="reject"))


@pytest.mark.sqlite
@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE"])
def test_a_decision_is_never_replaced(world, held_call, verb):
    call = held_call(quorum=2)
    first = guarding.decision(call, world.bo)
    guarding.insert(first)
    first = call.decisions.get()
    again = guarding.decision(call, world.bo, verdict="reject")
    in_its_place = guarding.decision(call, world.cy, id=first.pk)

    for row in (again, in_its_place):
        if verb == "INSERT":
            with guarding.undone(), guarding.refused("a decision is never replaced"):
                guarding.insert(row)
        else:
            guarding.only_this_guard_stops(
                FITS_CALL, "a decision is never replaced", partial(guarding.insert, row, verb)
            )


# -- dispatches


def test_a_dispatch_neither_changes_nor_goes(held_call):
    call = held_call(status=S.DISPATCHED)

    _stays_as_it_is(
        call.dispatch, "dispatch", "a dispatch", fence=2, worker="other", binding="0" * 64,
        definition_digest="0" * 64, at=database_now(), answer_by_at=database_now(),
    )  # fmt: skip


def test_a_dispatch_under_the_live_claim_is_accepted(held_call):
    guarding.insert(guarding.dispatch(held_call(status=S.CLAIMED)))


def test_a_dispatch_of_a_call_that_nobody_claimed_is_refused(held_call):
    for status in (S.PENDING, S.APPROVED, S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID):
        call = held_call(status=status, arguments={"customer": status, "amount": 1})
        row = guarding.dispatch(call)

        guarding.only_this_guard_stops(FITS_CLAIM, LIVE_CLAIM, partial(guarding.insert, row))


@pytest.mark.parametrize("changes", [{"fence": 0}, {"fence": 2}, {"binding": "0" * 64}], ids=str)
def test_a_dispatch_under_another_claim_or_binding_is_refused(held_call, changes):
    row = guarding.dispatch(held_call(status=S.CLAIMED), **changes)

    guarding.only_this_guard_stops(FITS_CLAIM, LIVE_CLAIM, partial(guarding.insert, row))


def test_a_second_dispatch_is_refused(held_call):
    """Whatever became of the first: the claim is over, and the call has its one dispatch."""
    for status in (S.DISPATCHED, S.SUCCEEDED, S.FAILED, S.UNKNOWN):
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        with guarding.undone(), pytest.raises(IntegrityError), transaction.atomic():
            guarding.insert(guarding.dispatch(call))


def test_a_second_dispatch_under_the_same_claim_is_refused(held_call):
    """The trigger's part is done: only that there is one dispatch per call stands in the way."""
    call = held_call(status=S.CLAIMED)
    guarding.insert(guarding.dispatch(call))

    words = "call_id" if guarding.vendor() == "postgresql" else "dispatched at most once"
    with guarding.undone(), guarding.refused(words):
        guarding.insert(guarding.dispatch(call))


@pytest.mark.sqlite
def test_a_dispatch_is_never_replaced(held_call):
    call = held_call(status=S.CLAIMED)
    other = held_call(status=S.CLAIMED, arguments={"customer": "other", "amount": 1})
    guarding.insert(guarding.dispatch(call))
    in_its_place = guarding.dispatch(other, id=Dispatch.objects.get().pk)

    for row in (guarding.dispatch(call), in_its_place):
        guarding.only_this_guard_stops(
            FITS_CLAIM, "a call is dispatched at most once",
            partial(guarding.insert, row, "INSERT OR REPLACE"),
        )  # fmt: skip


@pytest.mark.sqlite
def test_without_the_triggers_clause_the_unique_index_stops_a_second_dispatch(held_call):
    call = held_call(status=S.CLAIMED)
    guarding.insert(guarding.dispatch(call))

    with guarding.undone():
        guarding.weaken(FITS_CLAIM, "a call is dispatched at most once")
        with guarding.refused("UNIQUE"):
            guarding.insert(guarding.dispatch(call))


# -- events


def _next(stream: str) -> AuditEvent:
    newest = AuditEvent.objects.filter(stream=stream).latest("seq")
    return AuditEvent(
        stream=stream, seq=newest.seq + 1, code="test.happened", actor="test", at=database_now(),
        data=b"{}", digest=canonical.digest(b"next"), previous=newest.digest,
    )  # fmt: skip


def test_an_event_neither_changes_nor_goes(held_call):
    call = held_call()

    _stays_as_it_is(
        AuditEvent.objects.get(stream=f"call:{call.pk}"), "audit_event", "an audit event",
        data=b"{}", code="call.rejected", actor="person:eve", at=database_now(), seq=2,
        stream="call:other", digest="0" * 64, previous="0" * 64,
    )  # fmt: skip


def test_the_next_event_of_a_stream_is_accepted(held_call):
    guarding.insert(_next(f"call:{held_call().pk}"))


def test_the_first_event_of_a_stream_is_accepted(held_call):
    row = _next(f"call:{held_call().pk}")

    guarding.insert(row, stream="call:new", seq=1, previous="")


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 4},  # one was left out
        {"seq": 0},
        {"previous": "0" * 64},
        {"previous": ""},
        {"stream": "call:new"},  # a stream begins with 1
        {"stream": "call:new", "seq": 1},  # and its first event follows none
    ],
    ids=str,
)
def test_an_event_that_does_not_follow_the_one_before_is_refused(world, held_call, changes):
    call = held_call(quorum=2)
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
    row = _next(f"call:{call.pk}")
    assert row.seq == 3

    guarding.only_this_guard_stops(FOLLOWS, ONE_BEFORE, partial(guarding.insert, row, **changes))


@pytest.mark.parametrize("seq", [1, 2])
def test_an_event_with_a_number_that_is_taken_is_refused(world, held_call, seq):
    """Behind the guard there is the unique index; only REPLACE would get past that one."""
    call = held_call(quorum=2)
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
    row = _next(f"call:{call.pk}")

    with guarding.undone(), guarding.refused(ONE_BEFORE):
        guarding.insert(row, seq=seq)


@pytest.mark.sqlite
def test_an_event_is_never_replaced(held_call):
    call = held_call()
    first = AuditEvent.objects.get(stream=f"call:{call.pk}")
    same_number = _next(first.stream)
    same_number.seq, same_number.previous = 1, ""
    same_row = _next(first.stream)
    same_row.pk = first.pk

    for row in (same_number, same_row):
        guarding.only_this_guard_stops(
            FOLLOWS, ONE_BEFORE, partial(guarding.insert, row, "INSERT OR REPLACE")
        )


# -- whole tables


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("model", "guard", "words"),
    [
        (Decision, "decision_is_not_truncated", "a decision is never deleted"),
        (Dispatch, "dispatch_is_not_truncated", "a dispatch is never deleted"),
        (AuditEvent, "audit_event_is_not_truncated", "an audit event is never deleted"),
    ],
)
def test_a_table_cannot_be_truncated(held_call, model, guard, words):
    held_call(status=S.DISPATCHED)

    def truncate() -> None:
        guarding.execute(f"TRUNCATE {model._meta.db_table}")
        assert not model.objects.exists()

    guarding.only_this_guard_stops(guard, words, truncate)


@pytest.mark.postgres
def test_guards_hold_for_a_replica_too(held_call):
    """`session_replication_role` switches ordinary triggers off; these are ENABLE ALWAYS."""
    call = held_call()

    with guarding.undone():
        guarding.execute("SET LOCAL session_replication_role = replica")
        with guarding.refused("a tool call is never deleted"):
            guarding.delete(call)
