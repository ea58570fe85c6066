"""What the trail says of a call, and whether anything of a call changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from approvals import canonical
from approvals.models import AuditEvent, Decision, Dispatch, ToolCall


def codes(call: ToolCall) -> list[str]:
    """Return what happened to a call, in order, without the prefix all codes have."""
    return [event.code.removeprefix("call.") for event in _events(call)]


def last(call: ToolCall) -> AuditEvent:
    """Return the newest event of a call."""
    return _events(call)[-1]


def facts(event: AuditEvent) -> dict[str, Any]:
    """Return what an event says."""
    read: Any = canonical.parse(bytes(event.data), limits=canonical.DEFINITION)
    return dict(read)


def snapshot(call: ToolCall) -> object:
    """Return everything that is recorded of a call; two that are equal mean nothing happened."""
    rows = ToolCall.objects.filter(pk=call.pk).values().get()
    decisions = list(Decision.objects.filter(call=call).order_by("pk").values())
    dispatches = list(Dispatch.objects.filter(call=call).values())
    return rows, decisions, dispatches, [event.pk for event in _events(call)]


@contextmanager
def nothing_changes(call: ToolCall) -> Iterator[None]:
    """Expect the block to leave the call, its decisions, its dispatch and its events alone."""
    before = snapshot(call)
    yield
    assert snapshot(call) == before


def _events(call: ToolCall) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(stream=f"call:{call.pk}").order_by("seq"))
