"""Pure: values of a call against those of earlier calls; only `unusual` calls it.

Numbers are compared with the asking agent's own, where there are enough, else with everybody's;
other values with everybody's. A number that names something (`customer_id`) is no amount.
"""

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from approvals.canonical import path_of
from approvals.phrases import Phrase, phrase, phrases
from approvals.wording import templates, units
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
        elif line := _compared(row, keys, value, past.get(place, _Past()), facts):
            yield line


def _compared(row: Row, keys: _Keys, value: _Scalar, past: _Past, facts: Facts) -> Line | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        field = units.field_of(facts.template, keys)
        if not _is_name(row) and (field is None or field.filter != "date"):
            return _number(row, value, past, facts, field)
    is_prose = isinstance(value, str) and len(value) > _MOST_TEXT
    if is_prose or len(past.anybodys) < FEWEST or _key(value) in past.counts:
        return None
    alike = _look_alike(row, value, past) if isinstance(value, str) else None
    return alike or _never_seen(row, value, past, facts.lately)


def _new_argument(row: Row, facts: Facts) -> Line:
    calls = len(facts.earlier)
    fact = phrase("%(field)s was never sent before.", field=named(row))
    why = phrase(
        "None of %(calls)s calls of this tool %(lately)s had it.", calls=calls, lately=facts.lately
    )
    mark = phrase("in none of %(calls)s calls before", calls=calls)
    return Line(Kind.NEVER_SEEN, "warn", fact, why, "tool", row.name, mark)


@dataclass(frozen=True)
class _Numbers:
    """One number and those it is compared with, as the lines write them."""

    field: str
    value: float
    numbers: list[float]
    calls: int
    lately: Phrase
    is_agents: bool  # the numbers of this agent, else those of the tool
    written: Callable[[float], str]

    @property
    def median(self) -> float:
        return statistics.median(self.numbers)

    @property
    def largest(self) -> float:
        return max(self.numbers)

    @property
    def words(self) -> dict[str, object]:
        """Return what the messages name."""
        return {
            "field": self.field, "value": self.written(self.value),
            "usual": self.written(self.median), "largest": self.written(self.largest),
            "smallest": self.written(min(self.numbers)), "calls": self.calls,
            "lately": self.lately,
        }  # fmt: skip


def _number(
    row: Row, value: float, past: _Past, facts: Facts, field: templates.Field | None
) -> Line | None:
    is_agents = len(past.agents) >= FEWEST
    calls = past.agents if is_agents else past.anybodys
    numbers = _numbers(calls)
    if len(calls) < FEWEST or not numbers:
        return None
    others = [one.arguments for one in facts.earlier if one.is_agents or not is_agents]
    sent = [value, max(numbers), min(numbers)]
    written = units.writer(field, [facts.arguments, *others], sent)
    told = _Numbers(named(row), value, numbers, len(calls), facts.lately, is_agents, written)
    compares = "agent" if is_agents else "tool"
    if told.median > 0 and value >= FAR * told.median:
        is_most = value > told.largest
        kind, tone = (Kind.FAR, "bad") if is_most else (Kind.NUMBER, "warn")
        fact, why, mark = _far(told, is_most=is_most)
    elif value > told.largest:
        kind, tone = Kind.NUMBER, "warn"
        fact, why, mark = _largest(told)
    elif value < 0 <= min(numbers):
        kind, tone = Kind.FAR, "bad"
        fact, why, mark = _below(told)
    else:
        return None
    return Line(kind, tone, fact, why, compares, row.name, mark)


def _far(told: _Numbers, *, is_most: bool) -> tuple[Phrase, Phrase, Phrase]:
    words = {**told.words, "times": _times(told.value / told.median)}
    if told.is_agents:
        fact = phrase("%(field)s %(value)s is %(times)s× this agent’s median", **words)
        mark = phrase("%(times)s× this agent’s median (%(usual)s over %(calls)s calls)", **words)
    else:
        fact = phrase("%(field)s %(value)s is %(times)s× this tool’s median", **words)
        mark = phrase("%(times)s× this tool’s median (%(usual)s over %(calls)s calls)", **words)
    if is_most:
        why = phrase("of %(usual)s over %(calls)s calls, and its largest %(lately)s.", **words)
        return fact, why, mark
    why = phrase(
        "of %(usual)s over %(calls)s calls; its largest %(lately)s is %(largest)s.", **words
    )
    return fact, why, mark


