"""The verbs of people and agents: hold, decide, withdraw, void, expire, settle."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from approvals import access, bindings, canonical, policy
from approvals.errors import (
    AlreadyDecided,
    CallExpired,
    CallSettled,
    Conflict,
    InvalidInput,
    NotAllowed,
    QuarantineRunning,
    StaleBinding,
)
from approvals.lifecycle.attending import attend_at
from approvals.lifecycle.moving import expire_now, in_words, locked, move, tell, too_late, unsent
from approvals.lifecycle.reaching import tell_reach
from approvals.lifecycle.states import S
from approvals.models import ApproverGroup, Decision, Person, ToolCall, database_now
from approvals.phrases import Phrase, phrase


def begin(call: ToolCall, **told: object) -> ToolCall:
    """Write a new call, held (pending) or admitted by an allow rule (approved).

    `approvals.submission` fills the row and owns the transaction: what it checked and what is
    written here must be one. What else is `told` goes into its event.
    """
    code = "call.held" if call.status == S.PENDING else "call.admitted"
    if call.status == S.PENDING:
        call.attend_at = attend_at(call)
    lacking = access.out_of_reach([call]).get(call.pk)
    call.is_out_of_reach = bool(lacking)
    call.save(force_insert=True)
    facts = bindings.of(call).as_dict() | told
    if call.held_because:
        facts["held_because"] = call.held_because
    if lacking:
        facts["out_of_reach"] = lacking
    tell(
        call,
        code,
        actor=f"agent:{call.agent.name}",
        at=call.created_at,
        sentence=call.sentence,
        rule=call.rule,
        policy_version=call.policy_version,
        effect=call.effect,
        quorum=call.quorum,
        four_eyes=call.four_eyes,
        domain=call.domain.name,
        upstream_tool=call.tool.name,
        owner=call.owner.get_username(),
        key=call.key.prefix if call.key else "",
        claimed_acts_for=call.claimed_acts_for,
        idempotency_key=call.idempotency_key,
        binding=call.binding,
        supersedes=str(call.supersedes_id or ""),
        **{key: value for key, value in facts.items() if key != "call_id"},
    )
    return call


@transaction.atomic(durable=True)
def _decide(
    call_id: UUID,
    decider: Person,
    verdict: str,
    binding: str,
    reason: str,
    assurance: str,
) -> ToolCall:
    # The lock makes deciders queue up, so two of them cannot both be one short of the quorum.
    call = locked(call_id)
    permission = access.may_decide(_as_of_now(decider, call), call, verdict)
    if not permission:
        raise NotAllowed(permission.why, call_id=call_id)
    now = database_now()
    if call.status == S.PENDING and now >= call.decide_by_at:
        return expire_now(call)
    if call.decisions.filter(approver=decider, binding=call.binding).exists():
        raise AlreadyDecided(call_id=call_id)
    if call.status != S.PENDING:
        raise CallSettled(too_late(call), call_id=call_id)
    if binding != call.binding:
        raise StaleBinding(call_id=call_id)
    decision = call.decisions.create(
        approver=decider, verdict=verdict, reason=reason, binding=binding, assurance=assurance,
        at=now, owner_id=call.owner_id, acts_for_id=call.acts_for_id, four_eyes=call.four_eyes,
        stage=call.stage,
    )  # fmt: skip
    call = _count_decision(call, decision)
    return _ended(call, decision) or tell_reach(call, at=now)


def _ended(call: ToolCall, decision: Decision) -> ToolCall | None:
    """Move a call that this decision ends; None where it ends nothing."""
    actor = f"person:{decision.approver.get_username()}"
    if decision.verdict == Decision.Verdict.REJECT:
        noes = call.decisions.filter(verdict="reject", binding=call.binding).count()
        is_over = noes >= policy.Rule(**call.rule).deny_quorum
        return move(call, S.REJECTED, actor=actor, reason=decision.reason) if is_over else None
    # Nobody signs for a stage that is full, so all signatures are there when the last stage's are.
    if call.decisions.filter(verdict="approve", binding=call.binding).count() >= call.quorum:
        return move(call, S.APPROVED, actor=actor)
    return None


def decide(
    call_id: UUID,
    *,
    decider: Person,
    verdict: str,
    binding: str,
    reason: str = "",
    assurance: str = "session",
) -> ToolCall:
    """Record one person's decision; approve at the quorum, reject at the deny quorum.

    A no below the deny quorum is recorded and ends nothing: others may still reach the quorum. When
    neither can be reached any more, the call stays held until its time is over.

    Args:
        binding: hex, as the page showed it.
        reason: required for a rejection; the agent reads it word for word.

    Raises:
        InvalidInput: no such verdict, or a rejection without a reason.
        NotAllowed, StaleBinding, AlreadyDecided, CallSettled, CallExpired.
    """
    if verdict not in Decision.Verdict.values:
        raise InvalidInput(phrase("The verdict is approve or reject."), path="$.verdict")
    reason = _words_of_a_person(reason, phrase("Reason"), path="$.reason", longest=1000)
    if verdict == Decision.Verdict.REJECT and not reason:
        raise InvalidInput(
            phrase("A rejection needs a reason; the agent will read it."), path="$.reason"
        )
    call = _decide(call_id, decider, verdict, binding, reason, assurance)
    if call.status == S.EXPIRED:
        raise CallExpired(phrase("Nobody decided in time; the call has expired."), call_id=call_id)
    return call


@transaction.atomic(durable=True)
def cancel(call_id: UUID, *, actor: str, reason: str = "") -> ToolCall:
    """Withdraw a call that has not been sent; `actor` is the agent or its owner."""
    return move(unsent(call_id), S.CANCELLED, actor=actor, reason=reason)


@transaction.atomic(durable=True)
def void(call_id: UUID, *, actor: str, reason: str) -> ToolCall:
    """End an unsent call because what people were asked about is no longer what would run."""
    return move(unsent(call_id), S.VOID, actor=actor, reason=reason)


def supersede(call: ToolCall, *, actor: str, by: UUID) -> ToolCall:
    """Void the agent's own pending call in the transaction that holds the one in its place.

    Raises:
        Conflict: somebody decided on it, or it ended otherwise.
    """
    call = locked(call.pk)
    if call.status != S.PENDING:
        words = f"Only a pending call can be superseded; {call.pk} is {in_words(call)}."
        raise Conflict(words, call_id=call.pk)
    return move(call, S.VOID, actor=actor, reason=f"Superseded by {by}.", superseded_by=str(by))


@transaction.atomic(durable=True)
def expire(call_id: UUID) -> ToolCall:
    """End a call whose deadline has passed; a claimed one only when its lease is over too.

    Raises:
        Conflict: it is not due, or no longer in a state that expires.
    """
    call, now = locked(call_id), database_now()
    due = {
        S.PENDING: now >= call.decide_by_at,
        S.APPROVED: now >= call.run_by_at,
        S.CLAIMED: now >= call.run_by_at
        and call.lease_until is not None
        and now >= call.lease_until,
    }
    if not due.get(S(call.status), False):
        raise Conflict("The call is not due to expire.", call_id=call_id)
    return expire_now(call)


@transaction.atomic(durable=True)
def settle(call_id: UUID, *, person: Person, outcome: str, evidence: str) -> ToolCall:
    """Record what a person found out about a call whose outcome is unknown.

    Args:
        outcome: "ran" or "not-ran".
        evidence: what they looked at; kept in the trail.

    Raises:
        InvalidInput, NotAllowed, QuarantineRunning (the answer may still come), Conflict.
    """
    if outcome not in ("ran", "not-ran"):
        raise InvalidInput(phrase("The outcome is ran or not-ran."), path="$.outcome")
    evidence = _words_of_a_person(evidence, phrase("Evidence"), path="$.evidence", longest=900)
    if not evidence:
        raise InvalidInput(phrase("Evidence is required: what did you look at?"), path="$.evidence")
    call = locked(call_id)
    permission = access.may_settle(_as_of_now(person, call), call)
    if not permission:
        raise NotAllowed(permission.why, call_id=call_id)
    if call.status != S.UNKNOWN:
        words = phrase(
            "Only an unknown outcome is settled; this is %(state)s.", state=in_words(call)
        )
        raise Conflict(words)
    wait = settle_from(call) - database_now()
    if wait > timedelta(0):
        raise QuarantineRunning(call_id=call_id, retry_after_seconds=round(wait.total_seconds(), 1))
    ran = outcome == "ran"
    return move(
        call,
        S.SUCCEEDED if ran else S.FAILED,
        actor=f"person:{person.get_username()}",
        reason=f"{'Ran' if ran else 'Did not run'}, says {person}: {evidence}",
        columns={} if ran else {"failure_kind": ToolCall.Failure.NOT_RUN},
        settled="by a person",
    )


def settle_from(call: ToolCall) -> datetime:
    """Return when a person may settle an unknown call: twice the time-out after it became so."""
    return call.moved_at + timedelta(seconds=settings.SETTLE_QUARANTINE_SECONDS)


def _as_of_now(person: Person, call: ToolCall) -> Person:
    """Return the person as the database knows them, and keep their role until the commit.

    Whoever takes a role away waits for this vote, or this vote sees that it is gone.
    """
    now = Person.objects.select_for_update(no_key=True).filter(pk=person.pk).first()
    if now is None:
        raise NotAllowed(call_id=call.pk)
    memberships = ApproverGroup.people.through.objects.select_for_update(no_key=True, of=("self",))
    list(memberships.filter(person=now, approvergroup__domain=call.domain_id))
    return now


def _words_of_a_person(text: str, name: Phrase, *, path: str, longest: int) -> str:
    """Return them stripped; what databases and the trail cannot keep is refused."""
    text, most = text.strip(), f"{longest:,}"
    if len(text) > longest:
        told = phrase("%(field)s: at most %(most)s characters.", field=name, most=most)
        raise InvalidInput(told, path=path)
    try:
        canonical.check(text)
    except InvalidInput as error:
        told = phrase("%(field)s: %(why)s.", field=name, why=error.message)
        raise InvalidInput(told, path=path) from None
    return text


def _count_decision(call: ToolCall, decision: Decision) -> ToolCall:
    turn = _turn(call)
    ToolCall.objects.filter(pk=call.pk, status=S.PENDING).update(version=F("version") + 1, **turn)
    call.refresh_from_db(fields=["version", *turn])
    actor = f"person:{decision.approver.get_username()}"
    tell(
        call, f"call.{decision.verdict}_signed", actor=actor, at=decision.at,
        verdict=decision.verdict, reason=decision.reason, binding=decision.binding,
        assurance=decision.assurance, **({"stage": decision.stage} if decision.stage else {}),
    )  # fmt: skip
    return call


def _turn(call: ToolCall) -> dict[str, object]:
    """Return the columns that say whose turn it is by the decisions; none without stages."""
    stages = policy.Rule(**call.rule).stages
    if not stages or not call.stage:
        return {}
    approved = call.decisions.filter(verdict="approve", binding=call.binding)
    number = policy.turn(stages, approved.values_list("stage", flat=True))
    return {"stage": number, "asked_group": stages[number - 1].group}
