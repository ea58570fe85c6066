"""Pure: what an agent is told, as the JSON objects of `tools/call` results.

Rows, relayed results and errors go in, dicts come out; the paths of calls and the Tasks extension
use it. Words here are read by models, so they say what happened, what did not, and what to do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mcp_types.methods import serialize_server_result
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError

from approvals.canonical import rfc3339
from approvals.errors import ApprovalsError
from approvals.lifecycle import ANSWERED
from approvals.models import ToolCall
from mcp_bridge.agents import asking

S = ToolCall.Status
Result = dict[str, Any]

PROVENANCE = "countersign/provenance"
# Reserved for the protocol: what the upstream stamped there speaks of the upstream's connection.
_PROTOCOL_META = "io.modelcontextprotocol/"

_SHOWN = 2_000  # characters of an answer that is no tool result
_OUT_OF_REACH = (
    " Not enough people are left to approve it: unless somebody joins them, it can only expire."
)
_AGAIN_SECONDS = ((300, 5), (3600, 15), (float("inf"), 60))  # age below → ask again after


@dataclass(frozen=True)
class Provenance:
    """Where an answer comes from; what is not known stays empty and is left out."""

    tool: str
    at: datetime
    call_id: str = ""
    read_id: str = ""
    upstream: str = ""
    definition_digest: str = ""
    domain: str = ""
    decided_by: str = ""  # "rule:<name>" or "role:approver of <domain>"
    stream: str = ""
    number: int = 0

    def as_dict(self) -> Result:
        """Return the JSON object under `_meta`."""
        audit: Result = {"stream": self.stream}
        if self.number:
            audit["number"] = self.number
        told = {
            "call_id": self.call_id,
            "read_id": self.read_id,
            "upstream": self.upstream,
            "tool": self.tool,
            "definition_digest": self.definition_digest,
            "domain": self.domain,
            "decided_by": self.decided_by,
            "audit": audit if self.stream else "",
            "at": rfc3339(self.at),
        }
        return {key: value for key, value in told.items() if value}


def of_call(call: ToolCall, at: datetime) -> Provenance:
    """Return where an answer about a call comes from, and the newest event in its stream."""
    return Provenance(
        tool=call.tool_name,
        at=at,
        call_id=str(call.pk),
        upstream=call.upstream.name,
        definition_digest=call.definition_digest,
        domain=call.domain.name,
        decided_by=_decided_by(call),
        stream=f"call:{call.pk}",
        # Every version of a call has its one event, so they count alike.
        number=call.version,
    )


def relayed(result: Mapping[str, Any], provenance: Provenance) -> Result:
    """Return an upstream's own result, with our provenance in place of its protocol stamps."""
    meta = result.get("_meta") or {}
    kept = {key: value for key, value in meta.items() if not key.startswith(_PROTOCOL_META)}
    return {
        "content": [],
        **result,
        "resultType": "complete",
        "_meta": kept | {PROVENANCE: provenance.as_dict()},
    }


def is_relayable(result: Mapping[str, Any]) -> bool:
    """Return whether clients will know what to make of an upstream's result."""
    complete = {"content": [], **result, "resultType": "complete"}
    try:
        understood = serialize_server_result("tools/call", LATEST_MODERN_VERSION, complete)
    except ValidationError:
        return False
    # What is no tool result may still pass for the other answer there is, an empty wish for input.
    return "content" in understood


def refusal(error: ApprovalsError, provenance: Provenance) -> Result:
    """Return an error that the model can read and act on."""
    return told(error.message, error.as_dict(), provenance, is_error=True)


def told(
    text: str, structured: Mapping[str, Any], provenance: Provenance, *, is_error: bool
) -> Result:
    """Return words for the model, the same as structured content, and where they come from."""
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "structuredContent": dict(structured),
        "isError": is_error,
        "_meta": {PROVENANCE: provenance.as_dict()},
    }


def answer(call: ToolCall, *, public_url: str, at: datetime, joined: bool = False) -> Result:
    """Return how a call stands: its ticket, why it did not run, or the upstream's own result."""
    provenance = of_call(call, at)
    if call.status not in ANSWERED:
        return _ticket(call, public_url, provenance, joined)
    stored = None if call.result is None else json.loads(bytes(call.result))
    if stored is not None and is_relayable(stored):
        result = relayed(stored, provenance)
    elif call.status == S.SUCCEEDED:
        # Either no client could read it, or a person settled the call and it never came.
        said = f" It reads: {json.dumps(stored)[:_SHOWN]}" if stored is not None else ""
        text = (
            f"DONE, but there is no answer of the upstream to pass on. {call.status_reason}{said}"
        )
        result = told(text, _state(call), provenance, is_error=False)
    else:
        text, structured = _not_executed(call)
        if joined and call.repeats:
            again, counted = _asked_again(call, at)
            text, structured = f"{text} {again}", structured | counted
        result = told(text, structured, provenance, is_error=True)
    return result if not joined else _marked_as_joined(result)


def approval_url(call: ToolCall, public_url: str) -> str:
    """Return the page where people decide."""
    return f"{public_url}/calls/{call.pk}/"


def ask_again_seconds(call: ToolCall, at: datetime) -> int:
    """Return when it makes sense to look again: the older the call, the later."""
    age = (at - call.created_at).total_seconds()
    return next(seconds for below, seconds in _AGAIN_SECONDS if age < below)


