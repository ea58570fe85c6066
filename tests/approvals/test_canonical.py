"""Promises of `approvals.canonical`: what is refused at the door, and what a digest stands for."""

import contextlib
import json
import math
import struct
import time
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import given, strategies

from approvals import canonical, errors

MAX = 2**53 - 1
VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-MAX, MAX)
    | strategies.floats(-MAX, MAX)
    | strategies.text(strategies.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        strategies.lists(inner, max_size=5)
        | strategies.dictionaries(
            strategies.text(
                strategies.characters(exclude_categories=["Cs"], exclude_characters="\0")
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def refusal(raw: bytes | str) -> errors.InvalidInput:
    """Return the refusal that text meets at the door."""
    with pytest.raises(errors.InvalidInput) as caught:
        canonical.parse(raw.encode() if isinstance(raw, str) else raw)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "path", "word"),
    [
        (b'{"a":"\xff"}', "$", "not UTF-8 at byte 6"),
        # UTF-8 of a surrogate, as some encoders write it.
        (b'"\xed\xa0\x80"', "$", "not UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "$", "byte order mark"),
        ('{"a":1}'.encode("utf-16"), "$", "not UTF-8"),
        (b"", "$", "line 1, column 1"),
        (b"{", "$", "line 1, column 2"),
        (b'{"a":1}{', "$", "line 1, column 8"),
        (b'{"a":1,}', "$", "line 1, column 8"),
        (b"{'a':1}", "$", "line 1, column 2"),
        (b'["\t"]', "$", "line 1, column 3"),
        (b'["\\x"]', "$", "line 1, column 3"),
        (b"[01]", "$", "line 1, column 3"),
        (b"[+1]", "$", "line 1, column 2"),
        (b"[.5]", "$", "line 1, column 2"),
        (b"[1_000]", "$", "line 1, column 3"),
        ("[\u0661]".encode(), "$", "line 1, column 2"),
        ("[1\u0661]".encode(), "$", "line 1, column 3"),
        ("[1,\u00a02]".encode(), "$", "line 1, column 4"),
        (b'{"a":1,"a":1}', "$.a", "twice"),
        (b'{"x":[{},{"b":{"k":1,"z":0,"k":2}}]}', "$.x[1].b.k", "twice"),
        (b'{"a":1,"\\u0061":2}', "$.a", "twice"),
        (b'{"n":NaN}', "$.n", "finite"),
        (b"[0,Infinity]", "$[1]", "finite"),
        (b"[-Infinity]", "$[0]", "finite"),
        (b'{"items":[0,0,0,{"amount":1e400}]}', "$.items[3].amount", "finite"),
        (b"[-1e400]", "$[0]", "finite"),
        (b"[1e16]", "$[0]", "9007199254740991"),
        (b"[9007199254740992]", "$[0]", "9007199254740991"),
        (b"[-9007199254740992]", "$[0]", "9007199254740991"),
        (b"[9007199254740992.0]", "$[0]", "9007199254740991"),
        (b'{"a":"\\ud800"}', "$.a", "surrogate U+D800 at character 0"),
        (b'{"a":"ab\\udfffc"}', "$.a", "surrogate U+DFFF at character 2"),
        (b'{"a":"\\ude00\\ud83d"}', "$.a", "surrogate U+DE00"),
        (b'{"a":{"\\ud800":1}}', "$.a", "a key: lone surrogate"),
        (b'{"a":["x\\u0000"]}', "$.a[0]", "U+0000 at character 1"),
        (b'{"\\u0000":1}', "$", "a key: U+0000"),
    ],
)
def test_text_with_two_readings_is_refused_with_its_place(raw: bytes, path: str, word: str) -> None:
    refused = refusal(raw)

    assert refused.path == path
    assert word in refused.message
    assert refused.problems == [{"path": path, "message": refused.message}]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b' { "a" : [ 1 , -0 , 1.5e3 , true , null ] } \n', {"a": [1, 0, 1500.0, True, None]}),
        (b"[9007199254740991,-9007199254740991]", [MAX, -MAX]),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\u2028\\ufeff"', "\u2028\ufeff"),
        (b'{"":{"":[]}}', {"": {"": []}}),
        (b'{"a":{"k":1},"b":{"k":1}}', {"a": {"k": 1}, "b": {"k": 1}}),
        (b'"[[[[{{{{\\"[[[\\\\"', '[[[[{{{{"[[[\\'),
    ],
)
def test_plain_json_is_read(raw: bytes, value: object) -> None:
    assert canonical.parse(raw) == value


