"""Gathers what a call is compared with, for its own page; a fixed number of rows, however many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce, Length
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from approvals import access, wording
from approvals.models import Person, ToolCall
from approvals.translating import translated

S = ToolCall.Status

# What nobody let run makes nothing usual: else twenty rejected calls would clear the next one.
_REFUSED = (S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID)
_MOST_LOOKED_AT = 2_000  # calls of any tool, for where they stand in time
_MOST_CALLS = 400  # of the tool, with what they asked for
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
    earlier, since = _earlier(person, call)
    is_template_theirs = call.tool.template_digest == call.definition_digest
    facts = wording.Facts(
        agent=call.agent.name,
        effect=call.effect,
        at=timezone.localtime(call.created_at),
        arguments=json.loads(bytes(call.arguments)),
        rows=rows,
        template=call.tool.template if is_template_theirs else "",
        earlier=earlier,
        period=call.created_at - since,
        is_first=not any(one.is_agents for one in earlier) and _is_first(call),
        changed_at=call.tool.changed_at,
    )
    found = wording.unusual(facts)
    return Looked([_check(call, rows, line) for line in found.lines], found.rows)


def _earlier(person: Person, call: ToolCall) -> tuple[tuple[wording.Earlier, ...], datetime]:
    """Return the calls to compare with, and since when they are all there are."""
    since = call.created_at - wording.PERIOD
    before = ToolCall.objects.filter(created_at__lt=call.created_at).order_by("-created_at")
    times = before.filter(created_at__gte=since).values_list("created_at", flat=True)
    since = next(iter(times[_MOST_LOOKED_AT - 1 : _MOST_LOOKED_AT]), since)
    # By time alone, from one index, whatever the share of the tool: an expression is in no other,
    # and the newest of its calls would be sorted out of all it ever had.
    same = before.alias(of_tool=Coalesce("tool_id", "tool_id")).filter(of_tool=call.tool_id)
    fields = same.filter(created_at__gte=since).values_list("pk", "created_at")
    ours = list(fields[: _MOST_CALLS + 1])
    if len(ours) > _MOST_CALLS:
        since = ours[_MOST_CALLS - 1][1]
    wanted = [pk for pk, _ in ours[:_MOST_CALLS]]
    # Asked of each call by its key: joined with the keys, "visible" is answered from its own
    # indexes, which return all that the person may see.
    is_visible = Exists(access.visible_to(person).filter(pk=OuterRef("pk")))
    usual = ToolCall.objects.filter(is_visible, pk__in=wanted).exclude(status__in=_REFUSED)
    small = usual.alias(size=Length("arguments")).filter(size__lte=_MOST_BYTES)
    found = small.order_by("-created_at", "pk").values_list("agent_id", "created_at", "arguments")
    return tuple(
        wording.Earlier(agent == call.agent_id, timezone.localtime(at), json.loads(bytes(raw)))
        for agent, at, raw in found
    ), since


def _is_first(call: ToolCall) -> bool:
    same = ToolCall.objects.filter(agent=call.agent_id, tool=call.tool_id)
    return not same.filter(created_at__lt=call.created_at).exists()


def _check(call: ToolCall, rows: Sequence[wording.Row], line: wording.Line) -> Check:
    url, link = _compared(call, rows, line)
    icon = _ICONS.get(line.kind, "alert")
    return Check(line.tone, icon, translated(line.fact), translated(line.why), url, link)


def _compared(call: ToolCall, rows: Sequence[wording.Row], line: wording.Line) -> tuple[str, str]:
    """Return where to look at what a line compares with, and the words of the link to it."""
    query = {"tool": call.tool_name}
    if line.compares == "definition":
        return "#definition", gettext("The definition")
    if line.compares == "values":
        return "#a-h", gettext("All values")
    if line.compares == "value":
        number = next(at for at, row in enumerate(rows, 1) if row.name == line.place)
        return f"#arg-{number}", gettext("The value")
    if line.compares == "agent":
        query |= {"agent": call.agent.name}
    if line.known:
        query |= {"q": line.known}
    is_agents = line.compares == "agent"
    words = gettext("Its earlier calls") if is_agents else gettext("Earlier calls of the tool")
    return f"{reverse('history')}?{urlencode(query)}", words
