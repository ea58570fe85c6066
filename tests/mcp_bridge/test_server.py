"""What becomes of a call: unknown, denied, passed; and what the SDK's own client makes of it."""

import asyncio
import json
import time

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import HEADER_MISMATCH

from approvals import lifecycle
from approvals.administration import catalog
from approvals.administration.catalog import UpstreamSpec
from approvals.models import Agent, AuditEvent, ToolCall, Upstream
from tests.support.agent_view import (
    CUSTOMER,
    ERAS,
    PROVENANCE,
    names,
    other_domain,
    refusals,
    rules,
    told,
)
from tests.support.bridging import Down, client, running
from tests.support.running import until
from tests.support.world import ACTOR, REFUND, definition, list_tools, reviewed


@ERAS
def test_a_foreign_tool_looks_like_an_unknown_one_but_not_in_the_trail(bridge, world, era):
    other_domain(world)

    foreign = bridge.ask(world.key, "tools/call", {"name": "vault__open"}, era=era)
    unknown = bridge.ask(world.key, "tools/call", {"name": "vault__0pen"}, era=era)

    assert str(foreign).replace("vault__open", "vault__0pen") == str(unknown)
    assert foreign["error"]["code"] == -32602
    assert foreign["error"]["data"]["error"]["kind"] == "not_found"
    why = [refusal["why"] for refusal in refusals()]
    assert why == [
        "it belongs to secret, a domain the agent was not given",
        "no such tool is listed",
    ]
    assert not ToolCall.objects.exists()


def test_a_write_is_unknown_to_an_agent_that_may_only_read(bridge, world):
    Agent.objects.update(may_write=False)

    answer = bridge.ask(world.key, "tools/call", {"name": "billing__refund", "arguments": REFUND})

    assert answer["error"]["data"]["error"]["kind"] == "not_found"
    assert refusals()[0]["why"] == "the tool is write, and the agent may only read"


def test_a_tool_of_another_surface_is_unknown_on_this_one(bridge, world):
    world.agent.domains.add(other_domain(world))
    call = {"name": "billing__refund", "arguments": REFUND}

    answer = bridge.ask(world.key, "tools/call", call, path="/mcp/secret")

    assert answer["error"]["data"]["error"]["kind"] == "not_found"
    assert not ToolCall.objects.exists()


def test_a_header_declared_by_a_foreign_tool_tells_nothing(bridge, world):
    domain = catalog.create_domain("secret", purpose="Keys.", owner=world.ann, actor=ACTOR)
    schema = {"type": "object", "properties": {"who": {"type": "string", "x-mcp-header": "Who"}}}
    spec = UpstreamSpec("vault", "http", {"url": "http://127.0.0.1:9/mcp", "headers": {}})
    upstream = catalog.put_upstream(spec, domain=domain, actor=ACTOR)
    list_tools(upstream, definition("open", inputSchema=schema))
    call = {"name": "vault__open", "arguments": {"who": "me"}}

    answer = bridge.ask(world.key, "tools/call", call)

    assert answer["error"]["data"]["error"]["kind"] == "not_found"


def test_a_header_declared_by_a_tool_of_ones_own_has_to_be_there(bridge, world):
    schema = {"type": "object", "properties": {"who": {"type": "string", "x-mcp-header": "Who"}}}
    upstream = Upstream.objects.get(name="billing")
    list_tools(upstream, definition("open", inputSchema=schema), definition("shut"))

    missing = bridge.ask(
        world.key, "tools/call", {"name": "billing__open", "arguments": {"who": "me"}}
    )
    unasked = bridge.ask(
        world.key, "tools/call", {"name": "billing__shut", "arguments": {"who": "me"}}
    )

    assert missing["error"]["code"] == HEADER_MISMATCH
    assert "result" in unasked
    assert not ToolCall.objects.filter(tool__name="open").exists()


@ERAS
def test_a_denied_call_is_told_the_rules_words_and_makes_no_row(bridge, world, era):
    rules({"outcome": "deny", "tool": "billing__refund", "message": "Ask accounting."})

    result = bridge.call(world.key, "billing__refund", REFUND, era=era)

    assert result["isError"] is True
    assert (told(result)["kind"], told(result)["message"]) == ("not_allowed", "Ask accounting.")
    assert result["_meta"][PROVENANCE]["decided_by"] == "rule:rule 1"
    assert not ToolCall.objects.exists()
    assert refusals()[0]["why"] == "denied by rule rule 1"


def test_a_write_that_a_rule_allows_is_a_call_that_waits_for_its_worker(bridge, world):
    rules({"outcome": "allow", "tool": "billing__refund", "name": "small refunds"})

    result = bridge.call(world.key, "billing__refund", REFUND)

    assert told(result)["state"] == "approved"
    assert result["_meta"][PROVENANCE]["decided_by"] == "rule:small refunds"


