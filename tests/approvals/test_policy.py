"""Promises of `approvals.policy`: which rule governs a call, and which files of rules are read."""

import json
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

from approvals.errors import InvalidInput
from approvals.policy import (
    LAST_RULE,
    SEED,
    Budget,
    Effect,
    Facts,
    Outcome,
    Rule,
    Ruling,
    evaluate,
    load,
    stricter,
    to_sentence,
)

ALLOW, HOLD, DENY = Outcome.ALLOW, Outcome.HOLD, Outcome.DENY
READ, WRITE, DESTRUCTIVE, UNREVIEWED, CHANGED = Effect
REVIEWED = {READ, WRITE, DESTRUCTIVE}
REFUND = Facts(domain="billing", tool="billing__refund", effect=WRITE, agent="support-bot")


def rule(outcome: Outcome, **fields: Any) -> Rule:
    """Return a rule that says only what the test is about."""
    return Rule(position=1, name="tested", outcome=outcome, **fields)


def governs(tested: Rule, facts: Facts) -> bool:
    """Tell whether the rule decides, rather than the one that is always last."""
    return evaluate(facts, [tested]).rule == tested


# What each rule governs, by the call's effect. The first column is the rule: outcome, stated
# effect, whether it states a tool.
GOVERNED = {
    (ALLOW, "", False): {READ},
    (ALLOW, "", True): {READ, WRITE, DESTRUCTIVE},
    (ALLOW, READ, False): {READ},
    (ALLOW, READ, True): {READ},
    (ALLOW, WRITE, False): {WRITE},
    (ALLOW, WRITE, True): {WRITE},
    (ALLOW, DESTRUCTIVE, False): {DESTRUCTIVE},
    (ALLOW, DESTRUCTIVE, True): {DESTRUCTIVE},
    (ALLOW, UNREVIEWED, False): set(),
    (ALLOW, UNREVIEWED, True): set(),
    (ALLOW, CHANGED, False): set(),
    (ALLOW, CHANGED, True): set(),
} | {
    (outcome, effect, names_tool): governed
    for outcome, names_tool in product((HOLD, DENY), (False, True))
    for effect, governed in {
        "": set(Effect),
        READ: {READ},
        WRITE: {WRITE, UNREVIEWED, CHANGED},
        DESTRUCTIVE: {DESTRUCTIVE, UNREVIEWED, CHANGED},
        UNREVIEWED: {UNREVIEWED},
        CHANGED: {CHANGED},
    }.items()
}


def test_the_table_names_every_kind_of_rule() -> None:
    assert set(GOVERNED) == set(product(Outcome, ["", *Effect], (False, True)))


@pytest.mark.parametrize(("outcome", "effect", "names_tool"), list(GOVERNED))
@pytest.mark.parametrize("actual", list(Effect))
def test_a_rule_governs_the_effects_of_the_table_and_no_other(
    outcome: Outcome, effect: str, names_tool: bool, actual: Effect
) -> None:
    tested = rule(outcome, effect=effect, tool="billing__*" if names_tool else "")

    ruling = evaluate(replace(REFUND, effect=actual), [tested])

    if actual in GOVERNED[outcome, effect, names_tool]:
        assert (ruling.rule, ruling.outcome) == (tested, outcome)
    else:
        assert (ruling.rule, ruling.outcome, ruling.quorum) == (LAST_RULE, HOLD, 1)


@pytest.mark.parametrize("effect", ["", "READ", "reed", "unknown"])
def test_an_effect_nobody_has_heard_of_counts_as_unreviewed(effect: str) -> None:
    facts = replace(REFUND, effect=effect)

    assert not governs(rule(ALLOW, tool="billing__refund"), facts)
    assert governs(rule(DENY, effect=WRITE), facts)
    assert not governs(rule(DENY, effect=READ), facts)


@pytest.mark.parametrize(
    ("pattern", "tool", "is_match"),
    [
        ("billing__refund", "billing__refund", True),
        ("billing__refund", "billing__refund_all", False),
        ("billing__refund", "xbilling__refund", False),
        ("billing__*", "billing__refund", True),
        ("billing__*", "billing_refund", False),
        ("*__refund", "billing__refund", True),
        ("*", "billing__refund", True),
        ("billing__refun?", "billing__refund", True),
        ("billing__refund?", "billing__refund", False),
        ("billing__[rc]*", "billing__credit_note", True),
        ("billing__[!r]*", "billing__refund", False),
        ("Billing__*", "billing__refund", False),
        ("billing__.*", "billing__refund", False),
    ],
)
def test_a_tool_pattern_is_a_glob_over_the_whole_exposed_name(
    pattern: str, tool: str, is_match: bool
) -> None:
    assert governs(rule(HOLD, tool=pattern), replace(REFUND, tool=tool)) is is_match


