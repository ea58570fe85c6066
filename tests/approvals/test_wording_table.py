"""Promises of `approvals.wording.rows`: a table says all of a call's arguments and nothing else."""

import json
import math
import os
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from approvals import canonical
from approvals.wording import Row, rows
from approvals.wording.hostile import is_hidden
from tests.support.reading import arguments_of

# 100,000 before a release: GENERATED_ARGUMENTS=100000 pytest tests/approvals/test_wording_table.py
EXAMPLES = int(os.environ.get("GENERATED_ARGUMENTS", "300"))

NASTY = (
    'aZ09 .,-+eE%$·“”‹›…↵␠×U+\n\r\t\x1b[]"\\{}\u202e\u2066\u2069\u200b\u00a0\u2028\ufe0f\u0301'
    "\u05d0\u0661\uff11½Ⅷ三\u3164\u115f\U000e0041\ue000\u0378"
)
TEXTS = (
    strategies.text(strategies.sampled_from(NASTY), max_size=30)
    | strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=30)
    | strategies.sampled_from(["", "1", "1.0", "-0", "1e3", "true", "null", "Yes", "nothing"])
    | strategies.sampled_from(["[]", "{}", "no items", "U+202E", "↵ ×3", "x" * 700, "\n" * 700])
    # Around the length at which a text is cut.
    | strategies.builds(
        lambda unit, length: (unit * length)[:length],
        strategies.text(strategies.sampled_from("ab\u200b\n \u0301"), min_size=1, max_size=9),
        strategies.integers(595, 605),
    )
)
SCALARS = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = strategies.recursive(
    SCALARS,
    lambda inner: (
        strategies.lists(inner, max_size=4) | strategies.dictionaries(TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)
ARGUMENTS = strategies.dictionaries(TEXTS | strategies.sampled_from("abc"), VALUES, max_size=5)
WORDS = strategies.sampled_from(
    ["properties", "items", "title", "anyOf", "$ref", "$defs", "a", "b", "#/$defs/a", "#", "#/a"]
)
SCHEMAS = strategies.recursive(
    strategies.none() | strategies.booleans() | WORDS | TEXTS,
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(WORDS, inner, max_size=4)
    ),
    max_leaves=15,
)


def same(one: object, other: object) -> bool:
    """Tell whether two JSON values are equal, types and signs of zero included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(ARGUMENTS, SCHEMAS)
def test_any_arguments_can_be_read_back_from_their_rows(
    arguments: dict[str, object], schema: object
) -> None:
    table = rows(arguments, schema)

    assert same(arguments_of(table), arguments)
    assert not any(is_hidden(character) for row in table for character in row.label + row.name)


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(VALUES.filter(lambda value: not isinstance(value, str)))
def test_a_value_and_a_text_that_spells_it_never_look_the_same(value: object) -> None:
    row = looks(value)
    shown = "".join(part.text for part in row.value)

    for text in (shown, str(value), json.dumps(value)):
        assert looks(text) != row


def looks(value: object) -> Row:
    """Return the row of a value without its remarks, which only help the eye."""
    return replace(rows({"a": value}, {})[0], remarks=())


def only(value: object, schema: object = None) -> Row:
    """Return the row of a lone argument called note."""
    return rows({"note": value}, schema or {"properties": {"note": {}}})[0]


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        ("1", "text", "1"),
        (1, "number", "1"),
        (1.0, "number", "1.0"),
        (-0.5, "number", "-0.5"),
        (1e-7, "number", "1e-07"),
        (42000, "number", "42000"),
        (True, "boolean", "Yes"),
        (False, "boolean", "No"),
        ("true", "text", "true"),
        (None, "null", "nothing"),
        ("", "text", ""),
        ([], "list", "no items"),
        ({}, "object", "no fields"),
        ([0], "list", "1 item"),
        ({"a": 0, "b": 0}, "object", "2 fields"),
    ],
)
def test_each_kind_of_value_is_named_and_shown(value: object, kind: str, shown: str) -> None:
    row = only(value)

    assert row.kind == kind
    assert "".join(part.text for part in row.value) == shown


NUMBERS = [
    "1", "42000", "-1", "+1", "−1", " 1 ", "1.5", ".5", "1,000.00", "1'000", "1 000", "1_000",
    "1e3", "1E+10", "0x1F", "$420.00", "420 €", "10%", "NaN", "Infinity", "-inf", "１２３",
    "\u0661\u0662", "\u0967", "三", "½", "Ⅷ", "②", "1\u00a0000",
]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_text_somebody_could_take_for_a_number_is_labelled(text: str) -> None:
    row = only(text)

    assert row.kind == "text"
    assert "text that looks like a number" in row.remarks


@pytest.mark.parametrize("text", ["cus_8241", "e3", "a1", "1a", "-", ".", "", "$", "v1.2.3", "x10"])
def test_text_nobody_takes_for_a_number_is_not(text: str) -> None:
    assert "text that looks like a number" not in only(text).remarks


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("", "empty text"),
        ("TRUE", "text, not a yes, a no or nothing"),
        (" null ", "text, not a yes, a no or nothing"),
        ("nothing", "text, not a yes, a no or nothing"),
        ("2 items", "text, not a list or an object"),
        ("no fields", "text, not a list or an object"),
        ("7" * 600, "text that looks like a number"),
        ("a\u202eb", "hidden characters"),
        ("a" + " " * 16 + "b", "hidden characters"),
        ("שלום 12", "text that runs right to left"),
        (" admin", "begins or ends with a space"),
        ("admin ", "begins or ends with a space"),
    ],
)
def test_what_is_odd_about_a_text_is_said(text: str, remark: str) -> None:
    assert remark in only(text).remark.split("; ")


@pytest.mark.parametrize("value", ["requested_by_customer", "two\nlines", "naïve", 1, True, [], {}])
def test_nothing_is_said_where_nothing_is_odd(value: object) -> None:
    assert only(value).remarks == ()


def test_long_text_shows_head_and_tail_and_has_the_whole() -> None:
    text = "HEAD" + "x" * 5_000 + "pay 1"

    row = only(text)

    assert [part.text for part in row.value] == [text[:400]]
    assert [part.text for part in row.middle] == [text[400:-160]]
    assert [part.text for part in row.tail] == [text[-160:]]
    assert row.left_out == 4_449
    assert row.remark == "long text: 5,009 characters, head and tail shown"


def test_text_is_cut_only_above_the_limit() -> None:
    assert only("x" * 600).left_out == 0
    assert only("x" * 601).left_out == 41


def test_hidden_characters_in_the_part_not_shown_are_told() -> None:
    row = only("x" * 500 + "\u202e" + "x" * 500)

    assert not any("U+202E" in part.text for part in (*row.value, *row.tail))
    assert any("U+202E" in part.text for part in row.middle)
    assert "hidden characters" in row.remarks


def test_parts_of_a_value_follow_it_one_level_deeper() -> None:
    arguments = {"to": {"name": "Dana", "phones": ["a", {"x": 1}]}, "z": 1}

    table = rows(arguments, {})

    assert [(row.depth, row.name, row.count) for row in table] == [
        (0, "to", 2),
        (1, "to.name", 0),
        (1, "to.phones", 2),
        (2, "to.phones[0]", 0),
        (2, "to.phones[1]", 1),
        (3, "to.phones[1].x", 0),
        (0, "z", 0),
    ]
    assert [row.label for row in table if row.depth == 2] == ["1 of 2", "2 of 2"]


def test_no_arguments_are_no_rows() -> None:
    assert rows({}, {"properties": {"a": {}}}) == ()


def test_a_key_with_hidden_characters_is_spelled_out_everywhere() -> None:
    [row] = rows({"am\u200bount": 1}, {})

    assert [part.text for part in row.key] == ["am", "U+200B", "ount"]
    assert row.label == "am‹U+200B›ount"
    assert row.name == '["am\\u200bount"]'
    assert "hidden characters in its name" in row.remarks


# -- what the schema lends -----------------------------------------------------------------------


def labels(arguments: dict[str, object], schema: object) -> dict[str, str]:
    return {row.name: row.label for row in rows(arguments, schema)}


def odd(arguments: dict[str, object], schema: object) -> list[str]:
    return [row.name for row in rows(arguments, schema) if "not in the schema" in row.remarks]


def test_titles_and_order_come_from_the_schema_and_the_rest_after() -> None:
    schema = {"properties": {"b": {"title": "Amount"}, "a": {}, "missing": {}}}

    table = rows({"z": 1, "a": 1, "b": 1}, schema)

    assert [(row.label, row.name) for row in table] == [("Amount", "b"), ("A", "a"), ("Z", "z")]


def test_a_title_of_a_stranger_is_cleaned_and_cut() -> None:
    titles = labels({"a": 1, "b": 1, "c": 1}, {"properties": {
        "a": {"title": "x\u202ey\nz"}, "b": {"title": "t" * 500}, "c": {"title": ["no"]},
    }})  # fmt: skip

    assert titles == {"a": "x‹U+202E›y z", "b": "t" * 59 + "…", "c": "C"}


PERSON = {"title": "Person", "properties": {"name": {"title": "Full name"}}}


@pytest.mark.parametrize(
    "of_to",
    [
        PERSON,
        {"$ref": "#/$defs/Person"},
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Person"}]},
        {"allOf": [{"$ref": "#/$defs/Person"}]},
        {"oneOf": [{"type": "string"}, PERSON]},
        {"$ref": "#/$defs/odd~1na~0me"},
        {"$ref": "#/$defs/odd%20name"},
    ],
)
def test_a_schema_is_followed_through_its_references(of_to: dict[str, object]) -> None:
    several = {"Person": PERSON, "odd/na~me": PERSON, "odd name": PERSON}
    schema = {"$defs": several, "properties": {"to": of_to, "cc": {"items": of_to}}}
    arguments: dict[str, Any] = {"to": {"name": "x", "age": 1}, "cc": [{"name": "y"}]}

    assert labels(arguments, schema)["to.name"] == "Full name"
    assert labels(arguments, schema)["cc[0].name"] == "Full name"
    assert odd(arguments, schema) == ["to.age"]


@pytest.mark.parametrize(
    ("schema", "unexpected"),
    [
        ({"properties": {"a": {}}}, ["b"]),
        ({"properties": {"a": {}}, "additionalProperties": True}, ["b"]),
        ({"properties": {"a": {}}, "additionalProperties": {"title": "Any"}}, []),
        ({"properties": {"a": {}}, "patternProperties": {"(x+)+y": {}}}, []),
        ({"type": "object"}, ["a", "b"]),
        ({}, ["a", "b"]),
        (None, ["a", "b"]),
        ({"properties": {"a": {}, "b": {"type": "object"}}}, []),
        ({"properties": {"a": {}, "b": {"properties": {"x": {}}}}}, ["b.c"]),
    ],
)
def test_what_the_schema_does_not_name_is_marked(schema: object, unexpected: list[str]) -> None:
    assert odd({"a": 1, "b": {"c": 1}}, schema) == unexpected


def test_the_first_items_of_a_list_have_schemas_of_their_own() -> None:
    schema = {"properties": {"a": {
        "prefixItems": [{"properties": {"x": {"title": "First"}}}],
        "items": {"properties": {"x": {"title": "Other"}}},
    }}}  # fmt: skip

    titles = labels({"a": [{"x": 1}, {"x": 2}]}, schema)

    assert (titles["a[0].x"], titles["a[1].x"]) == ("First", "Other")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/properties/a", "properties": {"a": {"$ref": "#/properties/a"}}},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/nowhere"},
        {"$ref": 7, "anyOf": {"a": 1}, "properties": ["a"], "title": None},
        {"properties": {"a": True}},
        [],
        "schema",
    ],
)
def test_a_broken_or_endless_schema_lends_nothing_and_harms_nothing(schema: object) -> None:
    assert labels({"a": {"a": 1}}, schema) == {"a": "A", "a.a": "A"}


def test_a_schema_that_doubles_at_each_step_is_left_early() -> None:
    parts: dict[str, object] = {
        letter: {"anyOf": [{"$ref": f"#/$defs/{after}"} for after in string.ascii_letters]}
        for letter in string.ascii_letters
    }

    assert labels({"x": 1}, {"$defs": parts, "$ref": "#/$defs/a"}) == {"x": "X"}


def chain(steps: int) -> dict[str, object]:
    """Return a schema whose only title is so many references away."""
    parts: dict[str, object] = {f"{at}": {"$ref": f"#/$defs/{at + 1}"} for at in range(1, steps)}
    end = {f"{steps}": {"title": "End"}}
    return {"$defs": parts | end, "properties": {"a": {"$ref": "#/$defs/1"}}}


def test_references_are_followed_so_far_and_no_further() -> None:
    assert labels({"a": 1}, chain(49)) == {"a": "End"}
    assert labels({"a": 1}, chain(50)) == {"a": "A"}
    assert labels({"a": 1}, chain(5_000)) == {"a": "A"}


def test_a_schema_that_names_itself_again_and_again_is_looked_at_once() -> None:
    parts: dict[str, object] = {f"{at}": {"$ref": f"#/$defs/{at + 1}"} for at in range(1, 6)}
    end = {"6": {"properties": {"a": {"title": "Amount"}}}}
    itself = [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}]

    schema = {"$defs": parts | end, "anyOf": [*itself, {"$ref": "#/$defs/1"}]}

    assert labels({"a": 1}, schema) == {"a": "Amount"}


@pytest.mark.parametrize("reference", ["https://example.com/schema.json", "#anchor", "", "other"])
def test_a_reference_to_elsewhere_is_not_followed(reference: str) -> None:
    schema = {"title": "Root", "properties": {"a": {"$ref": reference}}}

    assert labels({"a": 1}, schema) == {"a": "A"}
