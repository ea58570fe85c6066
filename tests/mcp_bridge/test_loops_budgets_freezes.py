"""Loops, budgets and freezes as an agent meets them, over real MCP in both eras."""

from datetime import timedelta
from typing import Any

import pytest

from approvals import lifecycle
from approvals.administration import agents, freezes
from approvals.models import Agent, ToolCall, database_now
from mcp_bridge import snapshot
from tests.support import world as worlds
from tests.support.agent_view import CUSTOMER, refusals, rules, told
from tests.support.bridging import LEGACY, MODERN
from tests.support.running import until
from tests.support.world import ACTOR, REFUND

S = ToolCall.Status
TASKS: dict[str, Any] = {"io.modelcontextprotocol/tasks": {}}
# How an agent learns how its call ended: it waits, it has a ticket, or it has a task.
STYLES: dict[str, tuple[int, dict[str, Any]]] = {
    "waits, today": (25, {"era": MODERN}),
    "waits, before": (25, {"era": LEGACY}),
    "ticket, today": (0, {"era": MODERN}),
    "ticket, before": (0, {"era": LEGACY}),
    "task": (0, {"era": MODERN, "extensions": TASKS}),
}


def rejected(bridge, world, *, is_read=True, **more):
    """Let Bo reject a refund that the agent asked for, and let it read that."""
    bridge.call(world.key, "billing__refund", REFUND, **more)
    call = ToolCall.objects.get()
    lifecycle.decide(
        call.pk, decider=world.bo, verdict="reject", binding=call.binding, reason="Paid twice."
    )
    if is_read:
        bridge.call(world.key, "approval_status", {"ticket": str(call.pk)})
    return call


@pytest.mark.parametrize("style", STYLES)
def test_what_was_rejected_is_answered_from_the_decision_and_nobody_is_asked_again(
    bridge, world, style
):
    grace, more = STYLES[style]
    call = rejected(bridge, world)
    Agent.objects.update(grace_seconds=grace)

    first = bridge.call(world.key, "billing__refund", REFUND, **more)
    second = bridge.call(world.key, "billing__refund", REFUND, **more)

    assert ToolCall.objects.count() == 1
    assert [told(answer)["kind"] for answer in (first, second)] == ["rejected", "rejected"]
    assert [told(answer)["repeats"] for answer in (first, second)] == [1, 2]
    assert told(first)["call_id"] == str(call.pk)
    assert told(first)["reason"] == "Paid twice."
    assert told(first)["retryable"] is False
    text = second["content"][0]["text"]
    assert "Their reason: Paid twice." in text
    assert "This was rejected just now, by a person; you have asked for the same 2 times" in text
    assert "Ask for something else" in text


def test_another_key_of_its_own_makes_it_no_other_request(bridge, world):
    call = rejected(bridge, world)

    metas = [{"_meta": {"countersign/idempotency_key": f"order {number}"}} for number in range(2)]
    answers = [bridge.call(world.key, "billing__refund", REFUND, params=meta) for meta in metas]

    assert [told(answer)["call_id"] for answer in answers] == [str(call.pk)] * 2
    assert [told(answer)["repeats"] for answer in answers] == [1, 2]


def test_the_trail_has_a_sample_of_what_was_asked_again(bridge, world):
    call = rejected(bridge, world)

    bridge.call(world.key, "billing__refund", REFUND)

    (event,) = until(refusals, "the event")
    assert (event["kind"], event["call"]) == ("rejected", str(call.pk))
    assert event["why"] == "asked again what was rejected: Paid twice."


def test_who_was_not_told_yet_is_told_and_not_counted(bridge, world):
    """A client whose stream broke asks the same again; that is no loop."""
    rejected(bridge, world, is_read=False)

    answer = bridge.call(world.key, "billing__refund", REFUND)

    assert told(answer)["kind"] == "rejected"
    assert "repeats" not in told(answer)
    assert ToolCall.objects.get().repeats == 0


def test_something_else_is_held_as_ever(bridge, world):
    rejected(bridge, world)

    other = bridge.call(world.key, "billing__refund", {**REFUND, "amount": 1})

    assert told(other)["state"] == "pending"


def test_another_agent_or_tool_with_the_same_arguments_is_held_as_ever(bridge, world):
    # All there before the bridge looks: it knows of what is new a second later.
    other = agents.create_agent("other", owner=world.ann, domains=["billing"], actor=ACTOR)
    Agent.objects.update(grace_seconds=0)
    key = agents.create_key(other, acts_for=world.ann, actor=ACTOR)
    names = ("refund", "get_customer", "credit")
    worlds.list_tools(world.upstream, *(worlds.definition(name) for name in names))
    call = rejected(bridge, world)

    by_another = bridge.call(key, "billing__refund", REFUND)
    of_another = bridge.call(world.key, "billing__credit", REFUND)

    assert [told(answer)["state"] for answer in (by_another, of_another)] == ["pending"] * 2
    assert str(call.pk) not in (told(by_another)["ticket"], told(of_another)["ticket"])


