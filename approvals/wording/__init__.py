"""Pure: what people read about a call; every door may call it, and nothing here knows a row.

`hostile` makes text nobody vouches for safe to look at, `table` does so with arguments;
`sentences`, `times` and `strokes` are the short forms.
"""

from approvals.wording.hostile import Segment, clean, visible
from approvals.wording.sentences import initials, readable, risk, sentence
from approvals.wording.strokes import digest_groups, stroke
from approvals.wording.table import Nested, Row, nested, rows
from approvals.wording.times import clock_left, duration

__all__ = [
    "Nested",
    "Row",
    "Segment",
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
    "visible",
]
