"""Freezes, in rows: while one is on, what a rule allows in its domain is held.

`submission` asks before it admits a call, the life cycle before it sends one, and the bridge for
reads where a freeze holds these too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import F

from approvals import policy
from approvals.models import Domain, Freeze, Tool, database_now
from approvals.phrases import Phrase, phrase


@dataclass(frozen=True)
class Span:
    """When a freeze is on, as the bridge keeps it."""

    domain: str
    begins_at: datetime
    ends_at: datetime


def admit(ruled: policy.Ruling, facts: policy.Facts) -> policy.Ruling:
    """Return the ruling of a call as the freezes that are on now leave it.

    Of several the one that ends last says why, and each that names a group: all of these are asked.
    """
    if not ruled.may_pass:
        return ruled
    now = database_now()
    on = Freeze.objects.filter(domain__name=facts.domain, begins_at__lte=now, ends_at__gt=now)
    if facts.effect == Tool.Effect.READ:
        on = on.filter(reads=True)
    found = list(on.select_related("domain").order_by("-ends_at", "pk"))
    if not found:
        return ruled
    telling = [found[0], *(freeze for freeze in found[1:] if freeze.group)]
    groups = [freeze.group for freeze in found if freeze.group]
    return policy.frozen(ruled, groups, " ".join(map(in_words, telling)))


def in_words(freeze: Freeze) -> Phrase:
    """Return that a freeze is on, why and how long, and who decides meanwhile."""
    told = {
        "domain": freeze.domain.name,
        "until": f"{freeze.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "reason": freeze.reason,
    }
    if not freeze.group:
        return phrase("A freeze is on in %(domain)s until %(until)s: “%(reason)s”.", **told)
    return phrase(
        "A freeze is on in %(domain)s until %(until)s, and %(group)s decides: “%(reason)s”.",
        group=freeze.group,
        **told,
    )


def of_reads() -> tuple[Span, ...]:
    """Return when freezes that hold reads too are on, from now on."""
    coming = Freeze.objects.filter(reads=True, ends_at__gt=database_now())
    return tuple(Span(*row) for row in coming.values_list("domain__name", "begins_at", "ends_at"))


def coming(domains: Iterable[Domain]) -> list[Freeze]:
    """Return what is on or planned in these domains, soonest first."""
    found = Freeze.objects.filter(domain__in=list(domains), ends_at__gt=database_now())
    found = found.filter(ends_at__gt=F("begins_at"))  # what was ended before it began never is
    return list(found.select_related("domain").order_by("begins_at", "pk"))
