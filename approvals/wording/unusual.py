"""Pure: what is unusual about a call, in at most five lines; for the page on which people decide.

Each line names what the call is compared with. Nothing is compared with fewer than ten calls:
of three nobody knows what is usual. The most dangerous stands first, always in the same order.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from approvals.wording.comparing import of_history
from approvals.wording.hostile import Segment
from approvals.wording.lines import FEWEST, Facts, Kind, Line, named
from approvals.wording.table import Row
from approvals.wording.times import duration

MOST_LINES = 5
RECENT = timedelta(days=7)  # a definition changed so lately is told
NEAR = timedelta(hours=2)  # of an earlier call's time of day
_FEWEST_DAYS = 3  # calls of one afternoon say nothing about hours

_DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_CHIP = re.compile(r"(?:U\+([0-9A-F]+)|␠)(?: ×(\d+))?")
_SHORT = {
    Kind.UNREVIEWED: "tool nobody reviewed",
    Kind.DIRECTION: "change of direction",
    Kind.LOOK_ALIKE: "look-alike",
    Kind.HIDDEN: "hidden characters",
    Kind.FAR: "unusual number",
    Kind.CHANGED: "changed definition",
    Kind.DESTRUCTIVE: "destructive tool",
    Kind.NEVER_SEEN: "value never seen",
    Kind.NUMBER: "unusual number",
    Kind.ODD: "other remark",
    Kind.HOUR: "unusual hour",
    Kind.FIRST: "first call",
}


@dataclass(frozen=True)
class Unusual:
    """What is unusual: at most five lines, the most dangerous first, and the rows with marks."""

    lines: tuple[Line, ...]
    rows: tuple[Row, ...]  # with what history says of a value, whether or not a line does


def unusual(facts: Facts) -> Unusual:
    """Return what is unusual about a call; of more than five lines the last counts the rest."""
    compared = list(of_history(facts))
    of_values = [*_of_rows(facts), *compared]
    found = [*_of_tool(facts), *of_values, *_of_agent(facts)]
    found.sort(key=lambda line: line.kind)  # stable: then in the order of the table
    by_row: dict[str, list[Line]] = {}
    for line in of_values:
        by_row.setdefault(line.place, []).append(line)
    rows = tuple(_marked(row, by_row.get(row.name, ())) for row in facts.rows)
    return Unusual(_at_most_five(found), rows)


def _at_most_five(found: list[Line]) -> tuple[Line, ...]:
    if len(found) <= MOST_LINES:
        return tuple(found)
    left_out = found[MOST_LINES - 1 :]
    counts = Counter(_SHORT[line.kind] for line in left_out)
    why = ", ".join(f"{number} × {words}" for words, number in counts.items())
    tone = "bad" if any(line.tone == "bad" for line in left_out) else "warn"
    more = Line(Kind.MORE, tone, f"{len(left_out)} more:", f"{why}.", "values")
    return (*found[: MOST_LINES - 1], more)


def _marked(row: Row, lines: Sequence[Line]) -> Row:
    marks = [line.mark for line in lines if line.mark]
    tone = "bad" if any(line.tone == "bad" for line in lines) else row.tone
    return replace(row, remarks=(*marks, *row.remarks), tone=tone) if lines else row


# -- the tool --------------------------------------------------------------------------------------

_EFFECTS = {
    "unreviewed": Line(
        Kind.UNREVIEWED, "bad", "Nobody has reviewed this tool.",
        "What it does is its server’s word only.", "definition",
    ),
    "changed": Line(
        Kind.UNREVIEWED, "bad", "This tool changed after a person reviewed it.",
        "Look at it again first.", "definition",
    ),
    "destructive": Line(
        Kind.DESTRUCTIVE, "warn", "A person reviewed this tool as destructive.", "", "definition"
    ),
}  # fmt: skip


def _of_tool(facts: Facts) -> Iterator[Line]:
    if facts.effect in _EFFECTS:
        yield _EFFECTS[facts.effect]
    changed_at, is_told = facts.changed_at, facts.effect in ("unreviewed", "changed")
    if changed_at is None or is_told or not timedelta(0) <= facts.at - changed_at <= RECENT:
        return
    ago = duration(facts.at - changed_at)
    why = f"That was {ago} before this call; it was reviewed again since."
    yield Line(Kind.CHANGED, "warn", "The tool’s definition changed lately.", why, "definition")


# -- what the table shows --------------------------------------------------------------------------


def _of_rows(facts: Facts) -> Iterator[Line]:
    for row in facts.rows:
        hidden = [part for part in (*row.key, *row.whole) if part.hidden and not part.is_break]
        if hidden:
            yield _hidden(row, hidden)
        others = [remark for remark in row.remarks if not remark.startswith("hidden characters")]
        if others:
            why = "; ".join(others)
            yield Line(Kind.ODD, "warn", f"{named(row)}:", why, "value", row.name)


def _hidden(row: Row, hidden: Sequence[Segment]) -> Line:
    chips = [found for part in hidden if (found := _CHIP.match(part.text))]
    number = sum(int(chip[2] or 1) for chip in chips)
    turns = any(int(chip[1], 16) in _DIRECTION for chip in chips if chip[1])
    kinds = list(dict.fromkeys(re.sub(r" ×\d+", "", part.label) for part in hidden))
    more = f" and {len(kinds) - 3} other kinds" if len(kinds) > 3 else ""
    things = f"{number} hidden character{'' if number == 1 else 's'}"
    kind, tone, ends = Kind.HIDDEN, "warn", ""
    if turns:
        kind, tone, ends = Kind.DIRECTION, "bad", ", and they change the order of reading"
    fact = f"{named(row)} holds {things}{ends}."
    return Line(kind, tone, fact, f"{', '.join(kinds[:3])}{more}.", "value", row.name)


# -- the agent -------------------------------------------------------------------------------------


def _of_agent(facts: Facts) -> Iterator[Line]:
    agents = [earlier.at for earlier in facts.earlier if earlier.is_agents]
    if facts.is_first:
        others = len(facts.earlier)
        fact = f"This is {facts.agent}’s first call of this tool."
        why = f"Others called it {others} time{'' if others == 1 else 's'} {facts.lately}."
        yield Line(Kind.FIRST, "warn", fact, why, "tool")
    if len(agents) < FEWEST or len({at.date() for at in agents}) < _FEWEST_DAYS:
        return
    if all(_apart(facts.at, at) > NEAR for at in agents):
        fact = f"{facts.at:%H:%M} is an unusual hour for {facts.agent}."
        hours = duration(NEAR)
        why = f"None of its {len(agents)} calls of this tool came within {hours} of that time."
        yield Line(Kind.HOUR, "warn", fact, why, "agent")


def _apart(one: datetime, other: datetime) -> timedelta:
    """Return how far two times of day are from each other, around midnight too."""
    seconds = abs(_of_day(one) - _of_day(other))
    return timedelta(seconds=min(seconds, 86_400 - seconds))


def _of_day(at: datetime) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second
