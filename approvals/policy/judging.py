"""Which rule governs a call, and what that asks for."""

from collections.abc import Iterable
from dataclasses import dataclass

from approvals.policy.rules import LAST_RULE, Facts, Outcome, Rule


@dataclass(frozen=True)
class Ruling:
    """What the policy says about one call, and by which rule."""

    rule: Rule
    outcome: Outcome
    quorum: int  # approvals needed: 0 unless the outcome is hold
    expires_seconds: int
    message: str


def evaluate(facts: Facts, rules: Iterable[Rule]) -> Ruling:
    """Return the ruling of the first rule that matches, else hold for one approval.

    Rules come in order of precedence; a thousand at most, so a linear scan is enough.

    Source: issue 2, hold by default. MCP 2026-07-28 calls tool annotations hints that a client
        should not act on for an untrusted server, so they play no part here.
    """
    rule = next((rule for rule in rules if rule.matches(facts)), LAST_RULE)
    is_hold = rule.outcome == Outcome.HOLD
    words = rule.message
    if rule.outcome == Outcome.DENY and not words:
        words = f"The policy does not allow this call (rule “{rule.name}”)."
    return Ruling(rule, rule.outcome, rule.quorum if is_hold else 0, rule.expires_seconds, words)


def stricter(now: Ruling, *, approvals: int) -> bool:
    """Tell whether today's ruling stands in the way of a call that was approved under another.

    Approvals are the distinct people whose approval of this very binding is recorded; 0 for a call
    that an allow rule admitted, which therefore does not survive a hold.
    """
    return now.outcome == Outcome.DENY or now.quorum > approvals
