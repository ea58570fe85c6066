"""Freezes, in rows: while one is on, what a rule allows in its domain is held.

`submission` asks before it admits a call, the life cycle before it sends one, and the bridge for
reads where a freeze holds these too.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import F

from approvals import policy
from approvals.models import AuditEvent, Domain, Freeze, Tool, database_now
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
    return _left_by(ruled, list(on.select_related("domain").order_by("-ends_at", "pk")))


def _left_by(ruled: policy.Ruling, on: Sequence[Freeze]) -> policy.Ruling:
    """Return the ruling of a call as freezes leave it that are on, the one that ends last first."""
    if not on:
        return ruled
    telling = [on[0], *(freeze for freeze in on[1:] if freeze.group)]
    groups = [freeze.group for freeze in on if freeze.group]
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


# -- what was ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Was:
    """A freeze as it read while it was on, and from when until when that was."""

    freeze: Freeze
    begins_at: datetime
    ends_at: datetime


class Calendar:
    """The freezes of a period, to ask what they would have held."""

    def __init__(self, freezes: Iterable[_Was]) -> None:
        self._of_domain: dict[str, list[_Was]] = {}
        for was in sorted(freezes, key=lambda was: was.freeze.ends_at, reverse=True):
            self._of_domain.setdefault(was.freeze.domain.name, []).append(was)

    def admit(self, ruled: policy.Ruling, facts: policy.Facts, at: datetime) -> policy.Ruling:
        """Return the ruling of a call of that moment as `admit` would have returned it then."""
        if not ruled.may_pass:
            return ruled
        is_read = facts.effect == Tool.Effect.READ
        known = self._of_domain.get(facts.domain, ())
        on = [was.freeze for was in known if was.begins_at <= at < was.ends_at]
        return _left_by(ruled, [freeze for freeze in on if freeze.reads or not is_read])


def between(since: datetime, until: datetime) -> Calendar:
    """Return the freezes that were on between two moments."""
    freezes = Freeze.objects.filter(ends_at__gt=since, begins_at__lt=until)
    rows = {freeze.pk: freeze for freeze in freezes.select_related("domain")}
    streams = {f"domain:{freeze.domain.name}" for freeze in rows.values()}
    found = []
    for event in AuditEvent.objects.filter(stream__in=streams, code="freeze.added"):
        told = json.loads(bytes(event.data))
        freeze = rows.get(told["freeze"])
        if freeze is not None:
            # It may be put on for a time that has begun, and be ended before it said it would be.
            begins_at, ends_at = max(freeze.begins_at, event.at), freeze.ends_at
            freeze.ends_at = datetime.fromisoformat(told["ends_at"])
            found.append(_Was(freeze, begins_at, ends_at))
    return Calendar(found)
