"""What a policy would have said of past calls, one after the other as they were asked.

Judged by the same code as calls that are asked now. What calls asked before is counted, and what
they took of budgets added up, in memory. `administration.backtests` reads the calls from rows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, NamedTuple
from uuid import UUID

from approvals.policy import spending, windows
from approvals.policy.budgets import Budget
from approvals.policy.judging import Ruling, beyond, candidates, first_true, history_wanted, prepare
from approvals.policy.rules import Effect, Facts, History, Outcome, Rule
from approvals.policy.spending import Ledger, Part
from approvals.policy.windows import Windows

# Returns a ruling as a freeze leaves it that was on at a moment.
Freezing = Callable[[Ruling, Facts, datetime], Ruling]


class Kind(NamedTuple):
    """What rules fit a call by, whatever its arguments."""

    domain: str
    tool: str
    effect: str
    agent: str


class Recorded(NamedTuple):
    """How a call was judged when it was asked."""

    rule: Rule  # as it read then
    quorum: int  # 0: a rule let it through
    version: int  # of the policy

    @property
    def outcome(self) -> Outcome:
        """Return what became of it at first; refused calls are not kept."""
        return Outcome.HOLD if self.quorum else Outcome.ALLOW


class Past(NamedTuple):
    """One call as it was asked, and what is recorded of it.

    Attributes:
        whose: ids of its agent and its tool, by which history is counted.
        arguments: JSON bytes.
        asked_at: aware.
        judged_at: when its turn came among those that took of budgets; not before `asked_at`.
        recorded: how it was judged.
        part: what it took of a budget.
        given_back_at: when it was known that nothing ran; None: it never was.
        is_ours: it was judged by the very rules that are tried.
    """

    id: UUID
    kind: Kind
    whose: tuple[int, int]
    acts_for: str
    arguments: bytes
    asked_at: datetime
    judged_at: datetime
    recorded: Recorded
    part: Part | None
    given_back_at: datetime | None
    is_ours: bool


@dataclass(frozen=True)
class Tried:
    """What the policy says of a past call.

    Attributes:
        unjudged: why nobody could say whether a condition is true; empty where all could be judged.
    """

    ruling: Ruling
    unjudged: str = ""


class Replay:
    """Says of each call what the rules would have said then; calls come in the order of turns.

    What other calls took of budgets is what the tried rules let them take: a call that people were
    asked about, and that these rules let through, is taken to have run. Where calls were judged by
    these very rules, what is recorded of them is what happened, and is gone by.
    """

    def __init__(self, rules: Sequence[Rule], zone: tzinfo, frozen: Freezing) -> None:
        """Prepare.

        Args:
            zone: the installation's, in which days begin and conditions read the clock.
        """
        prepare(rules)
        self._rules, self._zone, self._frozen = tuple(rules), zone, frozen
        self._with_history = [rule for rule in rules if "history" in rule.condition]
        self._fitting: dict[Kind, _Fitting] = {}
        self._asked: dict[tuple[int, int], Windows] = {}
        self._real, self._own = Ledger(rules, zone), Ledger(rules, zone)
        self._is_real = False

    def judge(self, call: Past) -> Tried:
        """Return what the rules say of a call, and remember it."""
        fitting = self._fits(call.kind)
        facts, arguments = fitting.facts, _Arguments(call.arguments)
        if len(fitting.rules) > 1:
            facts = Facts(
                *call.kind, args=arguments(), acts_for=call.acts_for,
                now=call.asked_at.astimezone(self._zone), history=self._before(call, fitting),
            )  # fmt: skip
        tried = self._ruled(call, facts, fitting.rules)
        self._note(call, fitting, arguments)
        return tried

    def see(self, call: Past) -> None:
        """Remember a call that is not judged."""
        self._note(call, self._fits(call.kind), _Arguments(call.arguments))

    def _ruled(self, call: Past, facts: Facts, rules: Sequence[Rule]) -> Tried:
        """As `submission` does it: by rules, then by what is left of a budget, then by freezes."""
        ruled, unjudged, part = first_true(facts, rules), "", None
        if ruled.outcome == Outcome.ALLOW and ruled.rule.budget is not None:
            part, why = self._looked(call, ruled.rule, ruled.rule.budget, facts)
            if why:
                ruled = beyond(ruled, facts, rules, why)
            # Where a later rule decides how it is held, that one may be what nobody could judge.
            unjudged = ruled.why.removeprefix(why).strip()
        else:
            unjudged = ruled.why
        ruled = self._frozen(ruled, facts, call.asked_at)
        # What is held takes nothing.
        if part is not None and ruled.outcome == Outcome.ALLOW and not call.is_ours:
            was_asked = call.recorded.quorum > 0
            self._ledger(call).take(part, None if was_asked else call.given_back_at)
        return Tried(ruled, unjudged)

    def _looked(
        self, call: Past, rule: Rule, budget: Budget, facts: Facts
    ) -> tuple[Part | None, str]:
        """Return the part a call takes of a budget, and in words why it may not have it."""
        ledger = self._ledger(call)
        part = spending.part_of(rule, budget, facts, facts.args or {}, call.judged_at)
        if isinstance(part, str):
            return None, part
        return part, spending.in_the_way(part, budget, ledger.taken(part))

    def _ledger(self, call: Past) -> Ledger:
        if not call.is_ours and self._is_real:
            self._own = self._real.copy()
        self._is_real = call.is_ours
        return self._real if call.is_ours else self._own

    def _note(self, call: Past, fitting: "_Fitting", arguments: "_Arguments") -> None:
        if call.part is not None:
            self._real.take(call.part, call.given_back_at)
        if fitting.history:
            self._windows(call, fitting).add(call.asked_at, arguments)

    def _before(self, call: Past, fitting: "_Fitting") -> History:
        if not fitting.history:
            return _NOTHING
        return self._windows(call, fitting).before(call.asked_at)

    def _windows(self, call: Past, fitting: "_Fitting") -> Windows:
        found = self._asked.get(call.whose)
        if found is None:
            found = self._asked[call.whose] = Windows(fitting.history)
        return found

    def _fits(self, kind: Kind) -> "_Fitting":
        found = self._fitting.get(kind)
        if found is None:
            found = self._fitting[kind] = _Fitting(kind, self._rules, self._with_history)
        return found


_NOTHING = History({})


class _Fitting:
    """The rules that may govern calls of one kind, and what they read of history."""

    def __init__(self, kind: Kind, rules: Sequence[Rule], with_history: Sequence[Rule]) -> None:
        self.facts = Facts(*kind)
        self.rules = candidates(self.facts, rules)
        # More than is read of these calls: another rule may come first, and their tool be taken to
        # have another effect for a while. Nothing is missing where it is read.
        of_any = (
            history_wanted(replace(self.facts, effect=effect), with_history) for effect in Effect
        )
        self.history = frozenset[windows.Keys]().union(*of_any)


class _Arguments:
    """The arguments of one call, read where somebody asks for them."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._read: Mapping[str, Any] | None = None

    def __call__(self) -> Mapping[str, Any]:
        found = self._read
        if found is None:
            found = self._read = json.loads(self._body)
        return found
