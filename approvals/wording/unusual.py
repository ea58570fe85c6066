"""Pure: what is unusual about a call, in at most five lines; for the page on which people decide.

Each line names what the call is compared with. Nothing is compared with fewer than ten calls:
of three nobody knows what is usual. The most dangerous stands first, always in the same order.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from approvals.phrases import Phrase, joined, phrase, phrases
from approvals.wording.comparing import of_history
from approvals.wording.hostile import Segment
from approvals.wording.lines import FEWEST, Facts, Kind, Line, named
from approvals.wording.table import HIDDEN, HIDDEN_IN_NAME, Row
from approvals.wording.times import duration

MOST_LINES = 5
RECENT = timedelta(days=7)  # a definition changed so lately is told
NEAR = timedelta(hours=2)  # of an earlier call's time of day
_FEWEST_DAYS = 3  # calls of one afternoon say nothing about hours

_DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_CHIP = re.compile(r"(?:U\+([0-9A-F]+)|␠)(?: ×(\d+))?")
_SHORT = {
    Kind.UNREVIEWED: phrase("tool nobody reviewed"),
    Kind.DIRECTION: phrase("change of direction"),
    Kind.LOOK_ALIKE: phrase("look-alike"),
    Kind.HIDDEN: phrase("hidden characters"),
    Kind.FAR: phrase("unusual number"),
    Kind.CHANGED: phrase("changed definition"),
    Kind.DESTRUCTIVE: phrase("destructive tool"),
    Kind.NEVER_SEEN: phrase("value never seen"),
    Kind.NUMBER: phrase("unusual number"),
    Kind.ODD: phrase("other remark"),
    Kind.HOUR: phrase("unusual hour"),
    Kind.FIRST: phrase("first call"),
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
    each = (phrase("%(number)s × %(kind)s", number=n, kind=kind) for kind, n in counts.items())
    tone = "bad" if any(line.tone == "bad" for line in left_out) else "warn"
    fact = phrase("%(number)s more:", number=len(left_out))
    why = phrase("%(kinds)s.", kinds=joined(", ", each))
    return (*found[: MOST_LINES - 1], Line(Kind.MORE, tone, fact, why, "values"))


def _marked(row: Row, lines: Sequence[Line]) -> Row:
    marks = [line.mark for line in lines if line.mark]
    tone = "bad" if any(line.tone == "bad" for line in lines) else row.tone
    return replace(row, remarks=(*marks, *row.remarks), tone=tone) if lines else row


# -- the tool --------------------------------------------------------------------------------------

_EFFECTS = {
    "unreviewed": Line(
        Kind.UNREVIEWED, "bad", phrase("Nobody has reviewed this tool."),
        phrase("What it does is its server’s word only."), "definition",
    ),
    "changed": Line(
        Kind.UNREVIEWED, "bad", phrase("This tool changed after a person reviewed it."),
        phrase("Look at it again first."), "definition",
    ),
    "destructive": Line(
        Kind.DESTRUCTIVE, "warn", phrase("A person reviewed this tool as destructive."), "",
        "definition",
    ),
}  # fmt: skip


def _of_tool(facts: Facts) -> Iterator[Line]:
    if facts.effect in _EFFECTS:
        yield _EFFECTS[facts.effect]
    changed_at, is_told = facts.changed_at, facts.effect in ("unreviewed", "changed")
    if changed_at is None or is_told or not timedelta(0) <= facts.at - changed_at <= RECENT:
        return
    ago = duration(facts.at - changed_at)
    fact = phrase("The tool’s definition changed lately.")
    why = phrase("That was %(time)s before this call; it was reviewed again since.", time=ago)
    yield Line(Kind.CHANGED, "warn", fact, why, "definition")


# -- what the table shows --------------------------------------------------------------------------


def _of_rows(facts: Facts) -> Iterator[Line]:
    for row in facts.rows:
        hidden = [part for part in (*row.key, *row.whole) if part.hidden and not part.is_break]
        if hidden:
            yield _hidden(row, hidden)
        others = [remark for remark in row.remarks if remark not in (HIDDEN, HIDDEN_IN_NAME)]
        if others:
            fact = phrase("%(field)s:", field=named(row))
            yield Line(Kind.ODD, "warn", fact, joined("; ", others), "value", row.name)


def _hidden(row: Row, hidden: Sequence[Segment]) -> Line:
    chips = [found for part in hidden if (found := _CHIP.match(part.text))]
    number = sum(int(chip[2] or 1) for chip in chips)
    turns = any(int(chip[1], 16) in _DIRECTION for chip in chips if chip[1])
    kinds = list(dict.fromkeys(re.sub(r" ×\d+", "", part.label) for part in hidden))
    why = phrase("%(kinds)s.", kinds=", ".join(kinds[:3]))
    if len(kinds) > 3:
        few, more = ", ".join(kinds[:3]), len(kinds) - 3
        why = phrase("%(kinds)s and %(number)s other kinds.", kinds=few, number=more)
    kind, tone = (Kind.DIRECTION, "bad") if turns else (Kind.HIDDEN, "warn")
    return Line(kind, tone, _holds(named(row), number, turns=turns), why, "value", row.name)


def _holds(field: str, number: int, *, turns: bool) -> Phrase:
    if turns:
        return phrases(
            "%(field)s holds %(number)s hidden character, and they change the order of reading.",
            "%(field)s holds %(number)s hidden characters, and they change the order of reading.",
            number, field=field, number=number,
        )  # fmt: skip
    return phrases(
        "%(field)s holds %(number)s hidden character.",
        "%(field)s holds %(number)s hidden characters.",
        number, field=field, number=number,
    )  # fmt: skip


# -- the agent -------------------------------------------------------------------------------------


def _of_agent(facts: Facts) -> Iterator[Line]:
    agents = [earlier.at for earlier in facts.earlier if earlier.is_agents]
    if facts.is_first:
        others = len(facts.earlier)
        fact = phrase("This is %(agent)s’s first call of this tool.", agent=facts.agent)
        why = phrase("Nobody else called it %(lately)s.", lately=facts.lately)
        if others:
            why = phrases(
                "Others called it %(number)s time %(lately)s.",
                "Others called it %(number)s times %(lately)s.",
                others, number=others, lately=facts.lately,
            )  # fmt: skip
        yield Line(Kind.FIRST, "warn", fact, why, "tool")
    if len(agents) < FEWEST or len({at.date() for at in agents}) < _FEWEST_DAYS:
        return
    if all(_apart(facts.at, at) > NEAR for at in agents):
        clock = f"{facts.at:%H:%M}"
        fact = phrase("%(clock)s is an unusual hour for %(agent)s.", clock=clock, agent=facts.agent)
        why = phrase(
            "None of its %(calls)s calls of this tool came within %(time)s of that time.",
            calls=len(agents), time=duration(NEAR),
        )  # fmt: skip
        yield Line(Kind.HOUR, "warn", fact, why, "agent")


def _apart(one: datetime, other: datetime) -> timedelta:
    """Return how far two times of day are from each other, around midnight too."""
    seconds = abs(_of_day(one) - _of_day(other))
    return timedelta(seconds=min(seconds, 86_400 - seconds))


def _of_day(at: datetime) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second