def test_what_comes_again_with_its_own_key_is_counted_once_it_was_told(bridge, world):
    meta = {"_meta": {"countersign/idempotency_key": "order 1"}}
    rejected(bridge, world, params=meta)

    answer = bridge.call(world.key, "billing__refund", REFUND, params=meta)

    assert told(answer)["repeats"] == 1


def test_after_the_cool_down_people_are_asked_again(bridge, world, settings):
    settings.COOL_DOWN_SECONDS = 0
    call = rejected(bridge, world)

    again = bridge.call(world.key, "billing__refund", REFUND)

    assert told(again)["state"] == "pending"
    assert told(again)["ticket"] != str(call.pk)


# -- budgets, as an agent sees them ----------------------------------------------------------------

ONE = {"per": "agent", "window": "hour", "limit": 1}


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_a_spent_budget_holds_and_tells_the_agent_why(bridge, world, era):
    rules({"name": "one", "outcome": "allow", "tool": "billing__refund", "budget": ONE})

    first = bridge.call(world.key, "billing__refund", REFUND, era=era)
    second = bridge.call(world.key, "billing__refund", {**REFUND, "amount": 1}, era=era)

    assert told(first)["state"] == "approved"
    assert told(second)["state"] == "pending"
    assert told(second)["reason"] == (
        "The budget of rule “one”, 1 call an hour for agent support, has 0 calls left;"
        " this call needs 1 call."
    )
    assert told(second)["reason"] in second["content"][0]["text"]


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_a_read_whose_rule_has_a_budget_does_not_pass_at_the_door(bridge, world, era):
    rules({"name": "one", "outcome": "allow", "effect": "read", "budget": ONE})

    first = bridge.call(world.key, "billing__get_customer", CUSTOMER, era=era)
    other = {**CUSTOMER, "amount": 2}
    second = bridge.call(world.key, "billing__get_customer", other, era=era)

    assert [told(answer)["state"] for answer in (first, second)] == ["approved", "pending"]
    assert ToolCall.objects.count() == 2


# -- freezes, as an agent sees them ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("begins", "ends", "reads", "passes"),
    [(-60, 60, False, True), (-60, 60, True, False), (30, 60, True, True)],
    ids=["without reads", "with reads", "not yet"],
)
def test_a_read_passes_in_a_freeze_unless_that_holds_reads(
    bridge, world, begins, ends, reads, passes
):
    now = database_now()
    planned = freezes.Planned(
        now + timedelta(minutes=begins), now + timedelta(minutes=ends), "Quarter end", reads=reads
    )
    freezes.add(world.billing, planned, actor=ACTOR)
    until(lambda: len(snapshot.load_if_changed(None).frozen) == reads, "the freeze to be known")

    answer = bridge.call(world.key, "billing__get_customer", CUSTOMER)

    assert ToolCall.objects.exists() is not passes
    if not passes:
        assert told(answer)["reason"].startswith("A freeze is on in billing until ")


def test_a_freeze_that_begins_while_a_bridge_runs_holds_the_next_read(bridge, world):
    """Nothing tells the bridge of the moment at which what it knows of begins."""
    begins_at = database_now() + timedelta(seconds=2.5)
    planned = freezes.Planned(begins_at, begins_at + timedelta(hours=1), "Quarter end", reads=True)
    freezes.add(world.billing, planned, actor=ACTOR)
    bridge.call(world.key, "billing__get_customer", CUSTOMER)
    assert not ToolCall.objects.exists()
    until(lambda: database_now() > begins_at, "the freeze to begin")

    answer = bridge.call(world.key, "billing__get_customer", CUSTOMER)

    assert told(answer)["state"] == "pending"


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_a_write_in_a_freeze_is_held_and_the_agent_is_told_why(bridge, world, era):
    rules({"name": "all", "outcome": "allow", "tool": "billing__refund"})
    now = database_now()
    planned = freezes.Planned(now, now + timedelta(hours=1), "Quarter end")
    freezes.add(world.billing, planned, actor=ACTOR)

    answer = bridge.call(world.key, "billing__refund", REFUND, era=era)

    assert told(answer)["state"] == "pending"
    assert "“Quarter end”" in answer["content"][0]["text"]
