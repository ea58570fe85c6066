"""Conditions: what they may say, when they are true, and that whatever goes wrong holds."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.errors import InvalidInput
from approvals.policy import (
    LAST_RULE,
    Facts,
    History,
    Outcome,
    Rule,
    candidates,
    evaluate,
    history_wanted,
    load,
    stricter,
    to_sentence,
)
from approvals.policy.conditions import MAX_CHARACTERS, MAX_STEPS, Subject, compiled

ALLOW, HOLD, DENY = Outcome.ALLOW, Outcome.HOLD, Outcome.DENY
ARGUMENTS: dict[str, Any] = {
    "amount": 420, "rate": 5.5, "currency": "usd", "memo": None, "urgent": True, "note": "",
    "customer": {"name": "Zoë 😀", "country": "de", "limit": None},
    "items": [{"price": 3, "name": "a"}, {"price": 40, "name": "b"}],
    "tags": ["vip", "new"], "mixed": [1, "x"], "half": [{"price": 1}, {}], "empty": [],
    "a b": 1, "text5": "5",
}  # fmt: skip
REFUND = Facts(
    domain="billing", tool="billing__refund", effect="write", agent="support-bot",
    args=ARGUMENTS, acts_for="ann",
    # A Sunday; 23:30 there is 22:30 in UTC.
    now=datetime(2026, 11, 22, 23, 30, tzinfo=ZoneInfo("Europe/Berlin")),
    history=History({("calls_hour",): 3, ("calls_day",): 12, ("sum_day", "amount"): 90}),
)  # fmt: skip


def judged(text: str, facts: Facts = REFUND) -> bool | str:
    return compiled(text).judge(Subject(facts))


TRUE = [
    "args.amount > 400",
    "args.amount > 400.5 - 1.0",
    "args.rate > 5",
    'args.currency == "usd"',
    "args.currency in ['usd', 'eur']",
    "args.currency != 'eur' && args.amount >= 420",
    "args.amount > 5000 || args.urgent",
    "!(args.amount > 5000)",
    "args.urgent ? args.amount > 1 : args.amount > 1000",
    "(args.amount > 1) == true",
    "(args.urgent ? 5 : 6) < 6",
    'args.customer.country == "de"',
    'args["a b"] == 1',
    "args.items[1].price == 40",
    "args.items.exists(i, i.price > 30)",
    "args.items.all(i, i.price > 1 && i.name != 'c')",
    "!args.empty.exists(i, i > 1) && args.empty.all(i, i > 1)",
    "'vip' in args.tags",
    "'amount' in args && !('missing' in args)",
    "size(args.items) == 2 && args.tags.size() == 2",
    "args.customer.name == 'Zoë 😀' && args.customer.name.startsWith('Z')",
    "!has(args.missing) && has(args.amount)",
    "has(args.missing) ? args.missing > 1 : true",
    "!has(args.missing) || args.missing > 1",
    "args.amount + args.items[0].price == 423 && args.amount % 2 == 0 && -args.amount < 0",
    "double(args.amount) * 1.5 > 600.0",
    "int(args.text5) == 5",
    "tool == 'billing__refund' && effect == 'write' && domain == 'billing'",
    "agent == 'support-bot' && acts_for == 'ann'",
    "now.getHours() == 23 && now.getDayOfWeek() == 0 && now.getFullYear() == 2026",
    "now > timestamp('2026-11-22T22:29:00Z') && now - duration('1h') < now",
    "history.calls_hour == 3 && history.calls_day + 1 > 12",
    "history.sum_day.amount + args.amount > 500",
]


@pytest.mark.parametrize("text", TRUE)
def test_a_condition_is_true_of_a_call_or_its_opposite_is(text: str) -> None:
    assert judged(text) is True
    assert judged(f"!({text})") is False


# Beside what nobody can say stands why, or a part of it.
NOBODY_CAN_SAY = {
    "args.missing > 1": "args.missing is missing",
    # The library alone would call these three true.
    "args.missing > 1 || true": "args.missing is missing",
    "args.currency > 1 || true": "a text, not a number",
    "args.missing > 1 || has(args.missing) || true": "is not there",
    "true || args.missing > 1": "args.missing is missing",
    "false && args.missing > 1": "args.missing is missing",
    "args.urgent ? true : args.missing > 1": "args.missing is missing",
    "args.customer.street == 'x'": "args.customer.street is missing",
    "args.amount.unit == 'usd'": "args.amount.unit is missing",
    "args.items[7].price > 1": "args.items[7] is missing",
    'args["b a"] == 1': 'args["b a"] is missing',
    "args.memo == 'x'": "args.memo is null",
    "args.memo != 'x'": "args.memo is null",
    "has(args.memo)": "args.memo is null",
    "args.customer.limit > 1 || true": "args.customer.limit is null",
    "args.amount == '420'": "args.amount is a number, not a text",
    "args.amount != '420'": "args.amount is a number, not a text",
    "args.text5 == 5": "args.text5 is a text, not a number",
    "args.amount in ['420']": "a number, not a text",
    "args.urgent > 1": "true or false, not a number",
    "args.amount": "args.amount is a number, not true or false",
    "args.amount + args.amount": "neither true nor false",
    "args.customer": "an object, not true or false",
    "args.customer == 1": "an object, not a number",
    "args.half.exists(i, i.price == 1)": "args.half[*].price is missing",
    "args.half.exists(i, i.price > 5 || true)": "args.half[*].price is missing",
    "args.mixed.exists(i, i == 1)": "args.mixed[*] is a text, not a number",
    "1 in args.mixed": "args.mixed[*] is a text, not a number",
    "args.amount.exists(i, i > 1)": "args.amount is a number, not a list",
    "args.amount / 0 == 1": "divides by zero",
    "args.amount * 9223372036854775807 > 1": "too large",
    "args.amount * 1.5 > 600.0": "values of different kinds",
    "timestamp(args.currency) > now": "cannot be used",
    "int(args.currency) == 5": "cannot be used",
    "history.sum_hour.amount > 1": "what this agent did before is not known",
}


@pytest.mark.parametrize("text", list(NOBODY_CAN_SAY))
def test_what_nobody_can_say_is_neither_true_nor_false_and_says_why(text: str) -> None:
    for one in (text, f"!({text})"):
        answer = judged(one)
        assert isinstance(answer, str)
        assert NOBODY_CAN_SAY[text] in answer


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"args": None}, "arguments are not known"),
        ({"now": None}, "time is not known"),
        ({"now": datetime(2026, 11, 22)}, "time is not known"),  # noqa: DTZ001 - the mistake
        ({"args": {"amount": {1, 2}}}, "a list, not a number"),
    ],
)
def test_facts_that_are_not_known_or_cannot_be_used_hold(changes: dict[str, Any], why: str) -> None:
    answer = judged("args.amount > 1 && now.getHours() > 1", replace(REFUND, **changes))

    assert isinstance(answer, str)
    assert why in answer


REFUSED = {
    "": "its end where a value",
    "args.amount >": "its end where a value",
    "args.amount > 5 5": "nothing more",
    "amount > 5": "uses the name “amount”",
    "args.a > settings.b": "uses the name “settings”",
    "args.items.exists(i, i.price > j)": "uses the name “j”",
    "tool.name == 'x'": "has no members",
    "args.amount > 'x' - 'y'": "counts with a text",
    "1 > 2 > 3": "two sides",
    "'a' == 5": "a text and a number",
    "now > 5": "a time and a number",
    "args.a == 1 || args.a == 'x'": "as a number and as a text",
    "args.a in ['x', 1]": "as a text and as a number",
    "args.amount == null": "null",
    "args.amount + 1": "is a number where true or false",
    "'x'": "is a text where true or false",
    "args.a > 1 ? 5 : true": "is a number where true or false",
    "args.x.exists(i, i.y.exists(j, j > 1))": "within another",
    "args.x.exists(args, args > 1)": "a name already",
    "[1, 2].exists(i, i > 1)": "only on a list of the arguments",
    "args.x.exists(i, i > args.y)": "only at the item itself",
    "args.x.map(i, i) == [1]": "map(…), which conditions do not have",
    "args.x.filter(i, i > 1) == [1]": "filter(…), which",
    "args.x.matches('(a+)+b')": "patterns can burn time",
    "eval(args.x)": "eval(…), which",
    "args.x.substring(1) == 'a'": "substring(…), which",
    "size(args.a, args.b) > 1": "takes 1",
    "has(args)": "only of a member",
    "has(tool)": "only of a member",
    "(args.a || args.b) == true": "only between whole comparisons",
    "args.x.exists(i, i > 1) == true": "only between whole comparisons",
    "args[args.key] == 1": "fixed name or number",
    "args.x{a: 1}": "has “{”",
    "args.a == 5u": "5u",
    "args.a == r'x'": "r'x'",
    "args.a == b'x'": "b'x'",
    "args.a == 'a\\x41'": "write the character itself",
    "args.a == 'x": "has “'”",
    "args.a // comment": "a comment",
    "args.a > 99999999999999999999": "too large",
    "args.in == 1": "not CEL",
    "history.calls_week > 1": "may read of history",
    "history.sum_day > 1": "may read of history",
    "history.sum_day.a.b > 1": "may read of history",
    "args.s" + " + args.s" * 11 + " == 'x'": "more than 10 “+”",
    "(" * 30 + "true" + ")" * 30: "nested more than 20",
    "!" * 900 + "true": "twice",
    "[" * 400 + "]" * 400: "nested more than 20",
    "args.a == 'é' && ü": "has “ü”",
    "args.a > 1 " + " " * MAX_CHARACTERS: "at most 1000",
}


@pytest.mark.parametrize("text", list(REFUSED))
def test_what_conditions_may_not_say_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        compiled(text)

    assert REFUSED[text] in caught.value.message


def test_a_condition_may_have_a_thousand_characters_and_no_more() -> None:
    text = "args.currency != '" + "x" * (MAX_CHARACTERS - 19) + "'"

    assert len(text) == MAX_CHARACTERS
    assert judged(text) is True
    with pytest.raises(InvalidInput, match="1001 characters"):
        compiled(text + " ")


def test_a_condition_that_would_burn_time_holds_the_call_instead() -> None:
    many = replace(REFUND, args={"items": list(range(MAX_STEPS + 1)), "text": "x" * 30_000})

    assert judged("args.items.exists(i, i < 0)", many) == "it took too many steps"
    assert judged("args.items[0] == 0", many) is True


def test_all_rules_together_may_take_so_many_steps_and_then_hold() -> None:
    facts = replace(REFUND, args={"items": list(range(1_000))})
    burns = "args.items.exists(i, i < 0)"
    rules = [replace(allow("true"), name=f"rule {n}", condition=burns) for n in range(20)]

    ruled = evaluate(facts, [*rules, allow("true")])

    assert (ruled.outcome, "too many steps" in ruled.why) == (HOLD, True)


# -- which rule governs --------------------------------------------------------------------------


def allow(condition: str = "", **changes: Any) -> Rule:
    named = {"name": "small refunds", "tool": "billing__*", "condition": condition}
    return Rule(**{"position": 1, "outcome": ALLOW, **named, **changes})


def test_the_first_rule_whose_condition_is_true_decides() -> None:
    small, two = allow("args.amount <= 50"), Rule(2, "two", HOLD, quorum=2)

    assert evaluate(replace(REFUND, args={"amount": 50}), [small, two]).rule == small
    assert evaluate(replace(REFUND, args={"amount": 51}), [small, two]).rule == two
    assert evaluate(replace(REFUND, args={"amount": 51}), [small]).rule == LAST_RULE


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("later", list(Outcome))
def test_a_rule_that_cannot_be_judged_holds_whatever_it_does_and_whatever_comes_after(
    outcome: Outcome, later: Outcome
) -> None:
    unsure = allow("args.missing > 1", outcome=outcome, expires_seconds=60)

    ruled = evaluate(REFUND, [unsure, allow(outcome=later)])

    assert (ruled.outcome, ruled.rule, ruled.quorum, ruled.expires_seconds) == (HOLD, unsure, 1, 60)
    assert ruled.why == (
        "Rule “small refunds” has a condition that could not be judged: args.missing is missing."
    )


def test_leaving_an_argument_out_never_asks_fewer_people() -> None:
    small = allow("args.missing <= 50")
    two = Rule(2, "two", HOLD, quorum=2)

    assert evaluate(REFUND, [small, two]).quorum == 2
    assert evaluate(REFUND, [replace(small, outcome=HOLD, quorum=3), two]).quorum == 3
    assert evaluate(REFUND, [small, replace(two, condition="args.nor > 1")]).quorum == 2
    assert evaluate(REFUND, [small, replace(two, condition="false")]).quorum == 1


def test_a_call_that_was_let_through_does_not_survive_a_rule_nobody_can_judge() -> None:
    today = evaluate(REFUND, [allow("args.missing > 1")])

    assert stricter(today, approvals=0)
    assert not stricter(today, approvals=1)


def test_who_has_no_condition_does_not_pay_for_the_library() -> None:
    asked = (
        "import sys; from approvals.policy import SEED, Facts, evaluate;"
        "evaluate(Facts('d', 't', 'read', 'a'), SEED); sys.exit('cel' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_a_stored_condition_that_can_no_longer_be_read_holds() -> None:
    ruled = evaluate(REFUND, [allow("args.amount.frobnicate(5)"), allow()])

    assert (ruled.outcome, ruled.rule.name) == (HOLD, "small refunds")
    assert "frobnicate" in ruled.why


def test_what_may_govern_ends_with_the_first_rule_without_a_condition() -> None:
    one, other, rest = allow("args.a > 1"), allow("args.b > history.calls_day"), allow()
    elsewhere = allow("history.calls_hour > 1", tool="deploys__*")

    assert candidates(REFUND, [elsewhere, one, other, rest, one]) == (one, other, rest)
    assert candidates(REFUND, [one]) == (one, LAST_RULE)
    assert history_wanted(REFUND, [elsewhere, one]) == frozenset()
    assert history_wanted(REFUND, [one, other, rest]) == {("calls_day",)}


def test_a_rule_with_a_condition_reads_as_a_sentence() -> None:
    rule = replace(allow("args.amount > 5000"), outcome=HOLD, quorum=2, expires_seconds=1800)

    assert to_sentence(rule) == (
        "Hold billing__* where args.amount > 5000 for 2 approvers within 30 minutes"
    )
    assert to_sentence(allow("args.amount < 50")) == "Allow billing__* where args.amount < 50"


def test_a_condition_that_is_refused_refuses_the_file_with_its_place() -> None:
    good, bad = ({"outcome": "hold", "condition": text} for text in ("args.a > 1", "args.a >"))

    assert load({"rules": [good]})[0].condition == "args.a > 1"
    for condition in ("", None, 5, "args.a\n> 1", "args.a >"):
        with pytest.raises(InvalidInput) as caught:
            load({"rules": [good, {**bad, "condition": condition}]})
        assert [problem["path"] for problem in caught.value.problems] == ["$.rules[1].condition"]


# -- properties ----------------------------------------------------------------------------------

_NAMES = ("a", "b", "c")
_values = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "é"]))
_arguments = st.dictionaries(st.sampled_from(_NAMES), _values)
_literals = st.sampled_from(["0", "1", "-2", "1.5", "'x'", "true"])
_places = st.sampled_from([f"args.{name}" for name in _NAMES])
_sides = st.one_of(_literals, _places, st.tuples(_places, _literals).map(" + ".join))
_comparisons = st.tuples(_sides, st.sampled_from(["<", "==", "!=", ">="]), _sides).map(" ".join)
_atoms = st.one_of(_comparisons, st.sampled_from(["true", "false"]), _places)
_texts = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, inner, inner).map(lambda three: "({}) ? ({}) : ({})".format(*three)),
    ),
    max_leaves=8,
)


@settings(max_examples=250, deadline=None)
@given(text=_texts, arguments=_arguments)
def test_where_everything_is_there_the_library_says_the_same_of_the_whole(
    text: str, arguments: dict[str, Any]
) -> None:
    """The tree is ours; that it groups as CEL does is shown by the library itself."""
    import cel

    try:
        condition = compiled(text)
    except InvalidInput:
        return
    answer = condition.judge(Subject(replace(REFUND, args=arguments)))

    if isinstance(answer, bool):
        assert cel.compile(text).execute({"args": arguments}) is answer


@settings(max_examples=250, deadline=None)
@given(text=_texts, arguments=_arguments)
def test_an_error_never_allows(text: str, arguments: dict[str, Any]) -> None:
    """Nothing passes unless the condition is true and every argument it names is there."""
    try:
        compiled(text)
    except InvalidInput:
        return
    ruled = evaluate(replace(REFUND, args=arguments), [allow(text), Rule(2, "rest", DENY)])

    named = [name for name in _NAMES if f"args.{name}" in text]
    if any(arguments.get(name) is None for name in named):
        assert (ruled.outcome, ruled.rule.name) == (HOLD, "small refunds")
    if ruled.outcome == ALLOW:
        assert ruled.why == ""
        assert evaluate(replace(REFUND, args={}), [allow(text)]).outcome == (
            HOLD if named else ALLOW
        )


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="args.abc()[]!&|<>=+-*/?:,'\"01 inhas\\é{}", max_size=60))
def test_any_text_is_refused_or_judged_without_breaking(text: str) -> None:
    try:
        condition = compiled(text)
    except InvalidInput:
        return
    assert isinstance(condition.judge(Subject(REFUND)), bool | str)


def test_conditions_ask_by_the_hours_of_the_installation_also_when_clocks_are_set() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for moment, hour in (("2026-03-29T00:59:59", 1), ("2026-03-29T01:00:00", 3)):
        now = datetime.fromisoformat(moment).replace(tzinfo=UTC).astimezone(zone)
        assert judged(f"now.getHours() == {hour}", replace(REFUND, now=now)) is True
