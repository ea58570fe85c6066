"""Reads past calls from rows, in the order of their turns, for `backtests`; only what they need.

In parts, each with a query of its own: no cursor or transaction stays open while calls are judged.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from approvals import budgets, policy, ruling
from approvals.models import Agent, AuditEvent, Domain, Person, PolicyVersion, ToolCall
from approvals.policy.backtesting import Kind, Past, Recorded
from approvals.policy.spending import Part

AT_ONCE = 500  # calls; their arguments have at most 64 KiB each
# A call waits no longer than this for others that take of the same budget.
_LONGEST_WAIT = timedelta(seconds=10)
_COLUMNS = (
    "pk", "created_at", "agent_id", "tool_id", "tool_name", "effect", "domain_id", "acts_for_id",
    "arguments", "rule_digest", "quorum", "policy_version", "status", "failure_kind", "settled_at",
)  # fmt: skip
_OF_BUDGETS = (
    "held_because", "budget_use__rule", "budget_use__account", "budget_use__counts",
    "budget_use__amount", "budget_use__at",
)  # fmt: skip


def asked(since: datetime, until: datetime) -> QuerySet[ToolCall]:
    """Return the calls that were asked from one moment on and before another."""
    return ToolCall.objects.filter(created_at__gte=since, created_at__lt=until)


@dataclass
class _Turn:
    """One call, and when its turn came."""

    call: Past
    was_held: (
        bool  # although a rule would have let it through, perhaps by what was left of a budget
    )
    is_known: bool = False  # when its turn came
    is_behind: bool = False  # another took its part in the same moment, and before it


class PastCalls:
    """The calls of a period as values, for one try of one policy."""

    def __init__(self, rules: Sequence[policy.Rule]) -> None:
        """Prepare to read calls on which these rules are tried."""
        self._digests = [rule.digest() for rule in rules]
        self._has_budgets = any(rule.budget for rule in rules)
        self._agents = dict(Agent.objects.values_list("pk", "name"))
        self._domains = dict(Domain.objects.values_list("pk", "name"))
        self._people = dict(Person.objects.values_list("pk", "username"))
        self._recorded: dict[tuple[int, str], policy.Rule] = {}
        self._ours: dict[int, bool] = {0: self._are_ours(policy.SEED)}

    def between(self, since: datetime, until: datetime) -> Iterator[list[Past]]:
        """Yield the calls in parts, each and all of them in the order of their turns."""
        waiting: list[_Turn] = []
        for rows in self._parts(since, until):
            waiting += self._turns(rows)
            ready, waiting = _split(waiting, rows[-1][1] - _LONGEST_WAIT)
            yield ready
        yield _split(waiting, None)[0]

    def _parts(self, since: datetime, until: datetime) -> Iterator[list[tuple[Any, ...]]]:
        columns = _COLUMNS + (_OF_BUDGETS if self._has_budgets else ())
        calls, after = asked(since, until).order_by("created_at", "pk"), Q()
        while rows := list(calls.filter(after).values_list(*columns)[:AT_ONCE]):
            yield rows
            pk, at = rows[-1][:2]
            later = Q(created_at__gt=at) | Q(created_at=at, pk__gt=pk)
            after = Q(created_at__gte=at) & later  # the first half finds the place in an index

    def _turns(self, rows: Sequence[tuple[Any, ...]]) -> list[_Turn]:
        self._learn(rows)
        return [
            _Turn(self._value(row), bool(row[15]) if self._has_budgets else False) for row in rows
        ]

    def _value(self, row: tuple[Any, ...]) -> Past:
        (pk, at, agent, tool, tool_name, effect, domain, acts_for, arguments, digest, quorum,
         version, status, failure, settled_at) = row[:15]  # fmt: skip
        part = Part(*row[16:]) if self._has_budgets and row[16] is not None else None
        is_given_back = budgets.is_given_back(status, failure)
        return Past(
            id=pk,
            kind=Kind(self._domains[domain], tool_name, effect, self._agents[agent]),
            whose=(agent, tool),
            acts_for=self._people[acts_for],
            arguments=bytes(arguments),
            asked_at=at,
            judged_at=part.at if part else at,
            recorded=Recorded(self._recorded[version, digest], quorum, version),
            part=part,
            given_back_at=settled_at if is_given_back else None,
            is_ours=self._ours[version],
        )

    def _learn(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Read the rules and versions that nobody has read yet, each once."""
        unread: dict[UUID, tuple[int, str]] = {}
        for row in rows:
            key = (row[11], row[9])
            if key not in self._recorded and key not in unread.values():
                unread[row[0]] = key
        for pk, rule in ToolCall.objects.filter(pk__in=unread).values_list("pk", "rule"):
            self._recorded[unread[pk]] = policy.Rule(**rule)
        numbers = {row[11] for row in rows} - self._ours.keys()
        self._ours |= dict.fromkeys(numbers, False)
        for version in PolicyVersion.objects.filter(number__in=numbers):
            self._ours[version.number] = self._are_ours(ruling.rules_of(version))
        # Who came since this began.
        if any(row[2] not in self._agents or row[7] not in self._people for row in rows):
            self._agents = dict(Agent.objects.values_list("pk", "name"))
            self._domains = dict(Domain.objects.values_list("pk", "name"))
            self._people = dict(Person.objects.values_list("pk", "username"))

    def _are_ours(self, rules: Iterable[policy.Rule]) -> bool:
        return [rule.digest() for rule in rules] == self._digests


