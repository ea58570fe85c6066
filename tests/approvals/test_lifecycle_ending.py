"""How calls end before anything is sent, and how a person settles what nobody knows."""

from datetime import timedelta
from uuid import uuid4

import pytest

from approvals import lifecycle, submission
from approvals.errors import (
    CallSettled,
    Conflict,
    FenceLost,
    InvalidInput,
    NotAllowed,
    NotFound,
    QuarantineRunning,
)
from approvals.models import Person, ToolCall, database_now
from tests.support import guarding, trail
from tests.support import world as worlds

S = ToolCall.Status
HOUR = timedelta(hours=1)
SENT_OR_OVER = [status for status in S if status not in lifecycle.UNSENT]


def _each(held_call, statuses, **options):
    for status in statuses:
        yield held_call(status=status, arguments={"customer": status, "amount": 1}, **options)


# -- cancel and void


def test_a_call_is_cancelled_until_it_is_sent(held_call):
    for call in _each(held_call, lifecycle.UNSENT):
        ended = lifecycle.cancel(call.pk, actor="person:ann", reason="Not needed any more.")

        assert (ended.status, ended.version) == (S.CANCELLED, call.version + 1)
        assert (ended.status_reason, ended.settled_at) == ("Not needed any more.", ended.moved_at)
        event = trail.last(call)
        assert (event.code, event.actor) == ("call.cancelled", "person:ann")
        assert trail.facts(event)["source"] == call.status


def test_a_call_is_void_until_it_is_sent(held_call):
    for call in _each(held_call, lifecycle.UNSENT):
        ended = lifecycle.void(call.pk, actor="command", reason="The tool changed.")

        assert (ended.status, ended.status_reason) == (S.VOID, "The tool changed.")
        assert trail.codes(call)[-1] == "void"


def test_what_was_sent_or_is_over_can_be_neither_cancelled_nor_void(held_call):
    for call in _each(held_call, SENT_OR_OVER):
        with trail.nothing_changes(call):
            with pytest.raises(CallSettled, match=call.status):
                lifecycle.cancel(call.pk, actor="agent:support")
            with pytest.raises(CallSettled, match=call.status):
                lifecycle.void(call.pk, actor="command", reason="The tool changed.")


def test_a_call_that_is_not_there_is_not_found(world):
    for verb in (
        lambda key: lifecycle.cancel(key, actor="agent:support"),
        lambda key: lifecycle.void(key, actor="command", reason="Gone."),
        lambda key: lifecycle.claim(key, worker="test"),
        lifecycle.expire,
        lifecycle.lapse,
    ):
        with pytest.raises(NotFound):
            verb(uuid4())


def test_who_cancels_a_claimed_call_takes_it_from_its_worker(held_call):
    call = held_call(status=S.APPROVED)
    claim = lifecycle.claim(call.pk, worker="test")

    lifecycle.cancel(call.pk, actor="agent:support")

    with trail.nothing_changes(call), pytest.raises(FenceLost):
        lifecycle.dispatch(claim, seen=worlds.seen(call))


# -- supersede


def _request(world, **options) -> submission.Request:
    key = world.agent.keys.get()
    arguments = {"customer": "new", "amount": 1}
    return submission.Request(world.agent.pk, key.pk, world.refund.pk, arguments, **options)


def test_a_new_call_takes_the_place_of_a_pending_one(world, held_call):
    old = held_call()

    new = submission.submit(_request(world, supersedes=old.pk)).call

    old.refresh_from_db()
    assert (old.status, new.supersedes_id) == (S.VOID, old.pk)
    assert str(new.pk) in old.status_reason
    assert trail.facts(trail.last(old))["superseded_by"] == str(new.pk)
    assert trail.facts(trail.last(new))["supersedes"] == str(old.pk)


def test_only_a_pending_call_can_be_superseded(world, held_call):
    for old in _each(held_call, [status for status in S if status != S.PENDING]):
        before = ToolCall.objects.count()

        with trail.nothing_changes(old), pytest.raises(InvalidInput, match="superseded"):
            submission.submit(_request(world, supersedes=old.pk))

        assert ToolCall.objects.count() == before


def test_a_call_that_was_decided_since_it_was_read_is_not_superseded(world, held_call):
    """Who asks reads the row first; the verb looks again, under the lock."""
    call = held_call()
    stale = ToolCall.objects.get(pk=call.pk)
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)

    with trail.nothing_changes(call), pytest.raises(Conflict, match="approved already"):
        lifecycle.supersede(stale, actor="agent:support", by=uuid4())


# -- expire


def test_a_call_nobody_decided_on_expires_at_its_deadline(held_call):
    call = lifecycle.expire(held_call(age=HOUR).pk)

    assert (call.status, call.status_reason) == (S.EXPIRED, "Nobody decided in time.")
    assert trail.last(call).actor == "clock"


def test_a_call_nobody_decided_on_does_not_expire_before(held_call):
    call = held_call(age=HOUR - timedelta(seconds=30))

    with trail.nothing_changes(call), pytest.raises(Conflict):
        lifecycle.expire(call.pk)


def _run_by_is_over(call: ToolCall) -> None:
    """Let the time to run be over; deadlines do not change, so a test has to go past the guards."""
    now = database_now()
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(
            decide_by_at=now - timedelta(seconds=1), run_by_at=now
        )


