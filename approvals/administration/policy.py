"""The policy: replaced as a whole, each time a new version."""

from collections.abc import Sequence

from django.db import transaction

from approvals import policy
from approvals.administration import conditions, groups
from approvals.administration.writing import note
from approvals.errors import InvalidInput, PolicyChanged
from approvals.models import PolicyVersion, Revision, RuleRow
from approvals.phrases import Phrase, phrase


@transaction.atomic
def load_rules(
    document: object, *, source: str, actor: str, reason: str = "", based_on: int | None = None
) -> PolicyVersion:
    """Put a whole new policy in force.

    Args:
        document: the parsed file, {"rules": [...]}.
        source: where it came from, for people.
        reason: why, for people; at most 500 characters are kept.
        based_on: the version that was read when this one was written; None loads over any.

    Raises:
        InvalidInput: anything in it is wrong; every place is named and nothing is changed.
        PolicyChanged: another version came meanwhile; nothing is changed.
    """
    rules = check(document)
    # Takes the row's lock: whoever loads at the same moment waits, and numbers on from this one.
    Revision.bump()
    newest = PolicyVersion.objects.order_by("-number").first()
    number = newest.number if newest else 0
    if based_on not in (None, number):
        raise PolicyChanged(_overtaken(based_on, number))
    version = PolicyVersion.objects.create(
        number=number + 1, source=source[:200], reason=reason[:500], loaded_by=actor
    )
    RuleRow.objects.bulk_create(_row(version, rule) for rule in rules)
    note(
        "policy", "policy.loaded", actor=actor, version=version.number, source=source[:200],
        rules=[rule.as_dict() for rule in rules], **({"reason": reason[:500]} if reason else {}),
    )  # fmt: skip
    return version


def check(document: object) -> tuple[policy.Rule, ...]:
    """Return the rules of a document that could come into force now.

    Raises:
        InvalidInput: with every place that is wrong.
    """
    rules = policy.load(document)
    _refuse_misfits(rules)
    groups.refuse_unknown(rules)
    return rules


def _overtaken(based_on: int | None, number: int) -> Phrase:
    return phrase(
        "Version %(now)s is in force, not version %(then)s, which this was written for.",
        now=number, then=based_on,
    )  # fmt: skip


def _refuse_misfits(rules: Sequence[policy.Rule]) -> None:
    """Refuse conditions that read what the tools they would judge do not take."""
    problems = [
        {"path": f"$.rules[{trial.rule.position - 1}].condition", "message": wrong}
        for trial in conditions.trials(rules)
        for wrong in trial.wrong
    ]
    if problems:
        raise InvalidInput(problems=problems)


def _row(version: PolicyVersion, rule: policy.Rule) -> RuleRow:
    body = {k: v for k, v in rule.as_dict().items() if k not in ("position", "name")}
    return RuleRow(version=version, position=rule.position, name=rule.name, body=body)
