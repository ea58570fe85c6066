"""Pure: a call's arguments as rows of a table, for the pages on which people decide.

What the rows show stands for the arguments and for nothing else: they can be read back from it,
types included. The schema lends labels and order, never content.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from approvals.canonical import path_of
from approvals.wording.hostile import Segment, clean, runs_right_to_left, visible
from approvals.wording.schemas import Place, place_of
from approvals.wording.sentences import readable

# A longer text shows its head and its tail, and all of it on request.
MAX_SHOWN = 600
HEAD, TAIL = 400, 160
MAX_LABEL = 60

_NUMBER = re.compile(
    r"[+\-−$€£¥\s]*[.,]?0[0.,_'’\s]*(e[+\-]?0+)?\s?[%$€£¥]?"
    r"|0[xob][0a-f_]+|[+\-]?(inf|infinity|nan)",
    re.IGNORECASE,
)
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "none", "nil", "nothing", "undefined"}


@dataclass(frozen=True, slots=True)
class Row:
    """One argument, or one part of one; the rows of its parts follow it."""

    depth: int  # 0 for an argument, 1 for a part of one …
    key: tuple[Segment, ...]  # its own name as the agent spelled it; of a list item, its index
    name: str  # where it is, safe to print: customer.phones[0]
    label: str  # in words, from the schema or the name; says nothing the schema's author did not
    kind: str  # text, number, boolean, null, list or object
    value: tuple[Segment, ...]  # what is shown; empty for an empty text
    whole: tuple[Segment, ...]  # `value`, with what a long text leaves out
    remarks: tuple[str, ...] = ()
    count: int = 0  # parts of a list or object

    @property
    def is_cut(self) -> bool:
        """Tell whether `whole` has more than `value`."""
        return self.value is not self.whole

    @property
    def remark(self) -> str:
        """Return all remarks as one line; empty when there is nothing odd."""
        return "; ".join(self.remarks)


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
    shown, whole, remarks = _shown(value)
    row = Row(
        depth=len(keys) - 1,
        key=visible(str(keys[-1])),
        name=path_of(keys).removeprefix("$").removeprefix("."),
        label=label,
        kind=_kind(value),
        value=shown,
        whole=whole,
        remarks=(*(["not in the schema"] if is_odd else []), *remarks),
        count=len(value) if isinstance(value, list | Mapping) else 0,
    )
    table.append(row)
    if isinstance(value, Mapping):
        _add_members(table, keys, value, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            of_all = (f"{index + 1} of {len(value)}", False)
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


def _shown(value: object) -> tuple[tuple[Segment, ...], tuple[Segment, ...], list[str]]:
    """Return what is shown of a value, the whole of it, and what is odd about it."""
    if isinstance(value, str):
        return _shown_text(value)
    shown = (Segment(_plain(value)),)
    return shown, shown, []


def _plain(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list | Mapping):
        thing = "item" if isinstance(value, list) else "field"
        return f"{len(value) or 'no'} {thing}{'' if len(value) == 1 else 's'}"
    return json.dumps(value)


def _shown_text(text: str) -> tuple[tuple[Segment, ...], tuple[Segment, ...], list[str]]:
    whole = visible(text)
    remarks = _remarks(text, whole)
    if len(text) <= MAX_SHOWN:
        return whole, whole, remarks
    left_out = f"… {len(text) - HEAD - TAIL:,} characters not shown here …"
    gap = Segment(left_out, hidden=True)
    shown = (*visible(text[:HEAD]), gap, *visible(text[-TAIL:]))
    return shown, whole, [*remarks, f"long text: {len(text):,} characters, head and tail shown"]


def _remarks(text: str, whole: tuple[Segment, ...]) -> list[str]:
    checks = {
        "empty text": not text,
        "text that looks like a number": _looks_like_a_number(text),
        "text, not a yes, a no or nothing": text.strip().casefold() in _WORDS,
        "hidden characters": any(part.hidden and not part.is_break for part in whole),
        "text that runs right to left": runs_right_to_left(text),
        "begins or ends with a space": text != text.strip(" "),
    }
    return [remark for remark, is_so in checks.items() if is_so]


def _looks_like_a_number(text: str) -> bool:
    """Tell whether somebody could take text for a number; it is never read as one.

    Digits of every script and width count, and signs such as ½ and Ⅷ.
    """
    if not text or len(text) > 60:
        return False
    digits = "".join("0" if character.isnumeric() else character for character in text)
    return _NUMBER.fullmatch(digits.strip()) is not None
