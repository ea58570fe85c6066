"""Rules in words."""

from approvals.phrases import Phrase, phrase, phrases
from approvals.policy import budgets
from approvals.policy.rules import Effect, Outcome, Rule
from approvals.policy.stages import Stage


def to_sentence(rule: Rule) -> Phrase:
    """Return a rule in words: "Hold billing__refund for 2 approvers within 30 minutes"."""
    subject = to_clause(rule)
    if rule.outcome == Outcome.ALLOW:
        return phrase("Allow %(calls)s", calls=subject)
    if rule.outcome == Outcome.DENY:
        return phrase("Deny %(calls)s", calls=subject)
    return phrase("Hold %(calls)s", calls=subject)


def to_clause(rule: Rule) -> Phrase:
    """Return a rule without its verb, which a page may show apart."""
    subject = to_subject(rule)
    if rule.agent:
        subject = phrase("%(calls)s by %(agent)s", calls=subject, agent=rule.agent)
    if rule.domain:
        subject = phrase("%(calls)s in %(domain)s", calls=subject, domain=rule.domain)
    if rule.condition:
        # CEL, as it was written: it is what decides, in any language.
        subject = phrase("%(calls)s where %(condition)s", calls=subject, condition=rule.condition)
    if rule.budget:
        most = budgets.in_words(rule.budget)
        return phrase("%(calls)s, up to %(budget)s", calls=subject, budget=most)
    if rule.outcome != Outcome.HOLD:
        return subject
    span = to_span(rule.expires_seconds)
    return _refined(
        rule,
        phrase(
            "%(calls)s for %(people)s within %(time)s",
            calls=subject,
            people=to_people(rule),
            time=span,
        ),
    )


def to_people(rule: Rule) -> Phrase:
    """Return who a hold rule asks, before more words: "2 of Finance, then 1 of Owners,"."""
    people = to_stages(rule)
    return phrase("%(people)s,", people=people) if len(rule.stages) > 1 else people


def to_stages(rule: Rule) -> Phrase:
    """Return who a hold rule asks: "2 approvers", or "2 of Finance, then 1 of Owners"."""
    if not rule.stages:
        return phrases(
            "%(number)s approver", "%(number)s approvers", rule.quorum, number=rule.quorum
        )
    first, *others = (to_stage(stage) for stage in rule.stages)
    for other in others:
        first = phrase("%(people)s, then %(others)s", people=first, others=other)
    return first


def to_stage(stage: Stage) -> Phrase:
    """Return one stage in words: "2 of Finance"."""
    return phrase("%(number)s of %(group)s", number=stage.quorum, group=stage.group)


def _refined(rule: Rule, sentence: Phrase) -> Phrase:
    """Return the sentence with what a rule says beyond who and how long."""
    if rule.deny_quorum > 1:
        sentence = phrase(
            "%(sentence)s, rejected by %(number)s", sentence=sentence, number=rule.deny_quorum
        )
    if rule.escalate_to:
        sentence = phrase(
            "%(sentence)s, also %(group)s after %(share)s %% of the time",
            sentence=sentence,
            group=rule.escalate_to,
            share=rule.escalate_after,
        )
    return phrase("%(sentence)s, with four eyes", sentence=sentence) if rule.four_eyes else sentence


def to_subject(rule: Rule) -> Phrase:
    """Return what a rule is about, without conditions: “writes through billing__*”."""
    is_allow = rule.outcome == Outcome.ALLOW
    if not rule.effect and not rule.tool:
        return phrase("reads") if is_allow else phrase("everything")
    if not rule.effect:
        return Phrase(rule.tool)
    words = (_ALLOWED if is_allow else _CAUGHT)[Effect(rule.effect)]
    return phrase("%(calls)s through %(tool)s", calls=words, tool=rule.tool) if rule.tool else words


_ALLOWED = {
    Effect.READ: phrase("reads"),
    Effect.WRITE: phrase("writes"),
    Effect.DESTRUCTIVE: phrase("destructive calls"),
    Effect.UNREVIEWED: phrase("calls of unreviewed tools"),
    Effect.CHANGED: phrase("calls of changed tools"),
}
_CAUGHT = _ALLOWED | {
    Effect.WRITE: phrase("writes and unreviewed calls"),
    Effect.DESTRUCTIVE: phrase("destructive calls and unreviewed calls"),
}


def to_span(seconds: int) -> Phrase:
    """Return how long people have, in words: “30 minutes”."""
    # At least two of a larger unit: "60 minutes" compares better with "90 minutes" than "1 hour".
    if seconds % 86400 == 0 and seconds >= 2 * 86400:
        return phrase("%(days)s days", days=seconds // 86400)
    if seconds % 3600 == 0 and seconds >= 2 * 3600:
        return phrase("%(hours)s hours", hours=seconds // 3600)
    if seconds % 60 == 0:
        minutes = seconds // 60
        return phrases("%(minutes)s minute", "%(minutes)s minutes", minutes, minutes=minutes)
    return phrase("%(seconds)s seconds", seconds=seconds)
