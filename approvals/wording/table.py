"""Pure: a call's arguments as rows of a table, for the pages on which people decide.

What the rows show stands for the arguments and for nothing else: they can be read back from it,
types included. The schema lends labels and order, never content.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Required, TypedDict

from approvals.canonical import path_of
from approvals.phrases import Phrase, joined, phrase
from approvals.wording.hostile import Segment, clean, runs_right_to_left, visible
from approvals.wording.schemas import Place, place_of
from approvals.wording.sentences import readable

# A longer text shows its head and its tail, and all of it on request.
MAX_SHOWN = 600
HEAD, TAIL = 400, 160
MAX_LABEL = 60
MAX_UNIT = 24
# A longer name is cut where a path is written; the page then shows all of it beside.
MAX_NAME = 64
# A value with more parts than this is folded, unless one of them is marked.
MAX_OPEN = 12

_NUMBER = re.compile(
    r"[+\-−$€£¥\s]*[.,]?0[0.,_'’\s]*(e[+\-]?0+)?\s?[%$€£¥]?"
    r"|0[xob][0a-f_]+|[+\-]?(inf|infinity|nan)",
    re.IGNORECASE,
)
_COUNT = re.compile(r"(\d+|no) (item|field)s?")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "none", "nil", "nothing", "undefined"}

# What is odd about a name or a value.
_UNEXPECTED = phrase("not in the schema")
HIDDEN_IN_NAME = phrase("hidden characters in its name")
HIDDEN = phrase("hidden characters")
_EMPTY = phrase("empty text")
_LIKE_A_NUMBER = phrase("text that looks like a number")
_LIKE_A_WORD = phrase("text, not a yes, a no or nothing")
_LIKE_A_COUNT = phrase("text, not a list or an object")
_RIGHT_TO_LEFT = phrase("text that runs right to left")
_SPACED = phrase("begins or ends with a space")


@dataclass(frozen=True, slots=True)
class Row:
    """One argument, or one part of one; the rows of its parts follow it."""

    depth: int  # 0 for an argument, 1 for a part of one …
    key: tuple[Segment, ...]  # its own name as the agent spelled it; of a list item, its index
    name: str  # where it is, safe to print: customer.phones[0]
    label: str  # in words, from the schema or the name; says nothing the schema's author did not
    kind: str  # text, number, boolean, null, list or object
    value: tuple[Segment, ...]  # what is shown, of a long text its head; empty for an empty text
    middle: tuple[Segment, ...] = ()  # of a long text, what is folded
    tail: tuple[Segment, ...] = ()  # of a long text, what comes after
    left_out: int = 0  # characters in the middle
    unit: str = ""  # of a number, if the schema says so
    remarks: tuple[str, ...] = ()  # phrases
    tone: str = "warn"  # of the remarks
    count: int = 0  # parts of a list or object
    is_name_cut: bool = False  # `key` has more than `name`

    @property
    def whole(self) -> tuple[Segment, ...]:
        """Return all of the value, the middle of a long text included."""
        return (*self.value, *self.middle, *self.tail)

    @property
    def remark(self) -> str:
        """Return all remarks as one line, a phrase; empty when there is nothing odd."""
        return joined("; ", self.remarks)


@dataclass(frozen=True, slots=True)
class Nested:
    """A row with what a page that folds parts into their whole needs to know of its neighbours."""

    row: Row
    is_open: bool  # of a row with parts: they are few, or one of them is marked
    ends: range  # as many as there are values whose last part this is


def nested(table: Sequence[Row]) -> list[Nested]:
    """Return rows in order, each with the folds that begin and end at it."""
    sizes, marked = [0] * len(table), [False] * len(table)
    around: list[int] = []
    for at, row in enumerate(table):
        del around[row.depth :]
        for whole in around:
            sizes[whole] += 1
            marked[whole] |= bool(row.remarks)
        around.append(at)
    after = [row.depth for row in table[1:]] + [0]
    return [
        Nested(row, sizes[at] <= MAX_OPEN or marked[at], range(row.depth - after[at]))
        for at, row in enumerate(table)
    ]


def rows(arguments: Mapping[str, object], schema: object) -> tuple[Row, ...]:
    """Return arguments as rows, in the schema's order; what it does not name comes after.

    Args:
        arguments: JSON object, as parsed from the stored bytes.
        schema: the tool's inputSchema as listed; may be anything.
    """
    table: list[Row] = []
    _add_members(table, (), arguments, place_of(schema))
    return tuple(table)


def _add_members(
    table: list[Row], keys: tuple[str | int, ...], members: Mapping[str, object], place: Place
) -> None:
    described = place.names
    listed = [name for name in described if name in members]
    others = [name for name in members if name not in described]
    # An object that is described only as "an object" may hold anything; nothing in it is odd.
    is_strict = bool(described) or not keys
    for name in [*listed, *others]:
        member = place.member(name)
        is_odd = is_strict and name not in described and not member.parts
        label = clean(member.title, MAX_LABEL) or readable(name)
        _add(table, (*keys, name), members[name], member, (label, is_odd))


def _add(
    table: list[Row],
    keys: tuple[str | int, ...],
    value: object,
    place: Place,
    known: tuple[str, bool],
) -> None:
    """Add the row of one value and the rows of its parts; `known`: its label, is it unexpected."""
    label, is_odd = known
    key = str(keys[-1])
    row = Row(
        depth=len(keys) - 1,
        key=visible(key),
        name=path_of(keys).removeprefix("$").removeprefix("."),
        label=label,
        kind=_kind(value),
        unit=clean(place.unit, MAX_UNIT) if _kind(value) == "number" else "",
        remarks=(
            *([_UNEXPECTED] if is_odd else []),
            *_of_name(key),
            *_remarks(value),
        ),
        count=len(value) if isinstance(value, list | Mapping) else 0,
        is_name_cut=len(key) > MAX_NAME,
        **_shown(value),
    )
    table.append(row)
    if isinstance(value, Mapping):
        _add_members(table, keys, value, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            of_all = (phrase("%(number)s of %(all)s", number=index + 1, all=len(value)), False)
            _add(table, (*keys, index), item, place.item(index), of_all)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"


class _Shown(TypedDict, total=False):
    value: Required[tuple[Segment, ...]]
    middle: tuple[Segment, ...]
    tail: tuple[Segment, ...]
    left_out: int


def _shown(value: object) -> _Shown:
    """Return what is shown of a value; a long text in three pieces."""
    if not isinstance(value, str):
        return {"value": (Segment(_plain(value)),)}
    if len(value) <= MAX_SHOWN:
        return {"value": visible(value)}
    return {
        "value": visible(value[:HEAD]),
        "middle": visible(value[HEAD:-TAIL]),
        "tail": visible(value[-TAIL:]),
        "left_out": len(value) - HEAD - TAIL,
    }


def _plain(value: object) -> str:
    # The same in every language: `_remarks` knows the texts that could be taken for these words.
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list | Mapping):
        thing = "item" if isinstance(value, list) else "field"
        return f"{len(value) or 'no'} {thing}{'' if len(value) == 1 else 's'}"
    return json.dumps(value)


def _of_name(name: str) -> list[Phrase]:
    """Return what is odd about the name of an argument."""
    found = [HIDDEN_IN_NAME] if _has_hidden(visible(name)) else []
    if len(name) > MAX_NAME:
        found.append(phrase("a name of %(length)s characters", length=f"{len(name):,}"))
    return found


def _remarks(value: object) -> list[Phrase]:
    """Return what is odd about a value.

    Each text that could be taken for another kind of value is told to be text, so that every value
    can be read back from what is shown of it.
    """
    if not isinstance(value, str):
        return []
    checks = {
        _EMPTY: not value,
        _LIKE_A_NUMBER: _looks_like_a_number(value),
        _LIKE_A_WORD: value.strip().casefold() in _WORDS,
        _LIKE_A_COUNT: _COUNT.fullmatch(value) is not None,
        HIDDEN: _has_hidden(visible(value)),
        _RIGHT_TO_LEFT: runs_right_to_left(value),
        _SPACED: value != value.strip(" "),
    }
    found = [remark for remark, is_so in checks.items() if is_so]
    if len(value) > MAX_SHOWN:
        length = f"{len(value):,}"
        found.append(phrase("long text: %(length)s characters, head and tail shown", length=length))
    return found


def _has_hidden(shown: tuple[Segment, ...]) -> bool:
    return any(part.hidden and not part.is_break for part in shown)


def _looks_like_a_number(text: str) -> bool:
    """Tell whether somebody could take text for a number; it is never read as one.

    Digits of every script and width count, and signs such as ½ and Ⅷ.
    """
    if not text or len(text) > MAX_SHOWN:  # a longer one is told to be text anyway
        return False
    if any(map(str.isnumeric, text)):
        text = "".join("0" if character.isnumeric() else character for character in text)
    return _NUMBER.fullmatch(text.strip()) is not None
