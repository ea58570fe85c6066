"""How many calls came to which end on which days: one query, one chart, one table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, F, QuerySet
from django.db.models.expressions import Combinable

from approvals import figures
from approvals.models import HistoryRow, ToolCall
from approvals.web import charts

S = ToolCall.Status

SERIES = ("Approved", "Let through by a rule", "Rejected", "Expired", "Not decided")
APPROVED, LET_THROUGH, REJECTED, EXPIRED, NOT_DECIDED = range(len(SERIES))
_STATUS = F("status")
# People approved it, and no clock, agent or change ended it.
_WENT_ON = frozenset({S.APPROVED, S.CLAIMED, S.DISPATCHED, S.SUCCEEDED, S.FAILED, S.UNKNOWN})


@dataclass(frozen=True)
class Row:
    """One span of days of the table."""

    words: str
    counts: list[int]  # by series


@dataclass(frozen=True)
class Volume:
    """The chart and the same as a table."""

    chart: charts.Chart
    rows: list[Row]
    series: tuple[str, ...] = SERIES


def series_of(status: str, *, by_rule: bool) -> int:
    """Return which series a call counts in; an expiry or a withdrawal is never a rejection."""
    if by_rule:
        return LET_THROUGH  # nobody was asked, whatever became of it
    if status in _WENT_ON:
        return APPROVED
    return {S.REJECTED: REJECTED, S.EXPIRED: EXPIRED}.get(S(status), NOT_DECIDED)


def by_day(rows: QuerySet[HistoryRow], state: Combinable = _STATUS) -> Counter[tuple[date, int]]:
    """Return how many calls were asked on a day (UTC) and came to an end of a series.

    Args:
        state: the status as it is best grouped by.
    """
    counted: Counter[tuple[date, int]] = Counter()
    keyed = rows.order_by().annotate(state=state)
    alike = keyed.values_list("day", "state", "by_rule").annotate(count=Count("*"))
    for day, status, by_rule, count in alike:
        counted[day, series_of(status, by_rule=by_rule)] += count
    return counted


def show(counted: Counter[tuple[date, int]], first: date, last: date, height: int) -> Volume:
    """Return the volume between two days, both included."""
    spans = figures.spans(first, last)
    step = (spans[0].last - first).days + 1
    bars = [[0] * len(SERIES) for _ in spans]
    for (day, series), count in counted.items():
        bars[(day - first).days // step][series] += count
    labels = [figures.day_words(span.first) for span in spans]
    finding = _finding(spans, bars, step)
    rows = [Row(span.words, bar) for span, bar in zip(spans, bars, strict=True)]
    return Volume(charts.stacked(bars, labels, height, finding), rows)


def _finding(spans: Sequence[figures.Span], bars: list[list[int]], step: int) -> str:
    sums = [sum(bar) for bar in bars]
    peak = figures.peak(sums)
    ends = ", ".join(
        f"{sum(bar[place] for bar in bars):,} {name.lower()}"
        for place, name in enumerate(SERIES)
        if any(bar[place] for bar in bars)
    )
    per = {1: "a day", 7: "a week"}.get(step, f"in {step} days")
    return (
        f"Calls {per} by outcome, {figures.Span(spans[0].first, spans[-1].last).words}: {ends}. "
        f"Most on {spans[peak].words}: {sums[peak]:,}."
    )
