"""Calls whose deadlines are other than they were asked with, which the guards let nobody have."""

from datetime import datetime, timedelta

from approvals import bindings
from approvals.models import ToolCall
from tests.support import guarding


def ending_at(call: ToolCall, moment: datetime) -> ToolCall:
    """Let the times to decide and to run of a call be over at a moment; its binding fits them."""
    call.decide_by_at = call.run_by_at = moment
    call.binding = bindings.of(call).digest()
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(
            decide_by_at=moment, run_by_at=moment, binding=call.binding
        )
        call.decisions.update(binding=call.binding)
    return call


def begun_ago(call: ToolCall, **ago: float) -> ToolCall:
    """Let a held call, all of its times, be as much older: `begun_ago(call, minutes=31)`."""
    age = timedelta(**ago)
    for name in ("created_at", "decide_by_at", "run_by_at", "attend_at"):
        moment = getattr(call, name)
        setattr(call, name, moment and moment - age)
    call.binding = bindings.of(call).digest()
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(
            created_at=call.created_at, decide_by_at=call.decide_by_at, run_by_at=call.run_by_at,
            attend_at=call.attend_at, binding=call.binding,
        )  # fmt: skip
        call.decisions.update(binding=call.binding)
    return call
