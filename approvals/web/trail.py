"""The events of one call as the lines a person reads; each keeps its number, code and digest."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import access, wording
from approvals.models import AuditEvent, Person, ToolCall

_MOST_EVENTS = 200  # a call that cannot connect makes two a minute for ten minutes

# What the page says of an event; the event itself keeps its code, in every language.
_WORDS: dict[str, Promise] = {
    "call.held": gettext_lazy("asked; rule “%(rule)s” held it"),
    "call.admitted": gettext_lazy("asked; rule “%(rule)s” let it through"),
    "call.approve_signed": gettext_lazy("approved it"),
    "call.reject_signed": gettext_lazy("rejected it"),
    "call.reminded": gettext_lazy("%(percent)s %% of the time to decide was over"),
    "call.escalated": gettext_lazy("%(group)s may sign too from here on"),
    "call.out_of_reach": gettext_lazy("Not enough people are left to approve it"),
    "call.within_reach": gettext_lazy("There are enough people to approve it again"),
    "call.approved": gettext_lazy("Approved: every signature is there"),
    "call.claimed": gettext_lazy("A worker took it; nothing is sent yet"),
    "call.dispatched": gettext_lazy("Sent to %(upstream)s, once"),
    "call.succeeded": gettext_lazy("%(upstream)s did it"),
    "call.failed": gettext_lazy("It did not succeed"),
    "call.unknown": gettext_lazy("Nobody can tell what happened"),
    "call.rejected": gettext_lazy("Rejected: it will not run"),
    "call.expired": gettext_lazy("Its time was over; nothing ran"),
    "call.cancelled": gettext_lazy("withdrew it; nothing ran"),
    "call.void": gettext_lazy("Void: what was asked is no longer what would run"),
}
_SETTLED: dict[str, Promise] = {
    "call.succeeded": gettext_lazy("said that it ran"),
    "call.failed": gettext_lazy("said that it did not run"),
}
# Said by the actor; the others are what Countersign did or saw.
_BY_ACTOR = {"call.held", "call.admitted", "call.approve_signed", "call.reject_signed"}
_BY_ACTOR |= {"call.cancelled"}


@dataclass(frozen=True)
class Step:
    """One event in words."""

    event: AuditEvent
    kind: str  # person, agent, or empty for Countersign itself
    who: str
    did: str
    said: tuple[wording.Segment, ...]  # the reason somebody gave

    @property
    def initials(self) -> str:
        """Return what stands in the face."""
        return wording.initials(self.who)


def steps(call: ToolCall) -> list[Step]:
    """Return the trail of a call in order."""
    events = list(
        AuditEvent.objects.filter(stream=f"call:{call.pk}").order_by("seq")[:_MOST_EVENTS]
    )
    names = _names(event.actor for event in events)
    return [_step(call, event, names) for event in events]


@dataclass(frozen=True)
class Read:
    """One time an auditor read what calls carry."""

    event: AuditEvent
    calls: list[ToolCall]
    did: str


def reads(person: Person, most: int) -> list[Read]:
    """Return what a person read as an auditor, newest first."""
    stream = f"person:{person.get_username()}"
    events = AuditEvent.objects.filter(stream=stream, code="call.read").order_by("-seq")[:most]
    ids = {event.pk: _ids(event) for event in events}
    wanted = {one for found in ids.values() for one in found}
    calls = {
        str(call.pk): call
        for call in access.visible_to(person).filter(pk__in=wanted).only("pk", "sentence")
    }
    return [
        Read(
            event,
            [calls[one] for one in ids[event.pk] if one in calls],
            _read(len(ids[event.pk])),
        )
        for event in events
    ]


def _read(number: int) -> str:
    if number == 1:
        return gettext("You read a call:")
    return gettext("You read %(number)s:") % {"number": number}


def _ids(event: AuditEvent) -> list[str]:
    data: dict[str, Any] = json.loads(bytes(event.data))
    return data.get("calls") or [data["call"]]


def _names(actors: Iterable[str]) -> Mapping[str, str]:
    usernames = {actor.removeprefix("person:") for actor in actors if actor.startswith("person:")}
    people = Person.objects.filter(username__in=usernames)
    return {f"person:{person.get_username()}": person.display_name for person in people}


def _step(call: ToolCall, event: AuditEvent, names: Mapping[str, str]) -> Step:
    data: dict[str, Any] = json.loads(bytes(event.data))
    kind, _, name = event.actor.partition(":")
    is_settled = "settled" in data
    is_by_actor = (event.code in _BY_ACTOR or is_settled) and kind in ("person", "agent")
    return Step(
        event=event,
        kind=kind if is_by_actor else "",
        who=names.get(event.actor, name) if is_by_actor else "",
        did=_did(call, event, data),
        said=wording.visible(_reason(event, data)),
    )


def _did(call: ToolCall, event: AuditEvent, data: Mapping[str, Any]) -> str:
    if "settled" in data:
        return str(_SETTLED.get(event.code, gettext("settled it")))
    if event.code == "call.approved" and data.get("source") == "claimed":
        return gettext("Given back by the worker; nothing was sent")
    rule = data.get("rule")
    named = rule.get("name", "") if isinstance(rule, dict) else ""
    if event.code not in _WORDS:
        return event.code
    told = {"percent": data.get("percent", ""), "group": data.get("group", "")}
    return str(_WORDS[event.code]) % {"rule": named, "upstream": call.upstream.name, **told}


def _reason(event: AuditEvent, data: Mapping[str, Any]) -> str:
    # A rejection is two events, the decision and the move; its reason is told once.
    if event.code == "call.rejected":
        return ""
    return str(data.get("reason") or data.get("held_because") or "")
