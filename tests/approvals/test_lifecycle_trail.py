"""A move and its event are one: without the event there is no move, whatever the verb."""

from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError

from approvals import bindings, lifecycle, submission
from approvals.audit import verify
from approvals.errors import BindingBroken
from approvals.models import AuditEvent, Decision, Dispatch, ToolCall, database_now
from approvals.outcomes import Outcome
from tests.support import guarding, trail
from tests.support import world as worlds

S = ToolCall.Status
HOUR = timedelta(hours=1)


def _decide(call, world, verdict="approve") -> None:
    lifecycle.decide(
        call.pk, decider=world.bo, verdict=verdict, binding=call.binding, reason="Because."
    )


def _claimed(call) -> lifecycle.Claim:
    return lifecycle.Claim(call, call.fence, "test")


def _unseen(call) -> bindings.Seen:
    return bindings.Seen("0" * 64, "elsewhere", "nothing")


def _finish(outcome: Outcome) -> Callable[[Any, Any], object]:
    return lambda call, world: lifecycle.finish(_claimed(call), outcome)


def _submit(world, **options) -> ToolCall:
    key = world.agent.keys.get()
    body = {"customer": "new", "amount": 1}
    request = submission.Request(world.agent.pk, key.pk, world.refund.pk, body, **options)
    return submission.submit(request).call


def _settle(call, world) -> None:
    lifecycle.settle(call.pk, person=world.bo, outcome="ran", evidence="The ledger.")


# Each verb and each end it can come to: where the call is, what is done, the event it ends with.
VERBS: list[tuple[S, Callable[[Any, Any], object], str]] = [
    (S.PENDING, lambda c, w: _submit(w), "call.held"),
    (S.PENDING, lambda c, w: _submit(w, supersedes=c.pk), "call.void"),
    (S.PENDING, _decide, "call.approve_signed"),
    (S.PENDING, _decide, "call.approved"),
    (S.PENDING, lambda c, w: _decide(c, w, "reject"), "call.reject_signed"),
    (S.PENDING, lambda c, w: _decide(c, w, "reject"), "call.rejected"),
    (S.APPROVED, lambda c, w: lifecycle.cancel(c.pk, actor="agent:support"), "call.cancelled"),
    (S.APPROVED, lambda c, w: lifecycle.void(c.pk, actor="command", reason="x"), "call.void"),
    (S.APPROVED, lambda c, w: lifecycle.claim(c.pk, worker="w1"), "call.claimed"),
    (S.CLAIMED, lambda c, w: lifecycle.unclaim(_claimed(c), reason="x"), "call.approved"),
    (S.CLAIMED, lambda c, w: lifecycle.lapse(c.pk), "call.approved"),
    (
        S.CLAIMED,
        lambda c, w: lifecycle.dispatch(_claimed(c), seen=worlds.seen(c)),
        "call.dispatched",
    ),
    (S.CLAIMED, lambda c, w: lifecycle.dispatch(_claimed(c), seen=_unseen(c)), "call.void"),
    (S.DISPATCHED, _finish(Outcome.succeeded({"content": []})), "call.succeeded"),
    (S.DISPATCHED, _finish(Outcome.failed("tool_error", "No.")), "call.failed"),
    (S.DISPATCHED, _finish(Outcome.unknown("Too slow.")), "call.unknown"),
    (
        S.DISPATCHED,
        lambda c, w: lifecycle.lose(c.pk, reason="x", only_if=lambda call: True),
        "call.unknown",
    ),
    (S.UNKNOWN, _finish(Outcome.succeeded({"content": []})), "call.succeeded"),
    (S.UNKNOWN, _settle, "call.succeeded"),
]


@contextmanager
def _full_disk(code: str):
    """Let the database refuse the next event of this code, as a full disk would refuse any."""
    if guarding.vendor() == "sqlite":
        guarding.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT ON approvals_auditevent"
            f" WHEN NEW.code = '{code}' BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    else:
        guarding.execute("SET CONSTRAINTS ALL IMMEDIATE")
        guarding.execute(
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'disk full'; END $$"
        )
        guarding.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT ON approvals_auditevent FOR EACH ROW"
            f" WHEN (NEW.code = '{code}') EXECUTE FUNCTION full_disk()"
        )
    yield
    on = "" if guarding.vendor() == "sqlite" else " ON approvals_auditevent"
    guarding.execute(f"DROP TRIGGER full_disk{on}")


def _everything() -> object:
    tables = (ToolCall, Decision, Dispatch, AuditEvent)
    return [sorted(table._default_manager.values_list(), key=str) for table in tables]


@pytest.fixture(autouse=True)
def _impatient(settings):
    settings.CLAIM_LEASE_SECONDS = 0
    settings.SETTLE_QUARANTINE_SECONDS = 0


@pytest.mark.parametrize(
    ("status", "act", "code"), VERBS, ids=[f"{status} {code}" for status, _, code in VERBS]
)
def test_nothing_moves_when_its_event_cannot_be_written(world, held_call, status, act, code):
    call = held_call(status=status)
    before = _everything()

    with _full_disk(code):
        with pytest.raises(DatabaseError, match="disk full"):
            act(call, world)

        assert _everything() == before

    # A dispatch that voids the call says so by raising; the move is committed all the same.
    with suppress(BindingBroken):
        act(call, world)
    assert _everything() != before  # it was the event that stood in the way


@pytest.mark.parametrize(("age", "status"), [(HOUR, S.PENDING), (timedelta(0), S.CLAIMED)])
def test_no_call_expires_without_its_event(world, held_call, age, status):
    call = held_call(age=age, status=status)
    if status == S.CLAIMED:
        with guarding.unguarded():
            now = database_now()
            ToolCall.objects.filter(pk=call.pk).update(decide_by_at=now, run_by_at=now)
    acts: list[Callable[[], object]] = [lambda: lifecycle.expire(call.pk)]
    if status == S.PENDING:
        acts.append(lambda: _decide(call, world))
    else:
        acts.append(lambda: lifecycle.dispatch(_claimed(call), seen=worlds.seen(call)))

    for act in acts:
        with (
            _full_disk("call.expired"),
            trail.nothing_changes(call),
            pytest.raises(DatabaseError, match="disk full"),
        ):
            act()


def test_every_version_of_a_call_has_its_event(world, held_call):
    """A call is complete when its events number its version; versions are numbered from one."""
    for status in S:
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        events = AuditEvent.objects.filter(stream=f"call:{call.pk}").order_by("seq")
        assert [event.seq for event in events] == list(range(1, call.version + 1))
        assert [trail.facts(event)["version"] for event in events] == [e.seq for e in events]

    moves = {str(source): ends for source, ends in lifecycle.MOVES.items()}
    assert list(verify.Verification(moves).problems()) == []


def test_the_clock_of_an_event_is_that_of_its_move(world, held_call):
    for status in S:
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        assert trail.last(call).at == ToolCall.objects.get(pk=call.pk).moved_at
