"""What of an upstream's list agents may see: bad tools cost only themselves; names keep apart."""

import json
import re
from typing import Any

import pytest

from approvals.administration.catalog import ListedTool
from approvals.canonical import DEFINITION_KEYS
from mcp_bridge.upstreams.exposing import MAX_TOOLS, Sieve, exposed_name
from tests.support.world import definition

PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
GOOD = definition("good")
DEEP: dict[str, Any] = {}
for _ in range(70):
    DEEP = {"not": DEEP}


def sifted(*tools: object) -> tuple[list[ListedTool], list[dict[str, str]]]:
    """Return what is kept of one page, and what is dropped."""
    sieve = Sieve("plain")
    sieve.add(list(tools))
    return sieve.tools(), sieve.dropped()


def schema(**more: object) -> dict[str, object]:
    return {"type": "object", **more}


# A tool that cannot be offered, and a word of why.
BROKEN: dict[str, tuple[object, str]] = {
    "no schema": ({"name": "x"}, "input schema"),
    "an empty schema": (definition("x", inputSchema={}), "input schema"),
    "a schema of a list": (definition("x", inputSchema={"type": "array"}), "input schema"),
    "a schema that is text": (definition("x", inputSchema="object"), "input schema"),
    "no JSON Schema": (definition("x", inputSchema=schema(properties=[1])), "not a JSON Schema"),
    "a remote reference": (
        definition("x", inputSchema=schema(properties={"a": {"$ref": "http://127.0.0.1/s"}})),
        "http://127.0.0.1/s",
    ),
    "a reference to a file": (
        definition("x", inputSchema=schema(allOf=[{"$ref": "file:///etc/passwd"}])), "passwd",
    ),
    "a remote dynamic reference": (
        definition("x", inputSchema=schema(items={"$dynamicRef": "other#x"})), "other#x",
    ),
    "a remote reference in what it returns": (
        definition("x", outputSchema=schema(properties={"a": {"$ref": "//evil/s"}})), "//evil/s",
    ),
    "one megabyte": (definition("x", description="x" * 1_000_000), "bytes"),
    "a schema that is too deep": (definition("x", inputSchema=schema(properties=DEEP)), "deep"),
    "a long name": (definition("x" * 300), "200 characters"),
    "no name": ({k: v for k, v in GOOD.items() if k != "name"}, "name"),
    "an empty name": (definition(""), "name"),
    "a name that is a number": (definition("x") | {"name": 5}, "name"),
    "a NUL in its name": (definition("a\0b"), "U+0000"),
    "text": ("refund", "object"),
    "nothing": (None, "object"),
    "a title that is a list": (definition("x", title=["a"]), "title"),
    "a description that is a number": (definition("x", description=5), "description"),
    "annotations that are text": (definition("x", annotations="readOnly"), "annotations"),
    "an outputSchema that is text": (definition("x", outputSchema="object"), "outputSchema"),
    "a number that is none": (
        definition("x", inputSchema=schema(properties={"a": {"maximum": float("nan")}})), "number",
    ),
    "an impossible header": (
        definition("x", inputSchema=schema(properties={"a": {"x-mcp-header": "b c"}})), "header",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_tool_is_dropped_with_the_reason_and_costs_no_other(case: str):
    tool, word = BROKEN[case]

    kept, dropped = sifted(definition("before"), tool, definition("after"))

    assert [tool.name for tool in kept] == ["before", "after"]
    (told,) = dropped
    assert word in told["why"]
    assert len(told["why"]) <= 300
    assert len(told["name"]) <= 110
    json.dumps(told)


def test_a_definition_is_kept_to_the_keys_that_are_digested():
    (kept,), _ = sifted({**GOOD, "icons": [{"src": "http://x"}], "_meta": {"a": 1}, "title": None})

    assert set(kept.definition) <= set(DEFINITION_KEYS)
    assert "title" not in kept.definition
    assert kept.definition["inputSchema"] == GOOD["inputSchema"]


def test_a_name_that_stands_twice_is_offered_under_neither_definition():
    kept, dropped = sifted(definition("a"), definition("b"), definition("a", title="Other"))

    assert [tool.name for tool in kept] == ["b"]
    assert [told["name"] for told in dropped] == ["a"]
    assert "more than once" in dropped[0]["why"]


def test_what_is_beyond_the_longest_list_is_dropped_and_counted():
    kept, dropped = sifted(*(definition(f"t{n}") for n in range(MAX_TOOLS + 150)))

    assert len(kept) == MAX_TOOLS
    assert len(dropped) <= 101
    assert "50 more" in dropped[-1]["name"]


def test_hostile_text_of_a_dropped_tool_is_shown_harmless():
    _, (dropped,) = sifted({"name": "a\u202eb\x1b[31m", "inputSchema": 1})

    assert "\u202e" not in dropped["name"]
    assert "\x1b" not in dropped["name"]


NAMES = [
    "refund", "Refund", "a.b", "a/b", "a b", "a_b", "ä", "退款", "x" * 200, "x" * 199 + "y",
    "\U0001f4b8", "-", "_", "__", "a\u202eb", "a" * 60, "a" * 56, "a" * 55,
]  # fmt: skip


@pytest.mark.parametrize("upstream", ["plain", "a", "u" * 40])
def test_every_name_is_one_that_clients_accept_and_no_two_are_the_same(upstream: str):
    exposed = [exposed_name(upstream, name) for name in NAMES]

    assert all(PLAIN.fullmatch(name) for name in exposed)
    assert all(name.startswith(f"{upstream}__") for name in exposed)
    assert len(set(exposed)) == len(NAMES)


def test_a_plain_short_name_stays_as_it_is_and_marks_never_change():
    assert exposed_name("billing", "refund") == "billing__refund"
    # Rules and scripts name tools like this: another release must not rename them.
    assert exposed_name("billing", "issue.refund") == "billing__issue_refund_80c91d050c7f"


def test_nobody_can_list_a_tool_under_the_name_of_another_ones_mark():
    marked = exposed_name("billing", "issue.refund")
    imitation = marked.removeprefix("billing__")

    assert exposed_name("billing", imitation) != marked


def test_upstreams_cannot_take_each_others_names():
    assert exposed_name("a", "b__c") != exposed_name("a-b", "c")
    assert exposed_name("a", "x" * 100) != exposed_name("b", "x" * 100)
