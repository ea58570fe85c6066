"""Promises of rules with stages: how they are read and told, and what today's ask of a call."""

from collections import Counter
from itertools import product
from typing import Any

import pytest

from approvals.errors import InvalidInput
from approvals.policy import (
    Facts,
    Outcome,
    Rule,
    Signed,
    Stage,
    can_be_filled,
    evaluate,
    load,
    stricter,
    to_sentence,
    turn,
)

REFUND = Facts(domain="billing", tool="billing__refund", effect="write", agent="support-bot")
TWO_THEN_ONE = (Stage("Finance", 2), Stage("Owners", 1))


def holding(**fields: Any) -> Rule:
    """Return a hold rule that says only what the test is about."""
    return Rule(position=1, name="tested", outcome=Outcome.HOLD, **fields)


def read(**fields: Any) -> Rule:
    """Return a hold rule as it is read from a file."""
    return load({"rules": [{"outcome": "hold", **fields}]})[0]


def refused(**fields: Any) -> dict[str, str]:
    """Return what is wrong with a rule: message by path below the rule."""
    with pytest.raises(InvalidInput) as caught:
        load({"rules": [{"outcome": "hold", **fields}]})
    found = {problem["path"]: problem["message"] for problem in caught.value.problems}
    return {path.removeprefix("$.rules[0]"): message for path, message in found.items()}


def test_stages_are_read_in_their_order_and_ask_for_all_of_their_approvals() -> None:
    stages = [{"group": "Finance", "quorum": 2}, {"group": "Owners"}]

    found = read(stages=stages)

    assert found.stages == TWO_THEN_ONE
    assert evaluate(REFUND, [found]).quorum == found.quorum == 3
    assert read(stages=stages, quorum=3) == found
    assert Rule(**found.as_dict()) == found


def test_a_rule_without_refinements_says_nothing_of_them() -> None:
    whole = holding(stages=TWO_THEN_ONE, deny_quorum=2, escalate_to="Heads", escalate_after=80,
                    four_eyes=True)  # fmt: skip
    added = {"stages", "deny_quorum", "escalate_to", "escalate_after", "four_eyes"}

    assert not added & holding().as_dict().keys()
    assert added < whole.as_dict().keys()
    assert Rule(**whole.as_dict()) == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": "Finance"}, {".stages": "must be a list"}),
        ({"stages": []}, {".stages": "must be a list of 1 to 5"}),
        ({"stages": [{"group": f"g{n}"} for n in range(6)]}, {".stages": "must be a list of 1 to"}),
        ({"stages": ["Finance"]}, {".stages[0]": "must be an object"}),
        ({"stages": [{}]}, {".stages[0].group": "is required"}),
        ({"stages": [{"group": ""}]}, {".stages[0].group": "is empty"}),
        ({"stages": [{"group": " x"}]}, {".stages[0].group": "must be the name of an approver"}),
        ({"stages": [{"group": 7}]}, {".stages[0].group": "must be text"}),
        ({"stages": [{"group": "F", "quorum": 0}]}, {".stages[0].quorum": "from 1 to 20"}),
        ({"stages": [{"group": "F", "quorum": True}]}, {".stages[0].quorum": "from 1 to 20"}),
        ({"stages": [{"group": "F", "people": ["bo"]}]}, {".stages[0].people": "unknown key"}),
        ({"stages": [{"group": "F"}, {"group": "F"}]}, {".stages[1].group": "“F” has a stage"}),
        (
            {"stages": [{"group": "F", "quorum": 20}, {"group": "O"}]},
            {".stages": "ask for 21 approvals; at most 20"},
        ),
        ({"stages": [{"group": "F"}], "quorum": 2}, {".quorum": "is 2, but the stages ask for 1"}),
        ({"deny_quorum": 0}, {".deny_quorum": "from 1 to 20"}),
        ({"deny_quorum": True}, {".deny_quorum": "from 1 to 20"}),
        ({"escalate_to": "Heads"}, {".escalate_to": "needs stages"}),
        ({"stages": [{"group": "F"}], "escalate_to": ""}, {".escalate_to": "is empty"}),
        (
            {"stages": [{"group": "F"}], "escalate_to": "Heads", "escalate_after": 91},
            {".escalate_after": "from 10 to 90"},
        ),
        ({"escalate_after": 50}, {".escalate_after": "says when, but no escalate_to says who"}),
        ({"four_eyes": 1}, {".four_eyes": "true or false"}),
        ({"outcome": "allow", "four_eyes": True}, {".four_eyes": "does not hold"}),
        ({"outcome": "deny", "stages": [{"group": "F"}]}, {".stages": "does not hold"}),
    ],
)
def test_a_place_that_is_wrong_is_named(change: dict[str, Any], words: dict[str, str]) -> None:
    found = refused(**change)

    assert found.keys() == words.keys()
    assert all(words[path] in found[path] for path in words)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            holding(tool="billing__refund", stages=TWO_THEN_ONE, expires_seconds=1800),
            "Hold billing__refund for 2 of Finance, then 1 of Owners, within 30 minutes",
        ),
        (
            holding(tool="x__*", stages=[Stage("Finance", 1)], expires_seconds=1800),
            "Hold x__* for 1 of Finance within 30 minutes",
        ),
        (
            holding(quorum=3, deny_quorum=2, four_eyes=True),
            "Hold everything for 3 approvers within 60 minutes, rejected by 2, with four eyes",
        ),
        (
            holding(stages=[Stage("F", 1)], escalate_to="Heads"),
            "Hold everything for 1 of F within 60 minutes, also Heads after 50 % of the time",
        ),
    ],
)
def test_stages_read_as_a_sentence(rule: Rule, words: str) -> None:
    assert to_sentence(rule) == words


