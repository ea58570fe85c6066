"""Pure: which rule governs a call, and how a file of rules is read; anybody may call it.

Hold by default. Only a tool that a person reviewed, and that is still what was reviewed, can pass
without being asked about: an unreviewed or changed tool counts as a write that no rule can allow.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from approvals.canonical import digest_of, path_of
from approvals.errors import InvalidInput
from approvals.phrases import Phrase, phrase, phrases

MAX_RULES = 1_000
MAX_QUORUM = 20
EXPIRES_SECONDS = (10, 7 * 24 * 3600)


class Effect(StrEnum):
    """What a tool does, as a person reviewed it, or why nobody can say."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"
    UNREVIEWED = "unreviewed"  # nobody has looked at it
    CHANGED = "changed"  # it is no longer what somebody looked at


class Outcome(StrEnum):
    """What a rule does with the calls it governs."""

    ALLOW = "allow"  # let it through, with the rule as its decision
    HOLD = "hold"  # ask people
    DENY = "deny"  # refuse it, with the rule's words


@dataclass(frozen=True)
class Facts:
    """What is known of a call before anybody decides; the seam for conditions on arguments."""

    domain: str
    tool: str  # as agents call it: <upstream>__<tool>
    effect: str  # any other word than Effect's counts as unreviewed
    agent: str


@dataclass(frozen=True)
class Rule:
    """One line of a policy; an empty domain, tool, effect or agent matches any."""

    position: int  # from 1; says nothing about what the rule does
    name: str
    outcome: Outcome
    domain: str = ""
    tool: str = ""  # glob over the exposed name: * ? [abc] [!abc]
    effect: str = ""
    agent: str = ""
    quorum: int = 1  # distinct approvals a held call needs
    expires_seconds: int = 3600  # people have this long to decide
    message: str = ""  # for people and, of a deny rule, for the agent

    def __post_init__(self) -> None:
        # Rules come back from JSON columns with their outcome as a bare word.
        object.__setattr__(self, "outcome", Outcome(self.outcome))

    def as_dict(self) -> dict[str, str | int]:
        """Return every field as JSON has them; `Rule(**rule.as_dict())` is the rule again."""
        return asdict(self) | {"outcome": self.outcome.value}

    def digest(self) -> str:
        """Return what a binding holds of a rule: all but its place among the others."""
        fields = self.as_dict()
        # A rule put in above this one must not void what waits under it.
        del fields["position"]
        return digest_of(fields)

    def matches(self, facts: Facts) -> bool:
        """Tell whether this rule governs a call that no rule before it does."""
        return (
            self.domain in ("", facts.domain)
            and self.agent in ("", facts.agent)
            and (not self.tool or fnmatchcase(facts.tool, self.tool))
            and (self._allows(facts) if self.outcome == Outcome.ALLOW else self._catches(facts))
        )

    def _allows(self, facts: Facts) -> bool:
        if facts.effect == Effect.READ:
            return self.effect in ("", Effect.READ)
        if facts.effect in (Effect.WRITE, Effect.DESTRUCTIVE):
            # A write passes only under a rule that names it: a bare "allow" means reads.
            return self.effect == facts.effect or (not self.effect and bool(self.tool))
        return False

    def _catches(self, facts: Facts) -> bool:
        if self.effect in ("", facts.effect):
            return True
        # Unknown means write: what holds writes must not let an unreviewed one slip past it.
        is_unknown = facts.effect not in (Effect.READ, Effect.WRITE, Effect.DESTRUCTIVE)
        return is_unknown and self.effect in (Effect.WRITE, Effect.DESTRUCTIVE)


@dataclass(frozen=True)
class Ruling:
    """What the policy says about one call, and by which rule."""

    rule: Rule
    outcome: Outcome
    quorum: int  # approvals needed: 0 unless the outcome is hold
    expires_seconds: int
    message: str


LAST_RULE = Rule(position=1, name="hold by default", outcome=Outcome.HOLD)
SEED = (
    Rule(position=1, name="allow reads", outcome=Outcome.ALLOW, effect=Effect.READ),
    replace(LAST_RULE, position=2),
)


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
    subject = _subject(rule)
    if rule.agent:
        subject = phrase("%(calls)s by %(agent)s", calls=subject, agent=rule.agent)
    if rule.domain:
        subject = phrase("%(calls)s in %(domain)s", calls=subject, domain=rule.domain)
    if rule.outcome != Outcome.HOLD:
        return subject
    people = phrases("%(number)s approver", "%(number)s approvers", rule.quorum, number=rule.quorum)
    span = _span(rule.expires_seconds)
    return phrase(
        "%(calls)s for %(people)s within %(time)s", calls=subject, people=people, time=span
    )


def _subject(rule: Rule) -> Phrase:
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


