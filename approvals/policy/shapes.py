"""Kinds of calls that two policies may judge otherwise: by tool, effect, domain and agent.

Only what a changed rule can match is looked at; shapes that the same rules may govern are one
group, of which a few are tried.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import product
from typing import Final

from approvals.errors import InvalidInput
from approvals.policy import fitting
from approvals.policy.conditions import compiled
from approvals.policy.judging import candidates
from approvals.policy.loosening import Differing, differing, weight
from approvals.policy.rules import Effect, Rule
from approvals.policy.situations import SOMEBODY, Shape

MOST: Final = 4_000  # shapes
MOST_NAMES: Final = 200  # of agents, or of domains, beside each other
EFFECTS: Final = (Effect.WRITE, Effect.DESTRUCTIVE, Effect.UNREVIEWED, Effect.CHANGED)
_ELSEWHERE = "elsewhere"  # a domain that no rule names
_UNKNOWN = "unknown__tool"  # one that no rule names
_WILD = re.compile(r"[*?\[]")
_FACTS = ("tool", "effect", "domain", "agent")
Rules = tuple[Rule, ...]


@dataclass(frozen=True)
class KnownTool:
    """A tool as the catalogue has it."""

    name: str  # as agents call it
    domain: str
    effect: str
    schema: object


@dataclass
class Group:
    """Shapes that the same rules may govern, before and after."""

    before: Rules
    after: Rules
    differing: Differing
    shapes: list[tuple[Shape, object]] = field(default_factory=list)  # each with its schema

    @property
    def governing(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return which rules may govern, by their places; groups that differ by facts share it."""
        before, after = self.before, self.after
        return tuple(rule.position for rule in before), tuple(rule.position for rule in after)


