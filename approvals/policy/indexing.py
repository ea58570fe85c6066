"""Finds the rules that may match a call without asking each of some hundred; pure.

A rule that names a domain, an agent or one tool is only looked at for calls of these.
"""

from collections.abc import Iterable

from approvals.policy.covering import beginning
from approvals.policy.rules import Facts, Rule


class Index:
    """The rules of one policy, by what they name."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        # By domain, agent and tool; empty for any, and a pattern is of any tool.
        self._by_names: dict[tuple[str, str, str], list[tuple[int, Rule]]] = {}
        for place, rule in enumerate(rules):
            tool = rule.tool if beginning(rule.tool) == rule.tool else ""
            named = self._by_names.setdefault((rule.domain, rule.agent, tool), [])
            named.append((place, rule))

    def near(self, facts: Facts) -> list[Rule]:
        """Return the rules that name nothing else than a call's own, in order."""
        found: list[tuple[int, Rule]] = []
        for domain in {"", facts.domain}:
            for agent in {"", facts.agent}:
                for tool in {"", facts.tool}:
                    found += self._by_names.get((domain, agent, tool), ())
        # No two have the same place, so rules are never compared.
        found.sort()
        return [rule for _, rule in found]
