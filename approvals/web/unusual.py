"""Gathers what a call is compared with, for its own page; a fixed number of rows, however many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.db.models.functions import Length
from django.urls import reverse
from django.utils import timezone

from approvals import access, wording
from approvals.models import Person, ToolCall

S = ToolCall.Status

# What nobody let run makes nothing usual: else twenty rejected calls would clear the next one.
_REFUSED = (S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID)
_MOST_CALLS = 200  # of the agent, and as many of anybody
_MOST_BYTES = 8 * 1024  # of arguments; larger ones are documents, not values that come again

_ICONS = {
    wording.Kind.DIRECTION: "eye",
    wording.Kind.HIDDEN: "eye",
    wording.Kind.LOOK_ALIKE: "eye",
    wording.Kind.NEVER_SEEN: "eye",
    wording.Kind.ODD: "eye",
    wording.Kind.MORE: "eye",
    wording.Kind.HOUR: "clock",
    wording.Kind.FIRST: "agent",
}


@dataclass(frozen=True)
class Check:
    """One line above the arguments, with a link to what it compares with."""

    tone: str
    icon: str
    fact: str
    why: str
    url: str
    link: str  # the words of the link


@dataclass(frozen=True)
class Looked:
    """What is unusual about a call: the lines, and the rows of its arguments with their marks."""

    checks: list[Check]
    rows: tuple[wording.Row, ...]


def of(person: Person, call: ToolCall, rows: tuple[wording.Row, ...]) -> Looked:
    """Return what is unusual about a call, compared with what the person may see of the past.

    Args:
        call: with agent and tool loaded.
        rows: of its arguments.
    """
    past = access.visible_to(person).filter(tool=call.tool_id, created_at__lt=call.created_at)
    agents = _newest(past.filter(agent=call.agent_id), call)
    facts = wording.Facts(
        agent=call.agent.name,
        effect=call.effect,
        at=timezone.localtime(call.created_at),
        arguments=json.loads(bytes(call.arguments)),
        rows=rows,
        earlier=_earlier(call, [*agents, *_newest(past, call)]),
        is_first=not agents and not past.filter(agent=call.agent_id).exists(),
        changed_at=call.tool.changed_at,
    )
    found = wording.unusual(facts)
    return Looked([_check(call, rows, line) for line in found.lines], found.rows)


_Row = tuple[Any, ...]  # id, agent, created_at, arguments


def _newest(past: QuerySet[ToolCall], call: ToolCall) -> list[_Row]:
    since = call.created_at - timedelta(days=wording.DAYS)
    usual = past.filter(created_at__gte=since).exclude(status__in=_REFUSED)
    small = usual.alias(size=Length("arguments")).filter(size__lte=_MOST_BYTES)
    fields = small.values_list("pk", "agent_id", "created_at", "arguments")
    return list(fields.order_by("-created_at")[:_MOST_CALLS])


def _earlier(call: ToolCall, found: Sequence[_Row]) -> tuple[wording.Earlier, ...]:
    each = {pk: (agent, at, arguments) for pk, agent, at, arguments in found}
    return tuple(
        wording.Earlier(agent == call.agent_id, timezone.localtime(at), json.loads(bytes(raw)))
        for agent, at, raw in each.values()
    )


def _check(call: ToolCall, rows: Sequence[wording.Row], line: wording.Line) -> Check:
    url, link = _compared(call, rows, line)
    return Check(line.tone, _ICONS.get(line.kind, "alert"), line.fact, line.why, url, link)


def _compared(call: ToolCall, rows: Sequence[wording.Row], line: wording.Line) -> tuple[str, str]:
    """Return where to look at what a line compares with, and the words of the link to it."""
    query = {"tool": call.tool_name}
    if line.compares == "definition":
        return "#h-h", "The definition"
    if line.compares == "values":
        return "#a-h", "All values"
    if line.compares == "value":
        number = next(at for at, row in enumerate(rows, 1) if row.name == line.place)
        return f"#arg-{number}", "The value"
    if line.compares == "agent":
        query |= {"agent": call.agent.name}
    if line.known:
        query |= {"q": line.known}
    words = "Its earlier calls" if line.compares == "agent" else "Earlier calls of the tool"
    return f"{reverse('history')}?{urlencode(query)}", words
