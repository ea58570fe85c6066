"""Pure: what an agent is told of whom its held call asks: numbers and groups, never a person."""

from typing import Any

from approvals.models import Decision, ToolCall


def approvals(call: ToolCall) -> dict[str, Any]:
    """Return how far a held call is.

    Args:
        call: with its decisions loaded where it has any.
    """
    verdicts = [decision.verdict for decision in call.decisions.all()] if call.version > 1 else []
    facts: dict[str, Any] = {
        "signed": verdicts.count(Decision.Verdict.APPROVE),
        "needed": call.quorum,
        "rejections": verdicts.count(Decision.Verdict.REJECT),
        "deny_quorum": call.rule.get("deny_quorum", 1),
    }
    if groups := [group for group in (call.asked_group, call.escalated_to) if group]:
        facts["waiting_for"] = list(dict.fromkeys(groups))
    if call.is_out_of_reach:
        facts["out_of_reach"] = True
    return facts


def is_more_than_one(call: ToolCall) -> bool:
    """Tell whether a call asks for more than the signature of any one approver."""
    return call.quorum > 1 or bool(call.asked_group)


def in_words(call: ToolCall) -> str:
    """Return it as "1 of 3 signed; waiting for Finance"."""
    facts = approvals(call)
    words = f"{facts['signed']} of {facts['needed']} signed"
    if "waiting_for" in facts:
        words += f"; waiting for {' or '.join(facts['waiting_for'])}"
    if facts["rejections"]:
        words += f"; {facts['rejections']} of the {facts['deny_quorum']} noes that would end it"
    return words
