"""Marks: rules that match nothing, that earlier ones leave nothing to, or that ask nobody."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.policy import LAST_RULE, Budget, Effect, Facts, Outcome, Rule, beyond, evaluate
from approvals.policy.covering import KnownTool, covers
from approvals.policy.fitting import Tally
from approvals.policy.marking import Kind, Mark, marks, of_trial
from approvals.policy.staffing import KnownAgent

ALLOW, HOLD, DENY = Outcome.ALLOW, Outcome.HOLD, Outcome.DENY
TOOLS = [
    KnownTool("billing", "bill__get", "read"),
    KnownTool("billing", "bill__refund", "write"),
    KnownTool("billing", "bill__refund_all", "destructive"),
    KnownTool("deploys", "ship__it", "unreviewed"),
    KnownTool("deploys", "ship__log", "changed"),
]
AGENTS = {
    "support": KnownAgent(1, frozenset({"billing"})),
    "reader": KnownAgent(1, frozenset({"billing", "deploys"}), may_write=False),
    "writer": KnownAgent(1, frozenset({"billing"}), may_read=False),
    "idle": KnownAgent(2, frozenset()),
}
DOMAINS = {"billing": False, "deploys": False, "empty": False}
GROUPS = {
    "billing": {"Finance": {1, 2}, "Owners": {2}, "Heads": {3}, "Gone": set[int]()},
    "deploys": {"approvers": {1, 2, 3}},
}


def rule(outcome: Outcome = DENY, **fields: Any) -> Rule:
    return Rule(position=0, name="", outcome=outcome, **fields)


def policy(*rules: Rule) -> list[Rule]:
    """Return rules in order, called “1”, “2” and so on, with the one that is always last."""
    named = [replace(each, position=n, name=f"{n}") for n, each in enumerate(rules, 1)]
    return [*named, replace(LAST_RULE, position=len(rules) + 1)]


def marked(*rules: Rule, **known: Any) -> dict[int, list[Mark]]:
    given = {"tools": TOOLS, "groups": GROUPS, "agents": AGENTS, "domains": DOMAINS} | known
    return marks(policy(*rules), **given)


def words(*rules: Rule, **known: Any) -> dict[int, list[str]]:
    return {at: [str(mark.words) for mark in odd] for at, odd in marked(*rules, **known).items()}


# -- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "kind", "said"),
    [
        (rule(domain="nowhere"), Kind.NEVER, "there is no domain “nowhere”"),
        (rule(tool="bill__refunds"), Kind.NEVER, "no known tool is called “bill__refunds”"),
        (rule(tool="mail__*"), Kind.NEVER, "no known tool is like “mail__*”"),
        (rule(tool="*refund?"), Kind.NEVER, "no known tool is like “*refund?”"),
        (rule(domain="empty"), Kind.NEVER, "no tool that it is about is in empty"),
        (rule(tool="bill__*", domain="deploys"), Kind.NEVER, "is in deploys"),
        (rule(tool="ship__*", effect="read"), Kind.NEVER, "is a reviewed read"),
        (rule(tool="bill__get", effect="write"), Kind.NEVER, "is a write or unreviewed"),
        (rule(ALLOW, domain="deploys"), Kind.NEVER, "is a reviewed read"),
        (rule(ALLOW, tool="ship__*"), Kind.NEVER, "is reviewed as it is now"),
        (rule(ALLOW, tool="bill__get", effect="write"), Kind.NEVER, "is a reviewed write"),
        (rule(agent="idle"), Kind.NEVER, "idle may call no tool that it is about"),
        (rule(agent="support", tool="ship__it"), Kind.NEVER, "support may call no tool"),
        (rule(agent="reader", tool="bill__refund"), Kind.NEVER, "reader may call no tool"),
        (rule(agent="writer", tool="bill__get"), Kind.NEVER, "writer may call no tool"),
        (rule(condition="1 > 2"), Kind.NEVER, "its condition is not true of any call"),
        (rule(agent="gone"), Kind.NOBODY, "there is no agent “gone”"),
    ],
)
def test_a_rule_that_matches_nothing_says_why(odd: Rule, kind: Kind, said: str) -> None:
    (mark,) = marked(odd)[1]

    assert (mark.kind, mark.by, mark.is_certain) == (kind, None, True)
    assert said in mark.words


@pytest.mark.parametrize(
    "quiet",
    [
        rule(), rule(ALLOW), rule(ALLOW, tool="*"), rule(effect="destructive"),
        rule(effect="destructive", tool="ship__*"), rule(tool="bill__ref*"), rule(tool="?hip__it"),
        rule(tool="[bs]*"), rule(agent="reader", tool="bill__get"), rule(condition="args.a > 1"),
        rule(HOLD, domain="billing", quorum=3), rule(HOLD, domain="deploys", quorum=3),
    ],
)  # fmt: skip
def test_a_rule_that_some_call_can_meet_is_not_marked(quiet: Rule) -> None:
    assert words(quiet) == {}


def test_of_an_installation_without_tools_only_rules_that_name_some_are_marked() -> None:
    rules = (rule(ALLOW), rule(HOLD, effect="write"), rule(domain="billing"), rule(tool="bill__*"))

    assert list(marked(*rules, tools=[])) == [4]


def test_a_rule_under_one_that_takes_all_is_marked_with_its_name() -> None:
    found = marked(rule(HOLD, tool="bill__*"), rule(DENY, tool="bill__refund*", agent="support"))

    (mark,) = found[2]
    assert (mark.kind, mark.by and mark.by.position) == (Kind.SHADOWED, 1)
    assert mark.words == "It never decides: rule “1” above takes every call first."


def test_rules_that_only_together_take_all_are_named_and_the_fourth_is_counted() -> None:
    each = [rule(HOLD, effect=effect) for effect in ("read", "unreviewed", "changed", "write")]
    found = words(*each, rule(DENY, effect="destructive"), rule(ALLOW, tool="*"))

    assert found[6] == [
        "It never decides: rules “1”, “4”, “5” above take every call first.",
    ]
    more = words(*each, rule(DENY, effect="destructive"), rule(DENY))
    assert "rules “1”, “2”, “3” and 2 more above" in more[6][0]


def test_what_depends_on_the_tools_that_are_known_is_said_so() -> None:
    found = marked(rule(ALLOW), rule(HOLD, tool="bill__get"))

    (mark,) = found[2]
    assert mark.by is not None
    assert mark.by.position == 1
    assert mark.words == (
        "As things are it never decides: of the tools that are known, rule “1” above takes every"
        " call first."
    )
    # Once it is changed, the second rule has a call.
    changed = [replace(tool, effect="changed") for tool in TOOLS]
    assert 2 not in marked(rule(ALLOW), rule(HOLD, tool="bill__get"), tools=changed)


def test_a_condition_takes_nothing_but_from_its_equal() -> None:
    some, other = dict[str, Any](condition="args.a > 1"), dict[str, Any](condition="args.a > 2")

    assert words(rule(**some), rule(HOLD), rule(**other)).keys() == {3}
    found = words(rule(**some), rule(HOLD, tool="bill__*", **some), rule(HOLD, **other))
    assert found == {
        2: ["It never decides: rule “1” above has the same condition, and comes first."]
    }


def test_a_budget_takes_nothing_for_certain() -> None:
    spent = rule(ALLOW, tool="*", budget=Budget("agent", "day", 5))

    assert words(spent, rule(ALLOW, tool="*")) == {}


def test_what_one_agent_is_denied_is_left_to_the_others() -> None:
    assert words(rule(agent="support"), rule(HOLD)) == {}
    assert words(rule(agent="support"), rule(HOLD, agent="support")).keys() == {2}


# -- nobody ------------------------------------------------------------------------------------


def stages(*named: tuple[str, int], **more: Any) -> Rule:
    listed: Any = [{"group": group, "quorum": quorum} for group, quorum in named]
    return rule(HOLD, tool="bill__*", stages=listed, **more)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (stages(("Nobody", 1)), "There is no group “Nobody” in billing."),
        (stages(("Finance", 1), escalate_to="Nobody"), "There is no group “Nobody” in billing."),
        (stages(("Gone", 1)), "Nobody is active in “Gone” of billing."),
        (stages(("Gone", 1), escalate_to="Heads"), "Nobody is active in “Gone” of billing."),
        (stages(("Finance", 1), escalate_to="Gone"), "Nobody is active in “Gone” of billing."),
        (stages(("Finance", 3)), "3 of “Finance” must sign in billing; only 2 people can."),
        (stages(("Owners", 2)), "2 of “Owners” must sign in billing; only 1 person can."),
        (stages(("Finance", 2), ("Owners", 1)), "it takes 3 different people"),
        (rule(HOLD, domain="billing", quorum=4), "it takes 4 different people"),
    ],
)
def test_a_hold_that_cannot_get_its_signatures_says_why(odd: Rule, said: str) -> None:
    (mark,) = marked(odd)[1]

    assert (mark.kind, mark.is_certain) == (Kind.NOBODY, True)
    assert said in mark.words


def test_a_hold_that_can_get_its_signatures_is_not_marked() -> None:
    assert words(stages(("Finance", 1), ("Owners", 1))) == {}
    assert words(stages(("Finance", 2), ("Heads", 1))) == {}
    assert words(stages(("Finance", 3), escalate_to="Heads")) == {}


def test_four_eyes_take_out_the_owners_that_are_certain() -> None:
    both = stages(("Finance", 2))

    assert words(both) == {}
    for odd, known in ((replace(both, four_eyes=True), DOMAINS), (both, {"billing": True})):
        (said,) = words(odd, domains=known)[1]
        assert "by four eyes, without the agent's owner, not as many can sign" in said
    # Of an agent of somebody else it can be approved, so nothing is certain of any agent's calls.
    others = AGENTS | {"mailer": KnownAgent(9, frozenset({"billing"}))}
    assert words(replace(both, four_eyes=True), agents=others) == {}
    assert words(replace(both, four_eyes=True, agent="support"), agents=others).keys() == {1}


def test_who_is_asked_is_looked_at_where_calls_are_left_to_the_rule() -> None:
    asks = rule(HOLD, stages=({"group": "Finance", "quorum": 1},))

    assert words(asks) == {1: ["There is no group “Finance” in deploys."]}
    assert words(rule(domain="deploys"), asks) == {}
    many = [KnownTool(f"d{n}", f"d{n}__x", "write") for n in range(9)]
    assert words(asks, tools=many, domains={f"d{n}": False for n in range(9)}) == {
        1: [*(f"There is no group “Finance” in d{n}." for n in range(3)),
            "It is so in 6 more domains."],
    }  # fmt: skip


def test_a_condition_that_was_false_whenever_it_was_tried_is_only_perhaps_useless() -> None:
    mark = of_trial(Tally(no=24))

    assert mark is not None
    assert not mark.is_certain
    assert "Perhaps it never decides: its condition was false for each of 24 calls" in mark.words
    for tally in (Tally(), Tally(yes=1, no=23), Tally(no=23) + Tally(yes=1)):
        assert of_trial(tally) is None
    unjudged = Tally(no=1)
    unjudged.add("args.a is missing")
    assert of_trial(unjudged) is None


# -- that it is so, whatever the rules -----------------------------------------------------------

PATTERNS = ["", "*", "bill__*", "bill__refund", "bill__refund*", "*refund", "ship__it", "ship__??",
            "[bs]*", "b*l__*", "bill__g?t", "zzz__*", "zzz__no"]  # fmt: skip
CONDITIONS = ["", "", "", "args.a > 1", "args.a > 2", "1 > 2"]
rules_drawn = st.lists(
    st.builds(
        Rule,
        position=st.just(0),
        name=st.just(""),
        outcome=st.sampled_from(Outcome),
        domain=st.sampled_from(["", "", "billing", "deploys", "nowhere"]),
        tool=st.sampled_from(PATTERNS),
        effect=st.sampled_from(["", "", *Effect]),
        agent=st.sampled_from(["", "", "", "support", "reader", "writer", "gone"]),
        condition=st.sampled_from(CONDITIONS),
        budget=st.sampled_from([None, None, None, Budget("agent", "day", 5)]),
    ),
    max_size=12,
).map(lambda drawn: policy(*drawn))
ARGUMENTS: list[Mapping[str, object]] = [{}, {"a": 0}, {"a": 2}, {"a": 3}, {"a": None}]


PARTS = ["a", "b", "*", "?", "]", "[a]", "[!a]"]


def known_calls() -> Iterator[Facts]:
    """Yield calls of known tools by the agents that may make them, and by one that is to come."""
    to_come = KnownAgent(7, frozenset({"billing", "deploys"}))
    for (name, agent), tool in product((AGENTS | {"new": to_come}).items(), TOOLS):
        may = agent.may_read if tool.effect == "read" else agent.may_write
        if may and tool.domain in agent.domains:
            yield Facts(tool.domain, tool.name, tool.effect, name)


def other_calls() -> Iterator[Facts]:
    """Yield calls as they may be made one day."""
    tools = ["bill__get", "bill__refund", "bill__refund_all", "bill__new", "xrefund", "ship__it",
             "ship__xy", "zzz__no", "zzz__new", "boil__x", "other"]  # fmt: skip
    domains, agents = ["billing", "deploys", "nowhere"], ["support", "reader", "gone", "new"]
    for found in product(domains, tools, [*Effect, "odd"], agents):
        yield Facts(*found)


def governing(rules: list[Rule], calls: Iterator[Facts]) -> set[int]:
    """Return the positions of rules that decide one of these calls, also beyond a budget."""
    found = set()
    for bare, args in product(calls, ARGUMENTS):
        facts = replace(bare, args=args)
        ruled = evaluate(facts, rules)
        found.add(ruled.rule.position)
        while ruled.rule.budget and ruled.outcome == ALLOW:
            ruled = beyond(ruled, facts, rules, "Spent.")
            found.add(ruled.rule.position)
    return found


@settings(max_examples=150, deadline=None)
@given(rules_drawn)
def test_a_marked_rule_decides_no_call_that_can_be_made_now(rules: list[Rule]) -> None:
    found = marks(rules, TOOLS, GROUPS, AGENTS, DOMAINS)

    decides = governing(rules, known_calls())

    useless = {at for at, odd in found.items() if any(_decides_nothing(mark) for mark in odd)}
    assert not useless & decides


@settings(max_examples=40, deadline=None)
@given(rules_drawn)
def test_a_rule_marked_for_good_decides_no_call_ever(rules: list[Rule]) -> None:
    found = marks(rules, TOOLS, GROUPS, AGENTS, DOMAINS)
    shadowed = {
        at
        for at, odd in found.items()
        for mark in odd
        if mark.kind == Kind.SHADOWED and not mark.words.startswith("As things are")
    }

    assert not shadowed & governing(rules, other_calls())


@settings(max_examples=150, deadline=None)
@given(rules_drawn)
def test_a_rule_without_a_mark_decides_a_call_where_no_arguments_matter(rules: list[Rule]) -> None:
    plain = [replace(rule, condition="", budget=None) for rule in rules]
    found = marks(plain, TOOLS, GROUPS, AGENTS, DOMAINS)

    decides = governing(plain, known_calls())

    useless = {at for at, odd in found.items() if any(_decides_nothing(mark) for mark in odd)}
    assert {rule.position for rule in plain[:-1]} <= useless | decides


def _decides_nothing(mark: Mark) -> bool:
    return mark.kind != Kind.NOBODY or "there is no agent" in mark.words


@pytest.mark.parametrize("pattern", ["", *map("".join, product(PARTS, ["", *PARTS]))])
def test_a_pattern_that_covers_another_matches_whatever_that_does(pattern: str) -> None:
    mine = matched(pattern)

    for other in map("".join, product(*[["", *PARTS]] * 3)):
        if covers(pattern, other):
            assert matched(other) <= mine, other


@cache
def matched(pattern: str) -> set[str]:
    tested = rule(HOLD, tool=pattern)
    names = ("".join(found) for size in range(4) for found in product("ab]", repeat=size))
    return {name for name in names if tested.matches(Facts("", name, "write", ""))}
