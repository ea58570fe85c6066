"""What a call takes of its rule's budget, and what stands in its way; rows are `approvals.budgets`.

`Ledger` keeps parts in memory while past calls go by, and says the same of them as rows would.
"""

import heapq
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from itertools import count

from approvals import canonical
from approvals.phrases import phrase
from approvals.policy import budgets
from approvals.policy.budgets import Budget, CannotCount
from approvals.policy.rules import Facts, Rule


@dataclass(frozen=True)
class Part:
    """What one call takes of a budget; the columns of `BudgetUse`."""

    rule: str
    account: str
    counts: str
    amount: int
    at: datetime

    def as_dict(self) -> dict[str, object]:
        """Return it as its event tells it; amounts in ten-thousandths."""
        return vars(self) | {"at": canonical.rfc3339(self.at)}


@dataclass(frozen=True)
class Taken:
    """What has been taken of one account in one hour or day, and not given back.

    Attributes:
        spent: in ten-thousandths, of whatever the budget counts.
        is_mixed: some of it was counted in another unit.
    """

    spent: int
    is_mixed: bool = False


def part_of(
    rule: Rule, budget: Budget, facts: Facts, arguments: Mapping[str, object], at: datetime
) -> Part | str:
    """Return what a call takes, or in words why nobody can tell."""
    try:
        needed = budgets.needs(budget, arguments)
    except CannotCount as error:
        return budgets.uncountable(rule.name, error.why)
    whose = budgets.account(budget, agent=facts.agent, tool=facts.tool, domain=facts.domain)
    return Part(rule.name, whose, budget.counts, needed, at)


def in_the_way(part: Part, budget: Budget, taken: Taken) -> str:
    """Return in words why a call may not have its part; empty when it may."""
    if budget.field and taken.is_mixed:
        told = phrase(
            "until it is over, this %(window)s was counted in another unit", window=budget.window
        )
        return budgets.uncountable(part.rule, told)
    if taken.spent + part.amount > budget.most:
        return budgets.too_little(
            part.rule, budget, part.account, spent=taken.spent, needed=part.amount
        )
    return ""


@dataclass
class _Account:
    """What was taken of one account in its newest hour or day, by what it counts: calls, amount."""

    starts: datetime
    ends: datetime
    taken: dict[str, list[int]] = field(default_factory=dict)


class Ledger:
    """The parts that calls took of the budgets of one policy, in the order in which they did."""

    def __init__(self, rules: Iterable[Rule], zone: tzinfo) -> None:
        """Keep what concerns these rules; others' parts are left out.

        Args:
            zone: by whose clocks hours and days begin.
        """
        self._budgets = {rule.name: rule.budget for rule in rules if rule.budget}
        self._zone = zone
        self._spans: dict[str, tuple[datetime, datetime]] = {}
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._given_back: list[tuple[datetime, int, Part]] = []
        self._numbers = count()

    def taken(self, part: Part) -> Taken:
        """Return what others have of the account of a part, in its hour or day."""
        budget, account = self._budgets[part.rule], self._account(part)
        if not budget.field:
            calls = sum(calls for calls, _ in account.taken.values())
            return Taken(calls * budgets.SCALE)
        is_mixed = any(
            calls for counts, (calls, _) in account.taken.items() if counts != part.counts
        )
        return Taken(sum(amount for _, amount in account.taken.values()), is_mixed)

    def take(self, part: Part, given_back_at: datetime | None) -> None:
        """Note a part, and when it was given back; None: never."""
        if part.rule not in self._budgets:
            return
        self._change(self._account(part), part, 1)
        if given_back_at is not None:
            heapq.heappush(self._given_back, (given_back_at, next(self._numbers), part))

    def copy(self) -> "Ledger":
        """Return another one with the same parts."""
        other = Ledger((), self._zone)
        other._budgets, other._spans = self._budgets, dict(self._spans)
        other._accounts = deepcopy(self._accounts)
        other._given_back, other._numbers = list(self._given_back), self._numbers
        return other

    def _account(self, part: Part) -> _Account:
        while self._given_back and self._given_back[0][0] <= part.at:
            gone = heapq.heappop(self._given_back)[2]
            account = self._accounts[(gone.rule, gone.account)]
            if account.starts <= gone.at < account.ends:
                self._change(account, gone, -1)
        key, (starts, ends) = (part.rule, part.account), self._span(part)
        found = self._accounts.get(key)
        if found is None or found.starts != starts:
            found = self._accounts[key] = _Account(starts, ends)
        return found

    def _span(self, part: Part) -> tuple[datetime, datetime]:
        window = self._budgets[part.rule].window
        known = self._spans.get(window)
        if known is None or not known[0] <= part.at < known[1]:
            known = self._spans[window] = budgets.span(window, part.at, self._zone)
        return known

    @staticmethod
    def _change(account: _Account, part: Part, sign: int) -> None:
        taken = account.taken.setdefault(part.counts, [0, 0])
        taken[0] += sign
        taken[1] += sign * part.amount
