"""Rules that decide nothing or ask nobody, and why: hints for whoever writes rules. Pure.

A rule is marked only where that is certain of what is known now. Tools that come or are reviewed
later can change it, and the words say so. What depends on arguments is never guessed at: an earlier
rule with a condition or a budget of its own takes nothing for certain.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Final

from approvals.errors import InvalidInput
from approvals.phrases import Phrase, joined, phrase, phrases
from approvals.policy.conditions import Subject, compiled
from approvals.policy.covering import Catalogue, KnownTool, Takers, beginning, caught
from approvals.policy.fitting import Tally
from approvals.policy.rules import LAST_RULE, Effect, Facts, Outcome, Rule
from approvals.policy.staffing import Groups, KnownAgent, Staff

MOST_NAMED: Final = 3  # rules in one mark


class Kind(StrEnum):
    """What is odd about a rule."""

    NEVER = "never"  # it matches nothing
    SHADOWED = "shadowed"  # earlier rules take all that it matches
    NOBODY = "nobody"  # whom it names is not there, or cannot sign


@dataclass(frozen=True)
class Mark:
    """What is odd about one rule, in words.

    Attributes:
        by: the first of the rules that shadow it.
        is_certain: false where it only looks so, by the calls that were tried.
    """

    kind: Kind
    words: Phrase
    by: Rule | None = None
    is_certain: bool = True


def marks(
    rules: Iterable[Rule],
    tools: Iterable[KnownTool],
    groups: Groups,
    agents: Mapping[str, KnownAgent],
    domains: Mapping[str, bool],
) -> dict[int, list[Mark]]:
    """Return what is odd about rules, by their position; a rule that is not there is in order.

    Args:
        rules: in order of precedence; the last one, which is always there, has no marks.
        groups: of each domain by name: the ids of their active members.
        agents: by name.
        domains: by name: whether it asks for four eyes.
    """
    marker = _Marker(Catalogue(tools), agents, domains, Staff(groups, agents, domains))
    looked = ((rule, list(marker.look(rule))) for rule in rules if rule.name != LAST_RULE.name)
    return {rule.position: odd for rule, odd in looked if odd}


def of_trial(tally: Tally) -> Mark | None:
    """Return the mark of a rule whose condition was false of each call that it was tried on."""
    if not tally.count or tally.no < tally.count:
        return None
    words = phrases(
        "Perhaps it never decides: its condition was false for the one call that it was tried on.",
        "Perhaps it never decides: its condition was false for each of %(number)s calls that it"
        " was tried on.",
        tally.count, number=tally.count,
    )  # fmt: skip
    return Mark(Kind.NEVER, words, is_certain=False)


@dataclass
class _Taken:
    """What earlier rules with one condition take; those with none, whatever the arguments are."""

    # By agent, "" for any: which known tools, and the rules that took some first.
    tools: dict[str, int] = field(default_factory=dict)
    by: dict[str, list[tuple[Rule, int]]] = field(default_factory=dict)
    # By domain and agent: for all tools there could be.
    always: dict[tuple[str, str], Takers] = field(default_factory=dict)

    def by_now(self, rule: Rule) -> int:
        """Return the known tools that are taken from a rule."""
        return self.tools.get("", 0) | (self.tools.get(rule.agent, 0) if rule.agent else 0)

    def takers_now(self, rule: Rule) -> Iterator[tuple[Rule, int]]:
        """Yield who took them."""
        for agent in {"", rule.agent}:
            yield from self.by.get(agent, ())

    def takers_always(self, rule: Rule) -> Iterator[Rule]:
        """Yield the rules whose domain, agent and tools include those of a rule."""
        for domain in {"", rule.domain}:
            for agent in {"", rule.agent}:
                if takers := self.always.get((domain, agent)):
                    yield from takers.over(rule.tool)

    def add(self, rule: Rule, tools: int) -> None:
        """Note one rule more, and the known tools that it is the first to take."""
        self.always.setdefault((rule.domain, rule.agent), Takers()).add(rule)
        if tools:
            self.tools[rule.agent] = self.tools.get(rule.agent, 0) | tools
            self.by.setdefault(rule.agent, []).append((rule, tools))


class _Marker:
    """Goes through rules from the top, and keeps what each leaves to those below it."""

    def __init__(
        self,
        catalogue: Catalogue,
        agents: Mapping[str, KnownAgent],
        domains: Mapping[str, bool],
        staff: Staff,
    ) -> None:
        self._catalogue, self._staff = catalogue, staff
        self._agents, self._domains = agents, domains
        self._taken: dict[str, _Taken] = {"": _Taken()}  # by condition

    def look(self, rule: Rule) -> Iterator[Mark]:
        """Yield what is odd about the next rule."""
        matched = self._reached(rule)
        if (odd := self._unknown(rule) or self._pointless(rule, matched)) is not None:
            yield odd
        above = self._above(rule)
        left = matched
        for taken in above:
            left &= ~taken.by_now(rule)
        if over := _over_always(rule, above):
            yield _shadowed(rule, over)
            return
        if rule.budget is None:
            self._taken.setdefault(rule.condition, _Taken()).add(rule, left)
        if matched and not left:
            yield _shadowed(rule, _over_now(rule, matched, above), is_now=True)
        elif rule.outcome == Outcome.HOLD:
            for words in self._staff.problems(rule, self._asked_in(rule, left)):
                yield Mark(Kind.NOBODY, words)

    def _above(self, rule: Rule) -> list[_Taken]:
        # What an equal condition is true of is taken as well.
        found = [self._taken.get(condition) for condition in dict.fromkeys(["", rule.condition])]
        return [taken for taken in found if taken]

    def _reached(self, rule: Rule) -> int:
        """Return the known tools whose calls a rule matches."""
        matched = self._catalogue.matched(rule)
        if not rule.agent or not matched:
            return matched
        agent = self._agents.get(rule.agent)
        return matched & self._given(agent) if agent else 0

    def _given(self, agent: KnownAgent) -> int:
        reads = self._catalogue.doing([Effect.READ])
        given = reads if agent.may_read else 0
        if agent.may_write:
            given |= self._catalogue.everything & ~reads
        return given & self._catalogue.within(agent.domains)

    def _asked_in(self, rule: Rule, tools: int) -> list[str]:
        """Return the domains in whose calls a rule asks people."""
        if rule.domain or not tools:
            return [rule.domain] if rule.domain in self._domains else []
        return [name for name, theirs in self._catalogue.domains.items() if theirs & tools]

    def _unknown(self, rule: Rule) -> Mark | None:
        if rule.agent and rule.agent not in self._agents:
            words = phrase("It names nobody: there is no agent “%(agent)s”.", agent=rule.agent)
            return Mark(Kind.NOBODY, words)
        if rule.domain and rule.domain not in self._domains:
            return _never(phrase("there is no domain “%(domain)s”", domain=rule.domain))
        return None

    def _pointless(self, rule: Rule, matched: int) -> Mark | None:
        if not caught(rule):
            return _never(phrase("no rule allows calls of tools that nobody reviewed"))
        if _is_never_true(rule.condition):
            return _never(phrase("its condition is not true of any call"))
        # Of an installation without tools nothing is known; such a rule waits for them.
        if matched or not (rule.tool or self._catalogue.everything):
            return None
        return self._matches_nothing(rule)

    def _matches_nothing(self, rule: Rule) -> Mark | None:
        named = self._catalogue.named(rule.tool)
        if not named and beginning(rule.tool) == rule.tool:
            return _never(phrase("no known tool is called “%(tool)s”", tool=rule.tool))
        if not named:
            return _never(phrase("no known tool is like “%(tool)s”", tool=rule.tool))
        if rule.domain:
            named &= self._catalogue.domains.get(rule.domain, 0)
            if not named:
                return _never(
                    phrase("no tool that it is about is in %(domain)s", domain=rule.domain)
                )
        if not named & self._catalogue.doing(caught(rule)):
            return _never(_LACKING[caught(rule)])
        return _never(phrase("%(agent)s may call no tool that it is about", agent=rule.agent))


def _never(why: Phrase) -> Mark:
    return Mark(Kind.NEVER, phrase("It never decides: %(why)s.", why=why))


def _shadowed(rule: Rule, over: Sequence[Rule], *, is_now: bool = False) -> Mark:
    named = joined(", ", [f"“{each.name}”" for each in over[:MOST_NAMED]])
    more = len(over) - MOST_NAMED
    if more > 0:
        named = phrase("%(rules)s and %(number)s more", rules=named, number=more)
    if is_now:
        words = phrases(
            "As things are it never decides: of the tools that are known, rule %(rules)s above"
            " takes every call first.",
            "As things are it never decides: of the tools that are known, rules %(rules)s above"
            " take every call first.",
            len(over), rules=named,
        )  # fmt: skip
    elif all(each.condition for each in over):
        words = phrases(
            "It never decides: rule %(rules)s above has the same condition, and comes first.",
            "It never decides: rules %(rules)s above have the same condition, and come first.",
            len(over), rules=named,
        )  # fmt: skip
    else:
        words = phrases(
            "It never decides: rule %(rules)s above takes every call first.",
            "It never decides: rules %(rules)s above take every call first.",
            len(over), rules=named,
        )  # fmt: skip
    return Mark(Kind.SHADOWED, words, by=over[0])


def _over_always(rule: Rule, above: Iterable[_Taken]) -> list[Rule]:
    """Return the rules that together take all that a rule could ever match; none if some is left.

    Effect by effect, each is taken by one rule whose tools include all of this one's.
    """
    left, found = set(caught(rule)), []
    takers = chain.from_iterable(taken.takers_always(rule) for taken in above)
    for each in sorted(takers, key=lambda taker: taker.position):
        if not left.isdisjoint(caught(each)):
            left -= caught(each)
            found.append(each)
            if not left:
                return found
    return []


def _over_now(rule: Rule, matched: int, above: Iterable[_Taken]) -> list[Rule]:
    """Return the rules that take the known tools of a rule which has none left."""
    found = []
    takers = chain.from_iterable(taken.takers_now(rule) for taken in above)
    for each, tools in sorted(takers, key=lambda taker: taker[0].position):
        if matched & tools:
            found.append(each)
            matched &= ~tools
    return found


def _is_never_true(condition: str) -> bool:
    """Tell whether a condition that reads nothing of a call is false."""
    if not condition:
        return False
    try:
        ready = compiled(condition)
    except InvalidInput:
        return False  # it holds what it matches
    reads = ready.reading.names or ready.reading.uses or ready.reading.history
    return not reads and ready.judge(Subject(Facts("", "", "", ""))) is False


_WRITES: Final = frozenset({Effect.WRITE, Effect.DESTRUCTIVE})
_UNKNOWN: Final = frozenset({Effect.UNREVIEWED, Effect.CHANGED})
# Why known tools are none that a rule is about, by what it is about.
_LACKING: Final = {
    frozenset({Effect.READ}): phrase("no tool that it is about is a reviewed read"),
    frozenset({Effect.WRITE}): phrase("no tool that it is about is a reviewed write"),
    frozenset({Effect.DESTRUCTIVE}): phrase("no tool that it is about is reviewed as destructive"),
    frozenset({Effect.READ, *_WRITES}): phrase("no tool that it is about is reviewed as it is now"),
    frozenset({Effect.WRITE, *_UNKNOWN}): phrase(
        "no tool that it is about is a write or unreviewed"
    ),
    frozenset({Effect.DESTRUCTIVE, *_UNKNOWN}): phrase(
        "no tool that it is about is destructive or unreviewed"
    ),
    frozenset({Effect.UNREVIEWED}): phrase("no tool that it is about is unreviewed"),
    frozenset({Effect.CHANGED}): phrase("no tool that it is about has changed since its review"),
}
