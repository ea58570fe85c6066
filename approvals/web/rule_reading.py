"""Reads the form of a rule: the item of a file of rules, and what is wrong beside its fields."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext

from approvals import policy
from approvals.administration import policy as policies
from approvals.errors import InvalidInput
from approvals.phrases import phrase
from approvals.policy import clauses, fields
from approvals.policy.clauses import Clause, Comparison
from approvals.policy.fields import Field, Money
from approvals.translating import translated
from approvals.web import rule_form
from approvals.web.argument_units import Tools
from approvals.web.rule_form import ClauseRow, Form
from approvals.wording.money import DIGITS, number_typed

_PLACE = re.compile(r"\$\.rules\[(\d+)\]\.?(.*)")
# Fields of the form by those of a rule, where they differ.
_SHOWN_AT = {
    "outcome": "verb", "expires_seconds": "minutes", "condition": "raw", "quorum": "stages",
    "budget": "limit", "budget.limit": "limit", "budget.field": "counts", "budget.unit": "unit",
    "budget.unit_field": "unit_field", "budget.per": "per", "budget.window": "window",
}  # fmt: skip


def read(form: Form, tools: Tools, taken: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a form says, as the item of a file of rules; what is wrong is noted in the form.

    Args:
        taken: names of the other rules.
    """
    item: dict[str, Any] = {"outcome": form.verb}
    for name in ("domain", "effect", "agent", "message", "comment"):
        if text := getattr(form, name).strip():
            item[name] = text
    if tool := form.pattern_of_tools:
        item["tool"] = tool
    elif form.tool == rule_form.PATTERN:
        form.problems["pattern"] = gettext("A pattern is missing.")
    if condition := _condition(form, tools):
        item["condition"] = condition
    if form.verb == policy.Outcome.ALLOW and form.limit.strip():
        item["budget"] = _budget(form, tools)
    if form.verb == policy.Outcome.HOLD:
        item |= _hold(form)
    item["name"] = form.name.strip() or _name(item, taken)
    return {"name": item.pop("name"), **item}


