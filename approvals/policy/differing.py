"""What a policy changes against the one before it, rule by rule."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from approvals.policy.rules import LAST_RULE, Rule

_NUMBERED = re.compile(r"rule \d+")  # how a rule is called that nobody gave a name


class Kind(StrEnum):
    """What became of a rule."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"  # it says the same, at another place among those that stayed


@dataclass(frozen=True)
class Difference:
    """What became of one rule; `before` is None of one added, `after` of one removed.

    Attributes:
        fields: names of the fields that differ, in the order of Rule's; empty unless changed.
    """

    kind: Kind
    before: Rule | None
    after: Rule | None
    fields: tuple[str, ...] = ()


def difference(before: Iterable[Rule], after: Iterable[Rule]) -> list[Difference]:
    """Return what differs: in the order of `after`, then what is gone.

    Rules belong together when they say the same, else when they have the same name. The last rule,
    which is always there, and a name that only counts (“rule 3”) are no difference.
    """
    old, new = _own(before), _own(after)
    pairs = _pairs(old, new)
    stayed = _in_order([pairs[at].position if at in pairs else 0 for at in range(len(new))])
    found = []
    for at, rule in enumerate(new):
        was = pairs.get(at)
        if was is None:
            found.append(Difference(Kind.ADDED, None, rule))
        elif fields := _fields(was, rule):
            found.append(Difference(Kind.CHANGED, was, rule, fields))
        elif at not in stayed:
            found.append(Difference(Kind.MOVED, was, rule))
    kept = {rule.position for rule in pairs.values()}
    return found + [Difference(Kind.REMOVED, r, None) for r in old if r.position not in kept]


def _own(rules: Iterable[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule.name != LAST_RULE.name]


def _pairs(old: Sequence[Rule], new: Sequence[Rule]) -> dict[int, Rule]:
    """Return, for places in `new`, the rule of `old` that each is; nobody's twice."""
    left, found = list(old), dict[int, Rule]()
    for same in (_is_same, _says_same, _has_name):
        for at, rule in enumerate(new):
            was = next((r for r in left if same(r, rule)), None) if at not in found else None
            if was is not None:
                found[at] = was
                left.remove(was)
    return found


def _is_same(was: Rule, rule: Rule) -> bool:
    return _has_name(was, rule) and _says_same(was, rule)


def _says_same(was: Rule, rule: Rule) -> bool:
    return _said(was) == _said(rule)


def _has_name(was: Rule, rule: Rule) -> bool:
    return was.name == rule.name


def _said(rule: Rule) -> dict[str, object]:
    return {k: v for k, v in rule.as_dict().items() if k not in ("position", "name", "comment")}


def _fields(was: Rule, rule: Rule) -> tuple[str, ...]:
    old, new = was.as_dict(), rule.as_dict()
    names = [name for name in Rule.__dataclass_fields__ if name != "position"]
    if _NUMBERED.fullmatch(was.name) and _NUMBERED.fullmatch(rule.name):
        names.remove("name")
    return tuple(name for name in names if old.get(name) != new.get(name))


def _in_order(positions: Sequence[int]) -> set[int]:
    """Return where a longest run of rising positions stands; 0 is none.

    What is not in it has moved: so the fewest possible have.
    """
    lowest, ends = list[int](), list[int]()  # the lowest end of a run of each length, and where
    before = dict[int, int]()
    for at, position in enumerate(positions):
        if not position:
            continue
        length = bisect_left(lowest, position)
        lowest[length : length + 1] = [position]
        ends[length : length + 1] = [at]
        before[at] = ends[length - 1] if length else -1
    found, at = set[int](), ends[-1] if ends else -1
    while at >= 0:
        found.add(at)
        at = before[at]
    return found
