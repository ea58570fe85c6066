"""Whether a ruling could need fewer people than another: what is not sure counts as if it did."""

from typing import Any

import pytest

from approvals.policy import Budget, Facts, Outcome, Rule, Ruling, Stage
from approvals.policy.loosening import Way, compare, differing, is_looser, judge, ways

REFUND = Facts(
    domain="billing", tool="billing__refund", effect="write", agent="support", args={"amount": 5}
)
LAST = Rule(position=9, name="hold by default", outcome=Outcome.HOLD)
DAY = Budget(per="agent", window="day", limit=500, field="amount", unit="USD:major")


def rule(outcome: str, **fields: Any) -> Rule:
    said: dict[str, Any] = {
        "position": 1,
        "name": "r",
        "tool": "billing__*",
        "outcome": Outcome(outcome),
    }
    return Rule(**(said | fields))


def ruling(outcome: str, **fields: Any) -> Ruling:
    made = rule(outcome, **fields)
    quorum = made.quorum if made.outcome == Outcome.HOLD else 0
    return Ruling(made, made.outcome, quorum, made.expires_seconds, "")


ALLOW, DENY = ruling("allow"), ruling("deny")
ONE, TWO = ruling("hold"), ruling("hold", quorum=2)
FINANCE = ruling("hold", stages=(Stage("Finance", 2),))
FINANCE_OWNERS = ruling("hold", stages=(Stage("Finance", 2), Stage("Owners", 1)))
BUDGET = ruling("allow", budget=DAY)


def finance(**fields: Any) -> Ruling:
    return ruling("hold", **({"stages": (Stage("Finance", 2),)} | fields))


def spending(**fields: Any) -> Ruling:
    return ruling("allow", budget=Budget(**({**vars(DAY)} | fields)))


LOOSER: list[tuple[Ruling, Ruling, Way]] = [
    (DENY, TWO, Way.OUTCOME),
    (DENY, ALLOW, Way.OUTCOME),
    (ONE, ALLOW, Way.OUTCOME),
    (TWO, BUDGET, Way.OUTCOME),
    (TWO, ONE, Way.QUORUM),
    (FINANCE_OWNERS, FINANCE, Way.QUORUM),
    (FINANCE, ruling("hold", stages=(Stage("Finance", 1), Stage("Owners", 1))), Way.GROUPS),
    (FINANCE, TWO, Way.GROUPS),
    (ONE, ruling("hold", deny_quorum=2), Way.NOES),
    (ruling("hold", four_eyes=True), ONE, Way.FOUR_EYES),
    (FINANCE, finance(escalate_to="Heads"), Way.ESCALATION),
    (finance(escalate_to="Heads"), finance(escalate_to="Owners"), Way.ESCALATION),
    (finance(escalate_to="Heads"), finance(escalate_to="Heads", escalate_after=10), Way.ESCALATION),
    (BUDGET, ALLOW, Way.BUDGET),
    (BUDGET, spending(limit=501), Way.BUDGET),
    (BUDGET, spending(per="tool"), Way.BUDGET),
    (BUDGET, spending(window="hour"), Way.BUDGET),
    (BUDGET, spending(field="net"), Way.BUDGET),
    (BUDGET, spending(unit="EUR:major"), Way.BUDGET),
    (BUDGET, spending(unit_field="currency"), Way.BUDGET),
    (BUDGET, ruling("allow", budget=DAY, name="begun anew"), Way.BUDGET),
    (ruling("allow", quorum=2), ALLOW, Way.QUORUM),
]
NOT_LOOSER = [
    (TWO, DENY), (ALLOW, BUDGET), (ALLOW, ONE), (BUDGET, ONE), (ONE, TWO), (TWO, FINANCE),
    (FINANCE, FINANCE_OWNERS), (ruling("hold", deny_quorum=2), ONE),
    (FINANCE_OWNERS, ruling("hold", stages=(Stage("Owners", 1), Stage("Finance", 2)))),
    (ONE, ruling("hold", four_eyes=True)), (finance(escalate_to="Heads"), FINANCE),
    (TWO, finance(escalate_to="Heads")),  # every approver of the domain could sign before
    (finance(escalate_to="Heads"), finance(escalate_to="Heads", escalate_after=90)),
    (BUDGET, spending(limit=499)), (TWO, ruling("hold", quorum=2, name="n", comment="c")),
    (ONE, ruling("hold", expires_seconds=60)), (DENY, ruling("deny", message="Another.")),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "way"), LOOSER)
