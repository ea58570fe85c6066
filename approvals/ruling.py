"""Reads the stored policy as values, so that the pure `policy` can judge by it."""

from dataclasses import dataclass

from approvals import policy
from approvals.models import PolicyVersion


@dataclass(frozen=True)
class PolicyInForce:
    """The newest policy: its number (0 before any was loaded) and its rules in order."""

    version: int
    rules: tuple[policy.Rule, ...]


def in_force() -> PolicyInForce:
    """Return the policy calls are judged by now; the seed where none was ever loaded."""
    newest = PolicyVersion.objects.order_by("-number").first()
    if newest is None:
        return PolicyInForce(0, policy.SEED)
    rules = rules_of(newest)
    policy.prepare(rules)
    return PolicyInForce(newest.number, rules)


def rules_of(version: PolicyVersion) -> tuple[policy.Rule, ...]:
    """Return the rules of a stored version, in order."""
    rows = version.rules.order_by("position")
    return tuple(policy.Rule(position=r.position, name=r.name, **r.body) for r in rows)
