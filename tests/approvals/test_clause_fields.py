"""What is typed into a field of a clause: kept exactly, or refused with what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.errors import InvalidInput
from approvals.policy import fields
from approvals.policy.clauses import Clause, Comparison
from approvals.policy.fields import Field, Money
from tests.support.world import definition

C = Comparison
CENTS, DOLLARS, YEN = Money("USD", True), Money("USD", False), Money("JPY", True)
AMOUNT = Field(("amount",), "a number", is_whole=True)
RATE = Field(("rate",), "a number")
NAME = Field(("name",), "a text")
ANY = Field(("any",), "")
CURRENCY = Field(("currency",), "a text", choices=("usd", "eur"))
FLAG = Field(("flag",), "true or false")


@pytest.mark.parametrize(
    ("field", "comparison", "typed", "unit", "value"),
    [
        (AMOUNT, C.OVER, "$50.00", CENTS, 5_000),
        (AMOUNT, C.OVER, "50", CENTS, 5_000),
        (AMOUNT, C.OVER, " USD 1,250.5 ", CENTS, 125_050),
        (AMOUNT, C.OVER, "-$3.00", CENTS, -300),
        (RATE, C.AT_MOST, "$50.00", DOLLARS, 50),
        (RATE, C.AT_MOST, "50.25", DOLLARS, 50.25),
        (AMOUNT, C.OVER, "JPY 500", YEN, 500),
        (AMOUNT, C.OVER, "5,000", None, 5_000),
        (RATE, C.UNDER, "-2.5", None, -2.5),
        (NAME, C.IS, '"quoted"', None, "quoted"),
        (NAME, C.IS, '""', None, ""),
        (NAME, C.IS, "5", None, "5"),
        (NAME, C.MORE_THAN, "10", None, 10),
        (ANY, C.IS, "5", None, 5),
        (ANY, C.IS, '"5"', None, "5"),
        (ANY, C.IS, "true", None, True),
        (FLAG, C.IS, "True", None, True),
        (CURRENCY, C.ONE_OF, "usd, eur", None, ("usd", "eur")),
        (NAME, C.ONE_OF, 'a, "b, c"', None, ("a", "b, c")),
        (AMOUNT, C.ONE_OF, '"$1,000.00", $5', CENTS, (100_000, 500)),
    ],
)
def test_what_is_typed_is_the_value(field, comparison, typed, unit, value):
    found = fields.clause(field, comparison, typed, unit)

    assert found == Clause(field.keys, comparison, value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("field", "comparison", "typed", "unit", "words"),
    [
        (AMOUNT, C.OVER, "abc", CENTS, "“abc” is no amount in USD, such as $50.00."),
        (AMOUNT, C.OVER, "50.005", CENTS, "“50.005” is no amount"),
        (AMOUNT, C.OVER, "50,00", CENTS, "“50,00” is no amount"),
        (AMOUNT, C.OVER, "€50", CENTS, "“€50” is no amount"),
        (AMOUNT, C.OVER, "9" * 16, CENTS, "is no amount"),
        (AMOUNT, C.OVER, "1" + "0" * 15 + ".01", DOLLARS, "is no amount"),
        (AMOUNT, C.OVER, "50." + "0" * 30 + "1", CENTS, "is no amount"),
        (AMOUNT, C.OVER, "0.5", YEN, "is no amount in JPY, such as JPY 5,000."),
        (AMOUNT, C.OVER, "", CENTS, "A value is missing."),
        (AMOUNT, C.OVER, "50.5", None, "“50.5” is no whole number."),
        (AMOUNT, C.OVER, "$50", None, "“$50” is no number, such as 5000."),
        (AMOUNT, C.OVER, "9" * 20, None, "is too large."),
        (RATE, C.OVER, "1e5", None, "is no number"),
        (RATE, C.OVER, "٥", None, "is no number"),
        (FLAG, C.IS, "yes", None, "“yes” is neither true nor false."),
        (CURRENCY, C.IS, "gbp", None, "“gbp” is none of: usd, eur."),
        (CURRENCY, C.ONE_OF, "usd, gbp", None, "“gbp” is none of: usd, eur."),
        (NAME, C.ONE_OF, "a,,b", None, "A value is missing."),
        (NAME, C.ONE_OF, 'a "b', None, "A value"),
        (NAME, C.OVER, "5", None, "does not let this be asked"),
        (Field(("a b",), "a text"), C.GIVEN, "", None, "does not let this be asked"),
    ],
)
def test_what_cannot_be_the_value_is_refused_with_why(field, comparison, typed, unit, words):
    if words == "A value":
        assert fields.clause(field, comparison, typed, unit).value == ('a "b',)
        return

    with pytest.raises(InvalidInput) as refused:
        fields.clause(field, comparison, typed, unit)

    assert words in refused.value.message


_TEXT = st.text("ab5, \"'$.-é", max_size=8)
_WHOLE = st.integers(-(10**14), 10**14)


@given(_TEXT, st.lists(_TEXT, min_size=1, max_size=3), st.sampled_from([NAME, ANY]))
def test_texts_are_read_back_as_they_are_shown(text, several, field):
    for clause in (
        Clause(field.keys, C.IS, text),
        Clause(field.keys, C.ONE_OF, tuple(several)),
    ):
        shown = fields.written(clause, field.kind)
        assert fields.clause(field, clause.comparison, shown) == clause


@given(_WHOLE, st.sampled_from([CENTS, DOLLARS, YEN, None]), st.sampled_from([AMOUNT, ANY]))
def test_amounts_are_read_back_as_they_are_shown(number, unit, field):
    clause = Clause(field.keys, C.OVER, number)

    assert fields.clause(field, C.OVER, fields.written(clause, field.kind, unit), unit) == clause


@given(st.floats(-(10.0**12), 10.0**12), st.sampled_from([RATE, ANY]))
def test_fractions_are_read_back_as_they_are_shown(number, field):
    clause = Clause(field.keys, C.OVER, number)

    assert fields.clause(field, C.OVER, fields.written(clause, field.kind)) == clause


def test_fields_are_what_every_tool_has():
    refund = definition("refund")["inputSchema"]
    other = {
        "properties": {
            "amount": {"type": "number"},
            "order": {"properties": {"in": {"type": "string"}, "to": {"type": "array"}}},
            "currency": {"enum": ["usd", "gbp"]},
            "memo": {"type": ["string", "null"]},
            "odd": {"enum": [None, {"a": 1}]},
        }
    }

    assert [(f.path, f.kind, f.is_whole) for f in fields.of_schemas([refund])] == [
        ("args.customer", "a text", False),
        ("args.invoice", "a text", False),
        ("args.amount", "a number", True),
        ("args.currency", "a text", False),
        ("args.memo", "a text", False),
    ]
    assert [(f.path, f.kind, f.choices) for f in fields.of_schemas([other])] == [
        ("args.amount", "a number", ()),
        ("args.order", "", ()),
        ('args.order["in"]', "a text", ()),
        ("args.order.to", "a list", ()),
        ("args.currency", "a text", ("usd", "gbp")),
        ("args.memo", "a text", ()),
        ("args.odd", "an object", ()),
    ]
    assert [f.path for f in fields.of_schemas([refund, other])] == [
        "args.amount", "args.currency", "args.memo",
    ]  # fmt: skip
    assert not fields.of_schemas([refund, other])[0].is_whole
    assert fields.of_schemas([refund, other])[1].choices == ()
    assert fields.of_schemas([]) == []
    assert fields.of_schemas([None, 5]) == []