@pytest.mark.parametrize(
    ("approved", "number"),
    [([], 1), ([1], 1), ([1, 1], 2), ([1, 2], 1), ([2, 2, 2], 1), ([1, 1, 2], 2), ([1, 1, 0], 2)],
)
def test_a_stage_has_its_turn_when_all_before_it_are_full(approved: list[int], number: int) -> None:
    assert turn(TWO_THEN_ONE, approved) == number
    assert turn((), approved) == 0


BO, CY, DI = {1}, {2}, {3}


@pytest.mark.parametrize(
    ("missing", "eligible", "is_possible"),
    [
        ([1], [BO], True),
        ([1], [set()], False),
        ([2], [BO], False),
        ([2], [BO | CY], True),
        ([1, 1], [BO, BO], False),  # one person counts once over all stages
        ([1, 1], [BO | CY, BO], True),
        ([2, 1], [BO | CY, BO], False),
        ([2, 1], [BO | CY | DI, BO], True),
        ([0, 1], [set(), BO], True),
        ([0, 0], [set(), set()], True),
        ([1, 1, 1], [BO | CY, CY | DI, BO], True),
    ],
)
def test_nobody_can_take_two_places(
    missing: list[int], eligible: list[set[int]], is_possible: bool
) -> None:
    assert can_be_filled(missing, eligible) is is_possible


SIGNED = {"Finance": 2, "Owners": 1}


@pytest.mark.parametrize(
    ("today", "signed", "is_stricter"),
    [
        (TWO_THEN_ONE, SIGNED, False),
        (TWO_THEN_ONE[::-1], SIGNED, False),  # in another order
        (TWO_THEN_ONE[:1], SIGNED, False),  # a stage fewer
        ((), SIGNED, False),
        ([Stage("Finance", 1)], SIGNED, False),
        ([Stage("Finance", 3)], SIGNED, True),
        ([Stage("Owners", 2)], SIGNED, True),
        ([Stage("Legal", 1)], SIGNED, True),
        ((*TWO_THEN_ONE, Stage("Legal", 1)), SIGNED, True),
        ([Stage("Finance", 1)], {}, True),  # signed under a rule without stages
    ],
)
def test_today_stands_in_the_way_where_a_stage_of_it_was_not_signed(
    today: Any, signed: dict[str, int], is_stricter: bool
) -> None:
    recorded = Signed(by_group=Counter(signed))
    ruling = evaluate(REFUND, [holding(stages=today)])

    assert stricter(ruling, approvals=3, signed=recorded) is is_stricter


def test_today_stands_in_the_way_where_it_would_have_ended_or_refused_what_happened() -> None:
    either = (False, True)
    for noes, deny_quorum, theirs, four_eyes in product((0, 1, 2), (1, 2), either, either):
        today = evaluate(REFUND, [holding(deny_quorum=deny_quorum, four_eyes=four_eyes)])
        signed = Signed(rejections=noes, by_theirs=theirs)

        wanted = noes >= deny_quorum or (theirs and four_eyes)
        assert stricter(today, approvals=1, signed=signed) is wanted


def test_what_only_a_hold_asks_for_does_not_stop_what_is_allowed() -> None:
    rule = Rule(position=1, name="allow", outcome=Outcome.ALLOW, tool="*", four_eyes=True)

    today = evaluate(REFUND, [rule])

    assert not stricter(today, approvals=0, signed=Signed(rejections=5, by_theirs=True))


def test_a_condition_nobody_can_judge_makes_no_stage_go_away() -> None:
    """The rule with the error holds the call, and a later rule's stages are asked all the same."""
    unclear = holding(condition="args.amount > 5", quorum=4)
    staged = Rule(position=2, name="staged", outcome=Outcome.HOLD, stages=TWO_THEN_ONE,
                  four_eyes=True)  # fmt: skip

    for rules, stages in [
        ([unclear, staged], (Stage("Finance", 2), Stage("Owners", 2))),
        ([holding(condition="args.amount > 5", stages=[Stage("Legal", 1)]), staged],
         (Stage("Legal", 1), *TWO_THEN_ONE)),
    ]:  # fmt: skip
        ruling = evaluate(REFUND, rules)

        assert (ruling.rule.name, ruling.rule.stages) == ("tested", stages)
        assert ruling.quorum == ruling.rule.quorum == 4
        assert ruling.rule.four_eyes
