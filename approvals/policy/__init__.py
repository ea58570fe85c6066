"""Pure: which rule governs a call, and how a file of rules is read; anybody may call it.

Hold by default. Only a tool that a person reviewed, and that is still what was reviewed, can pass
without being asked about: an unreviewed or changed tool counts as a write that no rule can allow.
"""

from approvals.policy.budgets import Budget
from approvals.policy.differing import Difference, Kind, difference
from approvals.policy.indexing import Index
from approvals.policy.judging import (
    Ruling,
    beyond,
    candidates,
    evaluate,
    frozen,
    held,
    history_wanted,
    prepare,
    stricter,
)
from approvals.policy.reading import (
    EXPIRES_SECONDS,
    GROUP_NAME,
    GROUP_WORDS,
    MAX_QUORUM,
    MAX_RULES,
    load,
)
from approvals.policy.rules import LAST_RULE, SEED, Effect, Facts, History, Outcome, Rule
from approvals.policy.sentences import to_clause, to_sentence, to_stage
from approvals.policy.stages import REMIND_AT, Signed, Stage, can_be_filled, turn
from approvals.policy.writing import dump

__all__ = [
    "EXPIRES_SECONDS",
    "GROUP_NAME",
    "GROUP_WORDS",
    "LAST_RULE",
    "MAX_QUORUM",
    "MAX_RULES",
    "REMIND_AT",
    "SEED",
    "Budget",
    "Difference",
    "Effect",
    "Facts",
    "History",
    "Index",
    "Kind",
    "Outcome",
    "Rule",
    "Ruling",
    "Signed",
    "Stage",
    "beyond",
    "can_be_filled",
    "candidates",
    "difference",
    "dump",
    "evaluate",
    "frozen",
    "held",
    "history_wanted",
    "load",
    "prepare",
    "stricter",
    "to_clause",
    "to_sentence",
    "to_stage",
    "turn",
]
