"""What the REST interface says of what was stored as JSON: arguments, results, rules."""

import json
import re
from typing import Any

from approvals import policy
from approvals.models import ToolCall

# In a list, a longer result is left out: fifty of them would be fifty megabytes.
SHORT_RESULT_BYTES = 16 * 1024

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def stored(body: bytes | memoryview | None) -> Any:
    """Return the JSON value of stored bytes; None when there are none."""
    if body is None:
        return None
    value = json.loads(bytes(body))
    if _SURROGATE.search(bytes(body)):
        # An upstream may have written half a character, which no answer of ours can carry.
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def outcome(call: ToolCall) -> str | None:
    """Return how a dispatched call ended: succeeded, failed or unknown; None while nobody knows."""
    ends = (ToolCall.Status.SUCCEEDED, ToolCall.Status.FAILED, ToolCall.Status.UNKNOWN)
    return str(call.status) if call.status in ends else None


def stages(call: ToolCall) -> list[dict[str, object]]:
    """Return the stages of the governing rule, and how many have signed in each."""
    approved = [one.stage for one in call.decisions.all() if one.verdict == "approve"]
    return [
        {"group": stage.group, "quorum": stage.quorum, "signed": approved.count(number)}
        for number, stage in enumerate(policy.Rule(**call.rule).stages, 1)
    ]


def deny_quorum(call: ToolCall) -> int:
    """Return how many noes end a call."""
    return policy.Rule(**call.rule).deny_quorum
