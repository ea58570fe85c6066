"""Pure: the sentence of a call by a template that a person wrote for its tool.

`Refund {amount|money:currency:minor} to {customer} · invoice {invoice}` reads, for a call,
"Refund $420.00 to cus_8241 · invoice in_2201". Braces take an argument by its name; `{a.b}` takes
`b` of the object `a`. Without a filter a value is written as in every sentence: one plain word as
it is, any other text in curly quotes, of lists and objects how many parts they have. Filters:

    money:CURRENCY:UNIT   $420.00. CURRENCY is a code of ISO 4217 in capitals (money:USD:major), or
                          the name of the argument that holds one (money:currency:minor). UNIT is
                          minor where the value counts cents, fils …; major where it counts dollars.
    count                 "36": how many parts a list or object has; count:customer:customers adds
                          the word, "1 customer", "36 customers".
    date                  "20 Nov 2026" or "20 Nov 2026, 14:05 UTC": of a text in ISO 8601;
                          date:seconds and date:milliseconds of a number since 1970.
    list                  “a”, “b” and 3 more: the first two parts of a list.
    quote                 the text in curly quotes, whatever it is.

Nothing is guessed: a call that has no such argument, or one of another kind, is told by the
sentence it would have without a template. What the template does not name is counted at the end.
Values are cut and cleaned as in every sentence, and stand between spaces, so that none can pass for
words of the template or for another value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from approvals.errors import InvalidInput
from approvals.phrases import Phrase, phrase
from approvals.wording.hostile import runs_right_to_left, visible
from approvals.wording.money import DIGITS, amount
from approvals.wording.sentences import left_out, quoted, said, sentence

MAX_TEMPLATE = 300
MAX_WORDS = 160  # of the template's own, without its fields
MAX_TOLD = 300  # what a call's row keeps
_MOST_LISTED = 2

_FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_PATH = re.compile(rf"{_NAME}(\.{_NAME})*")
_WORD = re.compile(r"[^\W\d_][\w -]{0,30}")
_OURS = re.compile("[“”„‟‧・•∙⋅]|(?<! )·|·(?! )")
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?P<clock>[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(?P<zone>[Zz]|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Arguments = Mapping[str, object]


@dataclass(frozen=True)
class Field:
    """One value of a call within a template: its path, and how it is written."""

    path: tuple[str, ...]
    filter: str = ""
    options: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the arguments it speaks of."""
        if self.filter == "money" and self.options[0] not in DIGITS:
            return (self.path[0], self.options[0].partition(".")[0])
        return (self.path[0],)


@dataclass(frozen=True)
class Template:
    """A template as read: its own words, and between each two of them a field."""

    words: tuple[str, ...]
    fields: tuple[Field, ...]

    @property
    def names(self) -> frozenset[str]:
        """Return the arguments it speaks of."""
        return frozenset(name for field in self.fields for name in field.names)


@dataclass(frozen=True)
class Told:
    """A call in words, and why these are not the template's; `why` is empty when they are.

    The sentence is stored with the call, and stays what people were shown; `why` is a phrase.
    """

    sentence: str
    why: str = ""


@lru_cache(maxsize=256)
def parse(text: str) -> Template:
    """Return a template as read.

    Raises:
        InvalidInput: it cannot be read; the message names the place.
    """
    if not text.strip():
        raise _wrong(phrase("is empty"))
    if len(text) > MAX_TEMPLATE:
        told = phrase(
            "has %(length)s characters; at most %(most)s", length=len(text), most=MAX_TEMPLATE
        )
        raise _wrong(told)
    found = list(_FIELD.finditer(text))
    starts = [0, *(match.end() for match in found)]
    ends = [*(match.start() for match in found), len(text)]
    words = tuple(text[start:end] for start, end in zip(starts, ends, strict=True))
    for start, literal in zip(starts, words, strict=True):
        _check_words(literal, start)
    if sum(map(len, words)) > MAX_WORDS:
        raise _wrong(phrase("has more than %(most)s characters beside its values", most=MAX_WORDS))
    for match in found:
        _check_room(text, match)
    return Template(words, tuple(_field(match[1], match.start()) for match in found))


