"""What one policy changes against another, and a policy as the file it is loaded from again."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import LAST_RULE, SEED, Kind, Outcome, Rule, difference, dump, load

A = {"name": "a", "outcome": "allow", "effect": "read"}
B = {"name": "b", "outcome": "hold", "tool": "billing__refund", "quorum": 2}
C = {"name": "c", "outcome": "deny", "domain": "deploys", "message": "Not in a freeze."}
D = {"name": "d", "outcome": "hold", "agent": "night-bot"}


def rules(*items: dict[str, Any]) -> tuple[Rule, ...]:
    return load({"rules": list(items)})


def told(before: tuple[Rule, ...], after: tuple[Rule, ...]) -> list[tuple[str, ...]]:
    return [
        (found.kind.value, (found.after or found.before or LAST_RULE).name, *found.fields)
        for found in difference(before, after)
    ]


def test_the_same_rules_differ_in_nothing() -> None:
    assert told(rules(A, B, C), rules(A, B, C)) == []


def test_what_came_and_what_went_is_told_in_the_order_of_the_new_rules() -> None:
    assert told(rules(A, B), rules(C, A, D)) == [("added", "c"), ("added", "d"), ("removed", "b")]


def test_a_changed_rule_tells_which_fields() -> None:
    assert told(rules(A, B), rules(A, {**B, "quorum": 3, "comment": "Since May."})) == [
        ("changed", "b", "quorum", "comment")
    ]


def test_a_renamed_rule_is_the_same_rule() -> None:
    assert told(rules(A, B), rules(A, {**B, "name": "two for money"})) == [
        ("changed", "two for money", "name")
    ]


def test_rules_without_names_are_not_renamed_by_one_put_in_above_them() -> None:
    first, second = {k: v for k, v in A.items() if k != "name"}, {"outcome": "hold", "quorum": 2}

    assert told(rules(first, second), rules(C, first, second)) == [("added", "c")]


def test_of_rules_that_say_the_same_each_stays_with_its_name() -> None:
    twin = {**B, "name": "twin"}

    assert told(rules(B, twin), rules(twin)) == [("removed", "b")]


@pytest.mark.parametrize(
    ("order", "moved"),
    [([B, C, D, A], "a"), ([D, A, B, C], "d"), ([B, C, A, D], "a"), ([A, D, B, C], "d")],
)
def test_only_the_rule_that_moved_is_told(order: list[dict[str, Any]], moved: str) -> None:
    assert told(rules(A, B, C, D), rules(*order)) == [("moved", moved)]


def test_the_rule_that_is_always_there_is_no_difference() -> None:
    assert [found.kind for found in difference(SEED, rules(A))] == [Kind.CHANGED]
    assert told(SEED[1:], rules()) == []


names = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(names, names)
def test_what_is_told_leads_from_one_to_the_other(old: list[str], new: list[str]) -> None:
    """Take out what went or moved, and the rest stands in one order in both."""
    every = {name: Rule(1, name, Outcome.HOLD, agent=name) for name in "abcdefgh"}
    before = [replace(every[name], position=at) for at, name in enumerate(old, 1)]
    after = [replace(every[name], position=at) for at, name in enumerate(new, 1)]

    found = difference(before, after)

    kinds = {kind: {f.name for f in _rules_of(found, kind)} for kind in Kind}
    assert kinds[Kind.ADDED] == set(new) - set(old)
    assert kinds[Kind.REMOVED] == set(old) - set(new)
    assert kinds[Kind.CHANGED] == set()
    stayed = [name for name in new if name in old and name not in kinds[Kind.MOVED]]
    assert all(old.index(one) < old.index(next_) for one, next_ in pairwise(stayed))
    assert len(stayed) == _longest_run([old.index(name) for name in new if name in old])


def _rules_of(found: list[Any], kind: Kind) -> list[Rule]:
    return [f.after or f.before for f in found if f.kind == kind]


def _longest_run(numbers: list[int]) -> int:
    lengths: list[int] = []
    for at, number in enumerate(numbers):
        shorter = [lengths[i] for i in range(at) if numbers[i] < number]
        lengths.append(1 + max(shorter, default=0))
    return max(lengths, default=0)


items = st.fixed_dictionaries(
    {"outcome": st.sampled_from(["hold", "deny"])},
    optional={
        "domain": st.sampled_from(["billing", "deploys"]),
        "tool": st.sampled_from(["billing__*", "*"]),
        "effect": st.sampled_from(["write", "unreviewed"]),
        "agent": st.just("night-bot"),
        "quorum": st.integers(1, 20),
        "expires_seconds": st.integers(10, 604_800),
        "message": st.sampled_from(["", "No."]),
        "comment": st.sampled_from(["", "Since May."]),
    },
)


@given(st.lists(items, max_size=5))
def test_a_policy_written_down_is_the_same_policy_read_again(found: list[dict[str, Any]]) -> None:
    read = load({"rules": found})

    written = json.dumps(dump(read))

    assert load(json.loads(written)) == read
    assert json.dumps(dump(load(json.loads(written)))) == written


def test_a_file_says_only_what_was_said_in_one_order() -> None:
    item = {"comment": "Since May.", "quorum": 2, "tool": "x__*", "outcome": "hold", "name": "x"}

    assert json.dumps(dump(rules(item))) == json.dumps(
        {"rules": [{"name": "x", "outcome": "hold", "tool": "x__*", "quorum": 2,
                    "comment": "Since May."}]}
    )  # fmt: skip
