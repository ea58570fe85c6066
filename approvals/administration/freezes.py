"""Freezes: put on a domain for a while, and ended before their time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from approvals import canonical
from approvals.administration.writing import hold_to_rules, note
from approvals.errors import Conflict, InvalidInput, NotFound
from approvals.models import ApproverGroup, Domain, Freeze, database_now
from approvals.phrases import phrase

LONGEST = timedelta(days=366)


@dataclass(frozen=True)
class Planned:
    """What somebody wants frozen.

    Attributes:
        reason: for people and for agents.
        group: of the domain; who is to decide meanwhile. Empty: any approver of it.
        reads: hold reads as well.
    """

    begins_at: datetime
    ends_at: datetime
    reason: str
    group: str = ""
    reads: bool = False


@transaction.atomic
def add(domain: Domain, planned: Planned, *, actor: str) -> Freeze:
    """Hold in a domain, from one moment to another, what rules allow there.

    Raises:
        InvalidInput: it would be over already, last too long, has no reason, or there is no such
            group.
    """
    freeze = Freeze(domain=domain, added_by=actor, **vars(planned))
    _check(freeze)
    hold_to_rules(freeze, words={})
    freeze.save()
    note(
        f"domain:{domain.name}", "freeze.added", actor=actor, freeze=freeze.pk,
        begins_at=canonical.rfc3339(freeze.begins_at), ends_at=canonical.rfc3339(freeze.ends_at),
        reason=freeze.reason, group=freeze.group, reads=freeze.reads,
    )  # fmt: skip
    return freeze


@transaction.atomic
def end(freeze_id: int, *, actor: str) -> Freeze:
    """End a freeze now; one that has not begun never will.

    Raises:
        NotFound, Conflict (it is over).
    """
    freeze = (
        Freeze.objects.select_for_update(no_key=True, of=("self",))
        .select_related("domain")
        .filter(pk=freeze_id)
        .first()
    )
    if freeze is None:
        raise NotFound(phrase("There is no such freeze."))
    now = database_now()
    if freeze.ends_at <= now:
        raise Conflict(phrase("That freeze is over already."))
    freeze.ends_at, freeze.ended_by = max(now, freeze.begins_at), actor
    freeze.save(update_fields=["ends_at", "ended_by"])
    note(
        f"domain:{freeze.domain.name}", "freeze.ended", actor=actor, freeze=freeze.pk,
        ends_at=canonical.rfc3339(freeze.ends_at), reason=freeze.reason,
    )  # fmt: skip
    return freeze


def _check(freeze: Freeze) -> None:
    if freeze.ends_at <= max(freeze.begins_at, database_now()):
        raise InvalidInput(phrase("must be later than the start, and than now"), path="$.until")
    if freeze.ends_at - freeze.begins_at > LONGEST:
        told = phrase("is more than %(days)s days after the start", days=LONGEST.days)
        raise InvalidInput(told, path="$.until")
    if not freeze.reason.strip():
        raise InvalidInput(phrase("is empty; say why"), path="$.reason")
    if not freeze.reason.isprintable():
        raise InvalidInput(phrase("has a character that cannot be seen"), path="$.reason")
    groups = ApproverGroup.objects.filter(domain=freeze.domain)
    if freeze.group and not groups.filter(name=freeze.group).exists():
        raise InvalidInput(
            phrase("There is no group %(name)s in this domain.", name=repr(freeze.group)),
            path="$.group",
        )
