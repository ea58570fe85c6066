"""Arguments are held to the tool's schema before anything else happens, in bounded time."""

import time

import pytest

from approvals.models import ToolCall
from tests.support.agent_view import BEFORE_SQL, CUSTOMER, ERAS, told
from tests.support.world import definition, list_tools


@ERAS
def test_each_schema_error_comes_with_its_path_and_makes_no_row(bridge, world, era):
    bad = {"customer": 7, "amount": -1, "currency": "gbp"}

    result = bridge.call(world.key, "billing__refund", bad, era=era)

    assert result["isError"] is True
    assert told(result)["kind"] == "invalid_input"
    paths = [problem["path"] for problem in told(result)["problems"]]
    assert paths == ["$.amount", "$.currency", "$.customer"]
    assert not ToolCall.objects.exists()


def test_arguments_are_held_to_the_schema_of_a_read_too(bridge, world):
    result = bridge.call(world.key, "billing__get_customer", {"customer": "cus_1"})

    assert told(result)["kind"] == "invalid_input"
    assert "'amount' is a required property" in told(result)["message"]
    assert bridge.upstreams.asked == []


def test_an_odd_place_in_the_arguments_has_a_path_one_can_read(bridge, world):
    schema = {"type": "object", "properties": {"a b": {"items": {"type": "integer"}}}}
    list_tools(world.upstream, definition("refund", inputSchema=schema))

    result = bridge.call(world.key, "billing__refund", {"a b": [1, "x"]})

    assert told(result)["path"] == '$["a b"][1]'


UNUSABLE = {
    "remote $ref": {"$ref": "http://127.0.0.1:1/schema.json"},
    "dangling $ref": {"$ref": "#/$defs/none"},
    "endless $ref": {"$ref": "#"},
    "bad pattern": {"type": "object", "properties": {"customer": {"pattern": "("}}},
    "no schema": {"type": "object", "properties": {"customer": {"type": "customer"}}},
}


@BEFORE_SQL
@pytest.mark.parametrize("schema", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_schema_that_cannot_be_used_is_the_upstreams_error(bridge, world, schema):
    list_tools(world.upstream, definition("refund", inputSchema=schema))

    result = bridge.call(world.key, "billing__refund", {"customer": "cus_1"})

    assert told(result)["kind"] == "upstream_error"
    assert "Nothing was done" in told(result)["message"]
    assert not ToolCall.objects.exists()


def test_arguments_that_take_too_long_to_check_hold_nobody_else_up(bridge, world):
    schema = {"type": "object", "properties": {"memo": {"type": "string", "pattern": "^(a+)+$"}}}
    list_tools(world.upstream, definition("refund", inputSchema=schema), definition("get_customer"))
    began = time.monotonic()

    slow = bridge.call(world.key, "billing__refund", {"memo": "a" * 40 + "!"})
    again = bridge.call(world.key, "billing__refund", {"memo": "a" * 40 + "!"})
    other = bridge.call(world.key, "billing__get_customer", CUSTOMER)

    assert told(slow)["kind"] == "invalid_input"
    assert told(again)["kind"] == "rate_limited"
    assert told(again)["retry_after_seconds"] > 0
    assert other["isError"] is False
    assert time.monotonic() - began < 20  # seconds; the pattern alone would take days
    assert not ToolCall.objects.exists()


def test_a_pattern_is_checked_like_anything_else(bridge, world):
    schema = {"type": "object", "properties": {"memo": {"pattern": "^[a-z]+$"}}}
    list_tools(world.upstream, definition("refund", inputSchema=schema))

    bad = bridge.call(world.key, "billing__refund", {"memo": "A"})
    good = bridge.call(world.key, "billing__refund", {"memo": "a"})

    assert told(bad)["path"] == "$.memo"
    assert told(good)["state"] == "pending"
