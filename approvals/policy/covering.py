"""What a rule can match, without any call: of the tools that are known, and of all there could be.

Sets of tools are the bits of whole numbers: a thousand rules over some thousand tools are a few
thousand operations on them.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Final

from approvals.policy.rules import Effect, Facts, Outcome, Rule, matcher

_WILD: Final = frozenset("*?[")
_AFTER: Final = "\U0010ffff"  # sorts after every other character


@dataclass(frozen=True)
class KnownTool:
    """One tool that is listed now."""

    domain: str
    name: str  # as agents call it: <upstream>__<tool>
    effect: str


class Catalogue:
    """The tools that are known, as bits in the order of their names."""

    def __init__(self, tools: Iterable[KnownTool]) -> None:
        known = sorted(tools, key=lambda tool: tool.name)
        self.names = [tool.name for tool in known]
        self._text = "\n".join(self.names)
        self._starts = [0, *accumulate(len(name) + 1 for name in self.names)]
        self.everything = (1 << len(known)) - 1
        self.domains: dict[str, int] = {}
        self._effects: dict[str, int] = {}
        self._named: dict[str, int] = {"": self.everything}
        for at, tool in enumerate(known):
            effect = tool.effect if tool.effect in _EFFECTS else Effect.UNREVIEWED
            self.domains[tool.domain] = self.domains.get(tool.domain, 0) | 1 << at
            self._effects[effect] = self._effects.get(effect, 0) | 1 << at

    def named(self, pattern: str) -> int:
        """Return the tools that a rule's pattern matches; all for none."""
        found = self._named.get(pattern)
        if found is None:
            found = self._named[pattern] = self._matched(pattern)
        return found

    def doing(self, effects: Iterable[str]) -> int:
        """Return the tools that have one of these effects now."""
        found = 0
        for effect in effects:
            found |= self._effects.get(effect, 0)
        return found

    def within(self, domains: Iterable[str]) -> int:
        """Return the tools of these domains."""
        found = 0
        for domain in domains:
            found |= self.domains.get(domain, 0)
        return found

    def matched(self, rule: Rule) -> int:
        """Return the tools whose calls, by some agent, a rule matches."""
        found = self.named(rule.tool) & self.doing(caught(rule))
        return found & self.domains.get(rule.domain, 0) if rule.domain else found

    def _matched(self, pattern: str) -> int:
        start = beginning(pattern)
        low = bisect_left(self.names, start)
        high = bisect_right(self.names, start + _AFTER)
        if pattern == start:
            high = min(high, bisect_right(self.names, start))
        elif pattern != f"{start}*":
            return self._searched(pattern, low, high)
        return (1 << high) - (1 << low) if high > low else 0

    def _searched(self, pattern: str, low: int, high: int) -> int:
        """Return the tools among some that a pattern matches, found by its longest plain part."""
        part, found, at = _longest_part(pattern), 0, low
        while at < high:
            place = self._text.find(part, self._starts[at])
            if place < 0:
                break
            at = bisect_right(self._starts, place) - 1
            if at < high and matcher(pattern)(self.names[at]) is not None:
                found |= 1 << at
            at += 1
        return found


def caught(rule: Rule) -> frozenset[Effect]:
    """Return the effects of tools whose calls a rule can match."""
    return _caught(rule.outcome, rule.effect, bool(rule.tool))


@lru_cache(maxsize=64)
def _caught(outcome: Outcome, effect: str, has_tool: bool) -> frozenset[Effect]:
    # Asked of a rule, so that there is one place that says it.
    rule = Rule(1, "", outcome, effect=effect, tool="*" if has_tool else "")
    return frozenset(one for one in Effect if rule.matches(Facts("", "", one, "")))


def beginning(pattern: str) -> str:
    """Return what every tool's name that a pattern matches begins with."""
    for at, character in enumerate(pattern):
        if character in _WILD:
            return pattern[:at]
    return pattern


def _longest_part(pattern: str) -> str:
    """Return a text that is in whatever a pattern matches; to look for it costs next to nothing."""
    return max(re.split(r"[*?]", pattern.partition("[")[0]), key=len)


def covers(pattern: str, other: str) -> bool:
    """Tell whether whatever matches another pattern surely matches this one.

    False where that would take more than a look: some patterns with `[…]`.
    """
    if pattern == other or not pattern.strip("*"):
        return True
    if not other.strip("*"):
        return False
    if _WILD.isdisjoint(other):
        return matcher(pattern)(other) is not None
    if "[" in pattern or "[" in other:
        return False
    return _over_patterns(pattern).fullmatch(other) is not None


@lru_cache(maxsize=4_096)
def _over_patterns(pattern: str) -> re.Pattern[str]:
    """Return what matches texts of patterns that this one covers.

    A star takes whatever the other has there; a question mark one character, so never a star.
    """
    parts = {"*": ".*", "?": "[^*]"}
    return re.compile("".join(parts.get(one) or re.escape(one) for one in pattern), re.DOTALL)


@dataclass
class Takers:
    """Rules that take whatever they match, found by the patterns that they cover."""

    _by_tool: dict[str, list[Rule]] = field(default_factory=dict)
    _by_start: dict[str, list[tuple[Rule, str]]] = field(default_factory=dict)
    _lengths: set[int] = field(default_factory=set)

    def add(self, rule: Rule) -> None:
        """Note one rule more."""
        start = beginning(rule.tool)
        if rule.tool and start == rule.tool:
            self._by_tool.setdefault(start, []).append(rule)
        else:
            self._by_start.setdefault(start, []).append((rule, _longest_part(rule.tool)))
            self._lengths.add(len(start))

    def over(self, pattern: str) -> Iterator[Rule]:
        """Yield those whose pattern covers another; in no order."""
        yield from self._by_tool.get(pattern, ())
        start = beginning(pattern)
        for length in self._lengths:
            if length <= len(start):
                for rule, part in self._by_start.get(start[:length], ()):
                    if part in pattern and covers(rule.tool, pattern):
                        yield rule


_EFFECTS: Final = frozenset(Effect)
