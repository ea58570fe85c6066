"""A rule in the parts that a page shows: “billing · create_refund · amount over $50.00”.

Parts are phrases. What the rule names are their values, which pages make bold, but for arguments
(`Word`) and CEL (`Code`).
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from approvals.phrases import Code, Phrase, Word, joined, phrase
from approvals.policy import budgets, clauses, fields
from approvals.policy.clauses import Clause, Comparison, Keys
from approvals.policy.fields import Money
from approvals.policy.rules import LAST_RULE, Outcome, Rule
from approvals.policy.sentences import to_span, to_stages, to_subject

UnitOf = Callable[[Keys], Money | None]

_COMPARED: Final = {
    Comparison.OVER: phrase("%(name)s over %(value)s"),
    Comparison.AT_MOST: phrase("%(name)s at most %(value)s"),
    Comparison.AT_LEAST: phrase("%(name)s at least %(value)s"),
    Comparison.UNDER: phrase("%(name)s under %(value)s"),
    Comparison.IS: phrase("%(name)s is %(value)s"),
    Comparison.IS_NOT: phrase("%(name)s is not %(value)s"),
    Comparison.ONE_OF: phrase("%(name)s is one of %(value)s"),
    Comparison.STARTS: phrase("%(name)s starts with %(value)s"),
    Comparison.ENDS: phrase("%(name)s ends with %(value)s"),
    Comparison.CONTAINS: phrase("%(name)s contains %(value)s"),
    Comparison.MORE_THAN: phrase("more than %(value)s in %(name)s"),
    Comparison.GIVEN: phrase("with %(name)s"),
    Comparison.NOT_GIVEN: phrase("without %(name)s"),
}


def subject(rule: Rule, unit_of: UnitOf) -> list[str]:
    """Return which calls a rule is about, without its verb and without what then happens.

    A part that is no phrase, or a phrase without values, is a name as a whole.
    """
    parts = [*_whose(rule), *_where(rule, unit_of)]
    if rule.budget:
        parts.append(phrase("up to %(budget)s", budget=budgets.in_words(rule.budget)))
    return parts


def then(rule: Rule) -> Phrase:
    """Return what becomes of those calls; empty where the verb says it all."""
    if rule.outcome == Outcome.HOLD:
        return joined(", ", _asked(rule))
    if rule.outcome == Outcome.ALLOW and rule.budget:
        return phrase("past that, the next rule that fits")
    if rule.outcome == Outcome.DENY and rule.message:
        return phrase("the agent is told: %(message)s", message=rule.message)
    return Phrase()


def _whose(rule: Rule) -> Iterable[str]:
    if rule.name == LAST_RULE.name:
        yield phrase("everything else")
        return
    if rule.domain:
        yield rule.domain
    if rule.tool and not rule.effect:
        yield _short(rule)
    else:
        yield to_subject(rule)
    if rule.agent:
        yield phrase("by %(agent)s", agent=rule.agent)


def _short(rule: Rule) -> str:
    """Return a tool without the server's name where that is the domain's, which is told already."""
    name = rule.tool.removeprefix(f"{rule.domain}__")
    return name if rule.domain and re.fullmatch(r"\w+", name) else rule.tool


def _where(rule: Rule, unit_of: UnitOf) -> Iterable[Phrase]:
    said, rest = clauses.split(rule.condition)
    for clause in said:
        yield _clause(clause, unit_of(clause.keys))
    if rest:
        yield phrase("where %(condition)s", condition=Code(rest))


def _clause(clause: Clause, unit: Money | None) -> Phrase:
    name = Word(".".join(clause.keys))
    message, value = _COMPARED[clause.comparison], fields.written(clause, unit=unit)
    return message.filled(name=name, value=value) if value else message.filled(name=name)


def _asked(rule: Rule) -> Iterable[Phrase]:
    yield to_stages(rule)
    yield to_span(rule.expires_seconds)
    if rule.escalate_to:
        yield phrase(
            "after %(share)s %% of it also %(group)s",
            share=rule.escalate_after, group=rule.escalate_to,
        )  # fmt: skip
    if rule.deny_quorum > 1:
        yield phrase("%(number)s noes reject", number=rule.deny_quorum)
    if rule.four_eyes:
        yield phrase("never the agent’s owner")
    yield phrase("then it expires")
