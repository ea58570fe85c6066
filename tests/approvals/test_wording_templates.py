"""Promises of a tool's sentence template: only its author shapes it, and no unit is guessed."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies

from approvals.errors import InvalidInput
from approvals.wording import MAX_TEMPLATE, read_template, sentence, tell
from approvals.wording.hostile import is_hidden
from approvals.wording.money import DIGITS

REFUND = "Refund {amount|money:currency:minor} to {customer} · invoice {invoice}"
ARGUMENTS = {"amount": 42000, "currency": "usd", "customer": "cus_8241", "invoice": "in_2201"}


def told(template: str, **arguments: object) -> str:
    """Return what a template makes of a call; a call it cannot tell fails."""
    result = tell(template, "Title", "x__tool", arguments)
    assert result.why == ""
    return result.sentence


def why(template: str, **arguments: object) -> str:
    """Return why a template does not tell a call; it is then told as without one."""
    result = tell(template, "Title", "x__tool", arguments)
    assert result.sentence == sentence("Title", "x__tool", arguments)
    return result.why


def test_a_call_reads_as_its_template_says() -> None:
    assert told(REFUND, **ARGUMENTS) == "Refund $420.00 to cus_8241 · invoice in_2201"


def test_what_the_template_does_not_name_is_counted() -> None:
    more = {**ARGUMENTS, "force": True, "memo": ""}

    assert told(REFUND, **more).endswith(" · invoice in_2201 · and 2 more")
    assert told("Refund something", a=1) == "Refund something · 1 argument"
    assert told("Refund {a.b}", a={"b": 1, "c": 2}) == "Refund 1"


@pytest.mark.parametrize(
    ("filter_", "value", "currency", "shown"),
    [
        ("money:USD:minor", 42000, "", "$420.00"),
        ("money:USD:minor", 5, "", "$0.05"),
        ("money:USD:minor", -5, "", "-$0.05"),
        ("money:USD:minor", 0, "", "$0.00"),
        ("money:USD:minor", 42000.0, "", "$420.00"),
        ("money:USD:major", 420, "", "$420.00"),
        ("money:USD:major", 18.5, "", "$18.50"),
        ("money:USD:major", 0.07, "", "$0.07"),
        ("money:USD:major", 1e6, "", "$1,000,000.00"),
        ("money:EUR:minor", 123456789, "", "€1,234,567.89"),
        ("money:CAD:minor", 42000, "", "CAD 420.00"),
        ("money:JPY:minor", 42000, "", "JPY 42,000"),
        ("money:JPY:major", 42000, "", "JPY 42,000"),
        ("money:BHD:minor", 42000, "", "BHD 42.000"),
        ("money:BHD:major", 1.234, "", "BHD 1.234"),
        ("money:CLF:minor", 12345, "", "CLF 1.2345"),
        ("money:c:minor", 42000, "usd", "$420.00"),
        ("money:c:minor", 42000, "JPY", "JPY 42,000"),
        ("money:c:minor", 42000, "kwd", "KWD 42.000"),
        ("money:c:major", 420, "gbp", "£420.00"),
    ],
)
def test_money_has_the_unit_the_template_gives_it(
    filter_: str, value: object, currency: str, shown: str
) -> None:
    assert told(f"Pay {{v|{filter_}}}", v=value, **({"c": currency} if currency else {})) == (
        f"Pay {shown}"
    )


@pytest.mark.parametrize(
    ("filter_", "arguments"),
    [
        ("money:c:minor", {"v": 1}),  # no currency
        ("money:c:minor", {"v": 1, "c": "dollars"}),
        ("money:c:minor", {"v": 1, "c": "XXX"}),
        ("money:c:minor", {"v": 1, "c": "uſd"}),
        ("money:c:minor", {"v": 1, "c": 840}),
        ("money:c.d:minor", {"v": 1, "c": "usd"}),
        ("money:USD:minor", {"v": "42000"}),  # text is no number
        ("money:USD:minor", {"v": True}),
        ("money:USD:minor", {"v": None}),
        ("money:USD:minor", {}),
        ("money:USD:minor", {"v": 1.5}),  # half a cent
        ("money:JPY:major", {"v": 1.5}),
        ("money:USD:major", {"v": 0.001}),
        ("money:USD:minor", {"v": 10**16}),
        ("money:USD:minor", {"v": 1e300}),
        ("money:USD:minor", {"v": float("inf")}),
        ("money:USD:minor", {"v": [1]}),
        ("count", {"v": 3}),
        ("count", {"v": "abc"}),
        ("date", {"v": 1763600000}),  # of which unit?
        ("date", {"v": "20/11/2026"}),
        ("date", {"v": "2026-02-30"}),
        ("date", {"v": "2026-11-20T25:00Z"}),
        ("date", {"v": "٢٠٢٦-11-20"}),
        ("date:seconds", {"v": "1763600000"}),
        ("date:seconds", {"v": 1e300}),
        ("date:seconds", {"v": float("nan")}),
        ("date", {"v": "0001-01-01T00:00+23:00"}),
        ("list", {"v": []}),
        ("list", {"v": "abc"}),
        ("list", {"v": {}}),
        ("quote", {"v": 1}),
    ],
)
def test_what_cannot_be_told_is_told_as_without_a_template(
    filter_: str, arguments: dict[str, object]
) -> None:
    assert why(f"Do {{v|{filter_}}}", **arguments)


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("v", "cus_8241", "cus_8241"),
        ("v", "two words", "“two words”"),
        ("v", "42", "“42”"),
        ("v", "yes", "“yes”"),
        ("v", "", "“”"),
        ("v", 42, "42"),
        ("v", True, "yes"),
        ("v", [1, 2], "2 items"),
        ("v", {"a": 1}, "1 field"),
        ("v", "x" * 100, "“" + "x" * 39 + "…”"),
        ("v|quote", "cus_8241", "“cus_8241”"),
        ("v|count", [1] * 1234, "1,234"),
        ("v|count", {"a": 1}, "1"),
        ("v|count:customer:customers", ["a"], "1 customer"),
        ("v|count:customer:customers", [], "0 customers"),
        ("v|list", ["a"], "“a”"),
        ("v|list", ["a", "and"], "“a” and “and”"),
        ("v|list", ["a", 2, {}, None], "“a”, 2 and 2 more"),
        ("v|date", "2026-11-20", "20 Nov 2026"),
        ("v|date", "2026-11-20T14:05:00Z", "20 Nov 2026, 14:05 UTC"),
        ("v|date", "2026-11-20T14:05:09.123456789Z", "20 Nov 2026, 14:05:09 UTC"),
        ("v|date", "2026-11-20 00:30+01:00", "19 Nov 2026, 23:30 UTC"),
        ("v|date", "2026-11-20T14:05", "20 Nov 2026, 14:05 of no time zone"),
        ("v|date:seconds", 0, "1 Jan 1970, 00:00 UTC"),
        ("v|date:milliseconds", 1763647509000, "20 Nov 2025, 14:05:09 UTC"),
    ],
)
def test_a_value_is_written_as_its_filter_says(field: str, value: object, shown: str) -> None:
    assert told(f"Do {{{field}}}", v=value) == f"Do {shown}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("x" * (MAX_TEMPLATE + 1), "at most 300"),
        ("x" * 200, "more than 160 characters"),
        ("Refund {amount", "character 8: a brace"),
        ("Refund amount}", "character 14: a brace"),
        ("Refund {}", "character 8: an argument's name"),
        ("Refund { amount }", "character 8: an argument's name"),
        ("Refund {a..b}", "character 8: an argument's name"),
        ("Refund {amount|}", "character 8: there is no filter ''"),
        ("Refund {amount|upper}", "character 8: there is no filter 'upper'; there is: quote"),
        ("Refund {amount|quote:3}", "quote takes nothing"),
        ("Refund {amount|money}", "money says its currency"),
        ("Refund {amount|money:USD}", "money says its currency"),
        ("Refund {amount|money:USD:cents}", "money says its currency"),
        ("Refund {amount|money::minor}", "money says its currency"),
        ("Refund {amount|count:one}", "count stands alone"),
        ("Refund {amount|count:<b>:</b>}", "count stands alone"),
        ("Refund {amount|date:days}", "date stands alone"),
        ("Refund {a}{b}", "character 8: a value stands between spaces"),
        ("Refund ${amount}", "character 9: a value stands between spaces"),
        ("Refund {amount}0", "character 8: a value stands between spaces"),
        ("Refund “{amount}”", "character 8: these quotes"),
        ("Refund· {amount}", "character 7: these quotes"),
        ("Refund • {amount}", "character 8: these quotes"),
        ("Refund \u202e {amount}", "character 1: a character that cannot be seen"),
        ("Refund\n{amount}", "character 1: a character that cannot be seen"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused_with_the_place(template: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(says)) as error:
        read_template(template)

    assert error.value.path == "$.template"
    assert "cannot be read" in why(template, a=1)


def test_a_template_names_the_arguments_it_speaks_of() -> None:
    assert read_template(REFUND).names == {"amount", "currency", "customer", "invoice"}
    assert read_template("Pay {a.b|money:USD:minor}").names == {"a"}


def test_every_currency_has_its_digits_once() -> None:
    assert len(DIGITS) > 150
    assert all(re.fullmatch("[A-Z]{3}", code) for code in DIGITS)


def test_a_sentence_that_would_be_too_long_is_told_without_its_template() -> None:
    many = " ".join(f"{{v{n}|quote}}" for n in range(20))

    assert "300 characters" in why(many, **{f"v{n}": "w " * 20 for n in range(20)})


def test_words_that_run_right_to_left_keep_values_apart() -> None:
    assert told("החזר {a} אל {b}", a=1, b="x") == "החזר \u20681\u2069 אל \u2068x\u2069"


# -- whatever an agent sends ---------------------------------------------------------------------

_NASTY = (
    'ab1 ·“”"{}|:-,.$€()\n\t\0\x1b\u202e\u2066\u2069\u200b\u00a0\ufe0f\u0301\u05d0\u0661\U000e0041'
)
_TEXTS = strategies.text(strategies.sampled_from(_NASTY)) | strategies.text()
_SCALARS = (
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | _TEXTS
)
_VALUES = strategies.recursive(
    _SCALARS,
    lambda inner: (
        strategies.lists(inner, max_size=4) | strategies.dictionaries(_TEXTS, inner, max_size=4)
    ),
    max_leaves=6,
)
_FIELDS = (
    "a", "a|quote", "a|list", "a|count", "a|count:thing:things", "a|date", "a|date:seconds",
    "a|money:USD:minor", "a|money:b:major", "a.b", "b",
)  # fmt: skip
# What a value may look like within a sentence: nothing in it is a word of the template, a dot that
# parts, or a quote of its own.
_QUOTED = "\u2068?“[^“”·]*”\u2069?|“\u2068[^“”·]*\u2069”"
_PART = rf"(?:{_QUOTED}|[a-zA-Z_][\w.:@/#+-]*|-?[\d.e+-]+|-?Infinity|NaN|\d+ (?:item|field)s?|null)"
_TOKEN = (
    rf"(?:{_PART}(?:, {_PART} and [\d,]+ more| and {_PART}| and [\d,]+ more)?"
    r"|-?(?:[$€£]|[A-Z]{3} )[\d,]+(?:\.\d+)?|[\d,]+(?: things?)?"
    r"|\d+ \w{3} \d+(?:, [\d:]+ (?:UTC|of no time zone))?)"
)


@given(
    strategies.dictionaries(strategies.sampled_from("abc"), _VALUES),
    strategies.sampled_from(_FIELDS),
    strategies.sampled_from(_FIELDS),
)
# The first text drawn in a process takes a second: the table of all characters is made.
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"a": "x · to y", "b": "” to “z"}, "a", "b")
@example({"a": ["x”, “y", "and 3 more"], "b": "and"}, "a|list", "b")
@example({"a": "\u05d0 to \u2069x", "b": "\u05d1"}, "a|quote", "b")
def test_no_value_can_give_a_sentence_another_structure(
    arguments: dict[str, object], first: str, second: str
) -> None:
    template = f"Move {{{first}}} to ({{{second}}}) · at last"

    result = tell(template, "Title", "x__tool", arguments)

    assert len(result.sentence) <= 300
    hidden = {c for c in result.sentence if is_hidden(c)} - {"\u2068", "\u2069"}
    assert not hidden
    if result.why:
        assert result.sentence == sentence("Title", "x__tool", arguments)
        return
    shape = rf"Move ({_TOKEN}) to \(({_TOKEN})\) · at last(?: · and \d+ more)?"
    found = re.fullmatch(shape, result.sentence)
    assert found, result.sentence
    # Each value is what it would be alone: none has taken over a part of its neighbour.
    for part, field in ((found[1], first), (found[2], second)):
        alone = tell(f"{{{field}}}", "Title", "x__tool", arguments).sentence
        assert alone.startswith(part)


@given(_TEXTS, strategies.dictionaries(_TEXTS, _VALUES, max_size=5))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_template_and_the_call_are_nothing_is_raised(
    template: str, arguments: dict[str, object]
) -> None:
    assert len(tell(template, "Title", "x__tool", arguments).sentence) <= 300
