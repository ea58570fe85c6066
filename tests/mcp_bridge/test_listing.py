"""Which tools an agent is shown, page by page."""

import pytest

from approvals.models import Agent, Tool
from mcp_bridge.agents.listing import PAGE
from tests.support.agent_view import BEFORE_SQL, ERAS, names, other_domain, rules
from tests.support.world import definition, list_tools, reviewed


@ERAS
def test_an_agent_sees_its_tools_and_the_companions(bridge, world, era):
    assert names(bridge, world.key, era=era) == [
        "approval_cancel", "approval_status", "billing__get_customer", "billing__refund",
    ]  # fmt: skip


def test_an_agent_that_may_only_read_sees_reads_and_no_companions(bridge, world):
    Agent.objects.update(may_write=False)

    assert names(bridge, world.key) == ["billing__get_customer"]


def test_an_agent_that_may_only_write_sees_no_reads(bridge, world):
    Agent.objects.update(may_read=False)

    assert "billing__get_customer" not in names(bridge, world.key)


def test_an_unreviewed_tool_counts_as_a_write(bridge, world):
    Tool.objects.filter(name="get_customer").update(reviewed_effect="")
    Agent.objects.update(may_write=False)

    assert names(bridge, world.key) == []


def test_a_foreign_domains_tools_are_not_shown(bridge, world):
    other_domain(world)

    assert not [name for name in names(bridge, world.key) if name.startswith("vault")]


def test_a_surface_shows_one_domain(bridge, world):
    domain = other_domain(world)
    world.agent.domains.add(domain)

    shown = names(bridge, world.key, path="/mcp/secret")

    assert shown == ["approval_cancel", "approval_status", "vault__open"]


def test_a_tool_that_is_gone_is_not_shown(bridge, world):
    list_tools(world.upstream, definition("get_customer"))

    assert names(bridge, world.key) == ["billing__get_customer"]


def test_only_a_read_that_passes_keeps_its_output_schema(bridge, world):
    output = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    list_tools(
        world.upstream,
        *(definition(name, outputSchema=output) for name in ("get_customer", "refund")),
    )
    reviewed("get_customer", "read")
    reviewed("refund", "write")

    tools = {t["name"]: t for t in bridge.ask(world.key, "tools/list")["result"]["tools"]}

    assert tools["billing__get_customer"]["outputSchema"] == output
    assert "outputSchema" not in tools["billing__refund"]


def test_a_read_that_a_rule_holds_loses_its_output_schema(bridge, world):
    list_tools(world.upstream, definition("get_customer", outputSchema={"type": "object"}))
    reviewed("get_customer", "read")
    rules({"outcome": "hold", "tool": "billing__*"})

    shown = bridge.ask(world.key, "tools/list")["result"]["tools"]

    assert [tool for tool in shown if "outputSchema" in tool] == []
    assert "approval_status" in [tool["name"] for tool in shown]


def test_hints_are_shown_as_the_upstream_claims_them(bridge, world):
    shown = {t["name"]: t for t in bridge.ask(world.key, "tools/list")["result"]["tools"]}

    assert shown["billing__refund"]["annotations"] == {"readOnlyHint": False}


def test_the_list_may_be_kept_privately_for_a_while(bridge, world):
    result = bridge.ask(world.key, "tools/list")["result"]

    assert result["cacheScope"] == "private"
    assert result["ttlMs"] > 0


@ERAS
def test_a_long_list_comes_in_pages_in_the_order_of_names(bridge, world, era):
    list_tools(world.upstream, *(definition(f"tool_{n}") for n in range(2 * PAGE)))

    first = bridge.ask(world.key, "tools/list", era=era)["result"]
    second = bridge.ask(world.key, "tools/list", {"cursor": first["nextCursor"]}, era=era)["result"]
    third = bridge.ask(world.key, "tools/list", {"cursor": second["nextCursor"]}, era=era)["result"]

    shown = [tool["name"] for page in (first, second, third) for tool in page["tools"]]
    assert len(first["tools"]) == PAGE
    assert len(shown) == 2 * PAGE + 2
    assert shown == sorted(shown)
    assert "nextCursor" not in third


@BEFORE_SQL
@pytest.mark.parametrize("cursor", ["", "zzz", "=", "é", "a" * 5000])
def test_a_cursor_of_somebody_else_is_refused_or_starts_over(bridge, world, cursor):
    answer = bridge.ask(world.key, "tools/list", {"cursor": cursor})

    assert answer.get("error", {}).get("code", -32602) == -32602