@pytest.mark.parametrize("digits", ["9" * 5_000, "-" + "9" * 5_000, "9" * 18, "0." + "9" * 5_000])
def test_thousands_of_digits_are_answered_at_once(digits: str) -> None:
    before = time.monotonic()

    if digits.startswith("0."):
        assert canonical.parse(f"[{digits}]".encode()) == [1.0]
    else:
        assert refusal(f"[{digits}]").path == "$[0]"

    assert time.monotonic() - before < 1


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("[" * 100_000, "$" + "[0]" * 40),
        ('{"a":' * 40_000, "$" + ".a" * 40),
        ("[" * 65 + "]" * 65, "$" + "[0]" * 40),
        ('{"x":["]",{"y":' + "[" * 60, "$.x[1].y" + "[0]" * 37),
        ('["\\"[[[", 0, ' + "[" * 60, "$[2]" + "[0]" * 39),
    ],
)
def test_brackets_without_end_are_refused_where_they_pass_the_limit(raw: str, path: str) -> None:
    refused = refusal(raw)

    assert refused.path == path
    assert "more than 40 levels" in refused.message


def test_unbalanced_brackets_are_refused_as_text() -> None:
    assert "not JSON" in refusal("]" * 100_000).message
    assert "not JSON" in refusal("[}" * 50_000).message
    assert "not JSON" in refusal("[1 2" + "[" * 60).message


def test_a_body_may_be_as_deep_as_the_envelope_needs_and_no_deeper() -> None:
    assert canonical.parse(b"[" * 40 + b"]" * 40)

    assert "40 levels" in refusal("[" * 41 + "]" * 41).message


def nested(depth: int) -> object:
    value: object = "leaf"
    for _ in range(depth):
        value = [value]
    return value


LARGEST = [
    (nested(32), nested(33), "$" + "[0]" * 32),
    ({f"k{n}": n for n in range(2_000)}, {f"k{n}": n for n in range(2_001)}, "$.k2000"),
    (
        [dict.fromkeys("ab", 1)] * 1_000,
        [*[dict.fromkeys("ab", 1)] * 1_000, {"c": 1}],
        "$[1000].c",
    ),
    ({"note": "x" * 32_768}, {"note": "x" * 32_769}, "$.note"),
    ({"note": "é" * 16_384}, {"note": "é" * 16_385}, "$.note"),
    ({"x" * 32_768: 1}, {"x" * 32_769: 1}, "$"),
    # Brackets and quotes are bytes too.
    (["x" * 32_763, "y" * 32_766], ["x" * 32_764, "y" * 32_766], "$"),
]


@pytest.mark.parametrize(("largest", "too_large", "path"), LARGEST)
def test_arguments_are_held_to_each_limit_to_the_unit(
    largest: object, too_large: object, path: str
) -> None:
    canonical.check(largest)

    with pytest.raises(errors.InvalidInput) as caught:
        canonical.check(too_large)

    assert caught.value.path == path


def test_a_body_is_held_to_its_size_to_the_byte() -> None:
    assert canonical.parse(b'"' + b"x" * (256 * 1024 - 2) + b'"')

    assert "262145 bytes" in refusal(b'"' + b"x" * (256 * 1024 - 1) + b'"').message
    assert "1000000 bytes" in refusal(b"[" * 1_000_000).message


