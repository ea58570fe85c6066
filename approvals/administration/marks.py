"""What is odd about rules, by the tools, agents and people there are by now.

A hint for whoever writes rules and reads the policies page: six queries, whatever the rules.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from approvals import policy
from approvals.administration.conditions import Trial
from approvals.models import Agent, ApproverGroup, Domain, Tool
from approvals.policy import marking
from approvals.policy.covering import KnownTool
from approvals.policy.marking import Mark
from approvals.policy.staffing import KnownAgent


def of(rules: Sequence[policy.Rule], trials: Iterable[Trial] = ()) -> Mapping[int, list[Mark]]:
    """Return the marks of rules by their position; what is not there is in order.

    Args:
        trials: of their conditions, where somebody tried them anyway.
    """
    found = marking.marks(rules, _tools(), _groups(), _agents(), _domains())
    for trial in trials:
        if trial.rule.position not in found and (mark := _of_trial(trial)):
            found[trial.rule.position] = [mark]
    return found


def in_words(rules: Sequence[policy.Rule], trials: Iterable[Trial] = ()) -> list[str]:
    """Return the same as sentences for whoever saves them, in the order of the rules."""
    found = of(rules, trials)
    return [
        f"Rule “{rule.name}”: {mark.words}"
        for rule in rules
        for mark in found.get(rule.position, ())
    ]


def _of_trial(trial: Trial) -> Mark | None:
    return marking.of_trial(trial.examples + trial.calls)


def _tools() -> list[KnownTool]:
    # Columns, not rows: three thousand models would take longer than all that is done with them.
    listed = Tool.objects.filter(is_listed=True).values_list(
        "upstream__domain__name", "exposed_name", *Tool.JUDGED_BY
    )
    return [KnownTool(domain, name, Tool.judged(*facts)) for domain, name, *facts in listed]


def _groups() -> dict[str, dict[str, set[int]]]:
    members: dict[int, set[int]] = defaultdict(set)
    active = ApproverGroup.people.through.objects.filter(person__is_active=True)
    for group_id, person_id in active.values_list("approvergroup_id", "person_id"):
        members[group_id].add(person_id)
    found: dict[str, dict[str, set[int]]] = defaultdict(dict)
    for pk, domain, name in ApproverGroup.objects.values_list("pk", "domain__name", "name"):
        found[domain][name] = members[pk]
    return found


def _agents() -> dict[str, KnownAgent]:
    domains: dict[int, set[str]] = defaultdict(set)
    for agent_id, name in Agent.domains.through.objects.values_list("agent_id", "domain__name"):
        domains[agent_id].add(name)
    rows = Agent.objects.values_list("pk", "name", "owner_id", "may_read", "may_write")
    return {
        name: KnownAgent(owner, frozenset(domains[pk]), may_read, may_write)
        for pk, name, owner, may_read, may_write in rows
    }


def _domains() -> dict[str, bool]:
    return dict(Domain.objects.values_list("name", "four_eyes"))
