"""What one policy changes against another, as rows of a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_lazy

from approvals import policy
from approvals.models import Person
from approvals.web.rule_lines import Line, Look, lines

MOST_CHANGES = 200

_KINDS = {
    policy.Kind.ADDED: Look("ok", "check", gettext_lazy("Added")),
    policy.Kind.REMOVED: Look("bad", "x", gettext_lazy("Removed")),
    policy.Kind.CHANGED: Look("warn", "edit", gettext_lazy("Changed")),
    policy.Kind.MOVED: Look("idle", "repeat", gettext_lazy("Moved")),
}


@dataclass(frozen=True)
class Changed:
    """What became of one rule, as people read it; no line on a side it has none."""

    look: Look
    before: Line | None
    after: Line | None


def changes(
    person: Person, before: Sequence[policy.Rule], after: Sequence[policy.Rule]
) -> list[Changed]:
    """Return what differs between two policies, at most MOST_CHANGES rules."""
    found = policy.difference(before, after)[:MOST_CHANGES]
    told = [rule for each in found for rule in (each.before, each.after) if rule]
    sides = iter(lines(person, told))
    return [
        Changed(
            _KINDS[each.kind],
            before=next(sides) if each.before else None,
            after=next(sides) if each.after else None,
        )
        for each in found
    ]