@pytest.mark.parametrize(
    ("stated", "is_match"),
    [
        ({}, True),
        ({"domain": "billing"}, True),
        ({"domain": "deploys"}, False),
        ({"domain": "bill"}, False),
        # Only the tool is a pattern.
        ({"domain": "bill*"}, False),
        ({"agent": "support-bot"}, True),
        ({"agent": "support-*"}, False),
        ({"domain": "billing", "agent": "other"}, False),
        ({"domain": "billing", "agent": "support-bot", "tool": "*refund", "effect": WRITE}, True),
        ({"domain": "billing", "agent": "support-bot", "tool": "*refund", "effect": READ}, False),
    ],
)
@pytest.mark.parametrize("outcome", [HOLD, DENY])
def test_a_rule_matches_when_everything_it_states_does(
    outcome: Outcome, stated: dict[str, str], is_match: bool
) -> None:
    assert governs(rule(outcome, **stated), REFUND) is is_match


def test_the_first_rule_that_matches_decides() -> None:
    first = rule(HOLD, tool="billing__refund", quorum=2, expires_seconds=1800, message="Look.")
    rules = [rule(DENY, agent="other"), first, rule(DENY), rule(ALLOW, tool="*")]

    assert evaluate(REFUND, rules) == Ruling(first, HOLD, 2, 1800, "Look.")


def test_a_deny_after_a_skipped_allow_still_denies() -> None:
    facts = replace(REFUND, effect=CHANGED)

    assert evaluate(facts, [rule(ALLOW, tool="billing__refund"), rule(DENY)]).outcome == DENY


@pytest.mark.parametrize("rules", [[], SEED[:1], SEED, [LAST_RULE, rule(ALLOW, tool="*")]])
@pytest.mark.parametrize("effect", [WRITE, DESTRUCTIVE, UNREVIEWED, CHANGED])
def test_what_no_rule_names_is_held_for_one_approver_for_an_hour(
    rules: list[Rule], effect: str
) -> None:
    ruling = evaluate(replace(REFUND, effect=effect), rules)

    assert (ruling.outcome, ruling.quorum, ruling.expires_seconds) == (HOLD, 1, 3600)
    assert ruling.rule.name == "hold by default"


def test_the_seed_lets_reviewed_reads_through() -> None:
    ruling = evaluate(replace(REFUND, effect=READ), SEED)

    assert (ruling.outcome, ruling.quorum) == (ALLOW, 0)


def test_without_rules_even_a_read_is_held() -> None:
    assert evaluate(replace(REFUND, effect=READ), []).outcome == HOLD


def test_only_a_hold_asks_for_approvals() -> None:
    assert evaluate(REFUND, [rule(ALLOW, tool="*", quorum=3)]).quorum == 0
    assert evaluate(REFUND, [rule(DENY, quorum=3)]).quorum == 0
    assert evaluate(REFUND, [rule(HOLD, quorum=3)]).quorum == 3


def test_a_refusal_always_has_words() -> None:
    assert evaluate(REFUND, [rule(DENY, message="Ask finance.")]).message == "Ask finance."
    assert "tested" in evaluate(REFUND, [rule(DENY)]).message


@pytest.mark.parametrize(
    ("today", "approvals", "is_stricter"),
    [
        (rule(DENY), 0, True),
        (rule(DENY), 20, True),
        # Admitted by an allow rule that is gone since.
        (rule(HOLD), 0, True),
        (rule(HOLD), 1, False),
        (rule(HOLD, quorum=2), 1, True),
        (rule(HOLD, quorum=2), 2, False),
        (rule(HOLD, quorum=2), 3, False),
        (rule(ALLOW, tool="*"), 0, False),
        (rule(ALLOW, tool="*", quorum=5), 0, False),
    ],
)
def test_an_approval_stands_unless_today_asks_for_more(
    today: Rule, approvals: int, is_stricter: bool
) -> None:
    assert stricter(evaluate(REFUND, [today]), approvals=approvals) is is_stricter


# -- what a rule is as data ----------------------------------------------------------------------