def test_what_could_need_fewer_people_is_looser(before: Ruling, after: Ruling, way: Way) -> None:
    assert way in ways(before, after)
    assert is_looser(before, after)


@pytest.mark.parametrize(("before", "after"), NOT_LOOSER)
def test_what_needs_as_many_or_more_is_not(before: Ruling, after: Ruling) -> None:
    assert not is_looser(before, after)


@pytest.mark.parametrize("one", [*(pair[0] for pair in LOOSER), *(pair[1] for pair in LOOSER)])
def test_nothing_is_looser_than_itself(one: Ruling) -> None:
    assert not is_looser(one, one)


def test_a_budget_that_is_spent_asks_whoever_the_next_rule_asks() -> None:
    allow, two = rule("allow", budget=DAY), rule("hold", position=2, name="two", quorum=2)

    looser = compare(judge(REFUND, [allow, two, LAST]), judge(REFUND, [allow, LAST]))

    assert looser is not None
    assert (looser.is_spent, looser.before.quorum, looser.after.quorum) == (True, 2, 1)
    hold = rule("hold")
    assert compare(judge(REFUND, [allow, two, LAST]), judge(REFUND, [hold, LAST])) is not None
    assert compare(judge(REFUND, [allow, two, LAST]), judge(REFUND, [allow, two, LAST])) is None


BIG = {"condition": "args.amount > 100"}


def test_numbers_that_only_become_stricter_need_no_call_to_be_tried() -> None:
    before = (rule("hold", quorum=2, **BIG), LAST)

    assert differing(before, (rule("hold", quorum=3, **BIG), LAST)) is None
    assert (
        differing(before, (rule("hold", quorum=2, name="other", comment="c", **BIG), LAST)) is None
    )
    allow = (rule("allow", budget=DAY), LAST)
    tighter = Budget(**(vars(DAY) | {"limit": 1}))
    assert differing(allow, (rule("allow", budget=tighter), LAST)) is None


def test_a_rule_that_could_loosen_has_to_be_reached() -> None:
    allow, hold = rule("allow", **BIG), rule("hold", quorum=2, **BIG)

    added = differing((LAST,), (allow, LAST))
    removed = differing((hold, LAST), (LAST,))
    tightened = differing((LAST,), (hold, LAST))

    assert added is not None
    assert added.after == (allow,)
    assert removed is not None
    assert removed.before == (hold,)
    assert tightened is not None
    assert (tightened.before, tightened.after) == ((), ())


def test_a_denial_in_place_of_a_hold_is_not_taken_for_stricter_unseen() -> None:
    """What cannot be judged asks as many as the next rule does; a denial asks none."""
    allow = rule("allow", condition="args.memo == 'x'")
    before = (allow, rule("hold", position=2, name="three", quorum=3))
    after = (allow, rule("deny", position=2, name="three"))

    assert differing(before, after) is not None
    looser = compare(judge(REFUND, before), judge(REFUND, after))
    assert looser is not None
    assert (looser.before.quorum, looser.after.quorum) == (3, 1)


def test_a_budget_in_place_of_a_hold_below_it_is_not_taken_for_stricter_unseen() -> None:
    two = rule("hold", position=2, name="two", quorum=2)

    assert differing((rule("allow", budget=DAY), two), (rule("hold"), two)) is not None
