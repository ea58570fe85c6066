"""Pure: values of a call against those of earlier calls; only `unusual` calls it.

Numbers are compared with the asking agent's own, where there are enough, else with everybody's;
other values with everybody's. A number that names something (`customer_id`) is no amount.
"""

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from approvals.canonical import path_of
from approvals.wording.confusables import skeleton
from approvals.wording.lines import FEWEST, Earlier, Facts, Kind, Line, named, quoted
from approvals.wording.table import Row

FAR = 3  # times the median that make a number odd
_MOST_VALUES = 100  # of one call that are compared
_MOST_TEXT = 200  # a longer text is prose, and no value that comes again

# Such a number is a name: larger or smaller means nothing, new may.
_NAMES_SOMETHING = re.compile(r"(?:^|[._-])(?:id|ids|no|number|key|ref)$|[a-z](?:Ids?|No|Ref)$")

_Keys = tuple[str | int, ...]  # the way to a value
_Place = tuple[str, ...]  # of a value, all items of a list being one place
_Scalar = str | int | float | bool


@dataclass(frozen=True)
class _Past:
    """What earlier calls had in one place."""

    # Of the asking agent, and of anybody: for each call the values it had there.
    agents: list[list[_Scalar]] = field(default_factory=list)
    anybodys: list[list[_Scalar]] = field(default_factory=list)

    @cached_property
    def counts(self) -> Counter[Hashable]:
        """Return in how many calls each value was."""
        return Counter(key for values in self.anybodys for key in set(map(_key, values)))

    @cached_property
    def looks(self) -> dict[str, str]:
        """Return the texts that were there by what they look like; of two the more usual one."""
        texts = [text for text, _ in self.counts.most_common() if isinstance(text, str)]
        return {skeleton(text): text for text in reversed(texts) if len(text) <= _MOST_TEXT}


def of_history(facts: Facts) -> Iterator[Line]:
    """Return a line for each value that is unlike those of earlier calls, in the page's order."""
    if len(facts.earlier) < FEWEST:
        return
    past = _past(facts.earlier)
    known = {place[:end] for place in past for end in range(1, len(place) + 1)}
    rows = {row.name: row for row in facts.rows}
    told: set[_Place] = set()
    for keys, place, value in _values(facts.arguments):
        # Of an argument with all its parts that no call had, the whole is told, once.
        new = next((end for end in range(1, len(place) + 1) if place[:end] not in known), 0)
        row = rows.get(_name(keys[:new] if new else keys))
        if row is None or place[:new] in told:
            continue
        if new:
            told.add(place[:new])
            yield _new_argument(row, facts)
        elif line := _compared(row, value, past.get(place, _Past()), facts):
            yield line


def _compared(row: Row, value: _Scalar, past: _Past, facts: Facts) -> Line | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and not _is_name(row):
        return _number(row, value, past, facts.lately)
    is_prose = isinstance(value, str) and len(value) > _MOST_TEXT
    if is_prose or len(past.anybodys) < FEWEST or _key(value) in past.counts:
        return None
    alike = _look_alike(row, value, past) if isinstance(value, str) else None
    return alike or _never_seen(row, value, past, facts.lately)


def _new_argument(row: Row, facts: Facts) -> Line:
    calls = len(facts.earlier)
    fact = f"{named(row)} was never sent before."
    why = f"None of {calls} calls of this tool {facts.lately} had it."
    mark = f"in none of {calls} calls before"
    return Line(Kind.NEVER_SEEN, "warn", fact, why, "tool", row.name, mark)


def _number(row: Row, value: float, past: _Past, lately: str) -> Line | None:
    whose, compares = "this agent’s", "agent"
    numbers, calls = _numbers(past.agents), len(past.agents)
    if calls < FEWEST:
        whose, compares = "this tool’s", "tool"
        numbers, calls = _numbers(past.anybodys), len(past.anybodys)
    if calls < FEWEST or not numbers:
        return None
    median, largest = statistics.median(numbers), max(numbers)
    shown, usual, over = f"{named(row)} {_digits(value)}", _digits(median), f"over {calls} calls"
    if median > 0 and value >= FAR * median:
        times = f"{_times(value / median)}× {whose} median"
        is_most = value > largest
        most = f"its largest {lately}"
        ends = f", and {most}" if is_most else f"; {most} is {_digits(largest)}"
        kind, tone = (Kind.FAR, "bad") if is_most else (Kind.NUMBER, "warn")
        why, mark = f"of {usual} {over}{ends}.", f"{times} ({usual} {over})"
        return Line(kind, tone, f"{shown} is {times}", why, compares, row.name, mark)
    if value > largest:
        fact = f"{shown} is {whose} largest {lately}."
        why = f"The largest before was {_digits(largest)}, the median {usual}, {over}."
        mark = f"{whose} largest {lately} (before: {_digits(largest)})"
        return Line(Kind.NUMBER, "warn", fact, why, compares, row.name, mark)
    if value < 0 <= min(numbers):
        why = f"{whose.capitalize()} smallest {lately} is {_digits(min(numbers))}, {over}."
        mark = f"below zero, as in none of {calls} calls"
        return Line(Kind.FAR, "bad", f"{shown} is below zero.", why, compares, row.name, mark)
    return None