def how_it_stands(call: ToolCall, public_url: str) -> str:
    """Return one or two sentences about a call that is not answered yet."""
    if call.status == S.PENDING:
        why = f" {call.held_because}" if call.held_because else ""
        is_more = asking.is_more_than_one(call)
        who, how_far = (
            ("People have", f": {asking.in_words(call)}") if is_more else ("A person has", "")
        )
        return (
            f"HELD: {call.sentence}. Nothing has been done.{why} {who} to approve it at"
            f" {approval_url(call, public_url)} by {_clock(call.decide_by_at)}{how_far}."
            f"{_OUT_OF_REACH if call.is_out_of_reach else ''}"
        )
    if call.status == S.DISPATCHED:
        return f"RUNNING: {call.sentence}. It is approved, and its outcome is not known yet."
    return f"APPROVED: {call.sentence}. It is about to run; nothing has been done yet."


def _ticket(call: ToolCall, public_url: str, provenance: Provenance, joined: bool) -> Result:
    joins = " You asked for the same before; this is that call's ticket." if joined else ""
    text = (
        f"{how_it_stands(call, public_url)}{joins} Do not repeat the call."
        f' Call approval_status with ticket "{call.pk}" to learn how it ended.'
    )
    facts = {
        "ticket": str(call.pk),
        "state": call.status,
        "approval_url": approval_url(call, public_url),
        "expires_at": rfc3339(call.decide_by_at if call.status == S.PENDING else call.run_by_at),
        "retry_after_seconds": ask_again_seconds(call, provenance.at),
    }
    if call.status == S.PENDING:
        facts["approvals"] = asking.approvals(call)
        if call.held_because:
            facts["reason"] = call.held_because
    if joined:
        facts["deduplicated"] = True
    return told(text, facts, provenance, is_error=False)


def _marked_as_joined(result: Result) -> Result:
    """Say in `_meta` that this is the answer to an earlier, identical request."""
    meta = result["_meta"]
    provenance = meta[PROVENANCE] | {"deduplicated": True}
    return result | {"_meta": meta | {PROVENANCE: provenance}}


# How an unhappy end is told: its kind, whether asking again makes sense, and the words around the
# reason.
_ENDS: dict[str, tuple[str, bool, str, str]] = {
    S.REJECTED: (
        "rejected", False,
        "NOT EXECUTED: a person rejected this call. Their reason: ",
        "Do not retry the same call.",
    ),
    S.EXPIRED: (
        "expired", False,
        "NOT EXECUTED: the call expired. ",
        "Do not retry the same call unless it is still wanted.",
    ),
    S.CANCELLED: (
        "cancelled", False,
        "NOT EXECUTED: the call was withdrawn. ",
        "Do not retry the same call.",
    ),
    S.VOID: (
        "void", True,
        "NOT EXECUTED: the call is void. ",
        "You may ask again: a new call is judged anew.",
    ),
    S.UNKNOWN: (
        "outcome_unknown", False,
        "OUTCOME UNKNOWN: it may have happened. ",
        "Do not retry. A person has to find out; approval_status tells the answer then.",
    ),
}  # fmt: skip
_FAILURES: dict[str, tuple[str, bool, str, str]] = {
    ToolCall.Failure.TOOL_ERROR: (
        "upstream_error", False, "The tool answered with an error: ", "",
    ),
    ToolCall.Failure.UPSTREAM_ERROR: (
        "upstream_error", False,
        "NOT EXECUTED: the upstream server refused the call: ", "",
    ),
    ToolCall.Failure.NOT_SENT: (
        "temporarily_unavailable", True,
        "NOT EXECUTED: the upstream server could not be reached. ",
        "You may ask again: a new call is judged anew.",
    ),
    ToolCall.Failure.NOT_RUN: (
        "upstream_error", True,
        "NOT EXECUTED: a person found that it did not run. ",
        "You may ask again: a new call is judged anew.",
    ),
}  # fmt: skip


def _not_executed(call: ToolCall) -> tuple[str, Result]:
    """Return the words and the facts of a call that did not end with a result."""
    ends = _FAILURES if call.status == S.FAILED else _ENDS
    key = call.failure_kind if call.status == S.FAILED else call.status
    kind, retryable, before, after = ends[key]
    text = " ".join(part for part in (f"{before}{call.status_reason}".strip(), after) if part)
    error = {"kind": kind, "message": text, "retryable": retryable, "call_id": str(call.pk)}
    return text, error | _state(call)


def _asked_again(call: ToolCall, at: datetime) -> tuple[str, Result]:
    """Return the words and the facts for an agent that asks again what a person rejected."""
    minutes = int((at - call.moved_at).total_seconds() // 60)
    ago = f"{minutes} minute{'' if minutes == 1 else 's'} ago" if minutes > 0 else "just now"
    times = "once" if call.repeats == 1 else f"{call.repeats} times"
    text = (
        f"This was rejected {ago}, by a person; you have asked for the same {times} since, and"
        " nobody was asked again. Ask for something else, or give up."
    )
    return text, {"repeats": call.repeats, "rejected_at": rfc3339(call.moved_at)}


def _state(call: ToolCall) -> Result:
    return {
        "state": call.status,
        "reason": call.status_reason,
        "decided_by_role": _role(call) if call.status == S.REJECTED else "",
        "call_id": str(call.pk),
    }


def _role(call: ToolCall) -> str:
    return f"approver of {call.domain.name}"


def _decided_by(call: ToolCall) -> str:
    """Return who let the call run or said no; empty while nobody has."""
    if call.status == S.REJECTED:
        return f"role:{_role(call)}"
    if call.quorum == 0:
        return f"rule:{call.rule['name']}"
    unsent_ends = (S.PENDING, S.EXPIRED, S.CANCELLED, S.VOID)
    return "" if call.status in unsent_ends else f"role:{_role(call)}"


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
