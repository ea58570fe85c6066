"""Whether a hold rule can find who it asks for: pure, from who is in which group by now."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import islice
from typing import Final

from approvals.phrases import Phrase, phrase, phrases
from approvals.policy.rules import Rule
from approvals.policy.stages import can_be_filled

MOST_DOMAINS: Final = 3  # told of one rule
# Of each domain, by the group's name: the ids of its active members.
Groups = Mapping[str, Mapping[str, Set[int]]]


@dataclass(frozen=True)
class KnownAgent:
    """Who answers for an agent, and what it was given; a paused agent is one, too."""

    owner: int  # id of a person
    domains: frozenset[str]
    may_read: bool = True
    may_write: bool = True


class Staff:
    """Everybody there is by now; finds the same of two rules once."""

    def __init__(
        self, groups: Groups, agents: Mapping[str, KnownAgent], domains: Mapping[str, bool]
    ) -> None:
        self._groups, self._agents, self._domains = groups, agents, domains
        self._owners: dict[str, set[int]] = {}
        for agent in agents.values():
            for domain in agent.domains:
                self._owners.setdefault(domain, set()).add(agent.owner)
        self._found: dict[tuple[object, ...], Phrase | None] = {}

    def problems(self, rule: Rule, domains: Iterable[str]) -> Iterator[Phrase]:
        """Yield why calls that a hold rule governs in these domains could get no approval."""
        found = [words for name in sorted(domains) if (words := self._problem(rule, name))]
        yield from islice(found, MOST_DOMAINS)
        more = len(found) - MOST_DOMAINS
        if more > 0:
            yield phrases(
                "It is so in %(number)s more domain.", "It is so in %(number)s more domains.",
                more, number=more,
            )  # fmt: skip

    def _problem(self, rule: Rule, domain: str) -> Phrase | None:
        key = (
            domain, rule.stages, rule.quorum, rule.escalate_to, rule.four_eyes, rule.agent,
        )  # fmt: skip
        if key not in self._found:
            of_groups = _of_groups(rule, domain, self._groups.get(domain, {}))
            self._found[key] = of_groups or self._of_numbers(rule, domain)
        return self._found[key]

    def _of_numbers(self, rule: Rule, domain: str) -> Phrase | None:
        groups = self._groups.get(domain, {})
        if not _can_be_approved(rule, groups, frozenset()):
            return phrase(
                "Nothing can be approved in %(domain)s: it takes %(number)s different people, and"
                " not as many can sign.",
                domain=domain, number=rule.quorum,
            )  # fmt: skip
        if not (rule.four_eyes or self._domains.get(domain)):
            return None
        owners = self._owners.get(domain, set())
        if rule.agent in self._agents:
            owners = {self._agents[rule.agent].owner}
        # Whom an agent acts for is known with the call; its owner is by now.
        if not owners or any(_can_be_approved(rule, groups, {owner}) for owner in owners):
            return None
        return phrase(
            "Nothing can be approved in %(domain)s: it takes %(number)s different people, and by"
            " four eyes, without the agent's owner, not as many can sign.",
            domain=domain, number=rule.quorum,
        )  # fmt: skip


def _of_groups(rule: Rule, domain: str, groups: Mapping[str, Set[int]]) -> Phrase | None:
    """Return which group that a rule names is not there, or is too small by itself."""
    named = [*(stage.group for stage in rule.stages), *filter(None, [rule.escalate_to])]
    for name in named:
        if name not in groups:
            return phrase("There is no group “%(group)s” in %(domain)s.", group=name, domain=domain)
    for name in named:
        if not groups[name]:
            return phrase(
                "Nobody is active in “%(group)s” of %(domain)s.", group=name, domain=domain
            )
    for stage in rule.stages:
        there = len(groups[stage.group] | groups.get(rule.escalate_to, frozenset()))
        if there < stage.quorum:
            return phrases(
                "%(quorum)s of “%(group)s” must sign in %(domain)s; only %(number)s person can.",
                "%(quorum)s of “%(group)s” must sign in %(domain)s; only %(number)s people can.",
                there, quorum=stage.quorum, group=stage.group, domain=domain, number=there,
            )  # fmt: skip
    return None


def _can_be_approved(rule: Rule, groups: Mapping[str, Set[int]], without: Set[int]) -> bool:
    if not rule.stages:
        return len(set[int]().union(*groups.values()) - without) >= rule.quorum
    later = groups.get(rule.escalate_to, frozenset())
    return can_be_filled(
        [stage.quorum for stage in rule.stages],
        [(groups[stage.group] | later) - without for stage in rule.stages],
    )
