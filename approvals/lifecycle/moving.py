"""The one place that writes `ToolCall.status`: a conditional UPDATE, its audit event, its hint."""

import re
from datetime import datetime
from uuid import UUID

from django.db.models import F

from approvals import events, searching
from approvals.audit import record as audit
from approvals.errors import CallSettled, IllegalMove, LostRace, NotFound
from approvals.lifecycle.states import MOVES, SETTLED, UNSENT, S
from approvals.models import ToolCall, database_now
from approvals.phrases import Phrase, phrase

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # no database or canonical JSON takes these


def locked(call_id: UUID) -> ToolCall:
    # Lock first, then read: rows joined to one that had to be waited for are as old as the wait,
    # and an agent paused meanwhile would not be.
    rows = ToolCall.objects.select_for_update(no_key=True).filter(pk=call_id)
    if not rows.values_list("pk").first():
        raise NotFound(phrase("There is no such call."), call_id=call_id)
    return ToolCall.objects.select_related(
        "agent", "domain", "upstream", "tool", "acts_for", "owner"
    ).get(pk=call_id)  # fmt: skip


def unsent(call_id: UUID) -> ToolCall:
    call = locked(call_id)
    if call.status not in UNSENT:
        raise CallSettled(too_late(call), call_id=call_id)
    return call


def expire_now(call: ToolCall) -> ToolCall:
    why = "Nobody decided in time." if call.status == S.PENDING else "It did not run in time."
    return move(call, S.EXPIRED, actor="clock", reason=why)


def move(
    call: ToolCall,
    to: ToolCall.Status,
    *,
    actor: str,
    reason: str = "",
    columns: dict[str, object] | None = None,
    at: datetime | None = None,
    **data: object,
) -> ToolCall:
    source = S(call.status)
    if to not in MOVES.get(source, ()):
        raise IllegalMove(f"{source} → {to}", call_id=call.pk)
    # Some reasons are an upstream's words; what they are made of must not keep a call from moving.
    reason = _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", reason[:1000])
    now = at or database_now()
    changes = {
        "status": to,
        "moved_at": now,
        "status_reason": reason,
        "settled_at": now if to in SETTLED else None,
        "needs_attention": "",  # whatever kept it from moving is over
        **(columns or {}),
    }
    same = ToolCall.objects.filter(pk=call.pk, status=source, version=call.version)
    if same.update(version=F("version") + 1, **changes) != 1:
        raise LostRace(call_id=call.pk)
    call.refresh_from_db(fields=["version", *changes])
    tell(call, f"call.{to}", actor=actor, at=now, source=source, reason=reason, **data)
    return call


def tell(call: ToolCall, code: str, *, actor: str, at: datetime, **data: object) -> None:
    entry = audit.Entry(code, actor, at, {"version": call.version, **data})
    audit.record(f"call:{call.pk}", entry)
    searching.keep(call)
    events.publish_on_commit(call)


def in_words(call: ToolCall) -> Phrase:
    return _ALREADY[S(call.status)]


def too_late(call: ToolCall) -> Phrase:
    return phrase("Too late: the call is %(state)s.", state=in_words(call))


_ALREADY = {
    S.PENDING: phrase("pending already"),
    S.APPROVED: phrase("approved already"),
    S.CLAIMED: phrase("claimed already"),
    S.DISPATCHED: phrase("dispatched already"),
    S.SUCCEEDED: phrase("succeeded already"),
    S.FAILED: phrase("failed already"),
    S.UNKNOWN: phrase("unknown already"),
    S.REJECTED: phrase("rejected already"),
    S.EXPIRED: phrase("expired already"),
    S.CANCELLED: phrase("cancelled already"),
    S.VOID: phrase("void already"),
}
