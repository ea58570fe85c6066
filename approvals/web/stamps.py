"""The signed time at which a decision form was shown: nobody decides on what they cannot have read.

A form that appears under a pointer on its way to something else is refused for half a second, and
so is one that this person was never shown, whoever wrote it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core import signing

from approvals.errors import LookAgain, StaleBinding
from approvals.models import AuditEvent, Person, ToolCall
from approvals.phrases import phrase

SOONEST = timedelta(milliseconds=500)
_ONLY_TOLD = ("call.reminded", "call.escalated", "call.out_of_reach", "call.within_reach")
_SALT = "approvals.web.stamps"


def stamp(call: ToolCall, person: Person, now: datetime, ticks: Sequence[str] = ()) -> str:
    """Return what a decision form carries: which call and version, to whom, when.

    Args:
        ticks: the values of the boxes the form asks to be ticked; what is unusual is computed from
            a past that goes on, so the form itself has to say what it asked.
    """
    shown = {**_shown(call, person), "at": now.timestamp(), "ticks": list(ticks)}
    return signing.dumps(shown, salt=_SALT)


def check(text: str, call: ToolCall, person: Person, now: datetime) -> list[str]:
    """Return what the form asked to be ticked.

    Refuses what was not shown to this person, too lately, or before the call changed.

    Raises:
        LookAgain: no stamp of ours for this call and person, or one younger than SOONEST.
        StaleBinding: somebody signed since; the person's signature may mean more now.
    """
    try:
        stamped: dict[str, Any] = signing.loads(text, salt=_SALT)
    except signing.BadSignature:
        raise LookAgain(call_id=call.pk) from None
    shown = _shown(call, person)
    if any(stamped[key] != shown[key] for key in ("call", "person")):
        raise LookAgain(call_id=call.pk)
    if call.status == ToolCall.Status.PENDING and not is_same(call, stamped["version"]):
        raise StaleBinding(phrase("This call has changed since you opened it. Read it again."))
    if now.timestamp() - stamped["at"] < SOONEST.total_seconds():
        raise LookAgain(call_id=call.pk)
    asked: list[str] = stamped["ticks"]
    return asked


def is_same(call: ToolCall, version: int) -> bool:
    """Tell whether nothing that a decision is about has changed since a version of a call.

    Each version has its one event. Those that only tell people something (half of the time is over,
    another group may sign too) must not take a form from somebody who is deciding; whatever else
    happened, or was written without an event, does.
    """
    since = AuditEvent.objects.filter(
        stream=f"call:{call.pk}", seq__gt=version, seq__lte=call.version, code__in=_ONLY_TOLD
    )
    return version == call.version or (
        0 < version < call.version and since.count() == call.version - version
    )


def _shown(call: ToolCall, person: Person) -> dict[str, object]:
    return {"call": str(call.pk), "version": call.version, "person": person.pk}
