"""Pure: what people read about a call; every door may call it, and nothing here knows a row.

`hostile` makes text nobody vouches for safe to look at, `table` does so with arguments;
`unusual` compares a call with what came before; `sentences`, `times` and `strokes` are short forms.
"""

from approvals.wording.hostile import Segment, clean, visible
from approvals.wording.lines import PERIOD, Earlier, Facts, Kind, Line
from approvals.wording.sentences import initials, readable, risk, sentence
from approvals.wording.strokes import digest_groups, stroke
from approvals.wording.table import Nested, Row, nested, rows
from approvals.wording.times import clock_left, duration
from approvals.wording.unusual import Unusual, unusual

__all__ = [
    "PERIOD",
    "Earlier",
    "Facts",
    "Kind",
    "Line",
    "Nested",
    "Row",
    "Segment",
    "Unusual",
    "clean",
    "clock_left",
    "digest_groups",
    "duration",
    "initials",
    "nested",
    "readable",
    "risk",
    "rows",
    "sentence",
    "stroke",
    "unusual",
    "visible",
]
