"""What an agent asked of a tool before a moment, counted from rows: what conditions call `history`.

It counts calls as they were made, whatever became of them, so that it says the same of a moment
whenever it is asked: at the submission, at the release, and when a policy is tried on the past.
"""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from django.utils import timezone

from approvals import policy
from approvals.models import ToolCall
from approvals.policy.windows import MOST_SUMMED, SPANS


def of_call(
    facts: policy.Facts, call: ToolCall, *, wanted: Collection[tuple[str, ...]], now: datetime
) -> policy.Facts:
    """Return facts with what conditions read of a call that was made: history is as it was then.

    Args:
        wanted: of history, as `history` takes it.
        now: by whose hours and days it is judged.
    """
    return replace(
        facts,
        args=json.loads(bytes(call.arguments)),
        acts_for=call.acts_for.get_username(),
        now=local(now),
        history=history(call.agent_id, call.tool_id, at=call.created_at, wanted=wanted),
    )


def history(
    agent_id: int, tool_id: int, *, at: datetime, wanted: Collection[tuple[str, ...]]
) -> policy.History:
    """Return what is wanted of an agent's calls of a tool in the hour or the day before a moment.

    Hours and days are spans of 60 minutes and of 24 hours, so no clock that is set changes one.
    Reads that passed are no calls and are not counted.

    Args:
        wanted: ("calls_hour",), ("sum_day", "amount"), …; what is not asked for costs nothing.
            What cannot be added up is left out of the answer.
    """
    counts: dict[tuple[str, ...], int | float] = {}
    for keys in wanted:
        kind, _, span = keys[0].partition("_")
        before = ToolCall.objects.filter(
            agent_id=agent_id, tool_id=tool_id, created_at__lt=at, created_at__gte=at - SPANS[span]
        )
        if kind == "calls":
            counts[keys] = before.count()
            continue
        bodies: list[bytes | memoryview] = list(
            before.values_list("arguments", flat=True)[: MOST_SUMMED + 1]
        )
        if len(bodies) <= MOST_SUMMED:
            counts[keys] = _sum(bodies, keys[1])
    return policy.History(counts)


def local(moment: datetime) -> datetime:
    """Return a moment in the installation's time zone, by whose hours conditions ask."""
    return timezone.localtime(moment, timezone.get_default_timezone())


def _sum(bodies: Iterable[bytes | memoryview], name: str) -> int | float:
    """Return the sum of one argument; where it is no number, it adds nothing."""
    values = (json.loads(bytes(body)).get(name) for body in bodies)
    found = [value for value in values if type(value) in (int, float)]
    # In whatever order the rows come: `fsum` rounds once.
    return sum(found) if all(type(value) is int for value in found) else math.fsum(found)
