"""Pure: the facts from which `unusual` and `comparing` make their lines, and the lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from approvals.phrases import Phrase, phrase
from approvals.wording.hostile import clean
from approvals.wording.table import Row
from approvals.wording.times import duration

FEWEST = 10  # earlier calls that a comparison needs
PERIOD = timedelta(days=90)  # how far back calls are compared
_MOST_SHOWN = 40


class Kind(IntEnum):
    """What a line is about, the most dangerous first."""

    UNREVIEWED = 1  # nobody looked at the tool, or not at what it is now
    DIRECTION = 2  # characters that change the order in which others are read
    LOOK_ALIKE = 3  # could be taken for a value seen before
    HIDDEN = 4  # characters nobody can see
    FAR = 5  # a number far from the usual, and beyond all before
    CHANGED = 6  # the definition changed lately
    DESTRUCTIVE = 7  # reviewed as such
    NEVER_SEEN = 8  # a value, or an argument, that no earlier call had
    NUMBER = 9  # a number beyond all before, or far from the usual
    ODD = 10  # any other remark of the table
    HOUR = 11
    FIRST = 12  # of this tool by this agent
    MORE = 13  # what there was no room for


@dataclass(frozen=True)
class Earlier:
    """One earlier call of the same tool."""

    is_agents: bool  # made by the agent that asks now
    at: datetime  # local time
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class Facts:
    """All that is known of a call and of what came before it."""

    agent: str
    effect: str  # as judged when the call was made
    at: datetime  # when it was made; local time
    arguments: Mapping[str, object]
    rows: tuple[Row, ...]  # the arguments as the page shows them
    template: str = ""  # by which calls of the tool are told; it knows what numbers count
    earlier: tuple[Earlier, ...] = ()
    period: timedelta = PERIOD  # that `earlier` covers; shorter where there were too many calls
    is_first: bool = False  # of this tool by this agent, ever
    changed_at: datetime | None = None  # when the tool's definition last changed

    @property
    def lately(self) -> Phrase:
        """Return the period in words: "in 90 days"."""
        days = self.period // timedelta(days=1)
        if days > 1:
            return phrase("in %(days)s days", days=days)
        return phrase("in %(time)s", time=duration(self.period))


@dataclass(frozen=True)
class Line:
    """One thing that is unusual: the fact, and what it is compared with; words are phrases."""

    kind: Kind
    tone: str
    fact: str
    why: str = ""
    compares: str = ""  # with what: agent, tool, value, values or definition
    place: str = ""  # the name of the row it is about
    mark: str = ""  # what that row says of it, unless its remarks do
    known: str = ""  # the earlier value it is compared with


def named(row: Row) -> str:
    """Return a row by its label; that of an item is its place in the list, so by its name."""
    return f"\u2068{clean(row.name, _MOST_SHOWN) if row.name.endswith(']') else row.label}\u2069"


def quoted(text: str) -> str:
    return f"“\u2068{clean(text, _MOST_SHOWN)}\u2069”"
