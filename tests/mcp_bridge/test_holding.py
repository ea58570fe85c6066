"""A write makes one row: how it is shown, what joins it, what supersedes it, and the limits."""

from uuid import UUID

import pytest

from approvals.administration import agents
from approvals.models import Agent, ToolCall
from mcp_bridge import snapshot
from tests.support import listening
from tests.support.agent_view import BEFORE_SQL, CUSTOMER, ERAS, names, told
from tests.support.bridging import LEGACY, running
from tests.support.running import until
from tests.support.world import ACTOR, REFUND, definition, list_tools


@ERAS
def test_a_write_is_held_with_all_a_client_needs_to_go_on(bridge, world, era):
    result = bridge.call(world.key, "billing__refund", REFUND, era=era)

    call = ToolCall.objects.get()
    text = result["content"][0]["text"]
    assert result["isError"] is False
    assert text.startswith("HELD")
    assert "Nothing has been done" in text
    assert "Do not repeat the call" in text
    assert "approval_status" in text
    assert told(result)["ticket"] == str(call.pk)
    assert told(result)["approval_url"] == f"http://127.0.0.1:8000/calls/{call.pk}/"
    assert told(result)["retry_after_seconds"] == 5
    assert told(result)["expires_at"].startswith(f"{call.decide_by_at:%Y-%m-%dT%H:%M:%S}")


@ERAS
def test_asking_the_same_again_joins_the_same_ticket(bridge, world, era):
    first = bridge.call(world.key, "billing__refund", REFUND, era=era)
    second = bridge.call(world.key, "billing__refund", dict(reversed(REFUND.items())), era=era)

    assert told(second)["ticket"] == told(first)["ticket"]
    assert told(second)["deduplicated"] is True
    assert "deduplicated" not in told(first)
    assert ToolCall.objects.count() == 1


def test_a_worker_gets_ready_for_an_upstream_while_people_decide(bridge, world):
    """Opening a session can take seconds, which would otherwise follow the approver's click."""
    with listening.to(queues=["release.billing"]) as heard:
        for amount in (1, 2):  # close together: one hint is enough
            bridge.call(world.key, "billing__refund", {**REFUND, "amount": amount})
        hints = [(message.task, message.arguments) for message in heard.releases]

    assert hints == [("mcp_bridge.refresh", [world.upstream.pk])]


def test_an_own_key_joins_and_refuses_other_arguments(bridge, world):
    def ask(amount):
        meta = {"_meta": {"countersign/idempotency_key": "order 7"}}
        return bridge.call(world.key, "billing__refund", {**REFUND, "amount": amount}, params=meta)

    first, same, other = ask(1), ask(1), ask(2)

    assert told(same)["ticket"] == told(first)["ticket"]
    assert told(other)["kind"] == "idempotency_mismatch"
    assert told(other)["call_id"] == told(first)["ticket"]
    assert ToolCall.objects.count() == 1


@BEFORE_SQL
@pytest.mark.parametrize("value", [7, "", "  ", "x" * 201, ["a"], {}])
@pytest.mark.parametrize("key", ["idempotency_key", "acts_for"])
def test_a_meta_value_that_is_no_text_is_refused_with_its_path(bridge, world, key, value):
    meta = {"_meta": {f"countersign/{key}": value}}

    result = bridge.call(world.key, "billing__refund", REFUND, params=meta)

    assert told(result)["kind"] == "invalid_input"
    assert told(result)["path"] == f'$._meta["countersign/{key}"]'
    assert not ToolCall.objects.exists()


def test_whom_the_agent_says_it_acts_for_is_kept_as_its_claim(bridge, world):
    meta = {"_meta": {"countersign/acts_for": "the CEO"}}

    bridge.call(world.key, "billing__refund", REFUND, params=meta)

    call = ToolCall.objects.get()
    assert call.claimed_acts_for == "the CEO"
    assert call.acts_for == world.ann


def test_superseding_voids_the_old_call_and_links_the_two(bridge, world):
    old = UUID(told(bridge.call(world.key, "billing__refund", REFUND))["ticket"])
    meta = {"_meta": {"countersign/supersedes": str(old)}}

    new = bridge.call(world.key, "billing__refund", {**REFUND, "amount": 1}, params=meta)

    assert ToolCall.objects.get(pk=old).status == "void"
    assert ToolCall.objects.get(pk=told(new)["ticket"]).supersedes_id == old


@pytest.mark.parametrize("ticket", [str(UUID(int=7)), "7", "x" * 100])
def test_superseding_what_is_not_there_makes_no_row(bridge, world, ticket):
    meta = {"_meta": {"countersign/supersedes": ticket}}

    result = bridge.call(world.key, "billing__refund", REFUND, params=meta)

    assert told(result)["kind"] == "not_found"
    assert not ToolCall.objects.exists()


def test_another_agents_call_cannot_be_superseded(bridge, world):
    old = told(bridge.call(world.key, "billing__refund", REFUND))["ticket"]
    other = agents.create_agent("other", owner=world.ann, domains=["billing"], actor=ACTOR)
    key = agents.create_key(other, acts_for=world.ann, actor=ACTOR)
    meta = {"_meta": {"countersign/supersedes": old}}
    until(lambda: bridge.post(key, {}, era=LEGACY).status_code != 401, "the key to work", 2)

    result = bridge.call(key, "billing__refund", REFUND, params=meta)

    assert told(result)["kind"] == "not_found"
    assert ToolCall.objects.get().status == "pending"


def test_too_many_pending_calls_are_told_so(bridge, world, settings):
    settings.PENDING_PER_AGENT = 1
    bridge.call(world.key, "billing__refund", REFUND)

    result = bridge.call(world.key, "billing__refund", {**REFUND, "amount": 1})

    assert told(result)["kind"] == "queue_full"
    assert told(result)["retryable"] is True
    assert told(result)["retry_after_seconds"] > 0
    assert ToolCall.objects.count() == 1


def test_too_many_submits_a_second_are_told_when_to_come_back(world, settings):
    # So slowly that not one more is due while this runs, on however busy a machine.
    settings.SUBMITS_PER_SECOND, settings.SUBMITS_BURST = 0.001, 2
    Agent.objects.update(grace_seconds=0)
    with running() as bridge:
        results = [
            told(bridge.call(world.key, "billing__refund", {**REFUND, "amount": n}))
            for n in range(1, 5)
        ]

        assert [result.get("kind", "held") for result in results[:3]] == [
            "held", "held", "rate_limited",
        ]  # fmt: skip
        assert 0 < results[2]["retry_after_seconds"] <= 1_000
        # Reads are not submits.
        assert bridge.call(world.key, "billing__get_customer", CUSTOMER)["isError"] is False


def test_arguments_checked_against_an_old_definition_make_no_row(bridge, world, monkeypatch):
    monkeypatch.setattr(snapshot, "_CHECK_SECONDS", 60)
    assert names(bridge, world.key)
    list_tools(world.upstream, definition("refund", description="Other."))

    result = bridge.call(world.key, "billing__refund", REFUND)

    assert told(result)["kind"] == "definition_changed"
    assert told(result)["retryable"] is True
    assert not ToolCall.objects.exists()