def test_a_body_within_its_limits_leaves_the_arguments_to_be_refused_by_their_own_path() -> None:
    text = json.dumps({"params": {"arguments": {"note": "x" * 40_000}}})
    body: Any = canonical.parse(text.encode())

    with pytest.raises(errors.InvalidInput) as caught:
        canonical.check(body["params"]["arguments"])

    assert caught.value.path == "$.note"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, math.nan]}, "$.a[1]"),
        ({"a": math.inf}, "$.a"),
        ([1e16], "$[0]"),
        ([2**53], "$[0]"),
        ([10**400], "$[0]"),
        ({"a": "\ud800"}, "$.a"),
        ({"a": "\0"}, "$.a"),
        ({"a": {1: 2}}, "$.a"),
        ({"a": (1, 2)}, "$.a"),
        ({"a": b"x"}, "$.a"),
        ({"a": datetime(2026, 7, 28, tzinfo=UTC)}, "$.a"),
    ],
)
def test_a_value_no_json_text_stands_for_has_no_bytes(value: object, path: str) -> None:
    for refuse in (canonical.check, canonical.to_bytes, canonical.digest_of):
        with pytest.raises(errors.InvalidInput) as caught:
            refuse(value)
        assert caught.value.path == path


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)

    with pytest.raises(errors.InvalidInput):
        canonical.check(value)


def test_a_path_shows_a_hostile_key_escaped_and_cut() -> None:
    assert refusal('{"a\u202eb":NaN}').path == '$["a\\u202eb"]'
    assert refusal('{"a.b":{"\\"]":NaN}}').path == '$["a.b"]["\\"]"]'
    assert refusal('{"%s":NaN}' % ("k" * 9_000)).path == '$["%s\\u2026"]' % ("k" * 64)
    assert canonical.path_of(["items", 3, "unit-price"]) == "$.items[3].unit-price"
    assert canonical.path_of([]) == "$"


def test_equal_values_have_equal_bytes_however_they_were_written() -> None:
    written = b'{"b":1.0,"a":[1e2,"\\u00e9\\/"],"\\u20ac":-0.0}'

    value = canonical.parse(written)

    assert canonical.to_bytes(value) == '{"a":[100,"é/"],"b":1,"€":0}'.encode()


def test_keys_are_sorted_by_utf_16_as_rfc_8785_says() -> None:
    # Section 3.2.3: a surrogate pair sorts before U+FB33, though its code point is the larger.
    assert canonical.to_bytes({"\ufb33": 1, "😀": 2}) == '{"😀":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000001", "5e-324"),
        ("4340000000000000", None),
        ("433fffffffffffff", "9007199254740991"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("3e7ad7f29abcaf48", "1e-7"),
        ("41b3de4355555553", "333333333.3333332"),
        ("7fffffffffffffff", None),
        ("7ff0000000000000", None),
    ],
)
def test_numbers_are_written_as_in_appendix_b_of_rfc_8785_or_refused(
    bits: str, text: str | None
) -> None:
    [number] = struct.unpack(">d", bytes.fromhex(bits))

    if text is None:
        with pytest.raises(errors.InvalidInput):
            canonical.to_bytes(number)
    else:
        assert canonical.to_bytes(number) == text.encode()


@given(VALUES)
def test_canonical_bytes_read_back_are_the_same_value_and_the_same_bytes(value: object) -> None:
    written = canonical.to_bytes(value)

    read = canonical.parse(written)

    assert read == value
    assert canonical.to_bytes(read) == written


