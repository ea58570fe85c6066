"""Conditions as clauses and back: what an editor shows is what the rule says, and nothing else."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import clauses
from approvals.policy.clauses import Clause, Comparison
from approvals.policy.conditions import Subject, compiled
from approvals.policy.rules import Facts

_TEXT = st.text("abÄß€ \"'\\,&|()[]n.→💶", max_size=12)
_NUMBER = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_KEY = st.from_regex(r"\A[a-z_][a-zA-Z0-9_]{0,8}\Z") | st.sampled_from(["in", "true", "a b", 'q"'])
_KEYS = st.lists(_KEY, min_size=1, max_size=3).map(tuple)
_NONE = (Comparison.GIVEN, Comparison.NOT_GIVEN)


@st.composite
def clause(draw: Any) -> Clause:
    comparison = draw(st.sampled_from(list(Comparison)))
    scalar = st.booleans() | _NUMBER | _TEXT
    if comparison in _NONE:
        return Clause(draw(_KEYS), comparison)
    if comparison == Comparison.ONE_OF:
        return Clause(draw(_KEYS), comparison, tuple(draw(st.lists(scalar, min_size=1))))
    return Clause(draw(_KEYS), comparison, draw(scalar))


def shape(found: Any) -> Any:
    """Return values with their kinds: 1, 1.0 and true are equal to Python."""
    return [(c.keys, c.comparison, repr(c.value)) for c in found]


@given(st.lists(clause(), max_size=4))
def test_clauses_are_read_back_as_they_were_written(written):
    assert shape(clauses.from_cel(clauses.to_cel(written))) == shape(written)


@given(
    st.lists(clause(), max_size=3), st.sampled_from(["now.getHours() > 8", "a || b", "c ? d : e"])
)
def test_what_no_clause_says_stays_as_it_is_behind_those(written, rest):
    found, left = clauses.split(clauses.to_cel(written, rest))

    assert shape(found) == shape(written)
    assert left.strip("()") == rest
    assert clauses.to_cel(found, left) == clauses.to_cel(written, rest)


@given(_KEYS)
def test_the_place_of_an_argument_is_read_back(keys):
    assert clauses.keys_of(clauses.path(keys)) == keys


@pytest.mark.parametrize(
    ("text", "found", "rest"),
    [
        ("", 0, ""),
        ("args.amount > 5000 && args.currency == 'usd'", 2, ""),
        ("(args.amount > 5000 && args.currency == 'usd') && args.a in [1, 2]", 3, ""),
        ("args.a > 1 && (args.b > 2 || args.c > 3)", 1, "(args.b > 2 || args.c > 3)"),
        ("args.a > 1 && now.getHours() > 8 && args.b > 2", 1, "now.getHours() > 8 && args.b > 2"),
        ("args.a > 1 && (args.b > 2 && has(args.c.d))", 3, ""),
        ("args.a > 1 || args.b > 2", 0, "args.a > 1 || args.b > 2"),
        ("5 < args.a", 0, "5 < args.a"),
        ("args.a == null", 0, "args.a == null"),
        ("args.a == 'x\\ny'", 0, "args.a == 'x\\ny'"),
        ("args.list[0] > 5", 0, "args.list[0] > 5"),
        ("args.a in args.b", 0, "args.a in args.b"),
        ("args.a in []", 0, "args.a in []"),
        ("tool == 'x'", 0, "tool == 'x'"),
        ("!(args.a > 5)", 0, "!(args.a > 5)"),
        ("args > 5", 0, "args > 5"),
        ("args.a > ", 0, "args.a > "),
        ("size(args.to) > 10 && !has(args.memo)", 2, ""),
    ],
)
def test_a_condition_is_split_where_clauses_end(text, found, rest):
    written, left = clauses.split(text)

    assert (len(written), left) == (found, rest)
    assert (clauses.from_cel(text) is None) == bool(rest)


_ARGS = [{"a": a, "b": b, "c": "x", "t": ["y", "z"]} for a, b in product((0, 5, 6), (1, 2.5, 9))]


@pytest.mark.parametrize(
    "text",
    [
        "args.a > 5 && args.b <= 2.5",
        "(args.a >= 5 && args.b < 9) && args.c == 'x'",
        "args.a in [0, 6] && size(args.t) > 1",
        "args.a > 0 && (args.b > 2 || args.c == 'y')",
        "args.a > 0 && (args.b > 2 ? args.c == 'x' : args.c == 'y')",
        "has(args.b) && args.c.startsWith('x') && !has(args.d)",
    ],
)
def test_what_is_written_back_decides_the_same(text):
    again = clauses.to_cel(*clauses.split(text))

    for args in _ARGS:
        facts = Facts("d", "t", "write", "a", args=args)
        assert compiled(again).judge(Subject(facts)) == compiled(text).judge(Subject(facts))


def test_the_rest_is_taken_as_a_whole():
    written = [Clause(("a",), Comparison.OVER, 5)]

    assert clauses.to_cel(written, "args.b || args.c") == "args.a > 5 && (args.b || args.c)"
    assert clauses.to_cel(written, "(args.b || args.c)") == "args.a > 5 && (args.b || args.c)"
    assert clauses.to_cel([], "args.b || args.c") == "args.b || args.c"
    assert clauses.to_cel(written, "what is (") == "args.a > 5 && what is ("
