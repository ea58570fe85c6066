"""A condition as the sentence an editor shows: clauses about arguments, joined with “and”.

`split` reads as much of a condition as clauses can say and leaves the rest as CEL; `to_cel` writes
the same back. Which is which is told by the tree of the condition, never by its spelling.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from approvals.policy import expressions
from approvals.policy.expressions import (
    Binary,
    Call,
    Choice,
    ListOf,
    Literal,
    Member,
    Name,
    Node,
    Unary,
    Unreadable,
)

Scalar: TypeAlias = bool | int | float | str
Keys: TypeAlias = tuple[str, ...]  # of an argument, and of members within it


class Comparison(StrEnum):
    """What a clause asks of an argument."""

    OVER = "over"
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    UNDER = "under"
    IS = "is"
    IS_NOT = "is_not"
    ONE_OF = "one_of"
    STARTS = "starts"
    ENDS = "ends"
    CONTAINS = "contains"
    MORE_THAN = "more_than"  # of a list or text: how long it is
    GIVEN = "given"  # the call has it
    NOT_GIVEN = "not_given"


@dataclass(frozen=True)
class Clause:
    """One comparison of one argument.

    Attributes:
        value: one value; a tuple of them for ONE_OF, None where nothing is compared with.
    """

    keys: Keys
    comparison: Comparison
    value: Scalar | tuple[Scalar, ...] | None = None


_SIGNS: Final = {
    Comparison.OVER: ">",
    Comparison.AT_MOST: "<=",
    Comparison.AT_LEAST: ">=",
    Comparison.UNDER: "<",
    Comparison.IS: "==",
    Comparison.IS_NOT: "!=",
}
_METHODS: Final = {
    Comparison.STARTS: "startsWith",
    Comparison.ENDS: "endsWith",
    Comparison.CONTAINS: "contains",
}
_BY_SIGN = {sign: comparison for comparison, sign in _SIGNS.items()}
_BY_METHOD = {method: comparison for comparison, method in _METHODS.items()}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Source: the CEL specification, "Syntax"; such a name can only be looked up in [ ].
_RESERVED: Final = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
    "let", "loop", "null", "package", "namespace", "return", "true", "var", "void", "while",
})  # fmt: skip
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def to_cel(clauses: Iterable[Clause], rest: str = "") -> str:
    """Return the condition that is true where all of these are, and the rest, which is CEL."""
    parts = [_written(clause) for clause in clauses]
    if rest.strip():
        parts.append(_as_one(rest.strip()) if parts else rest.strip())
    return " && ".join(parts)


def from_cel(text: str) -> tuple[Clause, ...] | None:
    """Return a condition as clauses; None where only CEL can say it."""
    clauses, rest = split(text)
    return None if rest else clauses


def split(text: str) -> tuple[tuple[Clause, ...], str]:
    """Return the clauses that a condition begins with, and what is left of it, as it was written.

    In the order of the condition: what comes later may rely on what comes before it.
    """
    if not text.strip():
        return (), ""
    try:
        parts = _joined(expressions.parse(text))
    except Unreadable:
        return (), text
    found: list[Clause] = []
    for part in parts:
        clauses = _all(part)
        if clauses is None:
            return tuple(found), text[part.start :]
        found += clauses
    return tuple(found), ""


def path(keys: Sequence[str]) -> str:
    """Return an argument as conditions write it: `args.order.amount`, `args["a b"]`."""
    return "args" + "".join(f".{key}" if _is_plain(key) else f"[{_text(key)}]" for key in keys)


def keys_of(written: str) -> Keys | None:
    """Return what `path` made this of; None when it made no such thing."""
    try:
        return _keys(expressions.parse(written))
    except Unreadable:
        return None


def can_be_absent(keys: Keys) -> bool:
    """Tell whether a condition can ask if an argument is there: CEL asks for plain names only."""
    return bool(keys) and _is_plain(keys[-1])


# -- writing -------------------------------------------------------------------------------------


def _written(clause: Clause) -> str:
    place, value, comparison = path(clause.keys), clause.value, clause.comparison
    if comparison in _SIGNS:
        return f"{place} {_SIGNS[comparison]} {_value(value)}"
    if comparison in _METHODS:
        return f"{place}.{_METHODS[comparison]}({_value(value)})"
    if comparison == Comparison.ONE_OF:
        values = value if isinstance(value, tuple) else (value,)
        return f"{place} in [{', '.join(map(_value, values))}]"
    if comparison == Comparison.MORE_THAN:
        return f"size({place}) > {_value(value)}"
    return f"has({place})" if comparison == Comparison.GIVEN else f"!has({place})"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    return f'"{value.translate(_ESCAPED)}"'


def _as_one(rest: str) -> str:
    """Return CEL so that `&&` before it takes all of it."""
    try:
        node = expressions.parse(rest)
    except Unreadable:
        return rest  # refused anyway; what was typed stays to be read
    is_loose = isinstance(node, Choice) or (isinstance(node, Binary) and node.sign == "||")
    # Parentheses around a node belong to it, and to none of its parts.
    is_enclosed = is_loose and node.start < expressions.parts_of(node)[0].start
    return f"({rest})" if is_loose and not is_enclosed else rest


def _is_plain(key: str) -> bool:
    return _PLAIN.fullmatch(key) is not None and key not in _RESERVED


# -- reading -------------------------------------------------------------------------------------


def _joined(node: Node) -> list[Node]:
    """Return what `&&` joins at the top, not what it joins within parentheses."""
    found: list[Node] = []
    while isinstance(node, Binary) and node.sign == "&&" and node.start == node.left.start:
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def _all(node: Node) -> list[Clause] | None:
    """Return the clauses that a part of a condition says, several where it joins them itself."""
    if isinstance(node, Binary) and node.sign == "&&":
        left, right = _all(node.left), _all(node.right)
        return None if left is None or right is None else left + right
    clause = _clause(node)
    return None if clause is None else [clause]


def _clause(node: Node) -> Clause | None:
    match node:
        case Unary(sign="!", part=Call(function="has", parts=(place,))):
            return _made(place, Comparison.NOT_GIVEN, None)
        case Call(function="has", parts=(place,)):
            return _made(place, Comparison.GIVEN, None)
        case Call(function=name, parts=(place, value), is_method=True) if name in _BY_METHOD:
            return _compared(place, _BY_METHOD[name], value)
        case Binary(sign=">", left=Call(function="size", parts=(place,)), right=value):
            return _compared(place, Comparison.MORE_THAN, value)
        case Binary(sign="in", left=place, right=ListOf(parts=parts)) if parts:
            values = tuple(one for part in parts if (one := _scalar(part)) is not None)
            is_whole = len(values) == len(parts)
            return _made(place, Comparison.ONE_OF, values) if is_whole else None
        case Binary(sign=sign, left=place, right=value) if sign in _BY_SIGN:
            return _compared(place, _BY_SIGN[sign], value)
    return None


def _compared(place: Node, comparison: Comparison, node: Node) -> Clause | None:
    value = _scalar(node)
    return None if value is None else _made(place, comparison, value)


def _made(
    place: Node, comparison: Comparison, value: Scalar | tuple[Scalar, ...] | None
) -> Clause | None:
    keys = _keys(place)
    return Clause(keys, comparison, value) if keys else None


def _keys(node: Node) -> Keys | None:
    found: list[str] = []
    while isinstance(node, Member):
        if not isinstance(node.key, str):
            return None
        found.append(node.key)
        node = node.of
    is_args = isinstance(node, Name) and node.name == "args"
    return tuple(reversed(found)) if is_args and found else None


def _scalar(node: Node) -> Scalar | None:
    match node:
        case Literal(value=str() as text):
            # No field of a form keeps a line break.
            return text if text.isprintable() else None
        case Literal():
            return node.value
        case Unary(sign="-", part=Literal(value=int() | float() as number)):
            return -number
    return None