OTHER: dict[str, Any] = {
    "name": "other",
    "outcome": DENY,
    "domain": "deploys",
    "tool": "x__*",
    "effect": READ,
    "agent": "other",
    "quorum": 2,
    "expires_seconds": 60,
    "message": "No.",
    "comment": "Since May.",
    "condition": "args.amount > 5",
    "budget": Budget("agent", "day", 500, "amount", "USD:minor"),
    "stages": ({"group": "Finance", "quorum": 2},),
}


@pytest.mark.parametrize("field", [field.name for field in fields(Rule)])
def test_a_rules_digest_covers_all_of_what_it_does(field: str) -> None:
    before = rule(HOLD)
    after = replace(before, **{field: OTHER.get(field, 7)})

    assert (before.digest() == after.digest()) is (field in ("position", "comment"))


def test_a_rule_survives_being_stored_as_json() -> None:
    whole = Rule(position=3, **OTHER)

    stored = json.loads(json.dumps(whole.as_dict()))

    assert Rule(**stored) == whole
    assert isinstance(Rule(**stored).outcome, Outcome)
    assert Rule(**stored).digest() == whole.digest()


def test_a_rule_with_an_outcome_nobody_knows_cannot_be_made() -> None:
    permit: dict[str, Any] = {"outcome": "permit"}

    with pytest.raises(ValueError, match="permit"):
        Rule(**(LAST_RULE.as_dict() | permit))


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        (
            rule(HOLD, tool="billing__refund", quorum=2, expires_seconds=1800),
            "Hold billing__refund for 2 approvers within 30 minutes",
        ),
        (LAST_RULE, "Hold everything for 1 approver within 60 minutes"),
        (SEED[0], "Allow reads"),
        # A bare allow covers reads only, and says so.
        (rule(ALLOW, domain="billing"), "Allow reads in billing"),
        (rule(ALLOW, tool="billing__refund", agent="bot"), "Allow billing__refund by bot"),
        (rule(ALLOW, effect=WRITE, tool="a__*"), "Allow writes through a__*"),
        (rule(ALLOW, effect=DESTRUCTIVE), "Allow destructive calls"),
        (rule(DENY, effect=WRITE), "Deny writes and unreviewed calls"),
        (rule(DENY, effect=DESTRUCTIVE), "Deny destructive calls and unreviewed calls"),
        (rule(DENY, effect=CHANGED, domain="x"), "Deny calls of changed tools in x"),
        (
            rule(HOLD, effect=UNREVIEWED, expires_seconds=60),
            "Hold calls of unreviewed tools for 1 approver within 1 minute",
        ),
        (rule(HOLD, expires_seconds=90), "Hold everything for 1 approver within 90 seconds"),
        (rule(HOLD, expires_seconds=7200), "Hold everything for 1 approver within 2 hours"),
        (rule(HOLD, expires_seconds=86400), "Hold everything for 1 approver within 24 hours"),
        (rule(HOLD, expires_seconds=604800), "Hold everything for 1 approver within 7 days"),
    ],
)
def test_a_rule_reads_as_a_sentence(tested: Rule, words: str) -> None:
    assert to_sentence(tested) == words


# -- reading a file ------------------------------------------------------------------------------


def refused(document: object) -> dict[str, str]:
    """Return what is wrong with a file: message by path."""
    with pytest.raises(InvalidInput) as caught:
        load(document)
    return {problem["path"]: problem["message"] for problem in caught.value.problems}


def test_a_file_becomes_rules_in_its_order_with_the_last_one_after_them() -> None:
    whole: dict[str, Any] = {
        "name": "refunds",
        "domain": "billing",
        "tool": "billing__refund*",
        "effect": "write",
        "agent": "support-bot",
        "outcome": "hold",
        "quorum": 2,
        "expires_seconds": 1800,
        "message": "Look at the invoice.",
    }

    rules = load({"rules": [whole, {"outcome": "deny"}]})

    assert rules == (
        Rule(position=1, **whole),
        Rule(position=2, name="rule 2", outcome=DENY),
        replace(LAST_RULE, position=3),
    )


def test_a_rule_keeps_the_digest_it_had_before_rules_knew_more() -> None:
    """Calls wait under digests of rules that were written before; a comment does nothing."""
    first = rule(HOLD, tool="billing__refund", quorum=2, expires_seconds=1800, message="Look.")
    known = replace(first, position=3, name="big refunds", domain="billing")

    digest = "09fce1fe226af686fb65eb8924a4e440b3751fe825615a1e98dc5a161453d1ee"
    assert known.digest() == replace(known, comment="Since May.").digest() == digest
    assert "comment" not in known.as_dict()


