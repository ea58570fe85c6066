"""What shows that a policy could need fewer people for a call that is no read."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any

import pytest

from approvals import counting, policy
from approvals.administration import loosening
from approvals.models import ToolCall, database_now
from approvals.policy import Facts, load
from approvals.policy import loosening as pure
from tests.support import world as worlds

REFUND = "billing__refund"
DAY = {"per": "agent", "window": "day", "limit": 50000, "field": "amount", "unit": "USD:minor"}
SMALL = {"name": "small", "outcome": "allow", "tool": REFUND, "condition": "args.amount <= 5000"}
TWO = {"name": "two", "outcome": "hold", "tool": REFUND, "quorum": 2}
READS = {"name": "reads", "outcome": "allow", "effect": "read"}


def evidence(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any]:
    return loosening.evidence(load({"rules": before}), load({"rules": after}))


def kinds(found: dict[str, Any]) -> set[str]:
    return {entry["kind"] for entry in found.get("found", [])}


def words(found: dict[str, Any]) -> str:
    return "\n".join(loosening.in_words(entry) for entry in found["found"])


LOOSENS: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [
    ([READS], [READS, SMALL]),
    ([], [{"outcome": "allow", "effect": "write"}]),
    ([], [{"outcome": "allow", "effect": "destructive"}]),
    ([TWO], []),
    ([TWO], [TWO | {"quorum": 1}]),
    ([SMALL], [SMALL | {"condition": "args.amount <= 5001"}]),
    ([SMALL], [{k: v for k, v in SMALL.items() if k != "condition"}]),
    ([SMALL, TWO], [SMALL | {"condition": "args.amount <= 5000 || args.currency == 'eur'"}, TWO]),
    ([SMALL | {"budget": DAY}], [SMALL]),
    ([SMALL | {"budget": DAY}, TWO], [SMALL | {"budget": DAY}]),
    ([SMALL | {"budget": DAY}], [SMALL | {"budget": DAY, "name": "begun anew"}]),
    ([{"outcome": "deny", "tool": REFUND}], [TWO]),
    ([{"outcome": "deny", "tool": "billing__*"}], [{"outcome": "deny", "tool": REFUND}]),
    ([TWO, SMALL], [SMALL, TWO]),
    ([TWO], [TWO | {"agent": "support"}]),
    ([TWO | {"tool": "billing__*"}], [TWO | {"tool": "billing__*", "domain": "billing"}]),
    ([], [SMALL | {"tool": "later__*", "condition": "args.amount <= 5000"}]),
    ([], [SMALL | {"condition": "now.getHours() < 9 && now.getDayOfWeek() == 2"}]),
    ([], [SMALL | {"condition": "history.calls_day < 3"}]),
    ([], [SMALL | {"condition": "history.sum_day.amount + args.amount < 999999"}]),
    ([], [SMALL | {"condition": "acts_for == 'ann'"}]),
    ([], [SMALL | {"condition": "agent == 'support' && args.memo.startsWith('in')"}]),
    ([], [SMALL | {"condition": "size(args.memo) > 200"}]),
    ([], [SMALL | {"condition": "args.amount * 7 == 12341235"}]),  # no call that is tried meets it
    ([TWO | {"condition": "args.amount * 7 == 12341235"}], []),
]  # fmt: skip
DOES_NOT = [
    ([READS, SMALL], [SMALL, READS]),
    ([], [READS]),
    ([READS], [{"outcome": "allow", "tool": "billing__get_customer"}]),
    ([READS], [TWO, READS]),
    ([SMALL], [TWO, SMALL]),
    ([SMALL], [SMALL | {"condition": "args.amount <= 4999"}]),
    ([SMALL], [SMALL | {"budget": DAY}]),
    ([SMALL | {"budget": DAY}], [SMALL | {"budget": DAY | {"limit": 1}}]),
    ([SMALL, TWO], [{"outcome": "deny", "tool": REFUND}]),
    ([TWO], [TWO | {"quorum": 3, "name": "three", "comment": "c", "expires_seconds": 60}]),
    ([TWO, SMALL], [TWO]),
    ([TWO], [TWO | {"domain": "billing"}]),  # where the tool is
    ([SMALL], [SMALL | {"condition": "args.amount <= 5000 && now.getHours() < 9"}]),
    ([SMALL | {"agent": "support"}], [SMALL | {"agent": "support", "name": "small too"}]),
    ([{"outcome": "allow", "tool": "later__*"}], []),
    ([TWO], [TWO, SMALL]),  # which is never reached, and cannot be
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), LOOSENS)
def test_a_policy_under_which_a_call_could_need_fewer_people_is_found(world, before, after):
    found = evidence(before, after)

    assert found
    assert words(found)


@pytest.mark.parametrize(("before", "after"), DOES_NOT)
def test_a_policy_that_asks_as_many_of_every_write_is_not(world, before, after):
    assert evidence(before, after) == {}


def test_a_stored_call_is_named_by_its_id_and_an_example_by_its_arguments(world, held_call):
    call = held_call(arguments={"customer": "c", "amount": 4321})

    found = evidence([], [SMALL, TWO])

    (entry,) = found["found"]
    assert (entry["kind"], entry["call"]) == ("call", str(call.pk))
    assert entry["before"] == {"rule": "hold by default", "outcome": "hold", "quorum": 1}
    assert entry["after"] == {"rule": "small", "outcome": "allow", "quorum": 0}
    assert entry["ways"] == ["outcome"]
    assert "arguments" not in entry
    assert found["looked_at"]["calls"] == 1
    assert "held for 1 approver by “hold by default”, then allowed by “small”" in words(found)


def test_an_example_is_made_around_what_conditions_compare_with(world):
    (entry,) = evidence([], [SMALL, TWO])["found"]

    assert entry["kind"] == "example"
    assert entry["arguments"]["amount"] <= 5000


def test_what_nobody_can_say_is_told(world):
    odd = SMALL | {"condition": "args.amount * 7 == 12341235"}

    found = evidence([], [odd])

    assert kinds(found) == {"unreached"}
    assert words(found) == "No call that was tried reaches “small”: nobody can say."


def test_calls_from_before_ninety_days_are_not_looked_at(world, held_call):
    worlds.hold(world, arguments={"customer": "c", "amount": 1}, age=timedelta(days=91))
    found = evidence([], [SMALL])
    assert found["looked_at"]["calls"] == 0

    worlds.hold(world, arguments={"customer": "c", "amount": 2}, age=timedelta(days=89))
    assert evidence([], [SMALL])["looked_at"]["calls"] == 1


def test_only_so_many_stored_calls_are_looked_at(world, monkeypatch):
    monkeypatch.setattr(loosening, "MOST_CALLS", 3)
    for number in range(5):
        worlds.hold(world, arguments={"customer": f"c{number}", "amount": 9000})

    assert ToolCall.objects.count() == 5
    assert evidence([], [SMALL])["looked_at"]["calls"] == 3


@pytest.mark.parametrize("bound", ["MOST_JUDGED", "shapes.MOST"])
def test_beyond_what_can_be_tried_people_decide(world, monkeypatch, bound):
    """Here nothing loosens at all; but nobody has looked."""
    before, after = [SMALL], [SMALL | {"condition": "args.amount <= 4999"}]
    assert evidence(before, after) == {}

    target = "approvals.policy." if "." in bound else "approvals.administration.loosening."
    monkeypatch.setattr(target + bound, 0)

    assert "untried" in kinds(evidence(before, after))


# -- any two policies ----------------------------------------------------------------------------


_CONDITIONS = [
    "", "", "args.amount <= 5000", "args.amount > 100 && args.currency == 'usd'",
    "has(args.memo) && args.memo == 'x'", "args.memo == 'x'", "args.currency != 'usd'",
    "now.getHours() < 9",
]  # fmt: skip


def drawn_rule(chance: Random) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "outcome": chance.choice(["allow", "hold", "hold", "deny"]),
        "tool": chance.choice([REFUND, "billing__*", "*", "other__*"]),
    }
    if condition := chance.choice(_CONDITIONS):
        rule["condition"] = condition
    if chance.random() < 0.2:
        rule["agent"] = chance.choice(["support", "batch"])
    if chance.random() < 0.2:
        rule["effect"] = "destructive"
    if rule["outcome"] == "hold":
        rule["quorum"] = chance.randint(1, 3)
        if chance.random() < 0.2:
            rule["four_eyes"] = True
    elif rule["outcome"] == "allow" and chance.random() < 0.4:
        rule["budget"] = DAY | {"limit": chance.choice([100, 200])}
    return rule


def changed(chance: Random, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    after = [dict(rule) for rule in rules]
    for _ in range(chance.randint(1, 2)):
        match chance.choice(["add", "remove", "change", "move"]):
            case "add":
                after.insert(chance.randint(0, len(after)), drawn_rule(chance))
            case "remove" if after:
                after.pop(chance.randrange(len(after)))
            case "change" if after:
                after[chance.randrange(len(after))] = drawn_rule(chance)
            case "move":
                chance.shuffle(after)
    return after


def every_call(now: Any) -> Iterator[Facts]:
    tools = [(REFUND, "billing"), ("billing__odd", "billing"), ("other__x", "elsewhere")]
    amounts, currencies, memos = (1, 101, 4999, 5000, 5001, None), ("usd", "eur", None), ("x", None)
    for (tool, domain), effect, agent in product(
        tools, ("write", "destructive", "unreviewed"), ("support", "batch", "third")
    ):
        for amount, currency, memo, hour in product(amounts, currencies, memos, (3, 12)):
            args = {"amount": amount, "currency": currency, "memo": memo}
            yield Facts(
                domain=domain, tool=tool, effect=effect, agent=agent,
                args={key: value for key, value in args.items() if value is not None},
                acts_for="ann", now=now.replace(hour=hour), history=policy.History({}),
            )  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_of_any_two_policies_nothing_that_loosens_goes_unseen(world, seed):
    """Each call of a world small enough to try all of them."""
    chance = Random(seed)
    now = loosening._week(counting.local(database_now()))
    before = [drawn_rule(chance) for _ in range(chance.randint(0, 4))]
    after = changed(chance, before)
    old, new = load({"rules": before}), load({"rules": after})

    looser = next(
        (
            facts
            for facts in every_call(now)
            if pure.compare(pure.judge(facts, old), pure.judge(facts, new))
        ),
        None,
    )

    if looser is not None:
        assert loosening.evidence(old, new), (before, after, looser)