def test_an_approved_call_expires_when_its_time_to_run_is_over(held_call):
    call = held_call(status=S.APPROVED)
    with pytest.raises(Conflict):
        lifecycle.expire(call.pk)

    _run_by_is_over(call)

    call = lifecycle.expire(call.pk)
    assert (call.status, call.status_reason) == (S.EXPIRED, "It did not run in time.")


def test_an_approved_call_outlives_the_time_to_decide(world, held_call, settings):
    settings.RUN_WITHIN_SECONDS = 600
    call = held_call(status=S.APPROVED)
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(decide_by_at=database_now())

    with trail.nothing_changes(call), pytest.raises(Conflict):
        lifecycle.expire(call.pk)


def test_a_claimed_call_expires_only_when_its_lease_is_over_too(held_call):
    """A worker that holds it finds out itself, at dispatch."""
    call = held_call(status=S.CLAIMED)
    _run_by_is_over(call)
    with trail.nothing_changes(call), pytest.raises(Conflict):
        lifecycle.expire(call.pk)

    ToolCall.objects.filter(pk=call.pk).update(lease_until=database_now())

    assert lifecycle.expire(call.pk).status == S.EXPIRED


def test_nothing_else_expires(held_call):
    for call in _each(held_call, SENT_OR_OVER):
        _run_by_is_over(call)

        with trail.nothing_changes(call), pytest.raises(Conflict):
            lifecycle.expire(call.pk)


# -- settle


@pytest.fixture
def unknown(held_call, settings):
    """Return a call whose outcome is unknown, and whose quarantine is over."""
    settings.SETTLE_QUARANTINE_SECONDS = 0
    return held_call(status=S.UNKNOWN)


def _settle(call, person, outcome="ran", evidence="Row 17 of the ledger."):
    return lifecycle.settle(call.pk, person=person, outcome=outcome, evidence=evidence)


@pytest.mark.parametrize(
    ("outcome", "status", "kind", "words"),
    [
        ("ran", S.SUCCEEDED, "", "Ran, says Bo Tester: Row 17 of the ledger."),
        ("not-ran", S.FAILED, "not_run", "Did not run, says Bo Tester: Row 17 of the ledger."),
    ],
)
def test_an_approver_settles_what_nobody_knew(world, unknown, outcome, status, kind, words):
    call = _settle(unknown, world.bo, outcome)

    assert (call.status, call.failure_kind, call.status_reason) == (status, kind, words)
    assert (call.settled_at, call.result) == (call.moved_at, None)
    event = trail.last(call)
    assert (event.actor, trail.facts(event)["reason"]) == ("person:bo", words)
    assert trail.facts(event)["settled"] == "by a person"


def test_a_call_is_not_settled_while_its_answer_may_still_come(world, held_call, settings):
    settings.SETTLE_QUARANTINE_SECONDS = 60
    call = held_call(status=S.UNKNOWN)

    with trail.nothing_changes(call), pytest.raises(QuarantineRunning) as caught:
        _settle(call, world.bo)

    assert 0 < (caught.value.retry_after_seconds or 0) <= 60
    assert caught.value.retryable


def test_the_quarantine_is_twice_the_time_out_and_begins_with_the_unknown(held_call, settings):
    assert settings.SETTLE_QUARANTINE_SECONDS == 2 * settings.UPSTREAM_TIMEOUT_SECONDS

    call = held_call(status=S.UNKNOWN)

    assert lifecycle.settle_from(call) - call.moved_at == timedelta(
        seconds=settings.SETTLE_QUARANTINE_SECONDS
    )


@pytest.mark.parametrize("name", ["ann", "dee", "eve", "aud"])
def test_only_an_approver_of_the_domain_settles(world, unknown, name):
    with trail.nothing_changes(unknown), pytest.raises(NotAllowed):
        _settle(unknown, getattr(world, name))


def test_who_was_switched_off_since_cannot_settle(world, unknown):
    Person.objects.filter(pk=world.bo.pk).update(is_active=False)

    with trail.nothing_changes(unknown), pytest.raises(NotAllowed):
        _settle(unknown, world.bo)


@pytest.mark.parametrize("evidence", ["", "  \n", "x" * 901, "a\0b", "a\udc80b"])
def test_evidence_is_required_and_must_be_keepable(world, unknown, evidence):
    with trail.nothing_changes(unknown), pytest.raises(InvalidInput) as caught:
        _settle(unknown, world.bo, evidence=evidence)

    assert caught.value.path == "$.evidence"


@pytest.mark.parametrize("outcome", ["", "unknown", "succeeded", "RAN"])
def test_the_outcome_is_ran_or_not_ran(world, unknown, outcome):
    with trail.nothing_changes(unknown), pytest.raises(InvalidInput) as caught:
        _settle(unknown, world.bo, outcome)

    assert caught.value.path == "$.outcome"


def test_only_an_unknown_outcome_is_settled(world, held_call, settings):
    settings.SETTLE_QUARANTINE_SECONDS = 0
    for call in _each(held_call, [status for status in S if status != S.UNKNOWN]):
        with trail.nothing_changes(call), pytest.raises(Conflict, match="Only an unknown"):
            _settle(call, world.bo)


def test_a_call_is_settled_once(world, unknown):
    _settle(unknown, world.bo)

    with trail.nothing_changes(unknown), pytest.raises(Conflict, match="succeeded already"):
        _settle(unknown, world.cy, "not-ran")


def test_the_longest_evidence_is_kept_whole(world, unknown):
    call = _settle(unknown, world.bo, evidence="y" * 900)

    assert call.status_reason.endswith("y" * 900)