class Comparison:
    """Two policies, and the groups of shapes for which they may differ."""

    def __init__(self, before: Sequence[Rule], after: Sequence[Rule]) -> None:
        """Find which rules are not in both, or at another place."""
        self.before, self.after = tuple(before), tuple(after)
        self.is_complete = True  # False: there are more shapes than were looked at
        self.groups: dict[tuple[object, ...], Group | None] = {}
        old, new = [weight(rule) for rule in before], [weight(rule) for rule in after]
        self.changed: list[Rule] = []
        for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if kind != "equal":
                self.changed += [*before[i:j], *after[k:m]]

    def look(self, tools: Iterable[KnownTool]) -> None:
        """Find the groups, for tools that are known and for those that rules may wait for."""
        if not self.changed:
            return
        for count, (shape, schema) in enumerate(self._shapes(tools)):
            if count == MOST:
                self.is_complete = False
                return
            group = self.group(shape)
            if group is not None:
                group.shapes.append((shape, schema))

    def group(self, shape: Shape) -> Group | None:
        """Return the group of a shape; None where no call of it can need fewer people."""
        facts = shape.facts()
        before, after = candidates(facts, self.before), candidates(facts, self.after)
        read = frozenset(name for rule in (*before, *after) for name in self._reads(rule))
        key = (
            tuple(rule.position for rule in before), tuple(rule.position for rule in after),
            *(getattr(shape, name) for name in _FACTS if name in read),
        )  # fmt: skip
        if key not in self.groups:
            found = differing(before, after)
            self.groups[key] = None if found is None else Group(before, after, found)
        return self.groups[key]

    def found(self) -> list[Group]:
        """Return all groups."""
        return [group for group in self.groups.values() if group is not None]

    # -- which there are -------------------------------------------------------------------------

    def _shapes(self, tools: Iterable[KnownTool]) -> Iterator[tuple[Shape, object]]:
        for tool in tools:
            if tool.effect != Effect.READ:
                effects = dict.fromkeys((tool.effect, *self._effects))
                yield from self._of_tool(tool, effects)
        for name in self._supposed():
            for domain in self._few(self._domains(name)):
                yield from self._of_tool(KnownTool(name, domain, "", None), self._effects)

    def _of_tool(self, tool: KnownTool, effects: Iterable[str]) -> Iterator[tuple[Shape, object]]:
        for effect in effects:
            for agent in self._agents(Shape(tool.domain, tool.name, effect, SOMEBODY)):
                yield Shape(tool.domain, tool.name, effect, agent), tool.schema

    def _agents(self, shape: Shape) -> list[str]:
        """Return of which agents the calls may be judged otherwise; none where of no one's."""
        facts = shape.facts()
        touching = [
            rule
            for rule, of_any in zip(self.changed, self._of_any_agent, strict=True)
            if of_any.matches(facts)
        ]
        if not touching or all(rule.agent for rule in touching):
            return self._few(rule.agent for rule in touching)
        named = (agent for agent, of_any in self._with_agent if of_any.matches(facts))
        return self._few((SOMEBODY, *named, *self._spoken["agent"]))

    @cached_property
    def _of_any_agent(self) -> list[Rule]:
        return [replace(rule, agent="") for rule in self.changed]

    @cached_property
    def _with_agent(self) -> list[tuple[str, Rule]]:
        return [(rule.agent, replace(rule, agent="")) for rule in self._all if rule.agent]

    def _supposed(self) -> list[str]:
        """Return names of tools that rules match and nobody may know yet.

        Of all rules: one that did not change may come before or after one that did.
        """
        patterns = {rule.tool for rule in self._all if _WILD.search(rule.tool)}
        return sorted({_UNKNOWN, *self._spoken["tool"], *map(_sample, patterns)})

    def _domains(self, tool: str) -> list[str]:
        """Return domains that rules tell apart for calls of a tool, and one that none names."""
        named = {
            rule.domain
            for rule in self._all
            if rule.domain and (not rule.tool or fnmatchcase(tool, rule.tool))
        }
        return [_ELSEWHERE, *sorted(named | set(self._spoken["domain"]))]

    @cached_property
    def _effects(self) -> list[str]:
        """Return the effects that rules tell apart; any other is judged as one of these."""
        if self._spoken["effect"]:
            return list(EFFECTS)
        named = {rule.effect for rule in self._all}
        pairs = ((Effect.WRITE, Effect.DESTRUCTIVE), (Effect.UNREVIEWED, Effect.CHANGED))
        return [
            effect
            for first, second in pairs
            for effect in ((first, second) if named & {first, second} else (first,))
        ]

    @property
    def _all(self) -> Rules:
        return (*self.before, *self.after)

    @cached_property
    def _spoken(self) -> dict[str, list[str]]:
        """Return by fact the texts in conditions that read it; what it has to be is among them."""
        found: dict[str, set[str]] = {fact: set() for fact in _FACTS}
        for rule in self._all:
            for fact in self._reads(rule) & found.keys():
                texts = fitting.literals(rule.condition)
                found[fact] |= {text for text in texts if isinstance(text, str) and text}
        return {fact: sorted(texts) for fact, texts in found.items()}

    def _few(self, names: Iterable[str]) -> list[str]:
        found = list(dict.fromkeys(names))
        if len(found) > MOST_NAMES:
            self.is_complete = False
        return found[:MOST_NAMES]

    def _reads(self, rule: Rule) -> frozenset[str]:
        if rule.condition:
            with suppress(InvalidInput):
                return compiled(rule.condition).reading.names
        return frozenset()


def _sample(pattern: str) -> str:
    """Return a name that a pattern of a rule matches; the pattern itself where that is hard."""
    for rest, one in product(("x", "tool", ""), "xaA1_-"):
        name = "".join(_samples(pattern, rest, one))
        if fnmatchcase(name, pattern):
            return name
    return pattern


def _samples(pattern: str, rest: str, one: str) -> Iterator[str]:
    place = 0
    while place < len(pattern):
        sign, end = pattern[place], pattern.find("]", place + 2)
        if sign == "[" and end > 0:
            inside = pattern[place + 1 : end]
            yield one if inside.startswith("!") else inside[0]
            place = end
        else:
            yield {"*": rest, "?": one}.get(sign, sign)
        place += 1
