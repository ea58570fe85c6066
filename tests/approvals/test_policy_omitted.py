"""An argument left out never makes a call cheaper: fewer people, other groups, more noes, two eyes.

Over generated rules, whose conditions read two arguments and never ask whether one is there.
"""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from approvals import policy
from approvals.policy import Outcome, Rule, Ruling, Stage

GROUPS = ["Finance", "Owners", "Heads"]
CONDITIONS = [
    "", "args.a > 1", "args.a <= 1", "args.b == 'x'", "args.a > 1 && args.b == 'x'",
    "args.a < 3 || args.b == 'y'", "args.a > 1 ? args.b == 'x' : args.b != 'x'",
]  # fmt: skip
COMPLETE = {"a": st.integers(0, 4), "b": st.sampled_from(["x", "y"])}
FACTS = policy.Facts("billing", "billing__refund", "write", "support")

_stages = st.lists(
    st.builds(Stage, st.sampled_from(GROUPS), st.integers(1, 3)),
    max_size=3, unique_by=lambda stage: stage.group,
)  # fmt: skip


@st.composite
def a_rule(draw: st.DrawFn) -> Rule:
    condition = draw(st.sampled_from(CONDITIONS))
    outcome = draw(st.sampled_from(["hold", "hold", "hold", "allow", "deny"]))
    rule = Rule(1, "a rule", Outcome(outcome), tool="billing__*", condition=condition)
    if outcome != "hold":
        return rule
    stages = tuple(draw(_stages))
    escalate_to = draw(st.sampled_from(["", "Heads", "Board"])) if stages else ""
    return replace(
        rule, stages=stages, quorum=draw(st.integers(1, 4)), escalate_to=escalate_to,
        escalate_after=draw(st.sampled_from([20, 50])), deny_quorum=draw(st.integers(1, 3)),
        four_eyes=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def a_policy(draw: st.DrawFn) -> list[Rule]:
    rules = draw(st.lists(a_rule(), min_size=1, max_size=4))
    return [replace(rule, position=n, name=f"rule {n}") for n, rule in enumerate(rules, 1)]


def judged(rules: list[Rule], arguments: dict[str, object]) -> Ruling:
    return policy.evaluate(replace(FACTS, args=arguments), rules)


def cheaper(than: Ruling, ruling: Ruling) -> list[str]:
    """Return in which respects a ruling asks for less than a hold."""
    asked = {stage.group: stage.quorum for stage in ruling.rule.stages}
    rule, other = ruling.rule, than.rule
    # Whoever it escalates to is an approver of the domain, and so may sign where any of them may.
    also = ("", other.escalate_to) if other.stages else (rule.escalate_to,)
    found = {
        "outcome": ruling.outcome == Outcome.ALLOW,
        "quorum": ruling.quorum < than.quorum,
        "groups": any(asked.get(one.group, 0) < one.quorum for one in other.stages),
        "noes": rule.deny_quorum > other.deny_quorum,
        "eyes": other.four_eyes and not rule.four_eyes,
        "others": rule.escalate_to not in also,
        "sooner": other.escalate_to == rule.escalate_to != ""
        and rule.escalate_after < other.escalate_after,
    }
    return [respect for respect, is_less in found.items() if is_less]


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    rules=a_policy(), arguments=st.fixed_dictionaries(COMPLETE), kept=st.sets(st.sampled_from("ab"))
)
def test_an_argument_left_out_never_makes_a_call_cheaper(
    rules: list[Rule], arguments: dict[str, object], kept: set[str]
) -> None:
    whole = judged(rules, arguments)
    part = judged(rules, {name: arguments[name] for name in kept})

    if whole.outcome == Outcome.HOLD:
        assert cheaper(whole, part) == []
    assert whole.outcome == Outcome.ALLOW or part.outcome != Outcome.ALLOW
    # The database holds a call with stages to what these ask for together.
    if part.rule.stages:
        assert part.quorum == part.rule.quorum


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    rules=a_policy(),
    arguments=st.fixed_dictionaries(COMPLETE),
    kept=st.sets(st.sampled_from("ab")),
    groups=st.lists(st.sampled_from([*GROUPS, "Freezers"]), max_size=2),
)
def test_an_argument_left_out_does_not_spare_a_call_the_groups_of_a_freeze(
    rules: list[Rule], arguments: dict[str, object], kept: set[str], groups: list[str]
) -> None:
    def frozen(given: dict[str, object]) -> Ruling:
        return policy.frozen(judged(rules, given), groups, "A freeze is on.")

    whole = frozen(arguments)
    part = frozen({name: arguments[name] for name in kept})

    if whole.outcome == Outcome.HOLD:
        assert cheaper(whole, part) == []


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(rules=a_policy(), arguments=st.fixed_dictionaries(COMPLETE), quorum=st.integers(1, 3),
       groups=st.lists(st.sampled_from(GROUPS), max_size=2))  # fmt: skip
