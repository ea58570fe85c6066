"""The arguments of tools as fields of a form: which there are, and what is typed into one.

What `written` writes is read back by `value`, so a form can be sent again without changing a rule.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from approvals.errors import InvalidInput
from approvals.phrases import Phrase, phrase
from approvals.policy import clauses, fitting
from approvals.policy.clauses import Clause, Comparison, Keys, Scalar
from approvals.policy.vocabulary import BOOLEAN, LIST, NUMBER, TEXT
from approvals.wording import clean, money, visible
from approvals.wording.schemas import Place, place_of

MOST_FIELDS: Final = 100
_DEEPEST: Final = 3
_MOST: Final = 2**63 - 1  # what a condition can hold

_NUMBERS = (Comparison.OVER, Comparison.AT_MOST, Comparison.AT_LEAST, Comparison.UNDER)
_TEXTS = (Comparison.STARTS, Comparison.ENDS, Comparison.CONTAINS)
_ANY = (Comparison.IS, Comparison.IS_NOT, Comparison.ONE_OF)
_PRESENCE = (Comparison.GIVEN, Comparison.NOT_GIVEN)
_OF_KIND: Final = {
    NUMBER: (*_NUMBERS, *_ANY),
    TEXT: (*_ANY, *_TEXTS, Comparison.MORE_THAN),
    BOOLEAN: _ANY,
    LIST: (Comparison.MORE_THAN,),
    "": (*_NUMBERS, *_ANY, *_TEXTS, Comparison.MORE_THAN),
}


@dataclass(frozen=True)
class Money:
    """In what an argument counts: cents of a currency, or whole units of it."""

    currency: str
    is_minor: bool

    @classmethod
    def of(cls, unit: str) -> "Money | None":
        """Return it of a budget's unit, "USD:minor"; None of a unit that is no money."""
        currency, _, kind = unit.partition(":")
        is_money = currency in money.DIGITS and kind in ("minor", "major")
        return cls(currency, kind == "minor") if is_money else None

    @property
    def unit(self) -> str:
        """Return it as budgets name it."""
        return f"{self.currency}:{'minor' if self.is_minor else 'major'}"

    def written(self, number: float) -> str | None:
        """Return "$50.00" for 5000 cents; None of what is no exact amount."""
        return money.amount(number, self.currency, is_minor=self.is_minor)

    def typed(self, text: str) -> int | float | None:
        """Return 5000 for "$50.00"; None of what is no amount in this currency."""
        return money.typed(text, self.currency, is_minor=self.is_minor)


@dataclass(frozen=True)
class Field:
    """One argument, or a member of one.

    Attributes:
        kind: of its value, as `a number`; empty where the schema does not say, or several.
        choices: the only values it has; none where it may have any.
    """

    keys: Keys
    kind: str
    is_whole: bool = False
    choices: tuple[Scalar, ...] = ()

    @property
    def path(self) -> str:
        """Return it as conditions write it: `args.order.amount`."""
        return clauses.path(self.keys)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Return what can be asked of it."""
        asked = _PRESENCE if clauses.can_be_absent(self.keys) else ()
        return (*_OF_KIND.get(self.kind, ()), *asked)


def of_schemas(schemas: Iterable[object]) -> list[Field]:
    """Return the fields that every one of these input schemas has, in the order of the first."""
    found: list[Field] | None = None
    for schema in schemas:
        own = {field.keys: field for field in _members(place_of(schema), (), 1)}
        if found is None:
            found = list(own.values())[:MOST_FIELDS]
        found = [_both(field, own[field.keys]) for field in found if field.keys in own]
    return found or []


def clause(field: Field, comparison: Comparison, typed: str, unit: Money | None = None) -> Clause:
    """Return the clause that somebody typed.

    Args:
        unit: in which a number is typed and shown; None: as the tool counts.

    Raises:
        InvalidInput: with a phrase that says what is wrong with the value.
    """
    if comparison not in field.comparisons:
        raise InvalidInput(_UNFIT)
    return Clause(field.keys, comparison, value(field, comparison, typed, unit))


def value(
    field: Field, comparison: Comparison, typed: str, unit: Money | None = None
) -> Scalar | tuple[Scalar, ...] | None:
    """Return what a clause compares with; see `clause`."""
    if comparison in _PRESENCE:
        return None
    if comparison == Comparison.ONE_OF:
        return tuple(_one(field, item, unit) for item in _items(typed))
    if comparison == Comparison.MORE_THAN:
        return _number(typed, None, is_whole=True)
    kind = NUMBER if comparison in _NUMBERS else TEXT if comparison in _TEXTS else field.kind
    return _one(Field(field.keys, kind, field.is_whole, field.choices), typed, unit)


def written(clause: Clause, kind: str = "", unit: Money | None = None) -> str:
    """Return what a field shows for a clause's value; `value` reads the same from it."""
    if clause.value is None:
        return ""
    unit = None if clause.comparison == Comparison.MORE_THAN else unit
    if not isinstance(clause.value, tuple):
        is_text = kind == TEXT or clause.comparison in _TEXTS
        return _shown(clause.value, unit, is_text=is_text)
    return ", ".join(
        _as_item(_shown(one, unit, is_text=kind == TEXT), is_text=isinstance(one, str))
        for one in clause.value
    )


