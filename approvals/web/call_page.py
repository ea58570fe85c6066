"""Gathers what the page of one call shows; a fixed number of queries, whatever the call holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Prefetch
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy, ngettext

from approvals import access, budgets, lifecycle, policy, wording
from approvals.models import ApproverGroup, Decision, Dispatch, Person, ToolCall, database_now
from approvals.translating import translated
from approvals.web import definitions, showing, stamps, superseding, trail, unusual
from approvals.web.definition_changes import HINTS, hint
from approvals.web.presence import looking_at
from approvals.web.showing import S

# What is wrong with most calls that are rejected; a click instead of a sentence.
# The agent is given the English words, whatever language they were clicked in.
PRESETS: dict[str, Promise] = {
    "Wrong amount": gettext_lazy("Wrong amount"),
    "Wrong target": gettext_lazy("Wrong target"),
    "Not needed": gettext_lazy("Not needed"),
}

_MOST_DESCRIPTION = 2_000
_MOST_RESULT = 4_000
_MOST_TICKS = 12
_MOST_NAMED = 5  # people who can decide in the reader's place


@dataclass(frozen=True)
class Claim:
    """What somebody says whom nobody checked."""

    kind: str  # agent or server
    who: str
    heading: str
    text: tuple[wording.Segment, ...]
    hints: str = ""

    @property
    def initials(self) -> str:
        """Return what stands in the face."""
        return wording.initials(self.who)


@dataclass(frozen=True)
class Tick:
    """A marked value, or the last of very many, that is ticked before an approval."""

    value: str
    label: str
    remark: str


@dataclass(frozen=True)
class May:
    """What the person who looks may do with the call as it is now, and in words why not."""

    approve: access.Permission
    reject: access.Permission
    settle: access.Permission
    withdraw: access.Permission

    @property
    def decide(self) -> bool:
        """Return whether there is anything to choose from."""
        return bool(self.approve) or bool(self.reject)


def get(person: Person, call_id: object) -> ToolCall:
    """Return a call the person may see, with all its page shows.

    Raises:
        NotFound: there is none, or it is not theirs to see.
    """
    found = access.get_call(person, str(call_id))
    decisions = Decision.objects.select_related("approver")
    return (
        ToolCall.objects.select_related(
            "agent",
            "domain",
            "upstream",
            "tool__reviewed_by",
            "owner",
            "acts_for",
            "supersedes",
            "budget_use",
        )
        # Not joined: SQLite would read every call to find that none supersedes this one.
        .prefetch_related(Prefetch("decisions", queryset=decisions), "superseded_by")
        .get(pk=found.pk)
    )


def context(person: Person, call: ToolCall, *, seen: int | None = None) -> dict[str, Any]:
    """Return what the templates of the page need.

    Args:
        seen: the version whose forms stand on the reader's page; when the call has moved since,
            they are told to read it again instead of getting new forms.
    """
    now = database_now()
    known = definitions.of([call, *superseding.others(call)])
    definition = known.get(call.definition_digest, {})
    looked = unusual.of(person, call, showing.argument_rows(call, definition))
    rows, looking = looked.rows, looking_at([call], person, now).get(call.pk)
    marked = showing.unusual_in(rows)
    stuck = bool(access.out_of_reach([call]))
    shown = showing.show(call, now, unusual=marked, looking=looking, is_out_of_reach=stuck)
    mine = showing.signed_by(call, person)
    is_open = shown.ring is not None and mine is None
    may, to_tick = _may(person, call, is_open=is_open), ticks(rows)
    replaces, replaced_by = superseding.around(person, call, known)
    return {
        "now": now,
        "viewer": person,
        "shown": shown,
        "call": call,
        "rows": rows,
        "unusual": marked,
        "looking": looking,
        "checks": looked.checks,
        "bytes": wording.visible(bytes(call.arguments).decode()),
        "rule": translated(policy.to_sentence(policy.Rule(**call.rule))),
        "budget": budgets.told(call),
        "claims": _claims(call, definition),
        "steps": trail.steps(call),
        "mine": mine,
        "may": may,
        "others": [] if may.approve or not is_open else _others(call),
        "stamp": stamps.stamp(call, person, now, _values(to_tick)) if may.decide else "",
        "ticks": to_tick,
        "presets": PRESETS.items(),
        "is_changed": seen is not None and is_open and not stamps.is_same(call, seen),
        "is_same": seen is not None and is_open and stamps.is_same(call, seen),
        "replaces": replaces,
        "replaced_by": replaced_by,
        "sees_tool": access.catalogue_of(person).filter(pk=call.upstream.domain_id).exists(),
        "is_reviewed": call.tool.reviewed_digest == call.definition_digest,
        **_ended(call, now),
    }


def ticks(rows: tuple[wording.Row, ...]) -> list[Tick]:
    """Return what must be ticked before a call with these arguments is approved."""
    marked = [row for row in rows if row.remarks]
    found = [Tick(row.name, translated(row.label), translated(row.remark)) for row in marked]
    if len(found) <= _MOST_TICKS:
        return found
    number = len(found) - _MOST_TICKS + 1
    rest = ngettext("%(number)s more marked value", "%(number)s more marked values", number)
    others = Tick("others", rest % {"number": number}, gettext("all of them above"))
    return [*found[: _MOST_TICKS - 1], others]


def _values(found: list[Tick]) -> list[str]:
    return [tick.value for tick in found]


def _ended(call: ToolCall, now: datetime) -> dict[str, Any]:
    dispatch = Dispatch.objects.filter(call=call).first()
    return {
        "settle_from": lifecycle.settle_from(call),
        "is_quarantined": now < lifecycle.settle_from(call),
        "sent_at": dispatch.at if dispatch else None,
        "took": _took(dispatch, call),
        "time_out": translated(wording.duration(_time_out(dispatch))),
        "result": _result(call),
    }


def _others(call: ToolCall) -> list[str]:
    """Return the names of people who can still approve the call."""
    groups = ApproverGroup.objects.filter(domain=call.domain_id)
    if call.asked_group:
        groups = groups.filter(name__in=(call.asked_group, call.escalated_to))
    people = Person.objects.filter(approver_groups__in=groups, is_active=True)
    people = people.exclude(pk__in=[decision.approver_id for decision in call.decisions.all()])
    if call.four_eyes:
        people = people.exclude(pk__in=[call.owner_id, call.acts_for_id])
    found = people.distinct().order_by("first_name", "username")[:_MOST_NAMED]
    return [person.display_name for person in found]


def _may(person: Person, call: ToolCall, *, is_open: bool) -> May:
    over = access.Permission(False, "")

    def said(permission: access.Permission) -> access.Permission:
        return replace(permission, why=translated(permission.why))

    is_unknown, is_unsent = call.status == S.UNKNOWN, call.status in lifecycle.UNSENT
    return May(
        approve=said(access.may_decide(person, call)) if is_open else over,
        reject=said(access.may_decide(person, call, "reject")) if is_open else over,
        settle=said(access.may_settle(person, call)) if is_unknown else over,
        withdraw=said(access.may_withdraw(person, call)) if is_unsent else over,
    )


def _claims(call: ToolCall, definition: Mapping[str, Any]) -> list[Claim]:
    claims = []
    if call.claimed_acts_for:
        said = gettext("I act for %(person)s.") % {"person": call.claimed_acts_for}
        heading = gettext("What the agent says")
        claims.append(Claim("agent", call.agent.name, heading, wording.visible(said)))
    hints, description = _hints(definition), str(definition.get("description") or "")
    if description or hints:
        if len(description) > _MOST_DESCRIPTION:
            description = description[:_MOST_DESCRIPTION] + "…"
        server, text = call.upstream.name, wording.visible(description)
        heading = gettext("What %(server)s says about this tool") % {"server": server}
        claims.append(Claim("server", server, heading, text, hints))
    return claims


def _hints(definition: Mapping[str, Any]) -> str:
    annotations = definition.get("annotations")
    hints = annotations if isinstance(annotations, dict) else {}
    return ", ".join(
        gettext("%(hint)s: %(answer)s") % {"hint": words, "answer": hint(definition, key)}
        for key, words in HINTS.items()
        if isinstance(hints.get(key), bool)
    )


def _took(dispatch: Dispatch | None, call: ToolCall) -> str:
    if dispatch is None or call.settled_at is None:
        return ""
    seconds = (call.settled_at - dispatch.at).total_seconds()
    if seconds >= 10:
        return translated(wording.duration(timedelta(seconds=seconds)))
    return gettext("%(seconds)s s") % {"seconds": f"{seconds:.1f}"}


def _time_out(dispatch: Dispatch | None) -> timedelta:
    return dispatch.answer_by_at - dispatch.at if dispatch else timedelta(0)


def _result(call: ToolCall) -> tuple[wording.Segment, ...]:
    if call.result is None:
        return ()
    text = bytes(call.result).decode(errors="replace")
    if len(text) > _MOST_RESULT:
        number = len(text) - _MOST_RESULT
        more = ngettext("%(number)s character more", "%(number)s characters more", number)
        text = f"{text[:_MOST_RESULT]}… {more % {'number': f'{number:,}'}}"
    return wording.visible(_pretty(text))


def _pretty(text: str) -> str:
    """Return JSON with a line for each part; text as it is where it is none."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except ValueError:
        return text
