"""How a file of rules is read: whole, or not at all."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from approvals.canonical import path_of
from approvals.errors import InvalidInput
from approvals.policy import budgets
from approvals.policy.conditions import MAX_CHARACTERS, compiled
from approvals.policy.rules import LAST_RULE, Effect, Outcome, Rule

MAX_RULES = 1_000
MAX_QUORUM = 20
EXPIRES_SECONDS = (10, 7 * 24 * 3600)

# Says what is wrong with a field's value; None when nothing is.
_Test = Callable[[object], str | None]


def load(document: object) -> tuple[Rule, ...]:
    """Return the rules of a parsed file in order, with the rule that cannot be removed as the last.

    Args:
        document: {"rules": [{"outcome": "hold", …}, …]}; a key that is left out matches anything.

    Raises:
        InvalidInput: with every place that is wrong; no rule of such a file is used.
    """
    items = _items(document)
    problems: list[dict[str, str]] = []
    read = [_rule(position, item, problems) for position, item in enumerate(items, 1)]
    rules = [rule for rule in read if rule]
    problems += _repeated_names(rules)
    if problems:
        raise InvalidInput(problems=problems)
    return (*rules, replace(LAST_RULE, position=len(rules) + 1))


def _items(document: object) -> list[object]:
    if not isinstance(document, dict):
        raise InvalidInput('must be an object: {"rules": [...]}', path="$")
    if unknown := sorted(str(key) for key in document if key != "rules"):
        raise InvalidInput(problems=[_problem([key], "unknown key") for key in unknown])
    items = document.get("rules")
    if not isinstance(items, list):
        raise InvalidInput("must be a list of rules", path="$.rules")
    if len(items) > MAX_RULES:
        raise InvalidInput(f"{len(items)} rules; at most {MAX_RULES}", path="$.rules")
    return items


def _rule(position: int, item: object, problems: list[dict[str, str]]) -> Rule | None:
    """Return the rule an item stands for; what is wrong with it goes to `problems`."""
    place = ("rules", position - 1)
    if not isinstance(item, dict):
        problems.append(_problem(place, "must be an object"))
        return None
    fields: dict[str, Any] = {str(key): value for key, value in item.items()}
    found = [] if "outcome" in fields else [_problem((*place, "outcome"), "is required")]
    for key, value in fields.items():
        test = _TESTS.get(key)
        if wrong := "unknown key" if test is None else test(value):
            found.append(_problem((*place, key), wrong))
    if "budget" in fields:
        problem = budgets.problems(fields["budget"])
        found += [_problem((*place, "budget", *keys), wrong) for keys, wrong in problem]
    problems += found or _never_applies(fields, place)
    named: dict[str, Any] = {"position": position, "name": f"rule {position}"}
    return None if found else Rule(**(named | fields))


def _never_applies(fields: dict[str, Any], place: Iterable[str | int]) -> list[dict[str, str]]:
    effect = fields.get("effect")
    if "budget" in fields and fields["outcome"] != Outcome.ALLOW:
        return [_problem((*place, "budget"), "only an allow rule has a budget")]
    if fields["outcome"] == Outcome.ALLOW and effect in (Effect.UNREVIEWED, Effect.CHANGED):
        wrong = f"an allow rule never applies to a tool that is {effect}"
        return [_problem((*place, "effect"), wrong)]
    return []


def _repeated_names(rules: Iterable[Rule]) -> list[dict[str, str]]:
    problems = []
    owners = {LAST_RULE.name: "the last rule, which is always there"}
    for rule in rules:
        if rule.name in owners:
            wrong = f"“{rule.name}” is the name of {owners[rule.name]}"
            problems.append(_problem(("rules", rule.position - 1, "name"), wrong))
        owners.setdefault(rule.name, f"rule {rule.position}")
    return problems


def _problem(keys: Iterable[str | int], message: str) -> dict[str, str]:
    return {"path": path_of(keys), "message": message}


def _text(longest: int) -> _Test:
    def test(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be text"
        if len(value) > longest:
            return f"has {len(value)} characters; at most {longest}"
        return None if value.isprintable() else "has a character that cannot be seen"

    return test


def _name(pattern: str, words: str) -> _Test:
    def test(value: object) -> str | None:
        if isinstance(value, str) and not value:
            # An empty value, left behind by a template perhaps, must not come to mean "any".
            return "is empty; leave the key out to match anything"
        wrong = _text(200)(value)
        return wrong or (None if re.fullmatch(pattern, str(value)) else f"must be {words}")

    return test


def _one_of(words: type[StrEnum]) -> _Test:
    def test(value: object) -> str | None:
        known = [word.value for word in words]
        return None if value in known else f"must be one of {', '.join(known)}"

    return test


def _whole(low: int, high: int) -> _Test:
    def test(value: object) -> str | None:
        # In Python, true is an int.
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return f"must be a whole number from {low} to {high}"

    return test


def _condition(value: object) -> str | None:
    if value == "":
        return "is empty; leave the key out to match anything"
    if wrong := _text(MAX_CHARACTERS)(value):
        return wrong
    try:
        compiled(str(value))
    except InvalidInput as error:
        return error.message
    return None


_TESTS: dict[str, _Test] = {
    "name": _name(r".{1,100}", "at most 100 characters"),
    "domain": _name(r"[a-z][a-z0-9-]{1,30}", "the name of a domain"),
    "tool": _name(
        r"[A-Za-z0-9_*?!\[\]-]+",
        "a pattern over <upstream>__<tool>, such as billing__*",
    ),
    "effect": _one_of(Effect),
    "agent": _name(r"[a-z0-9][a-z0-9._-]{0,63}", "the name of an agent"),
    "outcome": _one_of(Outcome),
    "quorum": _whole(1, MAX_QUORUM),
    "expires_seconds": _whole(*EXPIRES_SECONDS),
    "message": _text(500),
    "comment": _text(1_000),
    "condition": _condition,
    "budget": lambda _: None,  # looked at part by part, each with its own place
}
