"""Budgets of rules, in rows: what is spent, and whether there is enough left for one call more.

`submission` asks before it admits a call and the life cycle before it sends one. What is spent is
added up anew each time from the calls themselves, while nobody else can take any.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from approvals import canonical, policy
from approvals.models import BudgetLock, BudgetUse, ToolCall, database_now
from approvals.phrases import phrase
from approvals.policy import budgets, spending

S, _F = ToolCall.Status, ToolCall.Failure
Part = spending.Part

# Nothing ran, and somebody knows it: such a call has no part any more. One whose outcome is unknown
# keeps it, and so does one that its tool answered with an error, which may have come half-way.
_NEVER_RAN = frozenset(map(str, (S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID)))
_NOTHING_DONE = frozenset(map(str, (_F.NOT_SENT, _F.NOT_RUN, _F.UPSTREAM_ERROR)))
_GIVEN_BACK = Q(call__status__in=_NEVER_RAN) | Q(
    call__status=S.FAILED, call__failure_kind__in=_NOTHING_DONE
)


def is_given_back(status: str, failure_kind: str) -> bool:
    """Tell whether a call in this state has no part of a budget any more."""
    return status in _NEVER_RAN or (failure_kind in _NOTHING_DONE and status == S.FAILED)


def admit(
    ruled: policy.Ruling,
    facts: policy.Facts,
    rules: Iterable[policy.Rule],
    arguments: Mapping[str, object],
) -> tuple[policy.Ruling, Part | None]:
    """Return the ruling as the rule's budget leaves it, and the part the call is to `take`.

    Call it in the transaction that writes the call: others wait here until that is committed.
    """
    budget = ruled.rule.budget
    if ruled.outcome != policy.Outcome.ALLOW or budget is None:
        return ruled, None
    _queue_up(ruled.rule.name)
    part, why = _looked(ruled.rule, budget, facts, arguments, database_now())
    if part is None or why:
        return policy.beyond(ruled, facts, rules, why), None
    return ruled, part


def take(call: ToolCall, part: Part) -> None:
    """Write down what an admitted call took, in the transaction that admits it."""
    BudgetUse.objects.create(call=call, **vars(part))


@dataclass(frozen=True)
class Told:
    """What a call took of a budget, as people read it."""

    amount: str
    account: str
    is_given_back: bool


def told(call: ToolCall) -> Told | None:
    """Return what a call took of its rule's budget; None where it took nothing."""
    use, budget = getattr(call, "budget_use", None), policy.Rule(**call.rule).budget
    if use is None or budget is None:
        return None
    is_given_back = BudgetUse.objects.filter(_GIVEN_BACK, pk=use.pk).exists()
    return Told(budgets.written(budget, use.amount), use.account, is_given_back)


@dataclass(frozen=True)
class Spent:
    """What one account has spent of a rule's budget in the hour or day that it is now."""

    account: str
    amount: str
    most: str
    share: int  # per cent of the limit


MOST_ACCOUNTS = 3  # told of one rule


def spent(rules: Iterable[policy.Rule]) -> dict[str, list[Spent]]:
    """Return by rule what is spent of its budget now, by whom most, at most MOST_ACCOUNTS of each.

    A query for each window, whatever there are of rules and accounts.
    """
    found: dict[str, list[Spent]] = {}
    wanted = [(rule.name, rule.budget) for rule in rules if rule.budget]
    now, zone = database_now(), timezone.get_default_timezone()
    for window in {budget.window for _, budget in wanted}:
        those = {name: budget for name, budget in wanted if budget.window == window}
        starts, ends = budgets.span(window, now, zone)
        uses = BudgetUse.objects.filter(rule__in=those, at__gte=starts, at__lt=ends)
        sums = uses.exclude(_GIVEN_BACK).values_list("rule", "account", "counts")
        rows = sums.annotate(total=Sum("amount"), count=Count("pk")).order_by("-total", "account")
        for rule, account, counts, total, count in rows:
            budget, told = those[rule], found.setdefault(rule, [])
            if counts == budget.counts and len(told) < MOST_ACCOUNTS:
                scaled = int(total) if budget.field else count * budgets.SCALE
                told.append(_spent(budget, account, scaled))
    return found


def _spent(budget: policy.Budget, account: str, scaled: int) -> Spent:
    share = min(100, 100 * scaled // max(1, budget.most))
    most = budgets.written(budget, budget.most)
    return Spent(account, budgets.written(budget, scaled), most, share)


def today(
    call: ToolCall, ruled: policy.Ruling, facts: policy.Facts, rules: Iterable[policy.Rule]
) -> policy.Ruling:
    """Return today's ruling of a call that is about to be sent; its own part does not count.

    A call that people approved needs none; one that another rule admitted has none of this budget.
    """
    budget = ruled.rule.budget
    if ruled.outcome != policy.Outcome.ALLOW or budget is None:
        return ruled
    use = BudgetUse.objects.filter(call=call, rule=ruled.rule.name).first()
    if use is None and call.quorum == 0:
        told = phrase(
            "Rule “%(rule)s” has a budget that this call never asked.", rule=ruled.rule.name
        )
        return policy.beyond(ruled, facts, rules, told)
    arguments = canonical.parse(bytes(call.arguments))
    assert isinstance(arguments, dict)  # noqa: S101 - as it was when it was stored
    at = use.at if use else database_now()
    _, why = _looked(ruled.rule, budget, facts, arguments, at, without=call)
    return policy.beyond(ruled, facts, rules, why) if why else ruled


def _queue_up(rule: str) -> None:
    BudgetLock.objects.get_or_create(rule=rule)
    BudgetLock.objects.select_for_update(no_key=True).get(rule=rule)


def _looked(
    rule: policy.Rule,
    budget: policy.Budget,
    facts: policy.Facts,
    arguments: Mapping[str, object],
    at: datetime,
    without: ToolCall | None = None,
) -> tuple[Part | None, str]:
    """Return what a call takes, and why it may not have that; both can be without the other."""
    part = spending.part_of(rule, budget, facts, arguments, at)
    if isinstance(part, str):
        return None, part
    taken = _taken(part, budget, without)
    is_mixed = bool(budget.field) and taken.exclude(counts=budget.counts).exists()
    return part, spending.in_the_way(part, budget, spending.Taken(_sum(taken, budget), is_mixed))


def _taken(part: Part, budget: policy.Budget, without: ToolCall | None) -> QuerySet[BudgetUse]:
    starts, ends = budgets.span(budget.window, part.at, timezone.get_default_timezone())
    uses = BudgetUse.objects.filter(
        rule=part.rule, account=part.account, at__gte=starts, at__lt=ends
    )
    return uses.exclude(_GIVEN_BACK).exclude(call=without) if without else uses.exclude(_GIVEN_BACK)


def _sum(taken: QuerySet[BudgetUse], budget: policy.Budget) -> int:
    if not budget.field:
        return taken.count() * budgets.SCALE
    return int(taken.aggregate(total=Sum("amount"))["total"] or 0)
