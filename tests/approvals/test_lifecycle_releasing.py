"""A worker's lease on an approved call: taken once, renewed, given back, lost by the clock."""

from datetime import datetime

import pytest

from approvals import lifecycle, policy, submission
from approvals.errors import CallExpired, Conflict, FenceLost
from approvals.models import ToolCall, database_now
from tests.support import guarding, trail
from tests.support import world as worlds

S = ToolCall.Status
PAUSES = [1, 2, 4, 8, 15, 30, 60, 60, 60]


@pytest.fixture
def approved(held_call):
    return held_call(status=S.APPROVED)


def _close(moment: datetime, seconds: float) -> bool:
    """Tell whether a moment is that far from now; the machine may be slow, never fast."""
    left = (moment - database_now()).total_seconds()
    return seconds - 5 < left <= seconds


# -- claim


def test_a_claim_leases_the_call_to_one_worker(approved, settings):
    claim = lifecycle.claim(approved.pk, worker="w1")

    call = ToolCall.objects.get(pk=approved.pk)
    assert (call.status, call.version) == (S.CLAIMED, approved.version + 1)
    assert (call.fence, call.claimed_by) == (1, "w1")
    assert call.lease_until is not None
    assert _close(call.lease_until, settings.CLAIM_LEASE_SECONDS)
    assert (claim.call_id, claim.fence, claim.worker) == (call.pk, 1, "w1")
    assert bytes(claim.call.arguments) == bytes(approved.arguments)
    event = trail.last(call)
    assert (event.code, event.actor, trail.facts(event)["fence"]) == (
        "call.claimed",
        "worker:w1",
        1,
    )


def test_a_claimed_call_brings_along_what_a_release_needs(approved, django_assert_num_queries):
    claim = lifecycle.claim(approved.pk, worker="w1")

    with django_assert_num_queries(0):
        call = claim.call
        assert (call.domain.name, call.upstream.name, call.tool.name) == (
            "billing", "billing", "refund",
        )  # fmt: skip
        assert call.agent.name == "support"


def test_only_an_approved_call_is_claimed(held_call):
    for status in S:
        if status == S.APPROVED:
            continue
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        with trail.nothing_changes(call), pytest.raises(Conflict):
            lifecycle.claim(call.pk, worker="w2")


def test_a_second_claim_changes_nothing_for_the_first(approved):
    claim = lifecycle.claim(approved.pk, worker="w1")

    with trail.nothing_changes(approved), pytest.raises(Conflict):
        lifecycle.claim(approved.pk, worker="w2")

    lifecycle.renew(claim)


def test_a_call_past_its_time_to_run_is_not_claimed(approved):
    with guarding.unguarded():
        now = database_now()
        ToolCall.objects.filter(pk=approved.pk).update(decide_by_at=now, run_by_at=now)

    with trail.nothing_changes(approved), pytest.raises(CallExpired):
        lifecycle.claim(approved.pk, worker="w1")


def test_a_call_that_an_allow_rule_admits_starts_approved_and_can_be_claimed(world):
    allow = policy.Rule(1, "allow refunds", policy.Outcome.ALLOW, tool="billing__refund")
    ruled = policy.Ruling(allow, allow.outcome, 0, allow.expires_seconds, "")
    key = world.agent.keys.get()
    request = submission.Request(world.agent.pk, key.pk, world.refund.pk, {})
    call = submission.draft(request, world.agent, world.refund, b"{}", ruled, database_now())

    call = lifecycle.begin(call)

    assert (call.status, trail.codes(call)) == (S.APPROVED, ["admitted"])
    assert trail.facts(trail.last(call))["rule"]["name"] == "allow refunds"
    assert lifecycle.claim(call.pk, worker="w1").fence == 1


# -- renew


def test_renewing_lengthens_the_lease_and_is_no_event(approved, settings):
    claim = lifecycle.claim(approved.pk, worker="w1")
    ToolCall.objects.filter(pk=approved.pk).update(lease_until=database_now())
    before = ToolCall.objects.get(pk=approved.pk)

    lifecycle.renew(claim)

    call = ToolCall.objects.get(pk=approved.pk)
    assert call.lease_until is not None
    assert _close(call.lease_until, settings.CLAIM_LEASE_SECONDS)
    assert call.version == before.version
    assert trail.codes(call)[-1] == "claimed"


def test_a_lease_that_is_not_ones_own_is_not_renewed(approved, settings):
    settings.CLAIM_LEASE_SECONDS = 0
    old = lifecycle.claim(approved.pk, worker="w1")
    lifecycle.lapse(approved.pk)
    with trail.nothing_changes(approved), pytest.raises(FenceLost):
        lifecycle.renew(old)

    _claim_again(approved)

    with trail.nothing_changes(approved), pytest.raises(FenceLost):
        lifecycle.renew(old)


