"""Proposals: a policy that loosens comes into force when a second administrator signs it.

    open ──┬─ signed     another administrator signed it; in force from that transaction on
           ├─ applied    nobody else could sign: in force by the clock, a day later
           ├─ withdrawn  an administrator took it back, and said why
           └─ expired    nobody signed it in time

Locks are taken in this order everywhere: the proposal, the person, the revision.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from approvals import access, canonical
from approvals.administration import versions
from approvals.administration.versions import Wanted
from approvals.administration.writing import administrator_now, note, reason_of
from approvals.errors import (
    ApprovalsError,
    InvalidInput,
    NotAllowed,
    NotFound,
    PolicyChanged,
    ProposalEnded,
    StaleBinding,
)
from approvals.models import Person, PolicyVersion, Proposal, Revision, database_now
from approvals.phrases import phrase
from approvals.policy import dump

S = Proposal.State
CLOCK = "clock"  # the actor of what time does


def open_for(wanted: Wanted, *, person: Person | None, evidence: Mapping[str, object]) -> Proposal:
    """Let a policy that loosens wait for a signature, in the transaction that found it does.

    Args:
        person: who proposes it; None: whoever has a shell on the server.
        evidence: what loosens, as `loosening.evidence` gives it.
    """
    now = database_now()
    is_alone = access.administrators().count() < 2
    proposal = Proposal.objects.create(
        document=dump(wanted.rules), based_on=wanted.based_on or 0,
        source=wanted.source[: versions.MOST_SOURCE], reason=wanted.reason,
        proposed_by=wanted.actor, proposer=person, evidence=dict(evidence),
        effect=dict(wanted.effect), opened_at=now,
        applies_at=now + timedelta(seconds=settings.PROPOSAL_ALONE_SECONDS) if is_alone else None,
        expires_at=now + timedelta(seconds=settings.PROPOSAL_EXPIRES_SECONDS),
    )  # fmt: skip
    _tell(
        proposal, "proposed", actor=wanted.actor, source=proposal.source, reason=proposal.reason,
        based_on=proposal.based_on, rules=proposal.document["rules"], evidence=proposal.evidence,
        binding=binding_of(proposal), expires_at=canonical.rfc3339(proposal.expires_at),
        applies_at=canonical.rfc3339(proposal.applies_at) if proposal.applies_at else "",
    )  # fmt: skip
    return proposal


def binding_of(proposal: Proposal) -> str:
    """Return what a signature covers: hex, 64 characters."""
    covered = {"based_on": proposal.based_on, "document": proposal.document}
    return canonical.digest(
        canonical.to_bytes(covered, max_bytes=_MOST_BYTES, limits=canonical.DEFINITION)
    )


@transaction.atomic(durable=True)
def sign(proposal_id: int, *, signer: Person, binding: str) -> Proposal:
    """Sign what somebody else proposed; it is in force when this returns.

    Args:
        binding: as the page showed it.

    Raises:
        NotFound; NotAllowed: the signer proposed it, or is no administrator (any more).
        ProposalEnded: it is signed, withdrawn or over already.
        StaleBinding: the page showed another one.
        PolicyChanged: it was written for a version that is no longer in force.
        InvalidInput: what it names is gone by now.
    """
    proposal = _locked(proposal_id)
    signer = administrator_now(signer)
    permission = access.may_sign(signer, proposal)
    if not permission:
        raise NotAllowed(permission.why)
    now = database_now()
    _refuse_ended(proposal, now)
    if binding != binding_of(proposal):
        raise StaleBinding()
    actor = f"person:{signer.get_username()}"
    version = _in_force(proposal, signed_by=actor)
    _end(proposal, S.SIGNED, now, signed_by=signer, version=version)
    _tell(proposal, "signed", actor=actor, binding=binding, version=version.number)
    return proposal


@transaction.atomic(durable=True)
def withdraw(proposal_id: int, *, person: Person | None, reason: str) -> Proposal:
    """Take a proposal back, one's own or another's.

    Args:
        person: an administrator; None: whoever has a shell on the server.

    Raises:
        NotFound, NotAllowed, ProposalEnded.
        InvalidInput: there is no reason.
    """
    reason = reason_of(reason)
    proposal = _locked(proposal_id)
    actor = f"person:{administrator_now(person).get_username()}" if person else "command"
    now = database_now()
    _refuse_ended(proposal, now)
    _end(proposal, S.WITHDRAWN, now, end_reason=reason)
    _tell(proposal, "withdrawn", actor=actor, reason=reason)
    return proposal


def in_words(proposal: Proposal) -> str:
    """Return for the operator what a proposal waits for, and until when."""
    who = "Another administrator has to sign it, in the browser or by REST"
    if proposal.applies_at:
        who = (
            "There is no other administrator who could sign it: it comes into force by itself at"
            f" {_told(proposal.applies_at)}, or waits for a signature if there is one by then"
        )
    return (
        f"Nothing is changed yet: {proposal} waits, because a call could need fewer people."
        f" {who}. It expires at {_told(proposal.expires_at)}."
    )


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def expire(now: datetime) -> int:
    """End what nobody signed in time; return how many that were."""
    due = Proposal.objects.filter(state=S.OPEN, expires_at__lte=now)
    return _each(due.values_list("pk", flat=True), lambda pk: _expire(pk, now))


def apply_due(now: datetime) -> int:
    """Put in force what its only administrator proposed long enough ago; return how many."""
    due = Proposal.objects.filter(state=S.OPEN, applies_at__lte=now, expires_at__gt=now)
    return _each(due.order_by("opened_at").values_list("pk", flat=True), lambda pk: _apply(pk, now))


def _each(ids: Iterable[int], verb: Callable[[int], bool]) -> int:
    return sum(verb(proposal_id) for proposal_id in list(ids))


@transaction.atomic(durable=True)
def _expire(proposal_id: int, now: datetime) -> bool:
    proposal = _locked(proposal_id)
    if not proposal.is_open or proposal.expires_at > now:
        return False
    _end(proposal, S.EXPIRED, now, end_reason="Nobody signed it in time.")
    _tell(proposal, "expired", actor=CLOCK)
    return True


@transaction.atomic(durable=True)
def _apply(proposal_id: int, now: datetime) -> bool:
    proposal = _locked(proposal_id)
    if not proposal.is_open or proposal.applies_at is None or proposal.applies_at > now:
        return False
    # Whoever makes an administrator bumps it too: from here on there are as many as are counted.
    Revision.bump()
    try:
        _refuse_company(proposal)
        version = _in_force(proposal)
    except (NotAllowed, PolicyChanged, InvalidInput) as error:
        _keep_waiting(proposal, error)
        return False
    _end(proposal, S.APPLIED, now, version=version)
    _tell(proposal, "applied_alone", actor=CLOCK, version=version.number)
    return True


def _refuse_company(proposal: Proposal) -> None:
    """Refuse to do by the clock what there are people for, or what nobody answers for any more."""
    administrators = set(access.administrators().values_list("pk", flat=True))
    if len(administrators) > 1:
        raise NotAllowed(phrase("There is another administrator by now, who can sign it."))
    if proposal.proposer_id is not None and proposal.proposer_id not in administrators:
        raise NotAllowed(phrase("Whoever proposed it is no administrator any more."))


def _keep_waiting(proposal: Proposal, error: ApprovalsError) -> None:
    proposal.applies_at = None
    proposal.save(update_fields=["applies_at"])
    _tell(proposal, "not_applied", actor=CLOCK, why=error.message[:1_000])


def _in_force(proposal: Proposal, *, signed_by: str = "") -> PolicyVersion:
    Revision.bump()
    versions.refuse_overtaken(proposal.based_on, versions.newest_number())
    wanted = Wanted(
        versions.check(proposal.document), proposal.source, proposal.proposed_by, proposal.reason,
        proposal.based_on, proposal.effect,
    )  # fmt: skip
    return versions.write(wanted, signed_by=signed_by)


def _locked(proposal_id: int) -> Proposal:
    rows = Proposal.objects.select_for_update(no_key=True, of=("self",))
    proposal = rows.filter(pk=proposal_id).first()
    if proposal is None:
        raise NotFound(phrase("There is no such proposal."))
    return proposal


def _refuse_ended(proposal: Proposal, now: datetime) -> None:
    if not proposal.is_open:
        told = phrase("This proposal has ended: %(state)s.", state=_WORDS[S(proposal.state)])
        raise ProposalEnded(told)
    if proposal.expires_at <= now:
        raise ProposalEnded(phrase("This proposal has ended: its time is over."))


_WORDS = {
    S.SIGNED: phrase("it was signed"),
    S.WITHDRAWN: phrase("it was withdrawn"),
    S.EXPIRED: phrase("its time is over"),
    S.APPLIED: phrase("it is in force"),
}


def _end(proposal: Proposal, state: str, now: datetime, **columns: object) -> None:
    changed = {"state": state, "ended_at": now, "applies_at": None, **columns}
    for name, value in changed.items():
        setattr(proposal, name, value)
    proposal.save(update_fields=list(changed))


def _tell(proposal: Proposal, what: str, *, actor: str, **data: object) -> None:
    note("policy", f"policy.{what}", actor=actor, proposal=proposal.pk, **data)


_MOST_BYTES = 2 * 1024 * 1024