def test_beyond_a_budget_a_call_is_never_cheaper_than_within_it(
    rules: list[Rule], arguments: dict[str, object], quorum: int, groups: list[str]
) -> None:
    """Nor spared what the next rule asks of it, however little that is."""
    budgeted = Rule(1, "budgeted", Outcome.ALLOW, tool="billing__*", quorum=quorum)
    later = [replace(rule, position=rule.position + 1) for rule in rules]
    facts = replace(FACTS, args=arguments)
    allowed = policy.evaluate(facts, [budgeted, *later])
    following = policy.evaluate(facts, later)

    found = policy.beyond(allowed, facts, [budgeted, *later], "It is spent.")
    frozen = policy.frozen(found, groups, "A freeze is on.")

    if following.outcome == Outcome.DENY:
        assert found.outcome == frozen.outcome == Outcome.DENY
        return
    assert (found.outcome, found.why) == (Outcome.HOLD, "It is spent.")
    assert found.quorum >= quorum
    if following.outcome == Outcome.HOLD:
        assert cheaper(following, found) == []
    within = policy.frozen(allowed, groups, "A freeze is on.")
    asked = {stage.group for stage in frozen.rule.stages}
    assert {stage.group for stage in within.rule.stages} <= asked
    assert within.quorum <= frozen.quorum


# -- what chance seldom draws ----------------------------------------------------------------------


def hold(position: int, *stages: Stage, condition: str = "", **more: Any) -> Rule:
    return Rule(
        position, f"rule {position}", Outcome.HOLD, condition=condition, stages=stages, **more
    )


def test_a_group_that_both_rules_ask_signs_as_often_as_the_one_that_asks_more() -> None:
    first, second = (Stage("Finance", 3), Stage("Owners")), Stage("Finance", 1)
    rules = [hold(1, *first, condition="args.a > 1"), hold(2, second)]

    assert judged(rules, {}).rule.stages == first


def test_whom_both_rules_escalate_to_is_asked_when_the_later_one_says_so() -> None:
    for first, second in [(20, 50), (50, 20)]:
        rules = [
            hold(n, Stage("Finance"), condition=when, escalate_to="Heads", escalate_after=after)
            for n, when, after in [(1, "args.a > 1", first), (2, "", second)]
        ]
        rule = judged(rules, {}).rule

        assert (rule.escalate_to, rule.escalate_after) == ("Heads", 50)


def test_whom_one_rule_escalates_to_signs_for_no_group_of_the_other() -> None:
    escalating = hold(1, Stage("Finance"), condition="args.a > 1", escalate_to="Heads")

    asks_a_group = judged([escalating, hold(2, Stage("Owners"))], {}).rule
    asks_anybody = judged([escalating, hold(2)], {}).rule

    assert (asks_a_group.escalate_to, asks_anybody.escalate_to) == ("", "Heads")


def test_a_freeze_asks_its_group_where_a_rule_that_could_not_be_judged_stands_before_an_allow() -> (
    None
):
    allow = Rule(2, "rest", Outcome.ALLOW, tool="billing__*")
    rules = [hold(1, Stage("Finance"), condition="args.a > 1"), allow]

    frozen = policy.frozen(judged(rules, {}), ["Owners"], "A freeze is on.")

    assert [stage.group for stage in frozen.rule.stages] == ["Finance", "Owners"]
    assert frozen.why.endswith("A freeze is on.")
