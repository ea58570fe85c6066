"""An administrator's draft at `/policies/draft/`: what it changes, and how it comes into force."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from approvals import access, policy, ruling, wording
from approvals.administration import backtests, drafts, marks
from approvals.administration import policy as policies
from approvals.errors import ApprovalsError, InvalidInput
from approvals.models import Person, PolicyVersion, Proposal, database_now
from approvals.policy.marking import Mark
from approvals.translating import translated
from approvals.web import refusing, rule_changes, rule_preview, tries, working_copy
from approvals.web.accounts import signed_in
from approvals.web.argument_units import Tools
from approvals.web.rule_lines import Line
from approvals.web.working_copy import Item, Shown, Working


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """The draft as it is now; a form on it changes it, or the policy."""
    refusing.demand(access.may_administer(person), person, working_copy.REFUSED)
    if request.method != "POST":
        return _page(request, person)
    try:
        return _done(request, person, request.POST.get("do", ""))
    except InvalidInput as error:
        # What is wrong with rules is told by the page beside them, whoever asks.
        about_reason = {"problem": refusing.problems(error).get("reason", "")}
        more = about_reason if about_reason["problem"] else {"refusal": refusing.told(error)}
        return _page(request, person, status=400, more=more)
    except ApprovalsError as error:
        more = {"refusal": refusing.told(error)}
        return _page(request, person, status=error.http_status, more=more)


def _done(request: HttpRequest, person: Person, do: str) -> HttpResponse:
    shown = Shown.of(request.POST)
    if do == "publish":
        return _published(request, person, shown)
    if do == "discard":
        drafts.discard(person)
        messages.success(request, gettext("Discarded. The rules in force are as they were."))
        return HttpResponseRedirect(reverse("policies"))
    if do == "try":
        backtests.begin(person, {"rules": working_copy.of(person).items})
        return HttpResponseRedirect(reverse("policy_draft") + "#try")
    if do == "rebase":
        conflicts = drafts.rebase(person)
        return _page(request, person, more={"conflicts": _conflicts(conflicts)})
    what, _, place = do.partition("-")
    if what in _MOVES and place.isascii() and place.isdecimal():
        working_copy.change(person, shown, lambda items: _moved(items, what, int(place[:5])))
    return HttpResponseRedirect(reverse("policy_draft"))


def _published(request: HttpRequest, person: Person, shown: Shown) -> HttpResponse:
    reason = request.POST.get("reason", "")
    made = drafts.publish(person, reason=reason, revision=shown.revision)
    if isinstance(made, PolicyVersion):
        done = gettext("Published: version %(number)s is in force.")
        messages.success(request, done % {"number": made.number})
        return HttpResponseRedirect(reverse("policies"))
    done = gettext("Proposed. A call could need fewer people, so it waits for a second signature.")
    messages.success(request, done)
    return HttpResponseRedirect(reverse("proposal", args=[made.pk]))


_MOVES = {"up": -1, "down": 1, "delete": 0}


def _moved(items: list[Item], what: str, position: int) -> list[Item]:
    """Return rules with one a place higher or lower, or gone."""
    if not 0 < position <= len(items):
        return items
    rest = [item for at, item in enumerate(items, 1) if at != position]
    if what != "delete":
        rest.insert(max(0, position - 1 + _MOVES[what]), items[position - 1])
    return rest


def _page(
    request: HttpRequest,
    person: Person,
    *,
    status: int = 200,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    working, now = working_copy.of(person), ruling.in_force()
    rules, problems = _read(working)
    changes = rule_changes.changes(person, now.rules, rules) if rules else []
    new = {each.after.rule.position for each in changes if each.after}
    context = {
        "now": database_now(),
        "try": _tried(person, working) if rules else None,
        "working": working,
        "in_force": now,
        "is_begun": working.revision != working_copy.NO_DRAFT,
        "is_overtaken": working.based_on != now.version,
        "rows": _rows(working, new, marks.of(rules) if rules else {}),
        "problems": problems,
        "changes": changes,
        "reason": request.POST.get("reason", "")[:1_000],
        "open": access.proposals_visible_to(person).filter(state=Proposal.State.OPEN),
        **(more or {}),
    }
    return render(request, "approvals/policy_draft.html", context, status=status)


def _tried(person: Person, working: Working) -> tries.Shown | None:
    """Return the newest try of the very rules of the draft."""
    found = backtests.latest_for(person, {"rules": working.items})
    return tries.Shown(found, person) if found else None


@dataclass(frozen=True)
class Row:
    """One rule of a draft; it has no line where it cannot be read."""

    position: int
    name: str
    line: Line | None
    is_new: bool  # it does not say what it says in force

    @property
    def label(self) -> str:
        """Return its name for an attribute."""
        return wording.clean(self.name, 100)


def _rows(working: Working, new: Container[int], odd: Mapping[int, Sequence[Mark]]) -> list[Row]:
    """Return the rules of a draft, with those at some positions as new or odd ones."""
    tools = Tools()
    rows = []
    for at, item in enumerate(working.items, 1):
        line = rule_preview.line_of(item, tools, at)
        line = replace(line, marks=odd.get(at, ())) if line else None
        rows.append(Row(at, str(item.get("name", "")), line, at in new))
    last = replace(policy.LAST_RULE, position=len(rows) + 1)
    return [*rows, Row(last.position, last.name, Line(last, is_last=True), is_new=False)]


def _read(working: Working) -> tuple[tuple[policy.Rule, ...], list[dict[str, str]]]:
    """Return the rules of a draft, none where they cannot be read, and what is wrong with them."""
    document = {"rules": working.items}
    try:
        return policies.check(document), []
    except InvalidInput as error:
        problems = [{**one, "message": translated(one["message"])} for one in error.problems]
    try:
        return policy.load(document), problems
    except InvalidInput:
        return (), problems


def _conflicts(conflicts: Any) -> list[dict[str, str]]:
    return [{"name": conflict.name} for conflict in conflicts]
