"""The arguments' table as HTML: what it shows stands for the arguments, all of them, alone."""

import json
import math
import os
from typing import Any

import pytest
from django.template.loader import render_to_string

from approvals import canonical, wording
from tests.support.dom import read
from tests.support.generating import Generator
from tests.support.reading_table import arguments_on

# In all; a longer run: GENERATED_VALUES=1000000 pytest tests/approvals/test_arguments_table.py
VALUES = int(os.environ.get("GENERATED_VALUES", "100000"))
SEEDS = 4


def page_of(arguments: dict[str, Any], schema: object = None) -> str:
    """Return the table that a page shows of arguments."""
    rows = wording.rows(arguments, schema or {})
    return render_to_string("approvals/_args.html", {"rows": rows})


def stored(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as a page has them: read from the bytes that are stored."""
    body = canonical.to_bytes(arguments, max_bytes=2**24)
    read: dict[str, Any] = json.loads(body)
    return read


def spelled(value: object) -> str:
    """Return a value as JSON in one order; types and signs of zero show."""
    return json.dumps(value, sort_keys=True)


def values_in(value: object) -> int:
    """Return how many values there are in a value, itself not counted."""
    if isinstance(value, dict | list):
        parts = list(value.values()) if isinstance(value, dict) else value
        return len(parts) + sum(map(values_in, parts))
    return 0


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_value_can_be_read_back_from_the_visible_table(seed: int) -> None:
    generator, seen = Generator(seed), 0

    while seen < VALUES / SEEDS:
        arguments = stored(generator.arguments())
        shown, count = arguments_on(page_of(arguments, generator.schema(arguments)))
        assert spelled(shown) == spelled(arguments), f"seed {seed}, after {seen} values"
        assert count == values_in(arguments)
        seen += count

    assert seen >= math.ceil(VALUES / SEEDS)


NESTED = {"to": {"name": "Dana", "phones": ["a", {"x": 1}], "none": []}, "z": 1}


def test_parts_are_folded_into_their_whole_with_their_number() -> None:
    page = page_of(NESTED)

    assert arguments_on(page) == (NESTED, 8)
    assert "The 3 fields of to</summary>" in page
    assert "The 2 items of to.phones</summary>" in page
    assert "The no items" not in page


@pytest.mark.parametrize(("parts", "is_open"), [(12, True), (13, False)])
def test_a_value_with_many_parts_is_folded_at_first(parts: int, is_open: bool) -> None:
    page = page_of({"a": list(range(parts))}, {"properties": {"a": {}}})

    assert ('<details class="fold" open>' in page) is is_open


def test_a_marked_part_is_never_folded_away() -> None:
    arguments = {"a": {"b": [*range(50), "pay\u202e"]}, "c": list(range(50))}
    schema: dict[str, object] = {"properties": {"a": {"properties": {"b": {}}}, "c": {}}}

    page = page_of(arguments, schema)

    assert page.count("<details") == 3
    assert page.count('<details class="fold" open>') == 2  # a and b, not c


def test_the_middle_of_a_long_text_opens_between_its_head_and_its_tail() -> None:
    text = "HEAD" + "x" * 500 + "MIDDLE" + "x" * 500 + "TAIL"

    page = page_of({"memo": text})

    assert arguments_on(page) == ({"memo": text}, 1)
    head, fold, rest = page.partition("<details")
    assert "HEAD" in head
    middle, _, tail = rest.partition("</details>")
    assert "454 characters in between" in middle
    assert "MIDDLE" in middle
    assert "TAIL" in tail
    assert fold


@pytest.mark.parametrize("name", ["n" * 65, "n" * 64 + "…", "n" * 64 + "a", "\u202e" * 300, ""])
def test_a_name_of_any_length_can_be_read(name: str) -> None:
    assert arguments_on(page_of({name: 1, "n" * 64: 2}))[0] == {name: 1, "n" * 64: 2}


def test_two_long_names_that_begin_alike_are_told_apart_and_marked() -> None:
    page = page_of({"n" * 64 + "a": 1, "n" * 64 + "b": 2})

    assert page.count("a name of 65 characters") == 2
    assert page.count("All of its name") == 2


@pytest.mark.parametrize("depth", [1, 8, 31])
def test_values_as_deep_as_they_may_be_are_shown(depth: int) -> None:
    value: object = "end"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    arguments = stored({"deep": value})

    assert arguments_on(page_of(arguments))[0] == arguments


def test_the_unit_of_a_number_is_the_schemas_and_nothing_is_guessed() -> None:
    described: dict[str, object] = {"amount": {"unit": "cents"}, "size": {"x-unit": "GiB"}, "n": {}}

    page = page_of({"amount": 4200, "size": 1.5, "n": 7, "note": "x"}, {"properties": described})

    assert page.count('class="muted unit"') == 2
    assert "4200</bdi> <span" in page
    assert ">cents</span>" in page
    assert ">GiB</span>" in page


@pytest.mark.parametrize("unit", [None, 7, ["cents"], "", "x" * 99, "<b>\u202e"])
def test_a_unit_of_a_stranger_is_cleaned_cut_and_never_needed(unit: object) -> None:
    page = page_of({"amount": 4200}, {"properties": {"amount": {"unit": unit}}})

    assert arguments_on(page)[0] == {"amount": 4200}
    assert "\u202e" not in page
    assert "<b>" not in page
    assert "x" * 25 not in page


def test_text_has_no_unit() -> None:
    assert "cents" not in page_of({"a": "4200"}, {"properties": {"a": {"unit": "cents"}}})


def test_every_label_and_value_stands_in_an_isolate_of_its_own() -> None:
    page = read(page_of({"שלום": "سلام 12", "memo": "ש" * 700, "n": {"x": "\u202eabc"}}))

    shown = page.having("v")
    labels = [next(row.elements) for row in page.all(lambda element: element.tag == "th")]
    assert len(shown) == 6
    assert {element.tag for element in (*shown, *labels)} == {"bdi"}


def test_runs_of_newlines_are_counted_and_make_one_line() -> None:
    page = page_of({"memo": "a" + "\n" * 40 + "b"})

    assert "↵ ×40" in page
    assert page.count("\n") < 40


def test_a_call_of_the_most_names_and_the_longest_text_is_shown_whole() -> None:
    most = canonical.ARGUMENTS
    arguments: dict[str, Any] = {f"k{n}": n for n in range(most.max_keys - 1)}
    arguments["memo"] = "x" * most.max_string_bytes
    assert stored(arguments) == arguments

    assert arguments_on(page_of(arguments)) == (arguments, most.max_keys)
