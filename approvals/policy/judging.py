"""Which rule governs a call, and what that asks for."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from approvals.errors import InvalidInput
from approvals.policy.conditions import Subject, compiled
from approvals.policy.rules import LAST_RULE, Facts, Outcome, Rule
from approvals.policy.stages import Signed, Stage


@dataclass(frozen=True)
class Ruling:
    """What the policy says about one call, and by which rule."""

    rule: Rule
    outcome: Outcome
    quorum: int  # approvals needed: 0 unless the outcome is hold
    expires_seconds: int
    message: str
    why: str = ""  # a sentence: why a rule that does something else, or nothing, holds the call
    may_pass: bool = False  # a rule that allows had a part in it, so a freeze has one too


def evaluate(facts: Facts, rules: Iterable[Rule]) -> Ruling:
    """Return the ruling of the first rule that matches and whose condition, if any, is true.

    Where nobody can say whether a condition is true, its rule holds the call: no rule after it is
    asked whether the call may pass, only whether more people should be. An argument left out must
    neither let a call through nor make it cheaper.

    Rules come in order of precedence; a thousand at most, so a linear scan is enough. Nothing that
    matches: hold for one approval.

    Source: issue 2, hold by default; issue 5, an error holds. MCP 2026-07-28 calls tool annotations
        hints that a client should not act on for an untrusted server, so they play no part here.
    """
    return first_true(facts, (rule for rule in rules if rule.matches(facts)))


def first_true(facts: Facts, matching: Iterable[Rule]) -> Ruling:
    """Return the same of rules that match the call, all of them."""
    subject = Subject(facts)
    unjudged: Ruling | None = None
    for rule in matching:
        answer = judged(rule, subject)
        if answer is False:
            continue
        if answer is True:
            return _beside(unjudged, _by(rule))
        unjudged = _beside(unjudged, _unsure(rule, answer))
    return _beside(unjudged, _by(LAST_RULE))


def candidates(facts: Facts, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules that may govern such calls, whatever their arguments, in order.

    The last of them has no condition and no budget: what it says is certain where it is the only
    one.
    """
    found = []
    for rule in rules:
        if rule.matches(facts):
            found.append(rule)
            if not rule.condition and rule.budget is None:
                return tuple(found)
    return (*found, LAST_RULE)


def history_wanted(facts: Facts, rules: Iterable[Rule]) -> frozenset[tuple[str, ...]]:
    """Return what the conditions that may judge such calls read of `history`."""
    wanted: set[tuple[str, ...]] = set()
    for rule in candidates(facts, rules):
        if "history" in rule.condition:
            with suppress(InvalidInput):  # the rule will hold the call
                wanted |= compiled(rule.condition).reading.history
    return frozenset(wanted)


def prepare(rules: Iterable[Rule]) -> None:
    """Compile the conditions of rules ahead of the first call, which need not wait for it then."""
    for rule in rules:
        if rule.condition:
            with suppress(InvalidInput):
                compiled(rule.condition)


def judged(rule: Rule, subject: Subject) -> bool | str:
    """Return whether a rule's condition is true of a call, or in words why nobody can say."""
    if not rule.condition:
        return True
    try:
        return compiled(rule.condition).judge(subject)
    except InvalidInput as error:
        # It was read when it was loaded, by an older version perhaps.
        return f"it {error.message}"


def sayings(rule: Rule) -> tuple[Ruling, ...]:
    """Return what a rule says of a call: where it governs, and where it cannot be judged."""
    return (_by(rule), _unsure(rule, "")) if rule.condition else (_by(rule),)


def _by(rule: Rule) -> Ruling:
    words = rule.message
    if rule.outcome == Outcome.DENY and not words:
        words = f"The policy does not allow this call (rule “{rule.name}”)."
    quorum = rule.quorum if rule.outcome == Outcome.HOLD else 0
    may_pass = rule.outcome == Outcome.ALLOW
    return Ruling(rule, rule.outcome, quorum, rule.expires_seconds, words, may_pass=may_pass)


def _unsure(rule: Rule, why: str) -> Ruling:
    """Return the ruling of a rule that could not be judged: whatever it does, it holds."""
    is_hold = rule.outcome == Outcome.HOLD
    why = f"Rule “{rule.name}” has a condition that could not be judged: {why}."
    quorum = max(1, rule.quorum if is_hold else 1)
    words, may_pass = rule.message if is_hold else "", rule.outcome == Outcome.ALLOW
    return Ruling(rule, Outcome.HOLD, quorum, rule.expires_seconds, words, why, may_pass)


def _beside(unjudged: Ruling | None, ruling: Ruling) -> Ruling:
    return _together(unjudged, ruling) if unjudged else ruling


