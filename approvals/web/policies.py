"""The rules at `/policies/`, as sentences and read-only: those in force, and those before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import access, freezes, policy, ruling
from approvals.administration import marks
from approvals.models import Person, PolicyVersion, database_now
from approvals.policy import marking
from approvals.translating import translated
from approvals.web.accounts import signed_in

MOST_VERSIONS = 50
MOST_CHANGES = 200


@dataclass(frozen=True)
class Look:
    """How an outcome looks; *refuse* is what a rule does, as *reject* is what a person does."""

    tone: str
    icon: str
    verb: Promise


_LOOKS = {
    policy.Outcome.ALLOW: Look("ok", "check", gettext_lazy("Allow")),
    policy.Outcome.HOLD: Look("warn", "clock", gettext_lazy("Hold")),
    policy.Outcome.DENY: Look("bad", "x", gettext_lazy("Refuse")),
}


@dataclass(frozen=True)
class Line:
    """One rule as people read it."""

    rule: policy.Rule
    is_last: bool  # the one that is always there
    is_hidden: bool  # of a domain that is not the reader's to see
    marks: Sequence[marking.Mark] = ()  # what is odd about it

    @property
    def look(self) -> Look:
        """Return how it looks."""
        return _LOOKS[self.rule.outcome]

    @property
    def words(self) -> str:
        """Return the rule without its verb."""
        return translated(policy.to_clause(self.rule))


_KINDS = {
    policy.Kind.ADDED: Look("ok", "check", gettext_lazy("Added")),
    policy.Kind.REMOVED: Look("bad", "x", gettext_lazy("Removed")),
    policy.Kind.CHANGED: Look("warn", "edit", gettext_lazy("Changed")),
    policy.Kind.MOVED: Look("idle", "repeat", gettext_lazy("Moved")),
}


@dataclass(frozen=True)
class Changed:
    """What a version changed about one rule, as people read it; no line on a side it has none."""

    look: Look
    before: Line | None
    after: Line | None


@signed_in
def page(request: HttpRequest, person: Person, number: int | None = None) -> HttpResponse:
    """The rules in force, or those of a former version by its number."""
    newest = PolicyVersion.objects.order_by("-number").first()
    shown = newest if number is None else _version(number)
    rules = ruling.rules_of(shown) if shown else policy.SEED
    return render(
        request,
        "approvals/policies.html",
        {
            "now": database_now(),
            "lines": _lines(person, rules, _marks(person, rules) if shown == newest else {}),
            "changes": _changes(person, shown) if shown else [],
            "version": shown,
            "is_in_force": shown == newest,
            "freezes": freezes.coming(access.catalogue_of(person)),
            "versions": _versions(),
            "count": PolicyVersion.objects.count(),
            "most": MOST_VERSIONS,
        },
    )


def _version(number: int) -> PolicyVersion | None:
    if number == 0:
        return None  # the rules it begins with, which no version holds
    version = PolicyVersion.objects.filter(number=number).first()
    if version is None:
        raise Http404(gettext("There is no such version."))
    return version


def _changes(person: Person, version: PolicyVersion) -> list[Changed]:
    """Return what a version changed against the one before it, at most MOST_CHANGES rules."""
    earlier = PolicyVersion.objects.filter(number=version.number - 1).first()
    before = ruling.rules_of(earlier) if earlier else policy.SEED
    found = policy.difference(before, ruling.rules_of(version))[:MOST_CHANGES]
    told = [rule for each in found for rule in (each.before, each.after) if rule]
    lines = iter(_lines(person, told))
    return [
        Changed(
            _KINDS[each.kind],
            before=next(lines) if each.before else None,
            after=next(lines) if each.after else None,
        )
        for each in found
    ]


def _marks(person: Person, rules: Sequence[policy.Rule]) -> Mapping[int, list[marking.Mark]]:
    """Return what is odd about rules in force; it tells of agents, groups and rules everywhere."""
    return marks.of(rules) if _sees_all(person) else {}


def _sees_all(person: Person) -> bool:
    return person.is_auditor or person.is_administrator


def _lines(
    person: Person,
    rules: Sequence[policy.Rule],
    odd: Mapping[int, Sequence[marking.Mark]] = MappingProxyType({}),
) -> list[Line]:
    visible = set(access.catalogue_of(person).values_list("name", flat=True))
    return [
        Line(
            rule,
            is_last=rule.name == policy.LAST_RULE.name,
            # A rule may name a domain that does not exist yet; administrators must see it.
            is_hidden=bool(rule.domain) and rule.domain not in visible and not _sees_all(person),
            marks=odd.get(rule.position, ()),
        )
        for rule in rules
    ]


def _versions() -> list[PolicyVersion]:
    newest = PolicyVersion.objects.annotate(size=Count("rules")).order_by("-number")
    return list(newest[:MOST_VERSIONS])
