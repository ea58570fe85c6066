"""Budgets as values: what a file may say of one, what a call takes of it, and from when to when."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from approvals.errors import InvalidInput
from approvals.policy import (
    Budget,
    Facts,
    Outcome,
    Rule,
    candidates,
    difference,
    dump,
    evaluate,
    load,
    to_sentence,
)
from approvals.policy.budgets import MAX_LIMIT, SCALE, CannotCount, needs, span, written
from approvals.policy.judging import beyond

DOLLARS = Budget("agent", "day", 50_000, "amount", "USD:minor", "currency")
CALLS = Budget("tool", "hour", 3)
ROWS = Budget("domain", "day", 2.5, "rows.deleted", "GB")

# -- what a file may say -------------------------------------------------------------------------

MONEY: dict[str, object] = DOLLARS.as_dict()


def refused(budget: object, outcome: str = "allow") -> dict[str, str]:
    """Return what is wrong with a budget in a file: message by path within the budget."""
    with pytest.raises(InvalidInput) as caught:
        load({"rules": [{"outcome": outcome, "tool": "x__*", "budget": budget}]})
    prefix = "$.rules[0].budget"
    return {one["path"].removeprefix(prefix): one["message"] for one in caught.value.problems}


@pytest.mark.parametrize("budget", [DOLLARS, CALLS, ROWS])
def test_a_budget_in_a_file_becomes_one_and_is_written_as_it_was(budget: Budget) -> None:
    said = {"outcome": "allow", "tool": "x__*", "budget": budget.as_dict()}

    rule = load({"rules": [said]})[0]

    assert rule.budget == budget
    assert rule.as_dict()["budget"] == budget.as_dict()
    assert dump([rule]) == {"rules": [{"name": "rule 1", **said}]}
    assert load(dump([rule]))[0] == rule


def test_a_budget_that_changed_is_a_difference() -> None:
    before = Rule(1, "x", Outcome.ALLOW, tool="x__*", budget=CALLS)
    after = replace(before, budget=replace(CALLS, limit=4))

    (found,) = difference([before], [after])

    assert found.fields == ("budget",)


def test_a_rule_without_a_budget_keeps_the_digest_it_had() -> None:
    rule = Rule(position=1, name="x", outcome=Outcome.ALLOW)

    assert "budget" not in rule.as_dict()


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"per": "person"}, ".per"), ({"per": ["agent"]}, ".per"), ({"window": "week"}, ".window"),
        ({"window": {}}, ".window"), ({"limit": 0}, ".limit"), ({"limit": -1}, ".limit"),
        ({"limit": True}, ".limit"), ({"limit": "500"}, ".limit"),
        ({"limit": 10**12 + 1}, ".limit"),
        ({"limit": 500.5}, ".limit"), ({"limit": 0.00001}, ".limit"), ({"limit": None}, ".limit"),
        ({"field": ""}, ".field"), ({"field": "a b"}, ".field"), ({"field": 7}, ".field"),
        ({"field": "a" * 201}, ".field"), ({"unit": "XXX:minor"}, ".unit"), ({"unit": ""}, ".unit"),
        ({"unit": "USD:cents"}, ".unit"), ({"unit": ["GB"]}, ".unit"),
        ({"unit_field": "…"}, ".unit_field"), ({"most": 7}, ".most"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_with_a_budget_is_refused_with_its_place(
    changes: dict[str, object], place: str
) -> None:
    assert set(refused(MONEY | changes)) == {place}


def test_a_budget_says_whose_calls_in_what_time_and_how_much() -> None:
    assert set(refused({})) == {".per", ".window", ".limit"}
    assert set(refused("500 a day")) == {""}
    assert set(refused([])) == {""}


@pytest.mark.parametrize(
    ("left_out", "place"), [("unit", ".unit"), ("field", ".unit"), ("unit", ".unit_field")]
)
def test_what_a_budget_adds_up_has_a_unit(left_out: str, place: str) -> None:
    said = {key: value for key, value in MONEY.items() if key != left_out}

    assert place in refused(said)


@pytest.mark.parametrize("outcome", ["hold", "deny"])
def test_only_a_rule_that_allows_has_a_budget(outcome: str) -> None:
    assert refused(MONEY, outcome) == {"": "only an allow rule has a budget"}


def test_a_budget_reads_as_a_sentence() -> None:
    def said(budget: Budget) -> str:
        return to_sentence(Rule(1, "x", Outcome.ALLOW, tool="billing__refund", budget=budget))

    assert said(DOLLARS) == "Allow billing__refund, up to $500.00 a day for each agent"
    assert said(CALLS) == "Allow billing__refund, up to 3 calls an hour for each tool"
    both = Rule(1, "x", Outcome.ALLOW, tool="x__*", condition="args.a > 1", budget=CALLS)
    assert to_sentence(both) == "Allow x__* where args.a > 1, up to 3 calls an hour for each tool"
    assert said(ROWS) == "Allow billing__refund, up to 2.5 GB a day for each domain"


def test_an_amount_is_written_in_its_unit() -> None:
    assert written(DOLLARS, 2_000 * SCALE) == "$20.00"
    assert written(CALLS, SCALE) == "1 call"
    assert written(ROWS, SCALE // 2) == "0.5 GB"


# -- what a call takes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "taken"),
    [(2000, 2000 * SCALE), (0, 0), (20.5, 205_000), (2e3, 2000 * SCALE), (0.0001, 1),
     (MAX_LIMIT, MAX_LIMIT * SCALE), (19.99, 199_900)],
)  # fmt: skip
def test_a_call_takes_exactly_its_amount(amount: float, taken: int) -> None:
    assert needs(DOLLARS, {"amount": amount, "currency": "usd"}) == taken


def test_a_call_is_one_call_whatever_it_carries() -> None:
    assert needs(CALLS, {"amount": "much"}) == SCALE


def test_a_field_may_lie_within_another() -> None:
    assert needs(ROWS, {"rows": {"deleted": 2}}) == 2 * SCALE


HOSTILE: list[Any] = [
    "20", None, True, False, -1, -0.5, math.inf, -math.inf, math.nan, float("1e400"), 1e300,
    MAX_LIMIT + 1, 10**40, 0.00001, [20], {"value": 20}, "", "２０",
]  # fmt: skip


@pytest.mark.parametrize("amount", HOSTILE, ids=repr)
def test_what_is_no_amount_cannot_be_counted(amount: object) -> None:
    with pytest.raises(CannotCount):
        needs(DOLLARS, {"amount": amount, "currency": "usd"})


@pytest.mark.parametrize("currency", ["eur", "", None, 7, ["usd"], "uſd", "usd ", "US"], ids=repr)
def test_another_unit_is_never_added(currency: object) -> None:
    with pytest.raises(CannotCount, match="is not USD"):
        needs(DOLLARS, {"amount": 20, "currency": currency})


@pytest.mark.parametrize("arguments", [{}, {"rows": 7}, {"rows": {}}, {"rows": [{"deleted": 1}]}])
def test_a_field_that_is_not_there_cannot_be_counted(arguments: dict[str, object]) -> None:
    with pytest.raises(CannotCount, match=r"has no rows\.deleted"):
        needs(ROWS, arguments)


# -- from when to when ---------------------------------------------------------------------------


def hours(window: str, zone: str, *at: int) -> float:
    """Return how many hours the span has in which a moment (UTC) lies."""
    starts, ends = span(window, datetime(*at, tzinfo=UTC), ZoneInfo(zone))  # type: ignore[misc,arg-type]  # the parts of a date
    return (ends - starts) / timedelta(hours=1)


@pytest.mark.parametrize(
    ("window", "zone", "at", "lasts"),
    [
        ("day", "UTC", (2026, 11, 22, 12), 24),
        ("day", "Europe/London", (2026, 3, 29, 12), 23),
        ("day", "Europe/London", (2026, 10, 25, 12), 25),
        ("day", "America/Havana", (2026, 11, 1, 12), 25),  # 01:00 becomes 00:00
        ("day", "Africa/Cairo", (2026, 4, 24, 12), 23),  # there is no 00:00
        ("day", "America/Nuuk", (2026, 10, 24, 12), 25),  # 00:00 becomes 23:00
        ("day", "Australia/Lord_Howe", (2026, 4, 5, 1), 24.5),
        ("day", "Pacific/Apia", (2011, 12, 30, 9), 24),  # the day after it never was
        ("hour", "UTC", (2026, 11, 22, 12, 59), 1),
        ("hour", "Asia/Kathmandu", (2026, 11, 22, 12, 20), 1),
        ("hour", "Europe/London", (2026, 10, 25, 0, 30), 1),  # 01:30, for the first time
        ("hour", "Europe/London", (2026, 10, 25, 1, 30), 1),  # 01:30, for the second
        ("hour", "Australia/Lord_Howe", (2026, 4, 4, 15, 10), 0.5),  # 01:30 to 02:00 again
    ],
)
def test_a_day_has_the_hours_that_clocks_show(
    window: str, zone: str, at: tuple[int, ...], lasts: float
) -> None:
    assert hours(window, zone, *at) == lasts


@pytest.mark.parametrize("window", ["hour", "day"])
@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("UTC", datetime(2026, 11, 22, tzinfo=UTC)),
        ("Europe/London", datetime(2026, 3, 29, tzinfo=UTC)),
        ("Europe/London", datetime(2026, 10, 25, tzinfo=UTC)),
        ("America/Havana", datetime(2026, 11, 1, tzinfo=UTC)),
        ("Africa/Cairo", datetime(2026, 4, 24, tzinfo=UTC)),
        ("America/Nuuk", datetime(2026, 10, 24, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_spans_follow_each_other_without_gap_or_overlap(
    window: str, zone: str, around: datetime
) -> None:
    zone_info, moment = ZoneInfo(zone), around - timedelta(hours=30)
    while moment < around + timedelta(hours=54):
        starts, ends = span(window, moment, zone_info)
        assert starts <= moment < ends
        assert span(window, starts, zone_info) == (starts, ends)
        assert span(window, ends - timedelta(microseconds=1), zone_info) == (starts, ends)
        assert span(window, ends, zone_info)[0] == ends
        moment += timedelta(minutes=17)


# -- what becomes of an allow that the rule cannot give ------------------------------------------

ALLOW = Rule(1, "small", Outcome.ALLOW, tool="x__*", budget=CALLS)
FACTS = Facts("x", "x__y", "write", "bot")


@pytest.mark.parametrize(
    ("following", "outcome", "quorum", "rule"),
    [
        ([], "hold", 1, "small"),
        ([Rule(2, "all", Outcome.ALLOW, tool="x__*")], "hold", 1, "small"),
        ([Rule(2, "one", Outcome.HOLD)], "hold", 1, "one"),
        ([Rule(2, "two", Outcome.HOLD, quorum=2)], "hold", 2, "two"),
        ([Rule(2, "others", Outcome.HOLD, tool="z__*", quorum=9)], "hold", 1, "small"),
        ([Rule(2, "no", Outcome.DENY)], "deny", 0, "no"),
    ],
)
def test_beyond_its_budget_an_allow_is_at_least_a_hold(
    following: list[Rule], outcome: str, quorum: int, rule: str
) -> None:
    rules = [ALLOW, *following]

    ruled = beyond(evaluate(FACTS, rules), FACTS, rules, "Spent.")

    assert (ruled.outcome, ruled.quorum, ruled.rule.name) == (outcome, quorum, rule)
    assert ruled.why == ("" if outcome == "deny" else "Spent.")


def test_a_rule_with_a_budget_is_not_all_that_may_govern_a_call() -> None:
    later = Rule(2, "one", Outcome.HOLD)

    assert candidates(FACTS, [ALLOW, later]) == (ALLOW, later)
    assert candidates(FACTS, [replace(ALLOW, budget=None), later])[1:] == ()