def _look_alike(row: Row, value: str, past: _Past) -> Line | None:
    known = past.looks.get(skeleton(value))
    if not known or not value:
        return None
    fact = f"{named(row)} {quoted(value)} looks like {quoted(known)} and is another value."
    number = past.counts[known]
    had = f"{number} of {len(past.anybodys)} calls had the other one"
    why = f"{had}{_difference(value, known)}."
    mark = f"looks like {quoted(known)} of {number} calls before, and is not"
    return Line(Kind.LOOK_ALIKE, "bad", fact, why, "tool", row.name, mark, known)


def _never_seen(row: Row, value: _Scalar, past: _Past, lately: str) -> Line | None:
    counts, calls = past.counts, len(past.anybodys)
    # Where most calls bring a new value, as in a number of an invoice, another one tells nothing.
    if 2 * len(counts) > calls:
        return None
    seen = f"{len(counts)} other value{'' if len(counts) == 1 else 's'}"
    fact = f"{named(row)} {_said(value)} was never seen in this field."
    why = f"{calls} calls of this tool {lately} had {seen}."
    mark = f"never seen in {calls} calls, which had {seen}"
    return Line(Kind.NEVER_SEEN, "warn", fact, why, "tool", row.name, mark)


def _difference(value: str, known: str) -> str:
    """Return the first character that differs, by its name."""
    for mine, theirs in zip(value, known, strict=False):
        if mine != theirs and not (mine.isascii() and theirs.isascii()):
            return f"; this one has {unicodedata.name(mine, f'U+{ord(mine):04X}')}"
    return ""


def _past(earlier: Sequence[Earlier]) -> dict[_Place, _Past]:
    past: dict[_Place, _Past] = {}
    for call in earlier:
        here: dict[_Place, list[_Scalar]] = {}
        for _, place, value in _values(call.arguments):
            here.setdefault(place, []).append(value)
        for place, values in here.items():
            known = past.setdefault(place, _Past())
            known.anybodys.append(values)
            if call.is_agents:
                known.agents.append(values)
    return past


def _values(arguments: Mapping[str, object]) -> Iterator[tuple[_Keys, _Place, _Scalar]]:
    """Return the first values that can be compared: by which keys, in which place, and each."""
    return islice(_walk((), (), arguments), _MOST_VALUES)


def _walk(keys: _Keys, place: _Place, value: object) -> Iterator[tuple[_Keys, _Place, _Scalar]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _walk((*keys, key), (*place, f".{key}"), part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _walk((*keys, index), (*place, "[]"), part)
    elif isinstance(value, str | bool | int | float):
        yield keys, place, value


def _name(keys: _Keys) -> str:
    return path_of(keys).removeprefix("$").removeprefix(".")


def _key(value: _Scalar) -> Hashable:
    """Return what a value is known by: true is not 1, and a text is not a number."""
    return value if isinstance(value, str) else (isinstance(value, bool), value)


def _numbers(calls: list[list[_Scalar]]) -> list[float]:
    return [v for values in calls for v in values if not isinstance(v, str | bool)]


def _is_name(row: Row) -> bool:
    return _NAMES_SOMETHING.search(re.sub(r"\[\d+\]$", "", row.name)) is not None


def _said(value: _Scalar) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return quoted(value) if isinstance(value, str) else _digits(value)


def _digits(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(round(number, 6))


def _times(ratio: float) -> str:
    """Return how many times, never overstated: 3, 4.5, 120."""
    return str(int(ratio)) if ratio >= FEWEST else f"{int(ratio * 10) / 10:g}"