def _split(turns: list[_Turn], until: datetime | None) -> tuple[list[Past], list[_Turn]]:
    """Return the calls whose turn came up to a moment, in order, and the others."""
    asked_by_then = [
        one for one in turns if not one.is_known and (until is None or one.call.asked_at <= until)
    ]
    _find_turns(asked_by_then, turns)
    ready = [
        one for one in turns if one.is_known and (until is None or one.call.judged_at <= until)
    ]
    ready.sort(key=lambda one: (one.call.judged_at, one.is_behind, one.call.id))
    done = {one.call.id for one in ready}
    return [one.call for one in ready], [one for one in turns if one.call.id not in done]


def _find_turns(wanted: Sequence[_Turn], among: Sequence[_Turn]) -> None:
    """Say when the turn of each call came.

    A call that took its part of a budget says when. One that was held for want of it waited for
    those who took theirs before it, and its row does not tell for how long: its first event is
    behind theirs in the trail.
    """
    takers = sorted((one for one in among if one.call.part), key=lambda one: one.call.judged_at)
    times = [one.call.judged_at for one in takers]
    rivals: dict[UUID, list[_Turn]] = {}
    for one in wanted:
        one.is_known = True
        if one.was_held and not one.call.part:
            begin = bisect_right(times, one.call.asked_at)
            end = bisect_right(times, one.call.asked_at + _LONGEST_WAIT)
            if begin < end:
                rivals[one.call.id] = takers[begin:end]
    if not rivals:
        return
    numbers = _numbers({*rivals, *(rival.call.id for each in rivals.values() for rival in each)})
    for one in wanted:
        before = [
            rival.call.judged_at
            for rival in rivals.get(one.call.id, ())
            if numbers.get(rival.call.id, 0) < numbers.get(one.call.id, 0)
        ]
        if before:
            one.call, one.is_behind = one.call._replace(judged_at=max(before)), True


def _numbers(calls: Iterable[UUID]) -> dict[UUID, int]:
    """Return where in the whole trail the first event of each call stands."""
    streams = [f"call:{pk}" for pk in calls]
    found = AuditEvent.objects.filter(stream__in=streams, seq=1).values_list("stream", "pk")
    return {UUID(stream.removeprefix("call:")): number for stream, number in found}
