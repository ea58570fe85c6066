"""How a policy is held to what there is, and written down as the one in force.

Only `policy` and `proposals` call it; they say who may, and whether a second signature is needed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction

from approvals import canonical, policy
from approvals.administration import conditions, groups
from approvals.administration.writing import MOST_REASON, note
from approvals.errors import InvalidInput, PolicyChanged
from approvals.models import PolicyVersion, Revision, RuleRow, Tool
from approvals.phrases import phrase

MOST_SOURCE = 200  # characters
_PATTERN = re.compile(r"[*?\[]")
Rules = tuple[policy.Rule, ...]


@dataclass(frozen=True)
class Wanted:
    """A policy that somebody wants in force.

    Attributes:
        source: where it came from, for people.
        reason: why, for people; at most 500 characters are kept.
        based_on: the version it is to replace; None: whichever is in force.
        effect: what trying it had shown.
    """

    rules: Rules
    source: str
    actor: str
    reason: str = ""
    based_on: int | None = None
    effect: Mapping[str, object] = field(default_factory=dict)


def check(document: object) -> Rules:
    """Return the rules of a document that could come into force now.

    Raises:
        InvalidInput: with every place that is wrong: how it is written first; where nothing is,
            the conditions, groups and tools that do not fit what there is.
    """
    rules = policy.load(document)
    problems: list[dict[str, str]] = []
    for refuse in _FITTING:
        try:
            refuse(rules)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems=problems)
    return rules


@transaction.atomic
def write(wanted: Wanted, *, signed_by: str = "") -> PolicyVersion:
    """Put a policy in force, as a version of its own.

    Args:
        signed_by: who gave the second signature, as an actor.

    Raises:
        PolicyChanged: another version came meanwhile; nothing is changed.
    """
    # Takes the row's lock: whoever loads at the same moment waits, and numbers on from this one.
    Revision.bump()
    number = newest_number()
    refuse_overtaken(wanted.based_on, number)
    told = {"source": wanted.source[:MOST_SOURCE], "reason": wanted.reason[:MOST_REASON]}
    version = PolicyVersion.objects.create(
        number=number + 1, loaded_by=wanted.actor, signed_by=signed_by,
        effect=dict(wanted.effect), **told,
    )  # fmt: skip
    RuleRow.objects.bulk_create(_row(version, rule) for rule in wanted.rules)
    said = {key: value for key, value in (told | {"signed_by": signed_by}).items() if value}
    note(
        "policy", "policy.loaded", actor=wanted.actor, version=version.number,
        rules=[rule.as_dict() for rule in wanted.rules], **{"source": "", **said},
    )  # fmt: skip
    return version


def newest_number() -> int:
    """Return the number of the version in force; 0 before the first."""
    numbers = PolicyVersion.objects.order_by("-number").values_list("number", flat=True)
    return numbers.first() or 0


def refuse_overtaken(based_on: int | None, number: int) -> None:
    """Refuse what was written for another version than the one in force.

    Raises:
        PolicyChanged: it was.
    """
    if based_on not in (None, number):
        told = phrase(
            "Version %(now)s is in force, not version %(then)s, which this was written for.",
            now=number, then=based_on,
        )  # fmt: skip
        raise PolicyChanged(told)


def _refuse_misfits(rules: Sequence[policy.Rule]) -> None:
    """Refuse conditions that read what the tools they would judge do not take."""
    problems = [
        {"path": f"$.rules[{trial.rule.position - 1}].condition", "message": wrong}
        for trial in conditions.trials(rules)
        for wrong in trial.wrong
    ]
    if problems:
        raise InvalidInput(problems=problems)


def _refuse_unknown_tools(rules: Sequence[policy.Rule]) -> None:
    """Refuse a name that no server ever listed; a pattern may be waiting for one that will."""
    named = {rule.tool for rule in rules if rule.tool and not _PATTERN.search(rule.tool)}
    known = set(Tool.objects.filter(exposed_name__in=named).values_list("exposed_name", flat=True))
    problems = [
        {
            "path": canonical.path_of(("rules", rule.position - 1, "tool")),
            "message": f"no server has a tool called {rule.tool!r}",
        }
        for rule in rules
        if rule.tool in named - known
    ]
    if problems:
        raise InvalidInput(problems=problems)


_FITTING: tuple[Callable[[Sequence[policy.Rule]], None], ...] = (
    _refuse_misfits, groups.refuse_unknown, _refuse_unknown_tools,
)  # fmt: skip


def _row(version: PolicyVersion, rule: policy.Rule) -> RuleRow:
    body = {k: v for k, v in rule.as_dict().items() if k not in ("position", "name")}
    return RuleRow(version=version, position=rule.position, name=rule.name, body=body)
