"""Proposals that wait: beside calls in the queue, in its count, and some of them on every page."""

from typing import Any

from approvals import access
from approvals.models import Person, Proposal


def visible_to(person: Person) -> list[Proposal]:
    """Return the open proposals a person may see, what expires first on top; asked once a request.

    For most people there is nothing to ask: only administrators and auditors see any.
    """
    kept: dict[str, Any] = vars(person)
    if "_proposals" not in kept:
        sees_any = person.is_administrator or person.is_auditor
        rows = access.proposals_visible_to(person) if sees_any else Proposal.objects.none()
        still = rows.filter(state=Proposal.State.OPEN).select_related("proposer")
        kept["_proposals"] = list(still.order_by("expires_at", "pk"))
    found: list[Proposal] = kept["_proposals"]
    return found


def count_for(person: Person) -> int:
    """Return how many wait for a person's signature."""
    return sum(bool(access.may_sign(person, proposal)) for proposal in visible_to(person))


def soon_in_force() -> Proposal | None:
    """Return what comes into force by the clock first: there is one administrator, who wrote it."""
    due = Proposal.objects.filter(state=Proposal.State.OPEN, applies_at__isnull=False)
    return due.order_by("applies_at").first()