def _claim_again(call: ToolCall) -> lifecycle.Claim:
    ToolCall.objects.filter(pk=call.pk).update(not_before=None)
    return lifecycle.claim(call.pk, worker="w2")


@pytest.mark.parametrize("status", [S.CANCELLED, S.DISPATCHED, S.UNKNOWN, S.SUCCEEDED])
def test_a_lease_on_what_moved_on_is_not_renewed(held_call, status):
    call = held_call(status=status)
    claim = lifecycle.Claim(call, call.fence, "test")

    with trail.nothing_changes(call), pytest.raises(FenceLost):
        lifecycle.renew(claim)


# -- unclaim and lapse


def test_a_claim_that_is_given_back_waits_a_growing_while(approved):
    for failed, pause in enumerate(PAUSES, 1):
        claim = _claim_again(approved)

        call = lifecycle.unclaim(claim, reason="Nobody listened.")

        assert (call.status, call.claims_failed) == (S.APPROVED, failed)
        assert call.not_before is not None
        assert _close(call.not_before, pause)
        assert (call.claimed_by, call.lease_until) == ("", None)
        assert call.status_reason == "Nobody listened."
    assert trail.codes(approved)[3:] == ["claimed", "approved"] * len(PAUSES)
    assert trail.last(approved).actor == "worker:w2"


def test_a_parked_call_is_not_claimed_before_its_time(approved):
    lifecycle.unclaim(lifecycle.claim(approved.pk, worker="w1"), reason="Nobody listened.")

    with trail.nothing_changes(approved), pytest.raises(Conflict, match="parked"):
        lifecycle.claim(approved.pk, worker="w2")

    ToolCall.objects.filter(pk=approved.pk).update(not_before=database_now())
    assert lifecycle.claim(approved.pk, worker="w2").fence == 2


def test_a_claim_that_is_not_the_newest_is_not_given_back(approved, settings):
    settings.CLAIM_LEASE_SECONDS = 0
    old = lifecycle.claim(approved.pk, worker="w1")
    lifecycle.lapse(approved.pk)
    new = _claim_again(approved)

    with trail.nothing_changes(approved), pytest.raises(FenceLost):
        lifecycle.unclaim(old, reason="Nobody listened.")

    lifecycle.unclaim(new, reason="Nobody listened.")


def test_what_was_sent_is_never_given_back(held_call):
    for status in (S.DISPATCHED, S.UNKNOWN, S.SUCCEEDED, S.FAILED):
        call = held_call(status=status, arguments={"customer": status, "amount": 1})
        claim = lifecycle.Claim(call, call.fence, "test")

        with trail.nothing_changes(call), pytest.raises(FenceLost):
            lifecycle.unclaim(claim, reason="Nobody listened.")
        with trail.nothing_changes(call), pytest.raises(Conflict):
            lifecycle.lapse(call.pk)


def test_a_lease_that_ran_out_gives_the_call_back(approved, settings):
    settings.CLAIM_LEASE_SECONDS = 0
    claim = lifecycle.claim(approved.pk, worker="w1")

    call = lifecycle.lapse(approved.pk)

    assert (call.status, call.claims_failed) == (S.APPROVED, 1)
    assert "lease ran out" in call.status_reason
    assert trail.last(call).actor == "clock"
    with trail.nothing_changes(call), pytest.raises(FenceLost):
        lifecycle.dispatch(claim, seen=worlds.seen(call))


def test_a_lease_that_runs_is_not_taken(approved):
    lifecycle.claim(approved.pk, worker="w1")

    with trail.nothing_changes(approved), pytest.raises(Conflict):
        lifecycle.lapse(approved.pk)


def test_only_a_claimed_call_has_a_lease_to_lose(held_call):
    for status in (S.PENDING, S.APPROVED, S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID):
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        with trail.nothing_changes(call), pytest.raises(Conflict):
            lifecycle.lapse(call.pk)


# -- lose


def _always(call: ToolCall) -> bool:
    return True


def test_a_dispatched_call_without_an_answer_is_unknown(held_call):
    call = held_call(status=S.DISPATCHED)

    call = lifecycle.lose(call.pk, reason="No answer came.", only_if=_always)

    assert (call.status, call.status_reason) == (S.UNKNOWN, "No answer came.")
    assert call.settled_at is None
    assert trail.last(call).actor == "clock"


def test_a_call_is_lost_only_if_it_still_looks_so_under_the_lock(held_call):
    call = held_call(status=S.DISPATCHED)

    with trail.nothing_changes(call), pytest.raises(Conflict):
        lifecycle.lose(call.pk, reason="No answer came.", only_if=lambda row: False)


def test_only_a_dispatched_call_can_be_lost(held_call):
    for status in S:
        if status == S.DISPATCHED:
            continue
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        with trail.nothing_changes(call), pytest.raises(Conflict):
            lifecycle.lose(call.pk, reason="No answer came.", only_if=_always)
