"""What a policy is made of: facts of a call, and rules that match them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache
from typing import Any

from approvals.canonical import digest_of
from approvals.policy import stages as staging
from approvals.policy.budgets import Budget
from approvals.policy.stages import Stage


class Effect(StrEnum):
    """What a tool does, as a person reviewed it, or why nobody can say."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"
    UNREVIEWED = "unreviewed"  # nobody has looked at it
    CHANGED = "changed"  # it is no longer what somebody looked at


class Outcome(StrEnum):
    """What a rule does with the calls it governs."""

    ALLOW = "allow"  # let it through, with the rule as its decision
    HOLD = "hold"  # ask people
    DENY = "deny"  # refuse it, with the rule's words


@dataclass(frozen=True)
class History:
    """What one agent asked of one tool before a moment, whatever became of it.

    Attributes:
        counts: by ("calls_hour",), ("sum_day", "amount"), …; only what was asked for is there.
    """

    counts: Mapping[tuple[str, ...], int | float]

    def answers(self, wanted: Iterable[tuple[str, ...]]) -> bool:
        """Tell whether all of this was counted."""
        return all(keys in self.counts for keys in wanted)

    def as_dict(self) -> dict[str, Any]:
        """Return it as conditions read it: {"calls_hour": 3, "sum_day": {"amount": 8400}}."""
        found: dict[str, Any] = {}
        for keys, count in self.counts.items():
            place = found
            for key in keys[:-1]:
                place = place.setdefault(key, {})
            place[keys[-1]] = count
        return found


@dataclass(frozen=True)
class Facts:
    """What is known of a call before anybody decides; the last four are what conditions read."""

    domain: str
    tool: str  # as agents call it: <upstream>__<tool>
    effect: str  # any other word than Effect's counts as unreviewed
    agent: str
    args: Mapping[str, object] | None = None  # None: not known
    acts_for: str = ""  # sign-in name
    now: datetime | None = None  # aware; its hours are those of its zone
    history: History | None = None  # None: nobody counted


@dataclass(frozen=True)
class Rule:
    """One line of a policy; an empty domain, tool, effect or agent matches any."""

    position: int  # from 1; says nothing about what the rule does
    name: str
    outcome: Outcome
    domain: str = ""
    tool: str = ""  # glob over the exposed name: * ? [abc] [!abc]
    effect: str = ""
    agent: str = ""
    quorum: int = 1  # distinct approvals a held call needs; over all stages, where it has some
    expires_seconds: int = 3600  # people have this long to decide
    message: str = ""  # for people and, of a deny rule, for the agent
    comment: str = ""  # for whoever reads the rules; does nothing
    condition: str = ""  # CEL over the call, `conditions`; empty: true of any
    budget: Budget | None = None  # of an allow rule: beyond it, what is allowed is held
    stages: tuple[Stage, ...] = ()  # who is asked, in order; none: the approvers of the domain
    deny_quorum: int = 1  # so many noes end it
    escalate_to: str = ""  # a group that may sign for any stage, later
    escalate_after: int = 50  # per cent of the time to decide
    four_eyes: bool = False  # also where the domain does not ask for it

    def __post_init__(self) -> None:
        # Rules come back from JSON columns with their outcome as a bare word, stages as objects.
        object.__setattr__(self, "outcome", Outcome(self.outcome))
        budget: Any = self.budget
        if isinstance(budget, Mapping):
            object.__setattr__(self, "budget", Budget(**budget))
        object.__setattr__(self, "stages", staging.read(self.stages))
        if self.stages:
            object.__setattr__(self, "quorum", sum(stage.quorum for stage in self.stages))

    def as_dict(self) -> dict[str, Any]:
        """Return its fields as JSON has them; `Rule(**rule.as_dict())` is the rule again.

        What says nothing is left out, of the fields that came later: a rule keeps its digest.
        """
        budget = self.budget.as_dict() if self.budget else None
        found = asdict(self) | {"outcome": self.outcome.value, "budget": budget}
        found["stages"] = [asdict(stage) for stage in self.stages]
        return {key: value for key, value in found.items() if not _says_nothing(key, value)}

    def digest(self) -> str:
        """Return what a binding holds of a rule: all but its place and what is told about it."""
        # A rule put in above this one must not void what waits under it.
        fields = self.as_dict().items()
        return digest_of({key: value for key, value in fields if key not in _UNBOUND})

    def matches(self, facts: Facts) -> bool:
        """Tell whether this rule, if its condition is true, governs what no rule before it does."""
        return (
            self.domain in ("", facts.domain)
            and self.agent in ("", facts.agent)
            and (not self.tool or matcher(self.tool)(facts.tool) is not None)
            and (self._allows(facts) if self.outcome == Outcome.ALLOW else self._catches(facts))
        )

    def _allows(self, facts: Facts) -> bool:
        if facts.effect == Effect.READ:
            return self.effect in ("", Effect.READ)
        if facts.effect in (Effect.WRITE, Effect.DESTRUCTIVE):
            # A write passes only under a rule that names it: a bare "allow" means reads.
            return self.effect == facts.effect or (not self.effect and bool(self.tool))
        return False

    def _catches(self, facts: Facts) -> bool:
        if self.effect in ("", facts.effect):
            return True
        # Unknown means write: what holds writes must not let an unreviewed one slip past it.
        is_unknown = facts.effect not in (Effect.READ, Effect.WRITE, Effect.DESTRUCTIVE)
        return is_unknown and self.effect in (Effect.WRITE, Effect.DESTRUCTIVE)


@lru_cache(maxsize=4_096)
def matcher(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """Return what matches the names of tools that a rule's pattern is for."""
    # As `fnmatchcase` does it, at a third of the cost: every call is held to every rule.
    return re.compile(translate(pattern)).match


_LATER = {
    "comment", "condition", "budget", "stages", "deny_quorum", "escalate_to", "escalate_after",
    "four_eyes",
}  # fmt: skip
_UNBOUND = {"position", "comment"}
_DEFAULTS = {field.name: field.default for field in fields(Rule)}


def _says_nothing(key: str, value: object) -> bool:
    return key in _LATER and (not value or value == _DEFAULTS[key])


LAST_RULE = Rule(position=1, name="hold by default", outcome=Outcome.HOLD)
SEED = (
    Rule(position=1, name="allow reads", outcome=Outcome.ALLOW, effect=Effect.READ),
    replace(LAST_RULE, position=2),
)
