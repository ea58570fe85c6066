"""A backlog: `python -m benchmarks.backlog JSON` holds calls and has some of them approved.

Run as a process of its own, in the environment of an installation that does not run. Everything
goes through the verbs that the bridge and the pages use, so the trail is a real one; the approvals
come in another order than the calls.
"""

import json
import os
import random
import sys
from collections.abc import Sequence
from typing import Any

import django


def fill(pending: int, approved: int, agents: Sequence[str]) -> None:
    """Hold so many calls of each kind, shared among agents."""
    from approvals import lifecycle
    from approvals.administration import catalog, people
    from approvals.models import Agent

    tool, bo = catalog.get_tool("billing", "refund"), people.get_person("bo")
    askers = [Agent.objects.get(name=name) for name in agents]
    calls = [
        _held(askers[number % len(askers)], tool, number) for number in range(pending + approved)
    ]
    chance = random.Random(5)  # noqa: S311 - the same backlog in every run
    for call in chance.sample(calls, approved):
        lifecycle.decide(call.pk, decider=bo, verdict="approve", binding=call.binding)


def _held(agent: Any, tool: Any, number: int) -> Any:
    from approvals import submission
    from benchmarks.holding import refund

    request = submission.Request(
        agent_id=agent.pk, key_id=None, tool_id=tool.pk, arguments=refund(number),
        definition_digest=tool.definition_digest,
    )  # fmt: skip
    return submission.submit(request).call


def main() -> None:
    """Fill the database of this process as its argument says."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    fill(**json.loads(sys.argv[1]))
    from approvals import events

    events.wait_until_sent(10)


if __name__ == "__main__":
    main()
