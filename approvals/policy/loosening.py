"""Whether one policy could need fewer people for a call than another; what is not sure does.

Rulings of one call are compared, then what each policy says once its budget is spent. What can be
said of all calls of one shape without trying any is said here too: `differing`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import product

from approvals.policy.budgets import Budget
from approvals.policy.judging import Ruling, beyond, evaluate, sayings
from approvals.policy.rules import Facts, Outcome, Rule

_STRICTNESS = {Outcome.ALLOW: 0, Outcome.HOLD: 1, Outcome.DENY: 2}


class Way(StrEnum):
    """In what a ruling asks for less than another."""

    OUTCOME = "outcome"  # allow instead of hold, hold instead of deny
    QUORUM = "quorum"  # fewer approvals
    GROUPS = "groups"  # fewer of a group that has a stage
    NOES = "noes"  # more noes end it
    FOUR_EYES = "four_eyes"  # the agent's own people may approve
    ESCALATION = "escalation"  # another group may sign later, or sooner
    BUDGET = "budget"  # more is let through, or it is counted otherwise


def is_looser(before: Ruling, after: Ruling) -> bool:
    """Tell whether a call that got `before` could need fewer people under `after`."""
    return ways(before, after) != ()


def ways(before: Ruling, after: Ruling) -> tuple[Way, ...]:
    """Return in what a call that got `before` could need fewer people under `after`."""
    was, now = _STRICTNESS[before.outcome], _STRICTNESS[after.outcome]
    if was != now:
        return (Way.OUTCOME,) if now < was else ()
    tests = _OF_AN_ALLOW if before.outcome == Outcome.ALLOW else _OF_A_HOLD
    if before.outcome == Outcome.DENY:
        return ()
    return tuple(way for way, test in tests.items() if test(before, after))


def _asks_fewer_at_last(before: Ruling, after: Ruling) -> bool:
    # What an allow rule asks for in a freeze, or where its budget is spent.
    return after.rule.quorum < before.rule.quorum


def _gives_more(before: Ruling, after: Ruling) -> bool:
    was, now = before.rule, after.rule
    if was.budget is None:
        return False
    if now.budget is None or _account(was, was.budget) != _account(now, now.budget):
        return True
    return now.budget.most > was.budget.most


def _account(rule: Rule, budget: Budget) -> tuple[str, ...]:
    # Under another name it begins at nothing spent.
    return (rule.name, budget.per, budget.window, budget.field, budget.unit, budget.unit_field)


def _asks_fewer_of_a_group(before: Ruling, after: Ruling) -> bool:
    wanted = {stage.group: stage.quorum for stage in after.rule.stages}
    return any(wanted.get(stage.group, 0) < stage.quorum for stage in before.rule.stages)


def _lets_others_sign(before: Ruling, after: Ruling) -> bool:
    was, now = before.rule, after.rule
    if not was.stages or not now.escalate_to:
        return False  # everybody of the domain could sign; or nobody else can
    return now.escalate_to != was.escalate_to or now.escalate_after < was.escalate_after


_Test = Callable[[Ruling, Ruling], bool]
_OF_AN_ALLOW: dict[Way, _Test] = {Way.QUORUM: _asks_fewer_at_last, Way.BUDGET: _gives_more}
_OF_A_HOLD: dict[Way, _Test] = {
    Way.QUORUM: lambda before, after: after.quorum < before.quorum,
    Way.GROUPS: _asks_fewer_of_a_group,
    Way.NOES: lambda before, after: after.rule.deny_quorum > before.rule.deny_quorum,
    Way.FOUR_EYES: lambda before, after: before.rule.four_eyes and not after.rule.four_eyes,
    Way.ESCALATION: _lets_others_sign,
}


@dataclass(frozen=True)
class Judged:
    """What a policy says of one call: at first, and where it allows up to a budget, beyond it."""

    ruling: Ruling
    spent: Ruling | None = None


def judge(facts: Facts, rules: Sequence[Rule]) -> Judged:
    """Return what a policy says of one call."""
    ruling = evaluate(facts, rules)
    if ruling.outcome == Outcome.ALLOW and ruling.rule.budget is not None:
        return Judged(ruling, beyond(ruling, facts, rules, ""))
    return Judged(ruling)


@dataclass(frozen=True)
class Looser:
    """Two rulings of one call, the second of which could need fewer people."""

    before: Ruling
    after: Ruling
    is_spent: bool  # only once the budget of a rule is spent

    @property
    def ways(self) -> tuple[Way, ...]:
        """Return in what it could."""
        return ways(self.before, self.after)


def compare(before: Judged, after: Judged) -> Looser | None:
    """Return the rulings by which a call could need fewer people, whatever is left of budgets."""
    if is_looser(before.ruling, after.ruling):
        return Looser(before.ruling, after.ruling, is_spent=False)
    then = after.spent or after.ruling
    if before.spent is not None and is_looser(before.spent, then):
        return Looser(before.spent, then, is_spent=True)
    return None


@dataclass(frozen=True)
class Differing:
    """What differs for all calls of one shape.

    Attributes:
        before, after: rules on either side, of which nobody can say that they do not loosen until a
            call was tried that each of them governs.
    """

    before: tuple[Rule, ...] = ()
    after: tuple[Rule, ...] = ()


def differing(before: Sequence[Rule], after: Sequence[Rule]) -> Differing | None:
    """Return what differs between the rules that may govern calls of one shape.

    Args:
        before, after: as `candidates` gives them.

    Returns:
        None where no call of the shape can need fewer people, whatever its arguments.
    """
    old, new = [weight(rule) for rule in before], [weight(rule) for rule in after]
    if old == new or _is_tighter_throughout(before, after):
        return None
    gone, come = list[Rule](), list[Rule]()
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            gone += before[i:j]
            come += after[k:m]
    return Differing(
        tuple(rule for rule in gone if _can_loosen([rule], after)),
        tuple(rule for rule in come if _can_loosen(before, [rule])),
    )


def weight(rule: Rule) -> tuple[object, ...]:
    """Return all of a rule that bears on who is asked; rules that weigh the same are one."""
    budget = (rule.name, rule.budget) if rule.budget else None
    return (
        *_matching(rule), rule.outcome, rule.quorum, budget, rule.stages, rule.deny_quorum,
        rule.escalate_to, rule.escalate_after, rule.four_eyes,
    )  # fmt: skip


def _matching(rule: Rule) -> tuple[str, ...]:
    return (rule.domain, rule.tool, rule.effect, rule.agent, rule.condition)


def _is_tighter_throughout(before: Sequence[Rule], after: Sequence[Rule]) -> bool:
    """Tell whether the same rules match in the same order, and none of them says less."""
    return len(before) == len(after) and all(map(_is_as_strict, before, after))


def _is_as_strict(was: Rule, now: Rule) -> bool:
    """Tell whether a rule can take the place of another, whatever comes before and after it.

    It must do the same: what cannot be judged is held for as many as the next rule asks, and of
    those a denial asks none.
    """
    return (
        _matching(was) == _matching(now)
        and was.outcome == now.outcome
        and (was.budget is None) == (now.budget is None)
        and now.escalate_to in ("", was.escalate_to)
        and not any(map(is_looser, sayings(was), sayings(now)))
    )


def _can_loosen(before: Iterable[Rule], after: Iterable[Rule]) -> bool:
    said = [ruling for rule in before for ruling in sayings(rule)]
    says = [ruling for rule in after for ruling in sayings(rule)]
    return any(is_looser(*pair) for pair in product(said, says))