def check(form: Form, item: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> None:
    """Note in a form what keeps its rule from coming into force, beside the field it is about.

    Args:
        others: the other rules; only their names matter.
    """
    if form.is_wrong:
        return
    named = [
        {"name": other["name"], "outcome": "hold"}
        for other in others
        if isinstance(other.get("name"), str)
    ]
    try:
        policies.check({"rules": [item, *named]})
    except InvalidInput as error:
        for problem in error.problems:
            _note(form, problem["path"], translated(problem["message"]))


def _note(form: Form, path: str, message: str) -> None:
    found = _PLACE.fullmatch(path)
    place = found[2] if found and found[1] == "0" else "name"
    stage = re.match(r"stages\[(\d+)\]", place)
    if stage and int(stage[1]) < len(form.stages):
        form.stages[int(stage[1])].problem = message
    else:
        form.problems[_SHOWN_AT.get(place, place or "verb")] = message


def _name(item: Mapping[str, Any], taken: Sequence[str]) -> str:
    """Return a name for a rule that nobody gave one: pages and the trail call it so."""
    about = item.get("tool") or item.get("effect") or item.get("domain") or "everything"
    name = f"{item['outcome']} {about}"[:90]
    names = (name, *(f"{name} {number}" for number in range(2, policy.MAX_RULES + 2)))
    return next(one for one in names if one not in taken)


# -- conditions ----------------------------------------------------------------------------------


def _condition(form: Form, tools: Tools) -> str:
    known = {field.path: field for field in tools.fields(form.skeleton)} if form.clauses else {}
    about = list(rule_form.said(form))
    found: list[Clause] = []
    for row in form.clauses:
        if row.is_empty:
            row.problem = gettext("Choose an argument, or take it away.") if row.value else ""
            continue
        try:
            found.append(_clause(row, known, form, tools, about))
        except InvalidInput as error:
            row.problem = translated(error.message)
    condition = clauses.to_cel(found, form.raw)
    # A rule that says the same as before stays the same, also where its text has other quotes.
    is_same = condition == clauses.to_cel(*clauses.split(form.written))
    return form.written if is_same else condition


def _clause(
    row: ClauseRow, known: Mapping[str, Field], form: Form, tools: Tools, about: Sequence[Clause]
) -> Clause:
    keys = clauses.keys_of(row.path)
    if keys is None or row.comparison not in set(Comparison):
        raise InvalidInput(phrase("There is no such argument."))
    # Of a tool that is no longer listed, whatever was said of it stays to be read.
    field = known.get(row.path) or Field(keys, "")
    unit = tools.money(form.skeleton, keys, about)
    return fields.clause(field, Comparison(row.comparison), row.value, unit)


# -- who is asked --------------------------------------------------------------------------------


def _hold(form: Form) -> dict[str, Any]:
    item: dict[str, Any] = _asked(form)
    seconds = _seconds(form)
    if seconds != policy.Rule.expires_seconds:
        item["expires_seconds"] = seconds
    if deny_quorum := _number(form, "deny_quorum", policy.Rule.deny_quorum):
        item["deny_quorum"] = deny_quorum
    if form.escalate_to:
        item["escalate_to"] = form.escalate_to
        if after := _number(form, "escalate_after", policy.Rule.escalate_after):
            item["escalate_after"] = after
    return item | ({"four_eyes": True} if form.four_eyes else {})


def _asked(form: Form) -> dict[str, Any]:
    """Return the stages; one without a group is a quorum of the domain's approvers."""
    for row in form.stages:
        if _whole(row.quorum) is None:
            row.problem = _no_number(row.quorum)
    asked = [{"group": row.group, "quorum": _whole(row.quorum) or 1} for row in form.stages]
    if len(asked) > 1 or asked[0]["group"]:
        return {"stages": asked}
    return {"quorum": asked[0]["quorum"]} if asked[0]["quorum"] != 1 else {}


def _seconds(form: Form) -> int:
    minutes = number_typed(form.minutes)
    if minutes is None or (minutes * 60) % 1:
        form.problems["minutes"] = _no_number(form.minutes)
        return policy.Rule.expires_seconds
    return int(minutes * 60)


def _number(form: Form, name: str, usual: int) -> int | None:
    """Return a number that says more than the usual one does."""
    number = _whole(getattr(form, name))
    if number is None:
        form.problems[name] = _no_number(getattr(form, name))
    return None if number == usual else number


def _whole(text: str) -> int | None:
    number = number_typed(text)
    return int(number) if number is not None and number % 1 == 0 else None


def _no_number(text: str) -> str:
    if not text.strip():
        return gettext("A number is missing.")
    return gettext("“%(typed)s” is no such number.") % {"typed": text[:60]}


# -- how much ------------------------------------------------------------------------------------


def _budget(form: Form, tools: Tools) -> dict[str, Any]:
    budget: dict[str, Any] = {"per": form.per, "window": form.window}
    money = None
    if form.counts:
        unit, unit_field = _unit(form, tools)
        budget |= {"field": form.counts, "unit": unit}
        budget |= {"unit_field": unit_field} if unit_field else {}
        money = Money.of(unit)
    limit = money.typed(form.limit) if money else fields.plain_typed(form.limit)
    if limit is None:
        form.problems["limit"] = translated(fields.no_amount(form.limit, money))
    return budget | {"limit": limit}


def _unit(form: Form, tools: Tools) -> tuple[str, str]:
    """Return in what a budget counts, and the argument that says so of each call.

    Where nobody typed it, or only a currency, the tool's sentence says the rest.
    """
    typed, keys = form.unit.strip(), tuple(form.counts.split("."))
    known = tools.unit(form.skeleton, keys, rule_form.said(form))
    if known is None or (typed and typed.upper() not in DIGITS):
        return typed, form.unit_field
    currency = typed.upper() or (known.money.currency if known.money else "")
    unit = Money(currency, known.is_minor).unit if currency else ""
    return unit, form.unit_field or ".".join(known.currency)