@given(VALUES)
def test_the_quick_writer_and_the_full_one_write_the_same(value: object) -> None:
    assert canonical.to_bytes(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


def test_every_character_is_escaped_alike_by_the_quick_writer_and_the_full_one() -> None:
    surrogates = range(0xD800, 0xE000)
    points = [chr(point) for point in range(1, 0x110000) if point not in surrogates]

    for begin in range(0, len(points), 4_000):
        value = {"a": points[begin : begin + 4_000]}
        assert canonical.to_bytes(value, max_bytes=2**20) == rfc8785.dumps(value)


@given(strategies.binary(max_size=60) | strategies.text('[]{}":,0123eE.-\\u\ud800N ', max_size=60))
def test_any_bytes_are_read_or_refused_and_nothing_else(raw: bytes | str) -> None:
    data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")

    with contextlib.suppress(errors.InvalidInput):
        assert canonical.parse(data) == json.loads(data)


def test_a_digest_is_the_sha_256_of_the_bytes_in_hex() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    assert canonical.digest(b"") == empty
    assert canonical.digest_of({"b": 1, "a": 2}) == canonical.digest(b'{"a":2,"b":1}')


TOOL = {
    "name": "refund",
    "title": "Refund",
    "description": "Pays money back.",
    "inputSchema": {"type": "object", "properties": {"amount": {"type": "integer"}}},
    "outputSchema": {"type": "object"},
    "annotations": {"destructiveHint": True},
}


@pytest.mark.parametrize("key", list(TOOL))
def test_each_reviewed_part_of_a_definition_changes_its_digest(key: str) -> None:
    before = canonical.definition_digest(TOOL)

    assert canonical.definition_digest(TOOL | {key: "other"}) != before
    assert canonical.definition_digest({k: v for k, v in TOOL.items() if k != key}) != before


def test_what_nobody_reviews_leaves_the_definition_digest_alone() -> None:
    before = canonical.definition_digest(TOOL)

    assert canonical.definition_digest(dict(reversed(TOOL.items()))) == before
    assert canonical.definition_digest(TOOL | {"icons": [1], "_meta": {"a": object()}}) == before
    without = {k: v for k, v in TOOL.items() if k != "title"}
    nothing = canonical.definition_digest(without | {"title": None})
    assert nothing == canonical.definition_digest(without)


def test_a_default_of_null_in_a_schema_is_part_of_the_definition() -> None:
    schema = {"properties": {"a": {"default": None}}}

    digest = canonical.definition_digest(TOOL | {"inputSchema": schema})

    assert digest != canonical.definition_digest(TOOL | {"inputSchema": {"properties": {"a": {}}}})


def test_a_schema_may_state_the_largest_double_as_its_bound() -> None:
    bounds = {"type": "number", "maximum": 1.7976931348623157e308}

    assert canonical.definition_digest(TOOL | {"inputSchema": bounds})

    with pytest.raises(errors.InvalidInput) as caught:
        canonical.definition_digest(TOOL | {"inputSchema": {"maximum": 2**64}})
    assert caught.value.path == "$.inputSchema.maximum"


NOON = datetime(2026, 7, 28, 12, 0, 0, tzinfo=UTC)
BINDING = canonical.Binding(
    call_id="0b0f0d6e-6a86-4c6a-8d2e-5a3f3b9f2f10",
    agent="support-bot",
    acts_for="ann",
    upstream="billing",
    upstream_address="https://billing.example/mcp",
    tool="refund",
    definition_digest="1" * 64,
    arguments_digest="2" * 64,
    rule_digest="3" * 64,
    credential_ref="${BILLING_TOKEN}",
    decide_by_at=NOON,
    run_by_at=NOON + timedelta(minutes=10),
)


@pytest.mark.parametrize("field", [field.name for field in fields(canonical.Binding)])
def test_each_thing_an_approval_covers_changes_the_binding(field: str) -> None:
    old = getattr(BINDING, field)
    new: Any = old + timedelta(microseconds=1) if isinstance(old, datetime) else old + "x"

    assert replace(BINDING, **{field: new}).digest() != BINDING.digest()


def test_a_binding_is_the_digest_of_its_parts_as_canonical_json() -> None:
    parts = BINDING.as_dict()

    assert parts.keys() == {field.name for field in fields(canonical.Binding)}
    assert parts["run_by_at"] == "2026-07-28T12:10:00.000000Z"
    assert BINDING.digest() == canonical.digest_of(parts)


def test_a_moment_has_one_spelling_in_every_time_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))

    assert canonical.rfc3339(elsewhere) == "2026-07-28T12:00:00.000000Z"
    assert replace(BINDING, decide_by_at=elsewhere).digest() == BINDING.digest()


def test_a_moment_without_a_time_zone_has_no_digest() -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(BINDING, run_by_at=NOON.replace(tzinfo=None)).digest()
