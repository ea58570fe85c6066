"""The policy: replaced as a whole, each time a new version."""

from collections.abc import Sequence

from django.db import transaction

from approvals import policy
from approvals.administration import conditions
from approvals.administration.writing import note
from approvals.errors import InvalidInput
from approvals.models import PolicyVersion, Revision, RuleRow


@transaction.atomic
def load_rules(document: object, *, source: str, actor: str) -> PolicyVersion:
    """Put a whole new policy in force.

    Args:
        document: the parsed file, {"rules": [...]}.
        source: where it came from, for people.

    Raises:
        InvalidInput: anything in it is wrong; every place is named and nothing is changed.
    """
    rules = policy.load(document)
    _refuse_misfits(rules)
    # Takes the row's lock: whoever loads at the same moment waits, and numbers on from this one.
    Revision.bump()
    newest = PolicyVersion.objects.order_by("-number").first()
    version = PolicyVersion.objects.create(
        number=(newest.number if newest else 0) + 1, source=source[:200], loaded_by=actor
    )
    RuleRow.objects.bulk_create(_row(version, rule) for rule in rules)
    note(
        "policy", "policy.loaded", actor=actor, version=version.number, source=source[:200],
        rules=[rule.as_dict() for rule in rules],
    )  # fmt: skip
    return version


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