_UNFIT = phrase("The tool’s definition does not let this be asked of it.")


# -- what is typed -------------------------------------------------------------------------------


def _one(field: Field, typed: str, unit: Money | None) -> Scalar:
    found = _scalar(field, typed, unit)
    if field.choices and found not in field.choices:
        choices = ", ".join(_shown(one, unit, is_text=False) for one in field.choices[:20])
        raise InvalidInput(
            phrase("“%(typed)s” is none of: %(all)s.", typed=clean(typed, 60), all=choices)
        )
    return found


def _scalar(field: Field, typed: str, unit: Money | None) -> Scalar:
    typed = typed.strip()
    if not typed:
        raise InvalidInput(phrase("A value is missing."))
    if field.kind == NUMBER:
        return _number(typed, unit, is_whole=field.is_whole)
    if field.kind == BOOLEAN:
        if typed.lower() not in ("true", "false"):
            raise InvalidInput(
                phrase("“%(typed)s” is neither true nor false.", typed=clean(typed, 60))
            )
        return typed.lower() == "true"
    if field.kind == TEXT:
        return _unquoted(typed)
    return _anything(typed)


def _anything(typed: str) -> Scalar:
    """Return a value of an argument of which nobody says what it is: as JSON would have it."""
    if typed in ("true", "false"):
        return typed == "true"
    number = plain_typed(typed)
    return _unquoted(typed) if number is None else number


def _number(typed: str, unit: Money | None, *, is_whole: bool) -> int | float:
    found = unit.typed(typed) if unit else plain_typed(typed)
    if found is None:
        raise InvalidInput(no_amount(typed, unit))
    if abs(found) > _MOST:
        raise InvalidInput(phrase("“%(typed)s” is too large.", typed=clean(typed, 60)))
    if is_whole and not isinstance(found, int):
        raise InvalidInput(phrase("“%(typed)s” is no whole number.", typed=clean(typed, 60)))
    return found


def plain_typed(typed: str) -> int | float | None:
    """Return a number that somebody typed, as JSON has it; None of anything else."""
    number = money.number_typed(typed)
    return None if number is None else money.plain(number)


def no_amount(typed: str, unit: Money | None) -> Phrase:
    """Return that what somebody typed is no number, or no amount in a currency."""
    if not typed.strip():
        return phrase("A value is missing.")
    if unit is None:
        return phrase("“%(typed)s” is no number, such as 5000.", typed=clean(typed, 60))
    return phrase(
        "“%(typed)s” is no amount in %(currency)s, such as %(example)s.",
        typed=clean(typed, 60), currency=unit.currency, example=unit.written(5_000),
    )  # fmt: skip


def _unquoted(typed: str) -> str:
    return typed[1:-1] if _is_quoted(typed) else typed


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == '"'


def _items(typed: str) -> list[str]:
    try:
        rows = list(csv.reader([typed], skipinitialspace=True, strict=True))
    except csv.Error:
        told = phrase("“%(typed)s” is no list, such as: main, release.", typed=clean(typed, 60))
        raise InvalidInput(told) from None
    if not rows:
        raise InvalidInput(phrase("A value is missing."))
    return rows[0]


# -- what is shown -------------------------------------------------------------------------------


def _shown(value: Scalar, unit: Money | None, *, is_text: bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        is_plain = value.strip() == value != "" and not _is_quoted(value)
        is_other = is_plain and not is_text and not isinstance(_anything(value), str)
        return value if is_plain and not is_other else f'"{value}"'
    amount = unit.written(value) if unit else None
    return amount or f"{Decimal(repr(value)):f}"


def _as_item(shown: str, *, is_text: bool) -> str:
    """Return one of several, so that commas and quotes in it are its own."""
    if is_text and not set(shown) & {",", '"'}:
        return shown
    return '"' + shown.replace('"', '""') + '"' if set(shown) & {",", '"'} else shown


# -- schemas -------------------------------------------------------------------------------------


def _members(place: Place, keys: Keys, depth: int) -> Iterator[Field]:
    for name in place.names:
        if not name or any(part.hidden for part in visible(name)):
            continue  # no condition can name it
        member, here = place.member(name), (*keys, name)
        yield _field(member, here)
        if depth < _DEEPEST:
            yield from _members(member, here, depth + 1)


def _field(place: Place, keys: Keys) -> Field:
    kinds = fitting.kinds_at(place)
    fixed = [one for part in place.parts for one in fitting.fixed_at(part)]
    choices = tuple(one for one in fixed if isinstance(one, bool | int | float | str))
    return Field(
        keys,
        kinds.pop() if len(kinds) == 1 else "",
        is_whole=any(part.get("type") == "integer" for part in place.parts),
        choices=choices if len(choices) == len(fixed) else (),
    )


def _both(field: Field, other: Field) -> Field:
    """Return what is true of a field of two tools."""
    choices: Sequence[Scalar] = field.choices if field.choices == other.choices else ()
    is_alike = field.kind == other.kind
    return Field(
        field.keys,
        field.kind if is_alike else "",
        is_whole=field.is_whole and other.is_whole,
        choices=tuple(choices),
    )
