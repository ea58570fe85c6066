"""Keeps the row by which the history finds a call; the life cycle calls it with every change."""

from collections.abc import Iterable
from datetime import UTC

from approvals.models import Decision, HistoryRow, ToolCall

DIGEST_LENGTH = 20  # hex digits of a digest that can be searched for; pages show as many


def keep(call: ToolCall) -> None:
    """Write the row of a call as it is now, in the transaction that changed the call."""
    if call.version == 1:
        row_of(call, []).save(force_insert=True)
        return
    decisions = list(Decision.objects.filter(call=call.pk).select_related("approver"))
    HistoryRow.objects.filter(pk=call.pk).update(**_became(call, decisions))


def row_of(call: ToolCall, decisions: list[Decision]) -> HistoryRow:
    """Return the row of a call, unsaved."""
    return HistoryRow(call=call, **_asked(call), **_became(call, decisions))


def words_of(query: str) -> list[str]:
    """Return the words of a search as they are compared; a digest in groups of four is one."""
    text = query.replace("\0", "").lower()
    groups = text.split()
    if _are_groups(groups):
        groups = ["".join(groups)]
    return [word[:DIGEST_LENGTH] if _is_hex(word) else word for word in groups]


def _asked(call: ToolCall) -> dict[str, object]:
    people = dict.fromkeys((call.owner, call.acts_for))
    words = [
        call.sentence, call.held_because, call.tool_name, call.tool.title, call.agent.name,
        call.domain.name,
        *(f"{person.get_username()} {person}" for person in people), call.claimed_acts_for,
        str(call.pk), call.binding[:DIGEST_LENGTH], call.arguments_digest[:DIGEST_LENGTH],
    ]  # fmt: skip
    return {
        "created_at": call.created_at,
        "day": call.created_at.astimezone(UTC).date(),
        "domain_id": call.domain_id,
        "agent_id": call.agent_id,
        "owner_id": call.owner_id,
        "acts_for_id": call.acts_for_id,
        "tool_name": call.tool_name,
        "by_rule": call.quorum == 0,
        "text": _folded(words),
    }


def _became(call: ToolCall, decisions: list[Decision]) -> dict[str, object]:
    names = [decision.approver.get_username() for decision in decisions]
    deciders = f",{','.join(names)}," if names else ""
    if call.quorum == 0:
        deciders = f"rule:{call.rule.get('name', '')}"
    words = [f"{one.approver.get_username()} {one.approver} {one.reason}" for one in decisions]
    return {
        "status": call.status,
        "deciders": deciders,
        "decided_seconds": _decided_seconds(call, decisions),
        "said": _folded([*words, call.status_reason]),
    }


def _decided_seconds(call: ToolCall, decisions: list[Decision]) -> int | None:
    """Return how long people took, once they had decided; the clock and the agent decide nothing.

    Rejections decide when they reach the rule's deny quorum, approvals when they reach its quorum.
    """
    rejected = [one.at for one in decisions if one.verdict == Decision.Verdict.REJECT]
    approved = [one.at for one in decisions if one.verdict == Decision.Verdict.APPROVE]
    noes = call.rule.get("deny_quorum", 1)
    if len(rejected) < noes and not 0 < call.quorum <= len(approved):
        return None
    at = rejected[noes - 1] if len(rejected) >= noes else approved[call.quorum - 1]
    return max(0, int((at - call.created_at).total_seconds()))


def _folded(words: Iterable[str]) -> str:
    return "\n".join(word for word in words if word).lower()


def _are_groups(words: list[str]) -> bool:
    """Tell whether these are a digest as pages show it: groups of four, the last perhaps cut."""
    whole = "".join(words)
    has_digit = any(map(str.isdigit, whole))
    sizes = {len(word) for word in words[:-1]}
    return _is_hex(whole) and has_digit and sizes == {4} and len(words[-1]) <= 4


def _is_hex(word: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in word)
