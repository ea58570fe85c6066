"""Compares the rows of one call with what its events add up to; only `verify` calls it."""

import json
from collections.abc import Iterator, Mapping

from approvals import canonical
from approvals.audit.replay import Moves, Signature, Story
from approvals.models import AgentKey, Decision, ToolCall

_LONGEST = 60  # characters of a value in a message


def differences(call: ToolCall, story: Story, moves: Moves) -> Iterator[str]:
    """Yield in words what the rows of a call say otherwise than its events do.

    Columns of operation (leases, parking, who is connected) have no events and are not compared.
    """
    yield from _unlike(_asked(call, story), story.facts)
    yield from _unlike(_moved(call), _told(story, moves))
    if call.tool.upstream_id != call.upstream_id:
        yield "its tool belongs to another upstream"
    yield from _decisions(call, story)
    yield from _dispatch(call, story)


def _unlike(row: Mapping[str, object], told: Mapping[str, object]) -> Iterator[str]:
    for name, value in row.items():
        other = told.get(name)
        # In Python True equals 1; in JSON it does not.
        if type(value) is not type(other) or value != other:
            yield f"{name} is {_short(value)} in the row, but {_short(other)} in the events"


def _asked(call: ToolCall, story: Story) -> dict[str, object]:
    """Return what never changes, as the first event names it."""
    arguments_digest = canonical.digest(bytes(call.arguments))
    if arguments_digest != call.arguments_digest:
        arguments_digest = f"{arguments_digest} of bytes, and {call.arguments_digest!r}"
    # An event says nothing of it where there is nothing to say.
    because = {"held_because": call.held_because} if _has_reason(call, story) else {}
    return because | {
        "agent": call.agent.name,
        "key": _key(call, story),
        "owner": call.owner.get_username(),
        "acts_for": call.acts_for.get_username(),
        "claimed_acts_for": call.claimed_acts_for,
        "domain": call.domain.name,
        "upstream": call.upstream.name,
        "upstream_address": call.upstream_address,
        "upstream_tool": call.tool.name,
        "credential_ref": call.credential_ref,
        "tool": call.tool_name,
        "effect": call.effect,
        "definition_digest": call.definition_digest,
        "arguments_digest": arguments_digest,
        "sentence": call.sentence,
        "supersedes": str(call.supersedes_id or ""),
        "policy_version": call.policy_version,
        "rule": call.rule,
        "rule_digest": call.rule_digest,
        "quorum": call.quorum,
        "four_eyes": call.four_eyes,
        "binding": call.binding,
        "decide_by_at": canonical.rfc3339(call.decide_by_at),
        "run_by_at": canonical.rfc3339(call.run_by_at),
        "idempotency_key": call.idempotency_key,
    }


def _has_reason(call: ToolCall, story: Story) -> bool:
    return call.held_because != "" or "held_because" in story.facts


def _key(call: ToolCall, story: Story) -> object:
    """Return the prefix of the call's key; what the events say where that key was deleted since."""
    if call.key is not None:
        return call.key.prefix
    told = story.facts.get("key")
    return "" if AgentKey.objects.filter(prefix=told).exists() else told


def _moved(call: ToolCall) -> dict[str, object]:
    """Return what moves change."""
    return {
        "status": call.status,
        "version": call.version,
        "created_at": call.created_at,
        "moved_at": call.moved_at,
        "settled_at": call.settled_at,
        "status_reason": call.status_reason,
        "fence": call.fence,
        "failure_kind": call.failure_kind,
        "result_digest": call.result_digest,
        "result_is_cut": call.result_is_cut,
        "stage": call.stage,
        "asked_group": call.asked_group,
        "escalated_to": call.escalated_to,
        "reminders": call.reminders,
        "is_out_of_reach": call.is_out_of_reach,
        "result": "" if call.result is None else canonical.digest(bytes(call.result)),
    }


def _told(story: Story, moves: Moves) -> dict[str, object]:
    """Return what the columns of `_moved` must be."""
    return {
        "status": story.status,
        "version": story.version,
        "created_at": story.began_at,
        "moved_at": story.moved_at,
        "settled_at": None if story.status in moves else story.moved_at,
        "status_reason": story.reason[:1000],
        "fence": story.claims,
        "failure_kind": story.ended.get("failure_kind", ""),
        "result_digest": story.ended.get("result_digest", ""),
        "result_is_cut": story.ended.get("result_is_cut", False),
        "stage": story.stage,
        "asked_group": story.asked_group,
        "escalated_to": story.escalated_to,
        "reminders": story.reminders,
        "is_out_of_reach": story.is_out_of_reach,
        "result": story.ended.get("kept_digest", ""),
    }


def _decisions(call: ToolCall, story: Story) -> Iterator[str]:
    unmatched = dict(story.signatures)
    for decision in call.decisions.all():
        name = decision.approver.get_username()
        told = unmatched.pop(name, None)
        if told is None:
            yield f"the decision of {name} has no event"
            continue
        if told != _signature(decision):
            yield f"the decision of {name} is not the one in its event"
        copied = (decision.owner_id, decision.acts_for_id, decision.four_eyes)
        if copied != (call.owner_id, call.acts_for_id, call.four_eyes):
            yield f"the decision of {name} copies another owner, acts_for or four_eyes"
    for name in unmatched:
        yield f"the events have a decision of {name}, but its row is missing"


def _signature(decision: Decision) -> Signature:
    return Signature(
        decision.verdict, decision.reason, decision.binding, decision.assurance, decision.at,
        decision.stage,
    )  # fmt: skip


def _dispatch(call: ToolCall, story: Story) -> Iterator[str]:
    dispatch, sent = getattr(call, "dispatch", None), story.sent
    if dispatch is None and sent is None:
        return
    if dispatch is None:
        yield "the events have a dispatch, but its row is missing"
    elif sent is None:
        yield "its dispatch has no event"
    else:
        row = {name: getattr(dispatch, name) for name in sent.__slots__}
        row["answer_by_at"] = canonical.rfc3339(dispatch.answer_by_at)
        told = {name: getattr(sent, name) for name in sent.__slots__}
        yield from (f"dispatch: {difference}" for difference in _unlike(row, told))


def _short(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
