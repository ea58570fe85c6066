"""What an agent reads of a call that asks several people: numbers and groups, never a person."""

import asyncio
import json
import threading
from typing import Any

import pytest

from approvals import lifecycle
from approvals.administration import groups, people
from approvals.models import ToolCall
from approvals.tasks import sweep
from mcp_bridge.agents import asking, waiting
from tests.support import deadlines
from tests.support import groups as staffing
from tests.support.agent_view import ERAS, rules, told
from tests.support.bridging import Running, client
from tests.support.groups import STAGES, Staff, decide
from tests.support.world import ACTOR, REFUND, World

DECLARED: dict[str, Any] = {"io.modelcontextprotocol/tasks": {}}
RULE = {
    "outcome": "hold", "stages": STAGES, "deny_quorum": 2, "escalate_to": "Heads",
    "escalate_after": 50,
}  # fmt: skip


@pytest.fixture
def staff(world: World) -> Staff:
    """Return the people of the groups; the policy asks two of Finance, then one of Owners."""
    hired = staffing.hire(world)
    rules(RULE)
    return hired


def _call() -> ToolCall:
    return ToolCall.objects.get()


def _asked(bridge: Running, world: World, **more: Any) -> tuple[str, dict[str, Any]]:
    """Ask for the refund, again if it stands; return the words and facts the agent gets."""
    result = bridge.call(world.key, "billing__refund", REFUND, **more)
    return result["content"][0]["text"], told(result)


def _status(bridge: Running, world: World) -> tuple[str, dict[str, Any]]:
    arguments = {"ticket": str(_call().pk), "wait_seconds": 0}
    result = bridge.call(world.key, "approval_status", arguments)
    _names_nobody(result)
    return result["content"][0]["text"], told(result)


def _task(bridge: Running, world: World) -> str:
    params = {"taskId": str(_call().pk)}
    shown = bridge.ask(world.key, "tasks/get", params, extensions=DECLARED)["result"]
    _names_nobody(shown)
    return str(shown["statusMessage"])


def _names_nobody(result: Any) -> None:
    text = json.dumps(result).lower()
    for name in ("bo", "cy", "fay", "gus", "hal"):
        assert f"{name} tester" not in text
        assert f'"{name}"' not in text


def test_a_held_call_says_how_many_signed_and_for_whom_it_waits(
    bridge: Running, world: World, staff: Staff
) -> None:
    words, facts = _asked(bridge, world)
    assert "People have to approve it at" in words
    assert "0 of 3 signed; waiting for Finance." in words
    assert facts["approvals"] == {
        "signed": 0, "needed": 3, "waiting_for": ["Finance"], "rejections": 0, "deny_quorum": 2,
    }  # fmt: skip

    decide(_call(), world.bo)
    words, facts = _status(bridge, world)
    assert "1 of 3 signed; waiting for Finance." in words
    assert (facts["approvals"]["signed"], facts["state"]) == (1, "pending")

    decide(_call(), world.cy)
    assert "2 of 3 signed; waiting for Owners." in _status(bridge, world)[0]
    assert "2 of 3 signed; waiting for Owners." in _task(bridge, world)


def test_noes_escalation_and_reach_are_told_without_names(
    bridge: Running, world: World, staff: Staff
) -> None:
    _asked(bridge, world)
    decide(_call(), world.bo, "reject")
    words, facts = _status(bridge, world)
    assert "0 of 3 signed; waiting for Finance; 1 of the 2 noes that would end it." in words
    assert facts["approvals"]["rejections"] == 1

    deadlines.begun_ago(_call(), minutes=31)
    sweep()
    assert "waiting for Finance or Heads" in _status(bridge, world)[0]
    assert _status(bridge, world)[1]["approvals"]["waiting_for"] == ["Finance", "Heads"]

    for person in (world.cy, staff.fay, staff.hal):
        people.deactivate(person, actor=ACTOR)
    sweep()
    words, facts = _status(bridge, world)
    assert "Not enough people are left to approve it" in words
    assert facts["approvals"]["out_of_reach"] is True


def test_a_task_that_stood_already_is_told_as_it_is_now(
    bridge: Running, world: World, staff: Staff
) -> None:
    def ask() -> Any:
        return bridge.call(world.key, "billing__refund", REFUND, extensions=DECLARED)

    assert "0 of 3 signed; waiting for Finance." in ask()["statusMessage"]
    decide(_call(), world.bo)

    assert "1 of 3 signed; waiting for Finance." in ask()["statusMessage"]


def test_one_approver_of_the_domain_is_asked_in_the_words_of_ever(
    bridge: Running, world: World
) -> None:
    words, facts = _asked(bridge, world)

    assert "A person has to approve it at" in words
    assert "signed" not in words
    assert facts["approvals"] == {"signed": 0, "needed": 1, "rejections": 0, "deny_quorum": 1}


@ERAS
def test_progress_follows_the_signatures(
    bridge: Running, world: World, staff: Staff, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "TICK_SECONDS", 0.1)
    world.agent.grace_seconds = 25
    world.agent.save()
    groups.add_members(staff.owners, [world.bo], actor=ACTOR)  # a snapshot later than the grace
    heard: list[str] = []
    said = {words: threading.Event() for words in ("0 of 3", "2 of 3")}

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(str(message))
        for words, event in said.items():
            if words in heard[-1]:
                event.set()

    def act() -> None:
        assert said["0 of 3"].wait(20)
        for person in (world.bo, world.cy):
            decide(_call(), person)
        assert said["2 of 3"].wait(20)
        lifecycle.cancel(_call().pk, actor="person:ann")

    async def converse() -> None:
        async with client(bridge.url, world.key, era=era) as agent:
            ask = agent.call_tool("billing__refund", REFUND, progress_callback=progress)
            await asyncio.gather(ask, asyncio.to_thread(act))

    asyncio.run(converse())

    assert heard[0].startswith("Waiting for people to decide: 0 of 3 signed; waiting for Finance (")
    assert any("2 of 3 signed; waiting for Owners (" in words for words in heard)


def test_how_far_a_call_is_asks_no_database_before_its_first_decision(
    world: World, staff: Staff, held_call: Any, django_assert_num_queries: Any
) -> None:
    call = waiting.read_call(held_call(stages=STAGES).pk)
    decide(call, world.bo)
    signed = waiting.read_call(call.pk)

    with django_assert_num_queries(0):
        assert asking.in_words(call) == "0 of 3 signed; waiting for Finance"
        assert asking.in_words(signed) == "1 of 3 signed; waiting for Finance"