def _together(ruling: Ruling, other: Ruling) -> Ruling:
    """Return a ruling that asks for what both ask for: every stage of either, and as many people.

    Its rule is the first, with the stages, noes and eyes of the second where those ask for more.
    """
    quorum, rule, also = max(ruling.quorum, other.quorum), ruling.rule, other.rule
    stages = _every_stage(rule, also, quorum)
    quorum = sum(stage.quorum for stage in stages) or quorum
    changes: dict[str, object] = {
        "stages": stages,
        "deny_quorum": min(rule.deny_quorum, also.deny_quorum),
        "four_eyes": rule.four_eyes or also.four_eyes,
    }
    if also.stages and also.escalate_to != rule.escalate_to:
        # Whom only one of them escalates to would sign for the groups of the other.
        changes |= {"escalate_to": "", "escalate_after": LAST_RULE.escalate_after}
    elif also.escalate_to:
        changes["escalate_after"] = max(rule.escalate_after, also.escalate_after)
    if any(getattr(rule, key) != value for key, value in changes.items()):
        rule = replace(rule, **changes)  # type: ignore[arg-type]  # each as its field has it
    may_pass = ruling.may_pass or other.may_pass
    return replace(ruling, rule=rule, quorum=quorum, may_pass=may_pass)


def _every_stage(rule: Rule, also: Rule, quorum: int) -> tuple[Stage, ...]:
    """Return the stages of two rules, those of the same group as one, for at least so many."""
    wanted: dict[str, int] = {}
    for stage in (*rule.stages, *also.stages):
        wanted[stage.group] = max(stage.quorum, wanted.get(stage.group, 0))
    if wanted:
        wanted[next(reversed(wanted))] += max(0, quorum - sum(wanted.values()))
    return tuple(Stage(group, number) for group, number in wanted.items())


def held(ruled: Ruling, why: str) -> Ruling:
    """Return an allow as the hold that it becomes: people are asked instead of the rule."""
    quorum = max(1, ruled.rule.quorum)
    return replace(ruled, outcome=Outcome.HOLD, quorum=quorum, why=why)


def beyond(ruled: Ruling, facts: Facts, rules: Iterable[Rule], why: str) -> Ruling:
    """Return what becomes of an allow that its rule cannot give, never looser than a hold.

    The next rule that fits says how, unless it allows as well or is the last. One that asks for
    less in any respect is asked beside the rule's own hold, and not instead of it.
    """
    own = held(ruled, why)
    rest = [rule for rule in rules if rule.position > ruled.rule.position]
    following = evaluate(facts, rest)
    if following.outcome == Outcome.DENY:
        return following
    if following.outcome == Outcome.ALLOW or following.rule.name == LAST_RULE.name:
        return own
    # Where that one could not be judged, it has a reason of its own.
    why = f"{why} {following.why}" if following.why else why
    if not _asks_as_much(following, own):
        return replace(_together(own, following), why=why)
    return replace(following, why=why, may_pass=True)


def _asks_as_much(ruling: Ruling, as_other: Ruling) -> bool:
    """Tell whether a hold asks for as many people as another, of each of its groups too."""
    rule, other = ruling.rule, as_other.rule
    asked = {stage.group: stage.quorum for stage in rule.stages}
    return (
        ruling.quorum >= as_other.quorum
        and all(asked.get(stage.group, 0) >= stage.quorum for stage in other.stages)
        and (rule.four_eyes or not other.four_eyes)
    )


def frozen(ruled: Ruling, groups: Sequence[str], why: str) -> Ruling:
    """Return a ruling as freezes leave it: what a rule lets through is held.

    Whatever else is asked of a call that a rule may let through, going beyond its budget or leaving
    an argument out must not spare it the groups that freezes name.

    Args:
        groups: each is asked for one approval, in a stage of its own; none: any approver is.
    """
    if ruled.outcome == Outcome.DENY or not ruled.may_pass:
        return ruled
    if ruled.outcome == Outcome.ALLOW:
        ruled = held(ruled, why)
    elif not groups:
        return ruled
    else:
        ruled = replace(ruled, why=f"{ruled.why} {why}".strip())
    asked = replace(LAST_RULE, stages=tuple(Stage(group) for group in dict.fromkeys(groups)))
    freeze = Ruling(asked, Outcome.HOLD, asked.quorum, ruled.expires_seconds, "")
    return _together(ruled, freeze)


def stricter(now: Ruling, *, approvals: int, signed: Signed | None = None) -> bool:
    """Tell whether today's ruling stands in the way of a call that was approved under another.

    Each stage of today must have been signed by as many in a stage of that group; in which order
    they were asked does not matter. Who signed under a rule without stages signed for no group.

    Args:
        approvals: the distinct people whose approval of this very binding is recorded; 0 for a
            call that an allow rule admitted, which therefore does not survive a hold.
        signed: what else is recorded of their decisions.
    """
    signed, rule = signed or Signed(), now.rule
    if now.outcome != Outcome.HOLD:
        return now.outcome == Outcome.DENY
    return (
        now.quorum > approvals
        or any(signed.by_group.get(stage.group, 0) < stage.quorum for stage in rule.stages)
        or signed.rejections >= rule.deny_quorum
        or (rule.four_eyes and signed.by_theirs)
    )
