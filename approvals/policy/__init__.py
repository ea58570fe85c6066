"""Pure: which rule governs a call, and how a file of rules is read; anybody may call it.

Hold by default. Only a tool that a person reviewed, and that is still what was reviewed, can pass
without being asked about: an unreviewed or changed tool counts as a write that no rule can allow.
"""

from approvals.policy.budgets import Budget
from approvals.policy.judging import Ruling, beyond, evaluate, held, stricter
from approvals.policy.reading import EXPIRES_SECONDS, MAX_QUORUM, MAX_RULES, load
from approvals.policy.rules import LAST_RULE, SEED, Effect, Facts, Outcome, Rule
from approvals.policy.sentences import to_clause, to_sentence

__all__ = [
    "EXPIRES_SECONDS",
    "LAST_RULE",
    "MAX_QUORUM",
    "MAX_RULES",
    "SEED",
    "Budget",
    "Effect",
    "Facts",
    "Outcome",
    "Rule",
    "Ruling",
    "beyond",
    "evaluate",
    "held",
    "load",
    "stricter",
    "to_clause",
    "to_sentence",
]
