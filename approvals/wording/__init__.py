"""Pure: what people read about a call; every door may call it, and nothing here knows a row.

`hostile` makes text nobody vouches for safe to look at, `table` does so with arguments;
`sentences`, `times` and `strokes` are the short forms, `templates` are sentences that people wrote;
`unusual` compares a call with what came before, in the units of its template (`units`).
"""

from approvals.wording.hostile import Segment, clean, visible
from approvals.wording.lines import PERIOD, Earlier, Facts, Kind, Line
from approvals.wording.schemas import argument_names
from approvals.wording.sentences import initials, readable, risk, sentence
from approvals.wording.strokes import digest_groups, stroke
from approvals.wording.table import Nested, Row, nested, rows
from approvals.wording.templates import MAX_TEMPLATE, Told, tell
from approvals.wording.templates import parse as read_template
from approvals.wording.times import clock_left, duration
from approvals.wording.unusual import Unusual, unusual

__all__ = [
    "MAX_TEMPLATE",
    "PERIOD",
    "Earlier",
    "Facts",
    "Kind",
    "Line",
    "Nested",
    "Row",
    "Segment",
    "Told",
    "Unusual",
    "argument_names",
    "clean",
    "clock_left",
    "digest_groups",
    "duration",
    "initials",
    "nested",
    "read_template",
    "readable",
    "risk",
    "rows",
    "sentence",
    "stroke",
    "tell",
    "unusual",
    "visible",
]
