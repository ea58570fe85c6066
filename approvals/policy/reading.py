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
from approvals.policy.stages import Stage

MAX_RULES = 1_000
MAX_QUORUM = 20
MAX_STAGES = 5
ESCALATE_AFTER = (10, 90)  # per cent of the time to decide
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
    found += _misplaced(fields, place) + (
        _wrong_stages(fields, place) if "stages" in fields else []
    )
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


def _misplaced(fields: dict[str, Any], place: tuple[str | int, ...]) -> list[dict[str, str]]:
    """Return what says something of holding where nothing is held, or of nothing at all."""
    found = []
    if fields.get("outcome") in (Outcome.ALLOW, Outcome.DENY):
        wrong = f"a rule that does not hold has no {{}}: it is {fields['outcome']}"
        found += [_problem((*place, key), wrong.format(key)) for key in _OF_A_HOLD & fields.keys()]
    if "escalate_after" in fields and "escalate_to" not in fields:
        found.append(_problem((*place, "escalate_after"), "says when, but no escalate_to says who"))
    if "escalate_to" in fields and "stages" not in fields:
        # Everybody who could be asked later is asked from the beginning.
        found.append(_problem((*place, "escalate_to"), "needs stages; without, all are asked"))
    return sorted(found, key=lambda problem: problem["path"])


def _wrong_stages(fields: dict[str, Any], place: tuple[str | int, ...]) -> list[dict[str, str]]:
    stages, here = fields["stages"], (*place, "stages")
    if not isinstance(stages, list) or not 1 <= len(stages) <= MAX_STAGES:
        return [_problem(here, f"must be a list of 1 to {MAX_STAGES} stages")]
    found: list[dict[str, str]] = []
    for index, stage in enumerate(stages):
        found += _wrong_stage(stage, (*here, index))
    if found:
        return found
    groups, total = [stage["group"] for stage in stages], sum(_quorum(stage) for stage in stages)
    for index, group in enumerate(groups):
        if group in groups[:index]:
            found.append(_problem((*here, index, "group"), f"“{group}” has a stage already"))
    if total > MAX_QUORUM:
        found.append(_problem(here, f"ask for {total} approvals; at most {MAX_QUORUM}"))
    if fields.get("quorum", total) != total:
        wrong = f"is {fields['quorum']}, but the stages ask for {total}; leave it out"
        found.append(_problem((*place, "quorum"), wrong))
    return found


def _wrong_stage(stage: object, place: tuple[str | int, ...]) -> list[dict[str, str]]:
    if not isinstance(stage, dict):
        return [_problem(place, 'must be an object: {"group": "…", "quorum": 1}')]
    found = [] if "group" in stage else [_problem((*place, "group"), "is required")]
    for key, value in stage.items():
        test = _STAGE_TESTS.get(key)
        if wrong := "unknown key" if test is None else test(value):
            found.append(_problem((*place, key), wrong))
    return found


def _quorum(stage: dict[str, Any]) -> int:
    return int(stage.get("quorum", Stage.quorum))


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


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _anything(value: object) -> str | None:
    return None  # looked at with the whole rule


# Also what a group's name is held to when it is created.
GROUP_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?"
GROUP_WORDS = "1 to 64 letters, digits, spaces or . _ -, and begin and end with a letter or digit"
_group = _name(GROUP_NAME, f"the name of an approver group: {GROUP_WORDS}")
_STAGE_TESTS: dict[str, _Test] = {"group": _group, "quorum": _whole(1, MAX_QUORUM)}
_OF_A_HOLD = {"stages", "deny_quorum", "escalate_to", "escalate_after", "four_eyes"}
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
    "budget": _anything,  # looked at part by part, each with its own place
    "stages": _anything,
    "deny_quorum": _whole(1, MAX_QUORUM),
    "escalate_to": _group,
    "escalate_after": _whole(*ESCALATE_AFTER),
    "four_eyes": _flag,
}
