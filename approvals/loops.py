"""What an agent asks again after a person said no: answered from that decision, and counted.

For a while (`COOL_DOWN_SECONDS`) nobody is asked a second time, under whatever idempotency key.
Only `submission` calls this.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F

from approvals import observations
from approvals.models import Agent, Tool, ToolCall


def rejected_lately(agent: Agent, tool: Tool, digest: str, now: datetime) -> ToolCall | None:
    """Return the identical call of the agent that was rejected last, if its cool-down still runs.

    Args:
        digest: of the arguments: hex.
    """
    same = ToolCall.objects.select_related("agent", "domain", "upstream", "tool").filter(
        agent=agent,
        tool=tool,
        arguments_digest=digest,
        status=ToolCall.Status.REJECTED,
        settled_at__gt=now - timedelta(seconds=settings.COOL_DOWN_SECONDS),
    )
    return same.order_by("-settled_at").first()


def is_known(call: ToolCall) -> bool:
    """Tell whether the agent that asks the same again had been told that it was rejected."""
    return call.status == ToolCall.Status.REJECTED and call.answer_delivered_at is not None


def count(call: ToolCall) -> None:
    """Count one repeat of a rejected call, in the open transaction; the trail has a sample."""
    ToolCall.objects.filter(pk=call.pk).update(repeats=F("repeats") + 1)
    why = f"asked again what was rejected: {call.status_reason}"
    transaction.on_commit(
        lambda: observations.refused(
            agent=call.agent.name, kind="rejected", tool=call.tool_name, why=why, call=str(call.pk)
        ),
        robust=True,
    )