def test_an_empty_file_holds_everything() -> None:
    assert load({"rules": []}) == (LAST_RULE,)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], "$"),
        (None, "$"),
        ("rules", "$"),
        ({}, "$.rules"),
        ({"rules": {}}, "$.rules"),
        ({"rules": None}, "$.rules"),
        ({"rules": [], "version": 1}, "$.version"),
        ({"rules": [], "Rules": []}, "$.Rules"),
        ({"rules": [{"outcome": "deny"}] * 1_001}, "$.rules"),
        ({"rules": ["deny"]}, "$.rules[0]"),
        ({"rules": [{}]}, "$.rules[0].outcome"),
        ({"rules": [{"outcome": "hold"}, {"name": "x"}]}, "$.rules[1].outcome"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_the_place(document: object, path: str) -> None:
    assert list(refused(document)) == [path]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position", 1),
        ("Tool", "x"),
        ("condition", "amount > 10"),
        ("outcome", "permit"),
        ("outcome", "ALLOW"),
        ("outcome", None),
        ("outcome", ["hold"]),
        ("effect", "reads"),
        ("effect", ""),
        ("effect", None),
        ("name", ""),
        ("name", 7),
        ("name", "x" * 101),
        ("name", "a\u202eb"),
        ("name", "hold by default"),
        ("domain", ""),
        ("domain", "Billing"),
        ("domain", "bill*"),
        ("domain", "b"),
        ("domain", None),
        ("tool", ""),
        ("tool", ["billing__refund"]),
        ("tool", "billing refund"),
        ("tool", "billing__refund\n"),
        ("tool", "x" * 201),
        ("agent", ""),
        ("agent", "support*"),
        ("quorum", 0),
        ("quorum", -1),
        ("quorum", 21),
        ("quorum", True),
        ("quorum", 2.0),
        ("quorum", "2"),
        ("quorum", None),
        ("expires_seconds", 9),
        ("expires_seconds", 604_801),
        ("expires_seconds", "60"),
        ("expires_seconds", True),
        ("message", 5),
        ("message", "x" * 501),
        ("message", "hidden\u200b"),
    ],
)
def test_a_wrong_value_refuses_the_file_and_names_the_place(key: str, value: object) -> None:
    good = {"outcome": "hold"}

    assert list(refused({"rules": [good, good | {key: value}]})) == [f"$.rules[1].{key}"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quorum", 1),
        ("quorum", 20),
        ("expires_seconds", 10),
        ("expires_seconds", 604_800),
        ("name", "x" * 100),
        ("message", "x" * 500),
        ("message", ""),
        ("tool", "billing__[!a-c]*?"),
        *(("effect", effect) for effect in Effect),
    ],
)
def test_the_outermost_good_values_are_read(key: str, value: object) -> None:
    [loaded, _] = load({"rules": [{"outcome": "hold", key: value}]})

    assert getattr(loaded, key) == value


def test_every_wrong_place_is_named_at_once() -> None:
    wrong = refused({"rules": [{"outcome": "no", "quorum": 0}, {"outcome": "hold"}, 7, {"a.b": 1}]})

    assert list(wrong) == [
        "$.rules[0].outcome",
        "$.rules[0].quorum",
        "$.rules[2]",
        "$.rules[3].outcome",
        '$.rules[3]["a.b"]',
    ]


@pytest.mark.parametrize("effect", ["unreviewed", "changed"])
def test_a_rule_that_could_never_apply_is_refused(effect: str) -> None:
    wrong = refused({"rules": [{"outcome": "allow", "effect": effect}]})

    assert "never applies" in wrong["$.rules[0].effect"]


def test_two_rules_may_not_share_a_name_given_or_made() -> None:
    named = {"outcome": "hold", "name": "refunds"}

    assert refused({"rules": [named, named]}) == {
        "$.rules[1].name": "“refunds” is the name of rule 1"
    }
    assert list(refused({"rules": [named | {"name": "rule 2"}, {"outcome": "deny"}]})) == [
        "$.rules[1].name"
    ]


def test_a_thousand_rules_are_read() -> None:
    assert len(load({"rules": [{"outcome": "deny"}] * 1_000})) == 1_001
