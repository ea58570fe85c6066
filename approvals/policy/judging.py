"""Which rule governs a call, and what that asks for."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from approvals.policy.rules import LAST_RULE, Facts, Outcome, Rule


@dataclass(frozen=True)
class Ruling:
    """What the policy says about one call, and by which rule."""

    rule: Rule
    outcome: Outcome
    quorum: int  # approvals needed: 0 unless the outcome is hold
    expires_seconds: int
    message: str
    why: str = ""  # why it is held although the rule allows it: a phrase; empty where it is not so


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


def held(ruled: Ruling, why: str) -> Ruling:
    """Return an allow as the hold that it becomes: people are asked instead of the rule."""
    quorum = max(1, ruled.rule.quorum)
    return replace(ruled, outcome=Outcome.HOLD, quorum=quorum, why=why)


def beyond(ruled: Ruling, facts: Facts, rules: Iterable[Rule], why: str) -> Ruling:
    """Return what becomes of an allow that its rule cannot give, never looser than a hold.

    The next rule that fits says how, unless it allows as well, is the last, or asks fewer people.
    """
    own = held(ruled, why)
    rest = [rule for rule in rules if rule.position > ruled.rule.position]
    following = evaluate(facts, rest)
    if following.outcome == Outcome.DENY:
        return following
    is_looser = following.outcome == Outcome.ALLOW or following.quorum < own.quorum
    return (
        own if is_looser or following.rule.name == LAST_RULE.name else replace(following, why=why)
    )


def stricter(now: Ruling, *, approvals: int) -> bool:
    """Tell whether today's ruling stands in the way of a call that was approved under another.

    Approvals are the distinct people whose approval of this very binding is recorded; 0 for a call
    that an allow rule admitted, which therefore does not survive a hold.
    """
    return now.outcome == Outcome.DENY or now.quorum > approvals
