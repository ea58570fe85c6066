"""Rules that look at a call's arguments, asked through the bridge; reads by them at the door."""

import json

import pytest

from approvals.models import AuditEvent, Revision, ToolCall
from tests.support import world as worlds
from tests.support.agent_view import CUSTOMER, ERAS, PROVENANCE, refusals, rules, told
from tests.support.bridging import MODERN
from tests.support.world import REFUND, definition, list_tools

S = ToolCall.Status
READ, WRITE = "billing__get_customer", "billing__refund"
SMALL = {
    "name": "small refunds", "outcome": "allow", "tool": "billing__refund",
    "condition": "args.amount <= 5000",
}  # fmt: skip
BIG = {"name": "big refunds", "outcome": "hold", "tool": "billing__refund", "quorum": 2}


def ask(bridge, world, tool=WRITE, *, era=MODERN, **changes):
    return bridge.call(world.key, tool, {**REFUND, **changes}, era=era)


@ERAS
def test_a_refund_within_the_limit_passes_and_one_beyond_it_asks_two(bridge, world, era):
    rules(SMALL, BIG)

    ask(bridge, world, amount=5000, era=era)
    ask(bridge, world, amount=5001, era=era)

    small, big = ToolCall.objects.order_by("created_at")
    assert (small.status, small.quorum, small.rule["name"]) == (S.APPROVED, 0, "small refunds")
    assert (big.status, big.quorum, big.rule["name"]) == (S.PENDING, 2, "big refunds")
    assert small.held_because == big.held_because == ""


def test_an_argument_that_is_not_there_holds_the_call_and_names_the_rule(bridge, world):
    rules({**SMALL, "condition": "args.memo == 'small' || args.amount <= 5000"})

    ask(bridge, world, amount=1)

    call, because = ToolCall.objects.get(), (
        "Rule “small refunds” has a condition that could not be judged: args.memo is missing."
    )  # fmt: skip
    assert (call.status, call.quorum, call.rule["name"]) == (S.PENDING, 1, "small refunds")
    assert call.held_because == because
    event = AuditEvent.objects.get(stream=f"call:{call.pk}")
    assert (event.code, json.loads(bytes(event.data))["held_because"]) == ("call.held", because)


def test_it_never_falls_through_to_a_rule_that_would_let_it_pass(bridge, world):
    unsure = {"outcome": "hold", "tool": "billing__*", "condition": "args.memo == 'x'"}
    rules({**unsure, "name": "odd ones"}, {**SMALL, "condition": "args.amount >= 1"})

    ask(bridge, world)
    ask(bridge, world, memo="y")

    held, passed = ToolCall.objects.order_by("created_at")
    assert (held.status, held.rule["name"]) == (S.PENDING, "odd ones")
    assert (passed.status, passed.rule["name"]) == (S.APPROVED, "small refunds")


def test_who_it_acts_for_is_something_a_condition_can_ask(bridge, world):
    rules({**SMALL, "condition": "acts_for == 'ann'"})

    ask(bridge, world)

    assert ToolCall.objects.get().status == S.APPROVED


@ERAS
def test_a_read_by_a_condition_passes_at_the_door_or_is_held_call_by_call(bridge, world, era):
    rules(
        {"name": "own", "outcome": "allow", "tool": READ, "condition": "args.amount < 5"},
        {"name": "others", "outcome": "hold"},
    )

    passed = bridge.call(world.key, READ, CUSTOMER, era=era)
    held = bridge.call(world.key, READ, {**CUSTOMER, "amount": 9}, era=era)
    again = bridge.call(world.key, READ, CUSTOMER, era=era)

    assert passed["_meta"][PROVENANCE]["decided_by"] == "rule:own"
    assert again["_meta"][PROVENANCE]["decided_by"] == "rule:own"
    assert told(held)["state"] == "pending"
    assert ToolCall.objects.get().rule["name"] == "others"
    assert AuditEvent.objects.filter(code="read.passed").count() == 2


@ERAS
def test_a_read_that_a_condition_denies_is_refused_with_the_rules_words(bridge, world, era):
    deny = {"name": "vip", "outcome": "deny", "condition": "args.customer == 'vip'"}
    rules({**deny, "message": "Ask Ann."}, {"name": "reads", "outcome": "allow"})

    refused = bridge.call(world.key, READ, {**CUSTOMER, "customer": "vip"}, era=era)

    assert told(refused)["kind"] == "not_allowed"
    assert told(refused)["message"] == "Ask Ann."
    assert [one["why"] for one in refusals()] == ["denied by rule vip"]


@ERAS
def test_a_read_whose_arguments_do_not_fit_the_tool_is_refused_before_rules_matter(
    bridge, world, era
):
    rules({"name": "own", "outcome": "allow", "tool": READ, "condition": "args.amount < 5"})

    wrong = bridge.call(world.key, READ, {**CUSTOMER, "amount": "much"}, era=era)

    assert told(wrong)["kind"] == "invalid_input"
    assert not ToolCall.objects.exists()


def test_a_read_judged_by_what_came_before_becomes_a_call(bridge, world):
    """Only rows can tell; the bridge's cache knows none."""
    count = {"name": "few", "outcome": "allow", "tool": READ, "condition": "history.calls_hour < 2"}
    rules(count, {"name": "many", "outcome": "hold"})

    for number in range(4):
        bridge.call(world.key, READ, {**CUSTOMER, "amount": number + 1})

    calls = ToolCall.objects.order_by("created_at")
    assert [call.rule["name"] for call in calls] == ["few", "few", "many", "many"]


def test_the_tool_of_a_read_that_may_be_held_is_listed_as_one_that_may(bridge, world):
    """A client would hold a ticket to the tool's own output schema, and throw it away."""
    shape = {"outputSchema": {"type": "object"}}
    list_tools(world.upstream, definition("refund"), definition("get_customer", **shape))
    worlds.reviewed("get_customer", "read")
    rules({"name": "own", "outcome": "allow", "tool": READ, "condition": "args.amount < 5"})
    Revision.bump()

    listed = bridge.ask(world.key, "tools/list")["result"]["tools"]

    assert "outputSchema" not in next(tool for tool in listed if tool["name"] == READ)
    assert "approval_status" in [tool["name"] for tool in listed]


@pytest.mark.parametrize("amount", [1, 20_000])
def test_sums_of_what_was_asked_before_count_also_what_nobody_approved(bridge, world, amount):
    within = "history.sum_day.amount + args.amount <= 30000"
    rules({**SMALL, "condition": within})

    for number in range(3):
        ask(bridge, world, amount=amount + number)

    wanted = [S.APPROVED] * 3 if amount == 1 else [S.APPROVED, S.PENDING, S.PENDING]
    assert [call.status for call in ToolCall.objects.order_by("created_at")] == wanted
