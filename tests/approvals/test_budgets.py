"""Budgets of rules as they are spent, given back and asked again, at submission and dispatch."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import lifecycle, submission
from approvals.administration import agents
from approvals.administration import policy as policies
from approvals.errors import BindingBroken, NotAllowed
from approvals.models import BudgetUse, ToolCall, database_now
from approvals.outcomes import Outcome
from approvals.policy import budgets
from tests.support import trail
from tests.support import world as worlds
from tests.support.world import ACTOR, World

S = ToolCall.Status
FIVE_HUNDRED: dict[str, Any] = {
    "per": "agent", "window": "day", "limit": 50_000,
    "field": "amount", "unit": "USD:minor", "unit_field": "currency",
}  # fmt: skip
SMALL: dict[str, Any] = {
    "name": "small",
    "outcome": "allow",
    "tool": "billing__refund",
    "budget": FIVE_HUNDRED,
}
Ask = Callable[..., ToolCall]


def load(*rules: dict[str, object]) -> None:
    policies.load_rules({"rules": list(rules)}, source="tests", actor=ACTOR)


@pytest.fixture
def ask(world: World) -> Ask:
    """Return what asks for a refund, each for another invoice: `ask(amount, agent=…, …)`."""
    number = iter(range(10_000))

    def send(
        amount: object = 2_000, *, agent: Any = None, tool: Any = None, **more: Any
    ) -> ToolCall:
        arguments = {"customer": "cus_1", "invoice": f"in_{next(number)}", "currency": "usd"}
        said: dict[str, Any] = arguments | {"amount": amount} | more
        arguments = {key: value for key, value in said.items() if value is not ...}
        agent, tool = agent or world.agent, tool or world.refund
        return submission.submit(submission.Request(agent.pk, None, tool.pk, arguments)).call

    return send


def run(call: ToolCall, outcome: Outcome | None = None) -> ToolCall:
    """Release a call, up to the outcome if there is one."""
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    return lifecycle.finish(claim, outcome) if outcome else ToolCall.objects.get(pk=call.pk)


# -- spending ------------------------------------------------------------------------------------


def test_what_fits_passes_and_what_crosses_the_budget_is_held_and_says_why(ask: Ask) -> None:
    load(SMALL)
    passed = [ask(48_000), ask(800)]
    held = ask(2_000)
    small = ask(1_200)

    assert [call.status for call in (*passed, small)] == [S.APPROVED] * 3
    assert (held.status, held.quorum, held.rule["name"]) == (S.PENDING, 1, "small")
    assert held.held_because == (
        "The budget of rule “small”, $500.00 a day for agent support, has $12.00 left;"
        " this call needs $20.00."
    )
    assert ask(1).status == S.PENDING


def test_the_trail_says_what_was_taken_and_why_a_call_was_held(ask: Ask) -> None:
    load(SMALL)
    passed, held = ask(50_000), ask(1)

    taken = trail.facts(trail.last(passed))["budget"]
    assert (taken["rule"], taken["account"]) == ("small", "agent support")
    assert taken["amount"] == 50_000 * budgets.SCALE
    assert trail.facts(trail.last(held))["held_because"] == held.held_because
    assert "held_because" not in trail.facts(trail.last(passed))


def test_beyond_a_budget_the_conditions_of_later_rules_are_asked(ask: Ask) -> None:
    usd = SMALL | {"condition": "args.amount < 5000"}
    more = {"outcome": "hold", "tool": "billing__refund", "quorum": 2}
    load(
        usd | {"budget": {"per": "agent", "window": "hour", "limit": 1}},
        more | {"name": "much", "condition": "args.amount > 1000"},
        more | {"name": "unclear", "condition": "args.memo == 'urgent'"},
    )

    passed, much, unclear = ask(900), ask(1_100), ask(900)

    assert passed.status == S.APPROVED
    assert (much.status, much.quorum, much.rule["name"]) == (S.PENDING, 2, "much")
    assert much.held_because.endswith("this call needs 1 call.")
    assert (unclear.status, unclear.quorum, unclear.rule["name"]) == (S.PENDING, 2, "unclear")
    assert "The budget of rule “small”" in unclear.held_because
    assert "Rule “unclear” has a condition that could not be judged" in unclear.held_because


def test_what_a_budget_let_through_is_judged_by_its_arguments_before_it_is_sent(ask: Ask) -> None:
    rule = SMALL | {"condition": "args.amount < 5000"}
    load(rule)
    sent, stopped = ask(4_000), ask(4_000)

    assert run(sent).status == S.DISPATCHED
    load(rule | {"condition": "args.amount < 3000"})
    with pytest.raises(BindingBroken, match="got stricter"):
        run(stopped)


def test_without_a_field_calls_are_counted(ask: Ask) -> None:
    load(SMALL | {"budget": {"per": "agent", "window": "hour", "limit": 2}})

    assert [ask(10**9).status for _ in range(3)] == [S.APPROVED, S.APPROVED, S.PENDING]


@pytest.mark.parametrize(("per", "status"), [("agent", S.APPROVED), ("tool", S.PENDING),
                                             ("domain", S.PENDING)])  # fmt: skip
def test_a_budget_is_each_agents_or_that_of_all_who_share_it(
    world: World, ask: Ask, per: str, status: S
) -> None:
    load(SMALL | {"budget": FIVE_HUNDRED | {"per": per}})
    other = agents.create_agent("other", owner=world.eve, domains=["billing"], actor=ACTOR)
    ask(50_000)

    assert ask(1, agent=other).status == status


def test_a_budget_of_a_domain_counts_all_its_tools(world: World, ask: Ask) -> None:
    budget = {"per": "domain", "window": "day", "limit": 1}
    load({"name": "all", "outcome": "allow", "tool": "billing__*", "budget": budget})

    assert ask(tool=world.customer).status == S.APPROVED
    assert ask().status == S.PENDING


def test_a_read_under_a_budget_is_counted_too(world: World, ask: Ask) -> None:
    load({"name": "reads", "outcome": "allow", "effect": "read",
          "budget": {"per": "agent", "window": "hour", "limit": 1}})  # fmt: skip

    assert [ask(tool=world.customer).status for _ in range(2)] == [S.APPROVED, S.PENDING]


@pytest.mark.parametrize(
    "more",
    [{"amount": ...}, {"amount": None}, {"amount": "2000"}, {"amount": -1}, {"amount": True},
     {"amount": 1e15}, {"amount": 2**53 - 1}, {"amount": [1]}, {"amount": 0.5 ** 20},
     {"currency": "eur"}, {"currency": ...}, {"currency": "uſd"}],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_counted_is_held_and_takes_nothing(ask: Ask, more: dict[str, Any]) -> None:
    """The schema of a tool may be lax; here nothing has looked at the arguments before."""
    load(SMALL)

    held = ask(**({"amount": 1} | more))

    assert held.status == S.PENDING
    assert held.held_because.startswith("Rule “small” has a budget, and ")
    assert not BudgetUse.objects.exists()


def test_a_repeat_that_joins_takes_nothing_more(world: World) -> None:
    load(SMALL)
    asked = submission.Request(world.agent.pk, None, world.refund.pk, worlds.REFUND)

    assert submission.submit(asked).call == submission.submit(asked).call
    assert BudgetUse.objects.count() == 1


def test_beyond_the_budget_a_rule_that_denies_denies(ask: Ask) -> None:
    load(SMALL, {"name": "no more", "outcome": "deny", "message": "Enough for today."})
    ask(50_000)

    with pytest.raises(NotAllowed, match=r"Enough for today\."):
        ask(1)


def test_beyond_the_budget_a_rule_that_asks_two_people_asks_two(ask: Ask) -> None:
    load(SMALL, {"name": "two", "outcome": "hold", "quorum": 2})
    ask(50_000)

    held = ask(1)

    assert (held.quorum, held.rule["name"]) == (2, "two")
    assert "The budget of rule “small”" in held.held_because


# -- spans ---------------------------------------------------------------------------------------


def begun() -> tuple[datetime, datetime]:
    return budgets.span("day", database_now(), timezone.get_default_timezone())


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Havana"])
def test_what_was_spent_before_the_day_began_is_over(ask: Ask, settings: Any, zone: str) -> None:
    settings.TIME_ZONE = zone
    load(SMALL)
    ask(50_000)
    starts, ends = begun()

    BudgetUse.objects.update(at=starts)
    assert ask(1).status == S.PENDING
    BudgetUse.objects.update(at=ends - timedelta(microseconds=1))
    assert ask(1).status == S.PENDING
    BudgetUse.objects.update(at=starts - timedelta(microseconds=1))
    assert ask(50_000).status == S.APPROVED


def test_what_was_taken_before_midnight_is_sent_after_it_whatever_the_new_day_spent(
    ask: Ask,
) -> None:
    load(SMALL)
    late = ask(50_000)
    BudgetUse.objects.update(at=begun()[0] - timedelta(seconds=1))
    ask(50_000)

    assert run(late).status == S.DISPATCHED


# -- giving back ---------------------------------------------------------------------------------


ENDS: dict[str, tuple[Callable[[ToolCall], object], bool]] = {
    "approved": (lambda call: None, False),
    "claimed": (lambda call: lifecycle.claim(call.pk, worker="test"), False),
    "dispatched": (run, False),
    "cancelled": (lambda call: lifecycle.cancel(call.pk, actor="agent:support"), True),
    "void": (lambda call: lifecycle.void(call.pk, actor=ACTOR, reason="Changed."), True),
    "succeeded": (lambda call: run(call, Outcome.succeeded({"content": []})), False),
    "unknown": (lambda call: run(call, Outcome.unknown("It broke.")), False),
    "tool_error": (lambda call: run(call, Outcome.failed("tool_error", "No.", {})), False),
    "upstream_error": (lambda call: run(call, Outcome.failed("upstream_error", "No.")), True),
    "not_sent": (lambda call: run(call, Outcome.failed("not_sent", "No.")), True),
}


@pytest.mark.parametrize("end", ENDS)
def test_only_a_call_of_which_it_is_known_that_it_did_not_run_gives_its_part_back(
    ask: Ask, end: str
) -> None:
    load(SMALL)
    step, is_given_back = ENDS[end]

    step(ask(50_000))

    assert ask(1).status == (S.APPROVED if is_given_back else S.PENDING)


def test_a_call_that_expired_before_it_ran_gives_its_part_back(ask: Ask, settings: Any) -> None:
    settings.RUN_WITHIN_SECONDS = 0
    load(SMALL)

    lifecycle.expire(ask(50_000).pk)

    assert ask(50_000).status == S.APPROVED


@pytest.mark.parametrize(("found", "status"), [("ran", S.PENDING), ("not-ran", S.APPROVED)])
def test_an_unknown_keeps_its_part_until_a_person_found_that_it_did_not_run(
    world: World, ask: Ask, settings: Any, found: str, status: S
) -> None:
    settings.SETTLE_QUARANTINE_SECONDS = 0
    load(SMALL)
    call = run(ask(50_000), Outcome.unknown("It broke."))
    assert ask(1).status == S.PENDING

    lifecycle.settle(call.pk, person=world.bo, outcome=found, evidence="The ledger.")

    assert ask(2).status == status


def test_what_people_approve_takes_nothing(world: World, ask: Ask) -> None:
    load(SMALL)
    ask(49_000)
    call = ask(40_000)
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)

    assert run(call).status == S.DISPATCHED
    assert ask(1_000).status == S.APPROVED


# -- at dispatch, and under another policy ---------------------------------------------------------


def test_a_call_that_took_the_rest_is_sent(ask: Ask) -> None:
    """Judged as if it needed its part once more, it would never run."""
    load(SMALL)
    calls = [ask(25_000), ask(25_000)]

    assert [run(call).status for call in calls] == [S.DISPATCHED] * 2


@pytest.mark.parametrize(
    "changes",
    [{"budget": FIVE_HUNDRED | {"limit": 49_999}}, {"name": "other"}, {"outcome": "hold"},
     {"budget": FIVE_HUNDRED | {"unit": "EUR:minor"}}],
    ids=["limit", "name", "outcome", "unit"],
)  # fmt: skip
def test_a_policy_that_got_stricter_makes_a_waiting_call_void_and_says_why(
    ask: Ask, changes: dict[str, object]
) -> None:
    load(SMALL)
    call = ask(50_000)
    said = SMALL | changes
    load({key: v for key, v in said.items() if said["outcome"] == "allow" or key != "budget"})

    with pytest.raises(BindingBroken, match="The policy got stricter"):
        run(call)


@pytest.mark.parametrize("budget", [FIVE_HUNDRED | {"limit": 90_000}, None])
def test_a_policy_that_got_looser_leaves_a_waiting_call_alone(
    ask: Ask, budget: dict[str, object] | None
) -> None:
    load(SMALL)
    call = ask(50_000)
    load(SMALL | {"budget": budget} if budget else {k: SMALL[k] for k in SMALL if k != "budget"})

    assert run(call).status == S.DISPATCHED


def test_a_budget_that_came_after_a_call_was_admitted_stops_it(ask: Ask) -> None:
    load({key: SMALL[key] for key in SMALL if key != "budget"})
    call = ask(1)
    load(SMALL)

    with pytest.raises(BindingBroken, match="a budget that this call never asked"):
        run(call)


def test_a_new_version_of_the_policy_counts_on(ask: Ask) -> None:
    load(SMALL)
    ask(40_000)
    load(SMALL | {"budget": FIVE_HUNDRED | {"limit": 60_000}})

    assert [ask(20_000).status, ask(1).status] == [S.APPROVED, S.PENDING]


def test_what_was_counted_in_another_unit_is_never_added_to(ask: Ask) -> None:
    load(SMALL)
    ask(1)
    load(SMALL | {"budget": FIVE_HUNDRED | {"unit": "EUR:minor"}})

    held = ask(1, currency="eur")

    assert held.status == S.PENDING
    assert "was counted in another unit" in held.held_because