def tell(template: str, title: str, tool: str, arguments: _Arguments) -> Told:
    """Return a call in a template's words, or in those it has without one, and why.

    At most 300 characters; never raises, whatever the arguments and the template are.
    """
    try:
        return Told(_filled(parse(template), arguments))
    except InvalidInput as error:
        why = phrase("The template cannot be read: %(why)s", why=error.message)
    except _CannotTellError as error:
        why = error.why
    return Told(sentence(title, tool, arguments), why)


def value_of(field: Field, arguments: _Arguments) -> object:
    """Return the value of a call that a field takes; None when there is none."""
    return _value(field.path, arguments)


def currency_of(field: Field, arguments: _Arguments) -> str | None:
    """Return the code by which a field of money writes a call; None when it has none."""
    return _code(field.options[0], arguments)


class _CannotTellError(Exception):
    """The call has no such value, or one of another kind."""

    def __init__(self, why: Phrase) -> None:
        super().__init__(why)
        self.why = why


def _filled(template: Template, arguments: _Arguments) -> str:
    turns = any(map(runs_right_to_left, template.words))
    told = template.words[0]
    for field, words in zip(template.fields, template.words[1:], strict=True):
        shown = _shown(field, arguments)
        told += (f"\u2068{shown}\u2069" if turns else shown) + words
    unnamed = len(arguments.keys() - template.names)
    if unnamed:
        told += " · " + left_out(unnamed, is_alone=not template.fields)
    if len(told) > MAX_TOLD:
        raise _CannotTellError(
            phrase("The sentence would have more than %(most)s characters.", most=MAX_TOLD)
        )
    return told


def _shown(field: Field, arguments: _Arguments) -> str:
    name = ".".join(field.path)
    value = _value(field.path, arguments)
    if value is None:
        raise _CannotTellError(phrase("The call has no %(name)s.", name=name))
    shown = _FILTERS[field.filter].write(value, field.options, arguments)
    if shown is None:
        raise _CannotTellError(_unfit(name, field.filter))
    return shown


def _unfit(name: str, kind: str) -> Phrase:
    if not kind:
        return phrase("%(name)s cannot be shown as a value.", name=name)
    return phrase("%(name)s cannot be shown as %(filter)s.", name=name, filter=kind)


def _value(path: tuple[str, ...], arguments: _Arguments) -> object:
    value: object = arguments
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


# -- filters -------------------------------------------------------------------------------------


def _said(value: object, _: tuple[str, ...], __: _Arguments) -> str | None:
    return said(value) if isinstance(value, str | int | float | list | dict) else None


def _quote(value: object, _: tuple[str, ...], __: _Arguments) -> str | None:
    return quoted(value, always=True) if isinstance(value, str) else None


def _money(value: object, options: tuple[str, ...], arguments: _Arguments) -> str | None:
    currency, unit = options
    code = _code(currency, arguments)
    return None if code is None else amount(value, code, is_minor=unit == "minor")


def _code(currency: str, arguments: _Arguments) -> str | None:
    if currency in DIGITS:
        return currency
    code = _value(tuple(currency.split(".")), arguments)
    # Not str.upper alone: "ſ" would become an S.
    return code.upper() if isinstance(code, str) and code.isascii() else None


def _count(value: object, options: tuple[str, ...], _: _Arguments) -> str | None:
    if not isinstance(value, list | dict):
        return None
    number = f"{len(value):,}"
    return f"{number} {options[0 if len(value) == 1 else 1]}" if options else number


def _list(value: object, _: tuple[str, ...], __: _Arguments) -> str | None:
    if not isinstance(value, list) or not value:
        return None
    # Always in quotes: a plain word such as "and" could pass for ours.
    first = [
        quoted(v, always=True) if isinstance(v, str) else said(v) for v in value[:_MOST_LISTED]
    ]
    more = len(value) - len(first)
    if more:
        return f"{', '.join(first)} and {more:,} more"
    return " and ".join(first)


