"""How many calls came to which end on which days: one query, one chart, one table."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, F, QuerySet
from django.db.models.expressions import Combinable
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import figures
from approvals.models import HistoryRow, ToolCall
from approvals.web import charts
from approvals.web.days import day_words, span_words

S = ToolCall.Status

SERIES: tuple[Promise, ...] = (
    gettext_lazy("Approved"),
    gettext_lazy("Let through by a rule"),
    gettext_lazy("Rejected"),
    gettext_lazy("Expired"),
    gettext_lazy("Not decided"),
)
_COUNTED: tuple[Promise, ...] = (
    gettext_lazy("%(calls)s approved"),
    gettext_lazy("%(calls)s let through by a rule"),
    gettext_lazy("%(calls)s rejected"),
    gettext_lazy("%(calls)s expired"),
    gettext_lazy("%(calls)s not decided"),
)
APPROVED, LET_THROUGH, REJECTED, EXPIRED, NOT_DECIDED = range(len(SERIES))
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
    series: tuple[Promise, ...] = SERIES


def series_of(status: str, *, by_rule: bool) -> int:
    """Return which series a call counts in; an expiry or a withdrawal is never a rejection."""
    if by_rule:
        return LET_THROUGH  # nobody was asked, whatever became of it
    if status in _WENT_ON:
        return APPROVED
    return {S.REJECTED: REJECTED, S.EXPIRED: EXPIRED}.get(S(status), NOT_DECIDED)


def by_day(
    rows: QuerySet[HistoryRow], grouped_by: Callable[[str], Combinable] = F
) -> Counter[tuple[date, int]]:
    """Return how many calls were asked on a day (UTC) and came to an end of a series.

    Args:
        grouped_by: makes of a column what it is best grouped by.
    """
    counted: Counter[tuple[date, int]] = Counter()
    keyed = rows.order_by().annotate(asked=grouped_by("day"), state=grouped_by("status"))
    alike = keyed.values_list("asked", "state", "by_rule").annotate(count=Count("*"))
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
    labels = [day_words(span.first) for span in spans]
    finding = _finding(spans, bars, step)
    rows = [Row(span_words(span), bar) for span, bar in zip(spans, bars, strict=True)]
    return Volume(charts.stacked(bars, labels, height, finding), rows)


def counted_words(counts: Sequence[int]) -> str:
    """Return the counts of the series in words, without those of which there is none."""
    found = zip(counts, _COUNTED, strict=True)
    return ", ".join(str(words) % {"calls": f"{count:,}"} for count, words in found if count)


def _finding(spans: Sequence[figures.Span], bars: list[list[int]], step: int) -> str:
    sums = [sum(bar) for bar in bars]
    peak = figures.peak(sums)
    return _words(step) % {
        "step": step,
        "days": span_words(figures.Span(spans[0].first, spans[-1].last)),
        "ends": counted_words([sum(series) for series in zip(*bars, strict=True)]),
        "when": span_words(spans[peak]),
        "most": f"{sums[peak]:,}",
    }


def _words(step: int) -> str:
    """Return the finding with the places of its figures still open."""
    if step == 1:
        return gettext("Calls a day by outcome, %(days)s: %(ends)s. Most on %(when)s: %(most)s.")
    if step == 7:
        return gettext("Calls a week by outcome, %(days)s: %(ends)s. Most on %(when)s: %(most)s.")
    return gettext(
        "Calls in %(step)s days by outcome, %(days)s: %(ends)s. Most on %(when)s: %(most)s."
    )
