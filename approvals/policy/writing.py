"""A policy as the file it can be loaded from again."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from approvals.policy.rules import LAST_RULE, Rule

_DEFAULTS = {field.name: field.default for field in fields(Rule)}


def dump(rules: Iterable[Rule]) -> dict[str, Any]:
    """Return what `load` makes these rules of: {"rules": [{"name": …, "outcome": …}, …]}.

    Keys come in one order and what says nothing is left out, so the same rules are the same file.
    The last rule is left out: it is always there.
    """
    return {"rules": [_item(rule) for rule in rules if rule.name != LAST_RULE.name]}


def _item(rule: Rule) -> dict[str, Any]:
    said = rule.as_dict()
    return {
        name: said[name]
        for name, default in _DEFAULTS.items()
        if name != "position" and name in said and said[name] != default
    }