def _date(value: object, options: tuple[str, ...], _: _Arguments) -> str | None:
    try:
        return _moment_since(value, options[0]) if options else _moment_written(value)
    except (ValueError, OverflowError):
        return None  # no such day, or beyond the calendar


def _moment_written(value: object) -> str | None:
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    moment = datetime.fromisoformat(found[0].upper())
    if not found["clock"]:
        return _day(moment)
    if not found["zone"]:
        return f"{_day(moment)}, {_clock(moment)} of no time zone"
    return f"{_day(moment.astimezone(UTC))}, {_clock(moment.astimezone(UTC))} UTC"


def _moment_since(value: object, unit: str) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    moment = _EPOCH + timedelta(**{unit: value})
    return f"{_day(moment)}, {_clock(moment)} UTC"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b} {moment.year}"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


# -- reading -------------------------------------------------------------------------------------


_TAKES_NOTHING = phrase("a value without a filter takes nothing after its name")


@dataclass(frozen=True)
class _Filter:
    """How a value is written, and what may stand after the filter's name."""

    write: Callable[[object, tuple[str, ...], _Arguments], str | None]
    takes: Callable[[tuple[str, ...]], bool] = lambda options: not options
    wrong: Phrase = _TAKES_NOTHING


def _is_money(options: tuple[str, ...]) -> bool:
    is_pair = len(options) == 2 and options[1] in ("minor", "major")
    return is_pair and _PATH.fullmatch(options[0]) is not None


def _is_count(options: tuple[str, ...]) -> bool:
    return not options or (len(options) == 2 and all(map(_WORD.fullmatch, options)))


def _is_date(options: tuple[str, ...]) -> bool:
    return options in ((), ("seconds",), ("milliseconds",))


_FILTERS = {
    "": _Filter(_said),
    "quote": _Filter(_quote, wrong=phrase("quote takes nothing after its name")),
    "list": _Filter(_list, wrong=phrase("list takes nothing after its name")),
    "money": _Filter(
        _money,
        _is_money,
        phrase("money says its currency and unit, as in money:USD:minor or money:field:major"),
    ),
    "count": _Filter(
        _count, _is_count, phrase("count stands alone, or as in count:customer:customers")
    ),
    "date": _Filter(
        _date, _is_date, phrase("date stands alone, or as date:seconds or date:milliseconds")
    ),
}


def _field(inner: str, place: int) -> Field:
    name, bar, rest = inner.partition("|")
    if not _PATH.fullmatch(name):
        raise _wrong(phrase("an argument's name has letters, digits, _ and -"), place)
    kind, *options = rest.split(":")
    known = _FILTERS.get(kind) if bar == bool(kind) * "|" else None
    if known is None:
        filters = ", ".join(filter(None, _FILTERS))
        told = phrase(
            "there is no filter %(name)s; there is: %(all)s", name=repr(kind), all=filters
        )
        raise _wrong(told, place)
    if not known.takes(tuple(options)):
        raise _wrong(known.wrong, place)
    return Field(tuple(name.split(".")), kind, tuple(options))


def _check_words(words: str, start: int) -> None:
    """Refuse what could not be told from a value, or could not be seen."""
    if brace := re.search(r"[{}]", words):
        raise _wrong(phrase("a brace without its partner"), start + brace.start())
    if ours := _OURS.search(words):
        told = phrase(
            "these quotes and dots are what values are told by; a · has a space on each side"
        )
        raise _wrong(told, start + ours.start())
    if any(part.hidden for part in visible(words)):
        raise _wrong(phrase("a character that cannot be seen"), start)


def _check_room(text: str, field: re.Match[str]) -> None:
    before, after = text[: field.start()][-1:], text[field.end() :][:1]
    if before not in ("", " ", "(") or after not in ("", " ", ")", ",", ";"):
        raise _wrong(phrase("a value stands between spaces"), field.start())


def _wrong(what: Phrase, place: int | None = None) -> InvalidInput:
    if place is not None:
        what = phrase("at character %(place)s: %(what)s", place=place + 1, what=what)
    return InvalidInput(what, path="$.template")
