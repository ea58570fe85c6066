"""Reads the stored policy as values, so that the pure `policy` can judge by it."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

from approvals import policy
from approvals.models import PolicyVersion

_KEPT = 4  # versions: the one in force, and some that are about to be or have been


@dataclass(frozen=True)
class PolicyInForce:
    """The newest policy: its number (0 before any was loaded) and its rules in order."""

    version: int
    rules: tuple[policy.Rule, ...]

    def candidates(self, facts: policy.Facts) -> tuple[policy.Rule, ...]:
        """Return the rules that may govern such calls, as `policy.candidates` does, sooner."""
        return policy.candidates(facts, self._index.near(facts))

    @cached_property
    def _index(self) -> policy.Index:
        return policy.Index(self.rules)


_SEED = PolicyInForce(0, policy.SEED)


def in_force() -> PolicyInForce:
    """Return the policy calls are judged by now; the seed where none was ever loaded.

    Which one that is, is read each time, in the caller's transaction: no cache is asked. What it
    says is read once, because the rules of a version are written with it and never changed.
    """
    newest = PolicyVersion.objects.order_by("-number").values_list("pk", "number", "loaded_at")
    row = newest.first()
    return _version(*row) if row else _SEED


@lru_cache(maxsize=_KEPT)
def _version(pk: int, number: int, loaded_at: datetime) -> PolicyInForce:
    """Return a version that is stored.

    Its number alone is not enough to know it by: one that was never committed, or is gone since a
    backup was restored, had a number too.
    """
    rules = rules_of(PolicyVersion(pk=pk))
    policy.prepare(rules)
    return PolicyInForce(number, rules)


def rules_of(version: PolicyVersion) -> tuple[policy.Rule, ...]:
    """Return the rules of a stored version, in order."""
    rows = version.rules.order_by("position")
    return tuple(policy.Rule(position=r.position, name=r.name, **r.body) for r in rows)