def _largest(told: _Numbers) -> tuple[Phrase, Phrase, Phrase]:
    words = told.words
    why = phrase(
        "The largest before was %(largest)s, the median %(usual)s, over %(calls)s calls.", **words
    )
    if told.is_agents:
        fact = phrase("%(field)s %(value)s is this agent’s largest %(lately)s.", **words)
        mark = phrase("this agent’s largest %(lately)s (before: %(largest)s)", **words)
        return fact, why, mark
    fact = phrase("%(field)s %(value)s is this tool’s largest %(lately)s.", **words)
    return fact, why, phrase("this tool’s largest %(lately)s (before: %(largest)s)", **words)


def _below(told: _Numbers) -> tuple[Phrase, Phrase, Phrase]:
    words = told.words
    fact = phrase("%(field)s %(value)s is below zero.", **words)
    mark = phrase("below zero, as in none of %(calls)s calls", **words)
    if told.is_agents:
        why = phrase(
            "This agent’s smallest %(lately)s is %(smallest)s, over %(calls)s calls.", **words
        )
        return fact, why, mark
    why = phrase("This tool’s smallest %(lately)s is %(smallest)s, over %(calls)s calls.", **words)
    return fact, why, mark


def _look_alike(row: Row, value: str, past: _Past) -> Line | None:
    known = past.looks.get(skeleton(value))
    if not known or not value:
        return None
    number = past.counts[known]
    words = {
        "field": named(row), "value": quoted(value), "known": quoted(known), "number": number,
        "calls": len(past.anybodys), "character": _difference(value, known),
    }  # fmt: skip
    fact = phrase("%(field)s %(value)s looks like %(known)s and is another value.", **words)
    why = phrase("%(number)s of %(calls)s calls had the other one.", **words)
    if words["character"]:
        why = phrase(
            "%(number)s of %(calls)s calls had the other one; this one has %(character)s.", **words
        )
    mark = phrase("looks like %(known)s of %(number)s calls before, and is not", **words)
    return Line(Kind.LOOK_ALIKE, "bad", fact, why, "tool", row.name, mark, known)


def _never_seen(row: Row, value: _Scalar, past: _Past, lately: Phrase) -> Line | None:
    counts, calls = past.counts, len(past.anybodys)
    # Where most calls bring a new value, as in a number of an invoice, another one tells nothing.
    if 2 * len(counts) > calls:
        return None
    seen = phrases(
        "%(number)s other value", "%(number)s other values", len(counts), number=len(counts)
    )
    words = {"field": named(row), "value": _said(value), "calls": calls, "seen": seen}
    fact = phrase("%(field)s %(value)s was never seen in this field.", **words)
    why = phrase("%(calls)s calls of this tool %(lately)s had %(seen)s.", lately=lately, **words)
    mark = phrase("never seen in %(calls)s calls, which had %(seen)s", **words)
    return Line(Kind.NEVER_SEEN, "warn", fact, why, "tool", row.name, mark)


def _difference(value: str, known: str) -> str:
    """Return the name of the first character that differs; empty where both are plain."""
    for mine, theirs in zip(value, known, strict=False):
        if mine != theirs and not (mine.isascii() and theirs.isascii()):
            return unicodedata.name(mine, f"U+{ord(mine):04X}")
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
    return quoted(value) if isinstance(value, str) else units.digits(value)


def _times(ratio: float) -> str:
    """Return how many times, never overstated: 3, 4.5, 120."""
    return str(int(ratio)) if ratio >= FEWEST else f"{int(ratio * 10) / 10:g}"