def test_a_read_that_a_rule_holds_does_not_reach_the_upstream(bridge, world):
    rules({"outcome": "hold", "tool": "billing__get_customer"})

    result = bridge.call(world.key, "billing__get_customer", CUSTOMER)

    assert told(result)["state"] == "pending"
    assert bridge.upstreams.asked == []


def test_a_read_whose_definition_changed_is_held_within_two_seconds(bridge, world):
    assert "state" not in told(bridge.call(world.key, "billing__get_customer", CUSTOMER))

    list_tools(
        world.upstream, definition("get_customer", description="Other."), definition("refund")
    )

    def is_held():
        return "state" in told(bridge.call(world.key, "billing__get_customer", CUSTOMER))

    until(is_held, "the changed read to be held", 2)


@ERAS
def test_a_read_passes_with_its_provenance(bridge, world, era):
    result = bridge.call(world.key, "billing__get_customer", CUSTOMER, era=era)

    provenance = result["_meta"][PROVENANCE]
    event = AuditEvent.objects.get(
        stream=provenance["audit"]["stream"], seq=provenance["audit"]["number"]
    )
    data = json.loads(bytes(event.data))
    assert told(result) == {"arguments": CUSTOMER}
    assert provenance["read_id"] == data["read_id"]
    assert provenance["definition_digest"] == world.customer.definition_digest
    assert (provenance["upstream"], provenance["domain"]) == ("billing", "billing")
    assert provenance["tool"] == "billing__get_customer"
    assert provenance["decided_by"] == "rule:allow reads"
    assert (event.code, event.actor, data["outcome"]) == ("read.passed", "agent:support", "ok")
    assert not ToolCall.objects.exists()


def test_of_an_agents_meta_only_the_trace_goes_upstream(bridge, world):
    meta = {"traceparent": "00-1-2-01", "baggage": "a=b", "tracestate": 7, "secret": "x"}

    bridge.call(world.key, "billing__get_customer", CUSTOMER, params={"_meta": meta})

    ((_, _, forwarded),) = bridge.upstreams.asked
    ours = {key for key in forwarded if not key.startswith("io.modelcontextprotocol/")}
    assert ours == {"traceparent", "baggage"}


def test_the_upstreams_own_stamp_is_not_passed_on(bridge, world):
    result = bridge.call(world.key, "billing__get_customer", CUSTOMER)

    stamp = result["_meta"]["io.modelcontextprotocol/serverInfo"]
    assert stamp["name"] == "countersign"


def test_an_upstream_that_is_down_is_not_the_agents_fault(world):
    with running(Down()) as bridge:
        result = bridge.call(world.key, "billing__get_customer", CUSTOMER)

        assert told(result)["kind"] == "temporarily_unavailable"
        assert told(result)["retryable"] is True
        assert "read_id" in result["_meta"][PROVENANCE]


def test_a_disabled_upstreams_tools_are_gone(bridge, world):
    Upstream.objects.update(is_enabled=False)

    assert names(bridge, world.key) == []


@ERAS
def test_the_sdks_client_reads_and_is_held(bridge, world, era):
    async def converse():
        async with client(bridge.url, world.key, era=era) as agent:
            listed = await agent.list_tools()
            read = await agent.call_tool("billing__get_customer", CUSTOMER)
            held = await agent.call_tool("billing__refund", REFUND)
            with pytest.raises(MCPError) as unknown:
                await agent.call_tool("billing__nothing", {})
            return agent.instructions, listed, read, held, unknown.value

    instructions, listed, read, held, unknown = asyncio.run(converse())

    assert "HELD" in instructions
    assert len(listed.tools) == 4
    assert read.structured_content == {"arguments": CUSTOMER}
    assert held.structured_content["state"] == "pending"
    assert unknown.code == -32602


@ERAS
def test_a_client_that_held_a_read_to_its_output_schema_still_gets_its_result(bridge, world, era):
    output = {"type": "object", "required": ["arguments"], "properties": {"arguments": {}}}
    list_tools(world.upstream, definition("get_customer", outputSchema=output))
    reviewed("get_customer", "read")

    async def converse():
        async with client(bridge.url, world.key, era=era) as agent:
            await agent.list_tools()
            return await agent.call_tool("billing__get_customer", CUSTOMER)

    assert asyncio.run(converse()).is_error is False


@ERAS
def test_a_rejection_within_the_grace_is_the_answer(bridge, world, era):
    Agent.objects.update(grace_seconds=20)

    async def converse():
        async with client(bridge.url, world.key, era=era) as agent:
            asking = asyncio.create_task(agent.call_tool("billing__refund", REFUND))
            await asyncio.to_thread(reject)
            return await asking

    def reject():
        until(ToolCall.objects.exists, "the held call")
        call = ToolCall.objects.get()
        lifecycle.decide(
            call.pk, decider=world.bo, verdict="reject", binding=call.binding, reason="Wrong one."
        )

    began = time.monotonic()
    result = asyncio.run(converse())

    assert result.is_error is True
    assert "Their reason: Wrong one." in result.content[0].text
    assert result.structured_content["kind"] == "rejected"
    assert time.monotonic() - began < 10
