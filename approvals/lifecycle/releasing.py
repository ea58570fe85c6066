"""The verbs of workers (claim, give back, dispatch, finish) and of the clock that misses them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from approvals import bindings, budgets, canonical, counting, freezes, outcomes, policy, ruling
from approvals.errors import BindingBroken, CallExpired, Conflict, FenceLost
from approvals.lifecycle.moving import expire_now, locked, move
from approvals.lifecycle.states import S
from approvals.models import Decision, Dispatch, ToolCall, database_now

_PAUSE_SECONDS = (
    1,
    2,
    4,
    8,
    15,
    30,
    60,
)  # before a claim that could not connect is tried again


@dataclass(frozen=True)
class Claim:
    """One worker's lease on an approved call; its fence proves it is still the newest."""

    call: ToolCall
    fence: int
    worker: str

    @property
    def call_id(self) -> UUID:
        """Return the id of the claimed call."""
        return self.call.pk


@transaction.atomic(durable=True)
def claim(call_id: UUID, *, worker: str) -> Claim:
    """Lease an approved call to one worker, whoever's turn it is.

    Raises:
        Conflict: it is not approved, is parked, is due to expire, or another worker has it.
    """
    return leased(locked(call_id), worker)


def leased(call: ToolCall, worker: str) -> Claim:
    now = database_now()
    if now >= call.run_by_at:
        raise CallExpired(call_id=call.pk)
    if call.not_before is not None and now < call.not_before:
        raise Conflict("The call is parked for a while.", call_id=call.pk)
    call = move(
        call,
        S.CLAIMED,
        actor=f"worker:{worker}",
        columns={
            "fence": call.fence + 1,
            "claimed_by": worker,
            "lease_until": now + timedelta(seconds=settings.CLAIM_LEASE_SECONDS),
            "not_before": None,
        },
        fence=call.fence + 1,
    )
    return Claim(call, call.fence, worker)


def renew(claim: Claim) -> None:
    """Lengthen a lease while connecting; no event, because nothing happened.

    Raises:
        FenceLost: the call is no longer this worker's.
    """
    until = database_now() + timedelta(seconds=settings.CLAIM_LEASE_SECONDS)
    mine = ToolCall.objects.filter(pk=claim.call_id, status=S.CLAIMED, fence=claim.fence)
    if not mine.update(lease_until=until):
        raise FenceLost(call_id=claim.call_id)


@transaction.atomic(durable=True)
def unclaim(claim: Claim, *, reason: str) -> ToolCall:
    """Give a claim back, because nothing could be sent; the next try waits a little longer."""
    return _unclaim(_held_by(claim), actor=f"worker:{claim.worker}", reason=reason)


@transaction.atomic(durable=True)
def lapse(call_id: UUID) -> ToolCall:
    """Give back a claim whose worker let its lease run out; nothing has been sent.

    Raises:
        Conflict: it is not claimed, or the lease still runs.
    """
    call = locked(call_id)
    if call.status != S.CLAIMED or call.lease_until is None or database_now() < call.lease_until:
        raise Conflict("No lease is over here.", call_id=call_id)
    return _unclaim(call, actor="clock", reason="The worker's lease ran out; nothing was sent.")


@transaction.atomic(durable=True)
def _dispatch(claim: Claim, seen: bindings.Seen) -> ToolCall:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Forgetting a dispatch that was sent would send it twice; no setting may allow that.
            cursor.execute("SET LOCAL synchronous_commit = 'on'")
    call, now, actor = _held_by(claim), database_now(), f"worker:{claim.worker}"
    if now >= call.run_by_at:
        return expire_now(call)
    broken = bindings.difference(call, seen) or _forbidden_today(call)
    if broken:
        return move(call, S.VOID, actor=actor, reason=broken)
    answer_by = now + timedelta(seconds=settings.UPSTREAM_TIMEOUT_SECONDS)
    Dispatch.objects.create(
        call=call, fence=claim.fence, worker=claim.worker, binding=call.binding,
        definition_digest=seen.definition_digest, at=now, answer_by_at=answer_by,
    )  # fmt: skip
    lease = answer_by + timedelta(seconds=settings.ANSWER_GRACE_SECONDS)
    return move(
        call, S.DISPATCHED, actor=actor, at=now, columns={"lease_until": lease},
        fence=claim.fence, binding=call.binding, definition_digest=seen.definition_digest,
        answer_by_at=canonical.rfc3339(answer_by),
    )  # fmt: skip


