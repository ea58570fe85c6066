"""The rules at `/policies/`, as sentences: those in force, and those before them."""

from collections.abc import Mapping, Sequence

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext

from approvals import access, budgets, freezes, policy, ruling
from approvals.models import Person, PolicyVersion, database_now
from approvals.web.accounts import signed_in
from approvals.web.rule_changes import Changed, changes
from approvals.web.rule_lines import MOST_COUNTED, counted, lines

MOST_VERSIONS = 50


@signed_in
def page(request: HttpRequest, person: Person, number: int | None = None) -> HttpResponse:
    """The rules in force, or those of a former version by its number."""
    newest = PolicyVersion.objects.order_by("-number").first()
    shown = newest if number is None else _version(number)
    rules = ruling.rules_of(shown) if shown else policy.SEED
    is_in_force = shown == newest
    return render(
        request,
        "approvals/policies.html",
        {
            "now": database_now(),
            **(_in_force(person, rules) if is_in_force else {"lines": lines(person, rules)}),
            "changes": _changes(person, shown) if shown else [],
            "version": shown,
            "is_in_force": is_in_force,
            "freezes": freezes.coming(access.catalogue_of(person)),
            "versions": _versions(),
            "count": PolicyVersion.objects.count(),
            "most": MOST_VERSIONS,
        },
    )


def _in_force(person: Person, rules: Sequence[policy.Rule]) -> dict[str, object]:
    """Return the rules with what they did of late, and who may change them."""
    calls = counted(person)
    spent: Mapping[str, Sequence[budgets.Spent]] = {}
    if access.sees_all_agents(person):
        spent = budgets.spent(rules)
    return {
        "lines": lines(person, rules, calls=calls, spent=spent),
        "is_part_counted": calls.is_part,
        "most_counted": MOST_COUNTED,
        "sees_all": access.sees_all_agents(person),
        "may_edit": bool(access.may_administer(person)),
    }


def _version(number: int) -> PolicyVersion | None:
    if number == 0:
        return None  # the rules it begins with, which no version holds
    version = PolicyVersion.objects.filter(number=number).first()
    if version is None:
        raise Http404(gettext("There is no such version."))
    return version


def _changes(person: Person, version: PolicyVersion) -> list[Changed]:
    """Return what a version changed against the one before it."""
    earlier = PolicyVersion.objects.filter(number=version.number - 1).first()
    before = ruling.rules_of(earlier) if earlier else policy.SEED
    return changes(person, before, ruling.rules_of(version))


def _versions() -> list[PolicyVersion]:
    newest = PolicyVersion.objects.annotate(size=Count("rules")).order_by("-number")
    return list(newest[:MOST_VERSIONS])
