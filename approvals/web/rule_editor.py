"""The form of one rule at `/policies/draft/rules/…/`: a sentence with fields, and its CEL.

Everything is a plain form: choosing another tool and pressing “Use this tool” loads its arguments.
Where scripts run, the sentence is told beside it while it is typed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from approvals import access
from approvals.errors import ApprovalsError, DraftChanged
from approvals.models import Person
from approvals.web import (
    refusing,
    rule_choices,
    rule_form,
    rule_preview,
    rule_reading,
    working_copy,
)
from approvals.web.accounts import signed_in
from approvals.web.argument_units import Tools
from approvals.web.rule_form import Form
from approvals.web.working_copy import Item, Shown, Working


@dataclass(frozen=True)
class _Open:
    """What a form is about: a rule at a position of the draft, or one that is not there yet."""

    form: Form
    tools: Tools
    working: Working
    position: int | None
    was: str = ""  # the name of the rule when it was opened


@signed_in
def new(request: HttpRequest, person: Person) -> HttpResponse:
    """The form of a rule that is not there yet."""
    return _editor(request, person, None)


@signed_in
def edit(request: HttpRequest, person: Person, position: int) -> HttpResponse:
    """The form of one rule of the draft; the last rule, which is always there, has none."""
    return _editor(request, person, position)


@require_POST
@signed_in
def preview(request: HttpRequest, person: Person) -> HttpResponse:
    """What the form says as it is typed by now; changes nothing."""
    _demand(person)
    form, tools, working = rule_form.of_post(request.POST), Tools(), working_copy.of(person)
    others = _others(working, _position_of(working, request.POST.get("was", "")))
    context = {"preview": rule_preview.of(form, tools, others)}
    return render(request, "approvals/_rule_preview.html", context)


def _editor(request: HttpRequest, person: Person, position: int | None) -> HttpResponse:
    _demand(person)
    working = working_copy.of(person)
    if request.method == "POST":
        return _posted(request, person, position, working)
    item, tools = working.at(position) if position is not None else None, Tools()
    if position is not None and item is None:
        refusing.not_there()
    if item and rule_preview.line_of(item, tools) is None:
        # Only what was sent as a file can be so; the page of the draft says what is wrong.
        return HttpResponseRedirect(reverse("policy_draft"))
    form = rule_form.of_rule(item, tools) if item else Form()
    form.position = str(position or len(working.items) + 1)
    was = str(item.get("name", "")) if item else ""
    return _page(request, _Open(form, tools, working, position, was))


def _posted(
    request: HttpRequest, person: Person, position: int | None, working: Working
) -> HttpResponse:
    form, do, tools = rule_form.of_post(request.POST), request.POST.get("do", "look"), Tools()
    was = request.POST.get("was", "") if position else ""
    if do == "delete" and position:
        return _saved(request, person, form, position, None)
    if do != "save":
        rule_form.change(form, do)
        return _page(request, _Open(form, tools, working, position, was))
    others = _others(working, position)
    item = rule_reading.read(form, tools, [str(other.get("name", "")) for other in others])
    rule_reading.check(form, item, others)
    if form.is_wrong:
        return _page(request, _Open(form, tools, working, position, was), status=400)
    return _saved(request, person, form, position, item)


def _saved(
    request: HttpRequest, person: Person, form: Form, position: int | None, item: Item | None
) -> HttpResponse:
    """Put a rule into the draft in place of the one that was shown, or take that one out."""

    def edit(items: list[Item]) -> list[Item]:
        # Nobody changed the draft since: its rules stand where they were shown.
        kept = [each for at, each in enumerate(items, 1) if at != position]
        if item is not None:
            kept.insert(_place(form.position, len(kept)), item)
        return kept

    try:
        working_copy.change(person, Shown.of(request.POST), edit)
    except ApprovalsError as error:
        return _not_saved(request, person, form, error)
    said = gettext("Saved in your draft. Nothing changes until it is published.")
    gone = gettext("Taken out of your draft. Nothing changes until it is published.")
    messages.success(request, said if item is not None else gone)
    return HttpResponseRedirect(reverse("policy_draft"))


def _not_saved(
    request: HttpRequest, person: Person, form: Form, error: ApprovalsError
) -> HttpResponse:
    """Show what was typed again, next to what is there now."""
    working, tools, was = working_copy.of(person), Tools(), request.POST.get("was", "")
    position = _position_of(working, was)
    there = working.at(position) if position and isinstance(error, DraftChanged) else None
    more = {
        "refusal": refusing.told(error),
        "is_overtaken": isinstance(error, DraftChanged),
        "there": rule_preview.line_of(there, tools) if there else None,
        "is_gone": bool(was) and position is None,
    }
    opened = _Open(form, tools, working, position, was)
    return _page(request, opened, status=error.http_status, more=more)


def _page(
    request: HttpRequest,
    opened: _Open,
    *,
    status: int = 200,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    others = _others(opened.working, opened.position)
    total = len(others) + 2  # this one, and the last
    context = {
        **vars(opened),
        "preview": rule_preview.of(opened.form, opened.tools, others),
        "choices": rule_choices.of(opened.form, opened.tools, range(1, total)),
        "total": total,
        **(more or {}),
    }
    return render(request, "approvals/policy_rule.html", context, status=status)


def _others(working: Working, position: int | None) -> list[Item]:
    return [item for at, item in enumerate(working.items, 1) if at != position]


def _position_of(working: Working, name: str) -> int | None:
    return working.names.index(name) + 1 if name and name in working.names else None


def _place(position: str, count: int) -> int:
    is_number = position.isascii() and position.isdecimal() and len(position) < 6
    return min(count, max(0, int(position) - 1)) if is_number else count


def _demand(person: Person) -> None:
    refusing.demand(access.may_administer(person), person, working_copy.REFUSED)
