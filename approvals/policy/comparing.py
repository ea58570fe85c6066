"""What a policy would have changed about past calls, counted: what a try of it shows."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from approvals.canonical import rfc3339
from approvals.policy.backtesting import Past, Tried
from approvals.policy.rules import Outcome, Rule

MOST_LISTED = 250  # calls that would be asked about less, the newest; and as many others
MOST_GROUPS = 100
MOST_RULES = 1_001  # as many as a policy has
_LONGEST_WHY = 300


class Change(StrEnum):
    """How a call would have been treated otherwise."""

    PASSES = "passes"  # people were asked, and nobody would be
    FEWER = "fewer"  # people would be asked, for less
    HELD = "held"  # nobody was asked, and people would be
    REFUSED = "refused"  # it would not have been taken
    MORE = "more"  # people would be asked, for more
    OTHERS = "others"  # others would be asked, or otherwise


LOOSER = (Change.PASSES, Change.FEWER)


def change(before: Rule, quorum: int, tried: Tried) -> Change | None:
    """Return how a call would have been treated; None where it is the same.

    Args:
        before: the rule it was judged by.
        quorum: approvals it needed; 0 where that rule let it through.
    """
    after = tried.ruling
    if after.outcome == Outcome.DENY:
        return Change.REFUSED
    if after.outcome == Outcome.ALLOW:
        return Change.PASSES if quorum else None
    if not quorum:
        return Change.HELD
    if _asks(before, quorum) == _asks(after.rule, after.quorum):
        return None
    if _is_less(after.rule, after.quorum, than=before, quorum=quorum):
        return Change.FEWER
    is_more = _is_less(before, quorum, than=after.rule, quorum=after.quorum)
    return Change.MORE if is_more else Change.OTHERS


def _asks(rule: Rule, quorum: int) -> tuple[object, ...]:
    return quorum, rule.stages, rule.deny_quorum, rule.four_eyes, rule.escalate_to


def _is_less(rule: Rule, asked: int, *, than: Rule, quorum: int) -> bool:
    signs = {stage.group: stage.quorum for stage in rule.stages}
    return (
        asked < quorum
        or any(signs.get(stage.group, 0) < stage.quorum for stage in than.stages)
        or rule.deny_quorum > than.deny_quorum
        or (than.four_eyes and not rule.four_eyes)
        or rule.escalate_to not in ("", than.escalate_to)
    )


@dataclass
class _Group:
    """How often a group was and would be asked, by the hour of day."""

    before: list[int] = field(default_factory=lambda: [0] * 24)
    after: list[int] = field(default_factory=lambda: [0] * 24)

    @property
    def more(self) -> int:
        return sum(self.after) - sum(self.before)


@dataclass
class _Unjudged:
    calls: int
    why: str
    call: str


class Comparison:
    """Adds up, call by call, what was and what would have been."""

    def __init__(self, since: datetime, until: datetime, zone: tzinfo) -> None:
        """Begin.

        Args:
            since: the first moment of which calls are compared; aware, as `until`.
            zone: whose days and hours are shown.
        """
        self._since, self._until, self._zone = since, until, zone
        self._before, self._after = Counter[Outcome](), Counter[Outcome]()
        self._changes = Counter[Change]()
        self._versions = Counter[int]()
        self._listed = {
            is_looser: deque[tuple[Past, Tried, Change]](maxlen=MOST_LISTED)
            for is_looser in (True, False)
        }
        self._groups = defaultdict[tuple[str, str], _Group](_Group)
        self._rules = Counter[tuple[int, str]]()
        self._unjudged: dict[tuple[int, str], _Unjudged] = {}
        self._days: dict[str, list[int]] = {}
        self.calls = 0

    def add(self, call: Past, tried: Tried) -> None:
        """Count one call; they come in the order in which they were asked."""
        before, after = call.recorded.outcome, tried.ruling.outcome
        self.calls += 1
        self._before[before] += 1
        self._after[after] += 1
        self._versions[call.recorded.version] += 1
        self._rules[tried.ruling.rule.position, tried.ruling.rule.name] += 1
        local = call.asked_at.astimezone(self._zone)
        was_held, is_held = before == Outcome.HOLD, after == Outcome.HOLD
        self._count_day(local, was_held=was_held, is_held=is_held)
        if was_held:
            for group in self._asked(call, call.recorded.rule):
                group.before[local.hour] += 1
        if is_held:
            for group in self._asked(call, tried.ruling.rule):
                group.after[local.hour] += 1
        if tried.unjudged:
            self._count_unjudged(call, tried)
        how = change(call.recorded.rule, call.recorded.quorum, tried)
        if how is not None:
            self._changes[how] += 1
            self._listed[how in LOOSER].append((call, tried, how))

    def _count_day(self, local: datetime, *, was_held: bool, is_held: bool) -> None:
        day = self._days.setdefault(local.date().isoformat(), [0, 0, 0])
        if was_held and is_held:
            day[0] += 1
        elif is_held:
            day[1] += 1
        elif was_held:
            day[2] += 1

    def _asked(self, call: Past, rule: Rule) -> list[_Group]:
        """Return the groups that a hold asks; the domain's approvers have no name."""
        names = [stage.group for stage in rule.stages] or [""]
        return [self._groups[call.kind.domain, name] for name in names]

    def _count_unjudged(self, call: Past, tried: Tried) -> None:
        rule = tried.ruling.rule
        found = self._unjudged.get((rule.position, rule.name))
        if found is None:
            why = tried.unjudged[:_LONGEST_WHY]
            self._unjudged[rule.position, rule.name] = _Unjudged(1, why, str(call.id))
        else:
            found.calls += 1

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; what is listed is cut, what is counted is whole."""
        groups = sorted(self._groups.items(), key=lambda one: (-one[1].more, one[0]))
        return {
            "since": rfc3339(self._since),
            "until": rfc3339(self._until),
            "calls": self.calls,
            "before": _by_outcome(self._before),
            "after": _by_outcome(self._after),
            "changed": {how.value: self._changes[how] for how in Change},
            "looser": [_listed(*one) for one in reversed(self._listed[True])],
            "others": [_listed(*one) for one in reversed(self._listed[False])],
            "groups": [
                {"domain": domain, "group": name, **vars(group)}
                for (domain, name), group in groups[:MOST_GROUPS]
            ],
            "groups_left_out": max(0, len(groups) - MOST_GROUPS),
            "rules": [
                {"position": position, "name": name, "calls": calls}
                for (position, name), calls in sorted(self._rules.items())[:MOST_RULES]
            ],
            "unjudged": [
                {"position": position, "name": name, **vars(one)}
                for (position, name), one in sorted(self._unjudged.items())[:MOST_RULES]
            ],
            "versions": {str(number): calls for number, calls in sorted(self._versions.items())},
            "days": self._every_day(),
        }

    def _every_day(self) -> list[dict[str, Any]]:
        """Return the days, those without a call too: held both times, only now, only before."""
        first = self._since.astimezone(self._zone).date()
        last = self._until.astimezone(self._zone).date()
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        named = ("held", "newly_held", "no_longer_held")
        return [
            {
                "day": day.isoformat(),
                **dict(zip(named, self._days.get(day.isoformat(), (0, 0, 0)), strict=True)),
            }
            for day in days
        ]


def more_a_day(result: Mapping[str, Any], days: int) -> float:
    """Return how many times a day more people would be asked; less than 0: fewer times."""
    return float(result["after"][Outcome.HOLD] - result["before"][Outcome.HOLD]) / days


def _by_outcome(counts: Mapping[Outcome, int]) -> dict[str, int]:
    return {outcome.value: counts.get(outcome, 0) for outcome in Outcome}


def _listed(call: Past, tried: Tried, how: Change) -> dict[str, Any]:
    was, ruling = call.recorded, tried.ruling
    return {
        "call": str(call.id),
        "at": rfc3339(call.asked_at),
        "change": how.value,
        "before": _treated(was.outcome, was.rule, was.quorum) | {"version": was.version},
        "after": _treated(ruling.outcome, ruling.rule, ruling.quorum)
        | ({"why": ruling.why[:_LONGEST_WHY]} if ruling.why else {}),
    }


def _treated(outcome: Outcome, rule: Rule, quorum: int) -> dict[str, Any]:
    return {
        "outcome": outcome.value, "rule": rule.name, "position": rule.position, "quorum": quorum,
        "stages": [[stage.group, stage.quorum] for stage in rule.stages] if quorum else [],
    }  # fmt: skip