def _span(seconds: int) -> Phrase:
    # At least two of a larger unit: "60 minutes" compares better with "90 minutes" than "1 hour".
    if seconds % 86400 == 0 and seconds >= 2 * 86400:
        return phrase("%(days)s days", days=seconds // 86400)
    if seconds % 3600 == 0 and seconds >= 2 * 3600:
        return phrase("%(hours)s hours", hours=seconds // 3600)
    if seconds % 60 == 0:
        minutes = seconds // 60
        return phrases("%(minutes)s minute", "%(minutes)s minutes", minutes, minutes=minutes)
    return phrase("%(seconds)s seconds", seconds=seconds)


# -- reading a file ------------------------------------------------------------------------------

# Says what is wrong with a field's value; None when nothing is.
_Test = Callable[[object], str | None]


def load(document: object) -> tuple[Rule, ...]:
    """Return the rules of a parsed file in order, with the rule that cannot be removed as the last.

    Args:
        document: {"rules": [{"outcome": "hold", …}, …]}; a key that is left out matches anything.

    Raises:
        InvalidInput: with every place that is wrong; no rule of such a file is used.
    """
    items = _items(document)
    problems: list[dict[str, str]] = []
    read = [_rule(position, item, problems) for position, item in enumerate(items, 1)]
    rules = [rule for rule in read if rule]
    problems += _repeated_names(rules)
    if problems:
        raise InvalidInput(problems=problems)
    return (*rules, replace(LAST_RULE, position=len(rules) + 1))


def _items(document: object) -> list[object]:
    if not isinstance(document, dict):
        raise InvalidInput('must be an object: {"rules": [...]}', path="$")
    if unknown := sorted(str(key) for key in document if key != "rules"):
        raise InvalidInput(problems=[_problem([key], "unknown key") for key in unknown])
    items = document.get("rules")
    if not isinstance(items, list):
        raise InvalidInput("must be a list of rules", path="$.rules")
    if len(items) > MAX_RULES:
        raise InvalidInput(f"{len(items)} rules; at most {MAX_RULES}", path="$.rules")
    return items


def _rule(position: int, item: object, problems: list[dict[str, str]]) -> Rule | None:
    """Return the rule an item stands for; what is wrong with it goes to `problems`."""
    place = ("rules", position - 1)
    if not isinstance(item, dict):
        problems.append(_problem(place, "must be an object"))
        return None
    fields: dict[str, Any] = {str(key): value for key, value in item.items()}
    found = [] if "outcome" in fields else [_problem((*place, "outcome"), "is required")]
    for key, value in fields.items():
        test = _TESTS.get(key)
        if wrong := "unknown key" if test is None else test(value):
            found.append(_problem((*place, key), wrong))
    problems += found or _never_applies(fields, place)
    named: dict[str, Any] = {"position": position, "name": f"rule {position}"}
    return None if found else Rule(**(named | fields))


def _never_applies(fields: dict[str, Any], place: Iterable[str | int]) -> list[dict[str, str]]:
    effect = fields.get("effect")
    if fields["outcome"] == Outcome.ALLOW and effect in (Effect.UNREVIEWED, Effect.CHANGED):
        wrong = f"an allow rule never applies to a tool that is {effect}"
        return [_problem((*place, "effect"), wrong)]
    return []


def _repeated_names(rules: Iterable[Rule]) -> list[dict[str, str]]:
    problems = []
    owners = {LAST_RULE.name: "the last rule, which is always there"}
    for rule in rules:
        if rule.name in owners:
            wrong = f"“{rule.name}” is the name of {owners[rule.name]}"
            problems.append(_problem(("rules", rule.position - 1, "name"), wrong))
        owners.setdefault(rule.name, f"rule {rule.position}")
    return problems


def _problem(keys: Iterable[str | int], message: str) -> dict[str, str]:
    return {"path": path_of(keys), "message": message}


def _text(longest: int) -> _Test:
    def test(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be text"
        if len(value) > longest:
            return f"has {len(value)} characters; at most {longest}"
        return None if value.isprintable() else "has a character that cannot be seen"

    return test


def _name(pattern: str, words: str) -> _Test:
    def test(value: object) -> str | None:
        if isinstance(value, str) and not value:
            # An empty value, left behind by a template perhaps, must not come to mean "any".
            return "is empty; leave the key out to match anything"
        wrong = _text(200)(value)
        return wrong or (None if re.fullmatch(pattern, str(value)) else f"must be {words}")

    return test


def _one_of(words: type[StrEnum]) -> _Test:
    def test(value: object) -> str | None:
        known = [word.value for word in words]
        return None if value in known else f"must be one of {', '.join(known)}"

    return test


def _whole(low: int, high: int) -> _Test:
    def test(value: object) -> str | None:
        # In Python, true is an int.
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return f"must be a whole number from {low} to {high}"

    return test


_TESTS: dict[str, _Test] = {
    "name": _name(r".{1,100}", "at most 100 characters"),
    "domain": _name(r"[a-z][a-z0-9-]{1,30}", "the name of a domain"),
    "tool": _name(
        r"[A-Za-z0-9_*?!\[\]-]+",
        "a pattern over <upstream>__<tool>, such as billing__*",
    ),
    "effect": _one_of(Effect),
    "agent": _name(r"[a-z0-9][a-z0-9._-]{0,63}", "the name of an agent"),
    "outcome": _one_of(Outcome),
    "quorum": _whole(1, MAX_QUORUM),
    "expires_seconds": _whole(*EXPIRES_SECONDS),
    "message": _text(500),
}
