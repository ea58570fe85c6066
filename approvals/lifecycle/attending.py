"""What the clock does while people are asked: remind them, and ask another group as well."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from approvals import policy
from approvals.errors import Conflict
from approvals.lifecycle.moving import locked, tell
from approvals.lifecycle.states import S
from approvals.models import ToolCall, database_now


def attend_at(call: ToolCall) -> datetime | None:
    """Return when the clock next has something to tell of a call; None when it has told all."""
    left = [*policy.REMIND_AT[call.reminders :], *_escalation(call)]
    return _after(call, min(left)) if left else None


@transaction.atomic(durable=True)
def attend(call_id: UUID) -> ToolCall:
    """Tell what is due of a held call, one thing at a time: first escalate, then remind.

    A hint that pages read; whatever it says, the deadlines and the quorum stay.

    Raises:
        Conflict: it is not held any more, or nothing is due.
    """
    call, now = locked(call_id), database_now()
    if call.status != S.PENDING or call.attend_at is None or not _is_due(call, now):
        raise Conflict("There is nothing to tell of the call.", call_id=call_id)
    share = _escalation(call)
    if share and now >= _after(call, share[0]):
        to = policy.Rule(**call.rule).escalate_to
        return _told(call, now, "call.escalated", {"escalated_to": to}, group=to, percent=share[0])
    percent = policy.REMIND_AT[call.reminders]
    changes: dict[str, object] = {"reminders": call.reminders + 1}
    return _told(call, now, "call.reminded", changes, percent=percent)


def _is_due(call: ToolCall, now: datetime) -> bool:
    due = attend_at(call)
    return due is not None and due <= now < call.decide_by_at


def _escalation(call: ToolCall) -> list[int]:
    """Return after how much of the time another group is asked; nothing when it is already."""
    rule = policy.Rule(**call.rule)
    return [rule.escalate_after] if rule.escalate_to and not call.escalated_to else []


def _after(call: ToolCall, percent: int) -> datetime:
    return call.created_at + (call.decide_by_at - call.created_at) * percent / 100


def _told(
    call: ToolCall, now: datetime, code: str, changes: dict[str, object], **data: object
) -> ToolCall:
    for name, value in changes.items():
        setattr(call, name, value)
    changes["attend_at"] = attend_at(call)
    held = ToolCall.objects.filter(pk=call.pk, status=S.PENDING)
    held.update(version=F("version") + 1, **changes)
    call.refresh_from_db(fields=["version", *changes])
    tell(call, code, actor="clock", at=now, **data)
    return call