def dispatch(claim: Claim, *, seen: bindings.Seen) -> ToolCall:
    """Commit the point of no return: only after this returns may a byte leave for the upstream.

    The binding is computed anew from locked rows and what the worker saw, and today's policy is
    asked again.

    Raises:
        FenceLost: the claim is no longer this worker's.
        CallExpired: its time is over; it is expired now.
        BindingBroken: something differs or policy got stricter; it is void now.
    """
    call = _dispatch(claim, seen)
    if call.status == S.EXPIRED:
        raise CallExpired(call_id=call.pk)
    if call.status == S.VOID:
        raise BindingBroken(call.status_reason, call_id=call.pk)
    return call


@transaction.atomic(durable=True)
def finish(claim: Claim, outcome: outcomes.Outcome) -> ToolCall:
    """Record how a dispatched call ended, also when the answer comes late.

    Raises:
        FenceLost: the call was settled meanwhile, or the claim is an older one.
    """
    call = locked(claim.call_id)
    if call.fence != claim.fence or call.status not in (S.DISPATCHED, S.UNKNOWN):
        raise FenceLost(call_id=claim.call_id)
    if call.status == outcome.status:
        return call  # unknown is already what is recorded
    kept = outcomes.stored(outcome.result)
    return move(
        call,
        S(outcome.status),
        actor=f"worker:{claim.worker}",
        reason=outcome.message,
        columns={
            "failure_kind": outcome.failure_kind,
            "result": kept.body,
            "result_digest": kept.digest,
            "result_is_cut": kept.is_cut,
        },
        fence=claim.fence,
        failure_kind=outcome.failure_kind,
        result_digest=kept.digest,
        result_is_cut=kept.is_cut,
        # What is left of a cut result does not have the digest of the whole.
        kept_digest=canonical.digest(kept.body) if kept.body is not None else "",
    )


@transaction.atomic(durable=True)
def lose(call_id: UUID, *, reason: str, only_if: Callable[[ToolCall], bool]) -> ToolCall:
    """Say that nobody can tell what became of a dispatched call.

    Args:
        only_if: looked at under the lock; a late answer may have come first.
    """
    call = locked(call_id)
    if call.status != S.DISPATCHED or not only_if(call):
        raise Conflict("The call is not lost.", call_id=call_id)
    return move(call, S.UNKNOWN, actor="clock", reason=reason)


def _forbidden_today(call: ToolCall) -> str:
    """Return in words why today's policy or catalogue forbids the call; empty when it does not."""
    if call.agent.is_paused:
        return "The agent was paused after the call was made."
    if not call.upstream.is_enabled or not call.tool.is_listed:
        return "The tool was taken away after the call was made."
    facts = policy.Facts(
        domain=call.domain.name,
        tool=call.tool_name,
        effect=call.tool.effect,
        agent=call.agent.name,
    )
    today = _today(call, facts)
    decisions = list(call.decisions.filter(binding=call.binding))
    approvals = sum(decision.verdict == "approve" for decision in decisions)
    if policy.stricter(today, approvals=approvals, signed=_signed(call, decisions)):
        told = f"The policy got stricter: rule “{today.rule.name}” does not let it run as approved."
        return f"{told} {today.why}".strip()
    return ""


def _today(call: ToolCall, facts: policy.Facts) -> policy.Ruling:
    """Return what today's policy says of a call: by today's clock, and by what came before it."""
    rules = ruling.in_force().candidates(facts)
    if len(rules) > 1:
        wanted = policy.history_wanted(facts, rules)
        facts = counting.of_call(facts, call, wanted=wanted, now=database_now())
    ruled = budgets.today(call, policy.evaluate(facts, rules), facts, rules)
    return freezes.admit(ruled, facts)


def _signed(call: ToolCall, decisions: list[Decision]) -> policy.Signed:
    """Return what people decided as values: how many in a stage of which group."""
    stages = policy.Rule(**call.rule).stages
    approved = [decision for decision in decisions if decision.verdict == "approve"]
    return policy.Signed(
        by_group=Counter(stages[one.stage - 1].group for one in approved if one.stage),
        rejections=len(decisions) - len(approved),
        by_theirs=any(one.approver_id in (one.owner_id, one.acts_for_id) for one in approved),
    )


def _held_by(claim: Claim) -> ToolCall:
    call = locked(claim.call_id)
    if call.status != S.CLAIMED or call.fence != claim.fence:
        raise FenceLost(call_id=claim.call_id)
    return call


def _unclaim(call: ToolCall, *, actor: str, reason: str) -> ToolCall:
    pause = _PAUSE_SECONDS[min(call.claims_failed, len(_PAUSE_SECONDS) - 1)]
    return move(
        call,
        S.APPROVED,
        actor=actor,
        reason=reason,
        columns={
            "claims_failed": call.claims_failed + 1,
            "not_before": database_now() + timedelta(seconds=pause),
            "claimed_by": "",
            "lease_until": None,
        },
    )
