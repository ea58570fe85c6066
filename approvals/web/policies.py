"""The rules at `/policies/`, as sentences: those in force, and those before them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from approvals import access, budgets, freezes, policy, ruling
from approvals.administration import marks
from approvals.models import Person, PolicyVersion, database_now
from approvals.policy.marking import Mark
from approvals.web import working_copy
from approvals.web.accounts import signed_in
from approvals.web.rule_changes import Changed, changes
from approvals.web.rule_lines import MOST_COUNTED, Line, counted, lines
from approvals.web.working_copy import Working

MOST_VERSIONS = 50


@dataclass(frozen=True)
class Told:
    """A version, and who wrote and signed it, by the names they go by now."""

    version: PolicyVersion
    by: str  # "command": whoever has a shell on the server
    signed_by: str  # empty: nobody had to


@signed_in
def page(request: HttpRequest, person: Person, number: int | None = None) -> HttpResponse:
    """The rules in force, or those of a former version by its number."""
    newest = PolicyVersion.objects.order_by("-number").first()
    shown = newest if number is None else _version(number)
    rules = ruling.rules_of(shown) if shown else policy.SEED
    is_in_force, versions = shown == newest, _told(_versions())
    return render(
        request,
        "approvals/policies.html",
        {
            "now": database_now(),
            **(_in_force(person, rules) if is_in_force else {"lines": lines(person, rules)}),
            "changes": _changes(person, shown) if shown else [],
            "version": shown,
            "is_in_force": is_in_force,
            "sees_proposals": person.is_administrator or person.is_auditor,
            "freezes": freezes.coming(access.catalogue_of(person)),
            "versions": versions,
            "told": next(iter(_told([shown])), None) if shown else None,
            "count": PolicyVersion.objects.count(),
            "most": MOST_VERSIONS,
        },
    )


def _in_force(person: Person, rules: Sequence[policy.Rule]) -> dict[str, object]:
    """Return the rules with what they did of late, and who may change them."""
    calls = counted(person)
    spent: Mapping[str, Sequence[budgets.Spent]] = {}
    odd: Mapping[int, Sequence[Mark]] = {}
    if access.sees_all_agents(person):
        # Both tell of agents and groups everywhere.
        spent, odd = budgets.spent(rules), marks.of(rules)
    shown = lines(person, rules, calls=calls, spent=spent)
    may_edit = bool(access.may_administer(person))
    working = working_copy.of(person) if may_edit else None
    return {
        "lines": [
            replace(line, marks=odd.get(line.rule.position, ()), edit=_edit(line, working))
            for line in shown
        ],
        "is_part_counted": calls.is_part,
        "most_counted": MOST_COUNTED,
        "sees_all": access.sees_all_agents(person),
        "may_edit": may_edit,
        "has_draft": working is not None and working.revision != working_copy.NO_DRAFT,
    }


def _edit(line: Line, working: Working | None) -> str:
    """Return where a rule can be edited: at its place in the draft, unless it is gone there."""
    names = working.names if working else []
    if line.is_last or line.rule.name not in names:
        return ""
    return reverse("policy_rule", args=[names.index(line.rule.name) + 1])


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
    return list(newest.select_related("proposal")[:MOST_VERSIONS])


def _told(versions: Iterable[PolicyVersion]) -> list[Told]:
    """Return versions with the names of who wrote and signed them; one query for all."""
    versions = list(versions)
    actors = {actor for each in versions for actor in (each.loaded_by, each.signed_by)}
    usernames = [actor.removeprefix("person:") for actor in actors if actor.startswith("person:")]
    people = Person.objects.filter(username__in=usernames)
    names = {f"person:{person.get_username()}": str(person) for person in people}
    return [
        Told(
            each,
            names.get(each.loaded_by, each.loaded_by),
            names.get(each.signed_by, each.signed_by),
        )
        for each in versions
    ]
