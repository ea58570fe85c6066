"""The insights at `/insights/`: how calls are decided, and whether they are read first.

A period is the days (UTC) on which calls were asked. Rates of rejection are shares of what people
decided; an expiry or a withdrawal is neither an approval nor a rejection.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Func, IntegerField, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, ngettext

from approvals import access, figures, wording
from approvals.models import Decision, Domain, HistoryRow, Person, database_now
from approvals.phrases import joined
from approvals.translating import translated
from approvals.web import charts, volume
from approvals.web.accounts import signed_in
from approvals.web.days import day_words

PERIODS = (7, 30, 90)  # days
_USUAL = 30
_WEEKS = 12
_MOST_TOOLS = 30
_MOST_APPROVERS = 100
_VOLUME_HEIGHT, _SMALL_HEIGHT = 208, 170  # px

Days = Counter[tuple[date, int]]  # (day, series) → calls


class Seconds(Func):
    """Whole seconds between a moment and an earlier one, computed by the engine itself."""

    output_field = IntegerField()
    arity = 2  # the moment, the earlier one

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Count in Julian days: SQLite keeps moments as text, and Django's own way calls Python."""
        return self.as_sql(
            compiler, connection, arg_joiner=") - julianday(",
            template="CAST(ROUND((julianday(%(expressions)s)) * 86400, 3) AS INTEGER)", **context,
        )  # fmt: skip

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Take the seconds of the difference."""
        return self.as_sql(
            compiler, connection, arg_joiner=" - ",
            template="FLOOR(EXTRACT(EPOCH FROM (%(expressions)s)))::integer", **context,
        )  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Which calls to look at; all of it is in the address."""

    days: int
    domain: str
    today: date

    @classmethod
    def of(cls, request: HttpRequest) -> "Wanted":
        """Read a query string; what it does not know is the usual."""
        days = request.GET.get("days", "")
        known = {str(period): period for period in PERIODS}
        domain = request.GET.get("domain", "").replace("\0", "")[:31]
        return cls(known.get(days, _USUAL), domain, database_now().astimezone(UTC).date())

    @property
    def first(self) -> date:
        """Return the first day of the period."""
        return self.today - timedelta(days=self.days - 1)

    def history_url(self, **more: str) -> str:
        """Return the address of the history of the same calls."""
        parts = {"from": self.first.isoformat(), "domain": self.domain, **more}
        return f"{reverse('history')}?{urlencode({k: v for k, v in parts.items() if v})}"


@dataclass(frozen=True)
class Tool:
    """What became of the calls of one tool."""

    name: str
    domain: str
    counts: list[int]  # by series
    url: str

    @property
    def calls(self) -> int:
        """Return how many there were."""
        return sum(self.counts)

    @property
    def approved(self) -> float | None:
        """Return the share that people approved of those they decided, in percent."""
        approved, rejected = self.counts[volume.APPROVED], self.counts[volume.REJECTED]
        return figures.share(approved, approved + rejected)

    @property
    def bar(self) -> list[charts.Rect]:
        """Return the parts of its bar."""
        return charts.split(self.counts)

    @property
    def words(self) -> str:
        """Return what the bar says."""
        return volume.counted_words(self.counts)


@dataclass(frozen=True)
class Approver:
    """How one person decided."""

    person: Person
    seconds: Mapping[int, int]  # how often they took how long
    rejected: int
    shows_signs: bool

    @property
    def decisions(self) -> int:
        """Return how many there were."""
        return sum(self.seconds.values())

    @property
    def median(self) -> timedelta:
        """Return how long half of them took at most."""
        return timedelta(seconds=figures.percentile(self.seconds, 0.5) or 0)

    @property
    def hasty(self) -> int:
        """Return how many took less than five seconds."""
        return figures.hasty(self.seconds)

    @property
    def approved(self) -> float | None:
        """Return the share of approvals in percent."""
        return figures.share(self.decisions - self.rejected, self.decisions)

    @property
    def signs(self) -> str:
        """Return what looks as if calls were not read."""
        words = translated(joined(", ", figures.signs(self.seconds, self.rejected)))
        return words[:1].upper() + words[1:]


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """The insights of a period and a domain."""
    wanted = Wanted.of(request)
    rows = access.searchable_by(person)
    if wanted.domain:
        rows = rows.filter(domain__name=wanted.domain)
    longest = max(2 * wanted.days, 7 * _WEEKS)
    days = volume.by_day(rows.filter(day__gt=wanted.today - timedelta(days=longest)))
    now = rows.filter(day__gte=wanted.first)
    seconds = _seconds(now)
    approvers = _approvers(now, person)
    context = {
        "wanted": wanted,
        "periods": PERIODS,
        "domains": _domains(person),
        "is_empty": not days,
        "kpis": _kpis(days, wanted, seconds),
        "volume": volume.show(
            Counter({key: n for key, n in days.items() if key[0] >= wanted.first}),
            wanted.first, wanted.today, _VOLUME_HEIGHT,
        ),
        "took": _took(seconds) if seconds else None,
        "took_rows": list(zip(_buckets(), figures.buckets(seconds), strict=True)),
        "hasty": figures.hasty(seconds),
        "expired": _expired(days, wanted.today),
        "tools": _tools(now, wanted),
        "approvers": approvers,
        "busiest": max((one.decisions for one in approvers), default=0),
    }  # fmt: skip
    return render(request, "approvals/insights.html", context)


def _sums(days: Days, first: date, before: date = date.max) -> list[int]:
    """Return the calls by series that were asked from one day on, and before another."""
    sums = [0] * len(volume.SERIES)
    for (day, series), count in days.items():
        if first <= day < before:
            sums[series] += count
    return sums


def _held(sums: list[int]) -> int:
    return sum(sums) - sums[volume.LET_THROUGH]


def _expired_share(sums: list[int]) -> float | None:
    ended = sums[volume.APPROVED] + sums[volume.REJECTED] + sums[volume.EXPIRED]
    return figures.share(sums[volume.EXPIRED], ended)


def _kpis(days: Days, wanted: Wanted, seconds: Mapping[int, int]) -> list[tuple[str, str, str]]:
    """Return heading, number and remark of each figure on top."""
    now = _sums(days, wanted.first)
    before = _sums(days, wanted.first - timedelta(days=wanted.days), wanted.first)
    decided = now[volume.APPROVED] + now[volume.REJECTED]
    hasty = figures.hasty(seconds)
    return [
        (
            gettext("Calls held"),
            f"{_held(now):,}",
            translated(figures.change_words(_held(now), _held(before), wanted.days)),
        ),
        (gettext("Median time to decision"), *_time_to_decision(seconds)),
        (
            gettext("Rejected"),
            _percent(figures.share(now[volume.REJECTED], decided)),
            gettext("%(part)s of %(all)s that people decided")
            % {"part": f"{now[volume.REJECTED]:,}", "all": f"{decided:,}"},
        ),
        (
            gettext("Expired"),
            _percent(_expired_share(now)),
            gettext("%(share)s in the %(days)s days before")
            % {"share": _percent(_expired_share(before)), "days": wanted.days},
        ),
        (
            gettext("Decided in under 5 s"),
            _percent(figures.share(hasty, sum(seconds.values()))),
            gettext("%(part)s of %(all)s")
            % {"part": f"{hasty:,}", "all": f"{sum(seconds.values()):,}"},
        ),
    ]


def _time_to_decision(seconds: Mapping[int, int]) -> tuple[str, str]:
    half, most = (figures.percentile(seconds, part) for part in (0.5, 0.9))
    if half is None or most is None:
        return gettext("none decided"), ""
    median, longest = (translated(wording.duration(timedelta(seconds=s))) for s in (half, most))
    return median, gettext("9 in 10 within %(time)s") % {"time": longest}


def _percent(share: float | None) -> str:
    return gettext("none") if share is None else f"{share:g} %"


def _buckets() -> list[str]:
    return [translated(words) for words in figures.BUCKET_WORDS]


def _seconds(rows: QuerySet[HistoryRow]) -> dict[int, int]:
    """Return how often people took how many seconds to decide a call."""
    decided = rows.order_by().filter(decided_seconds__isnull=False)
    return dict(decided.values_list("decided_seconds").annotate(count=Count("*")))


def _took(seconds: Mapping[int, int]) -> charts.Chart:
    counts = figures.buckets(seconds)
    place = figures.peak(counts)
    finding = ngettext(
        "Time to decision. Most often %(bucket)s: %(most)s of %(all)s call; "
        "%(hasty)s in under 5 seconds.",
        "Time to decision. Most often %(bucket)s: %(most)s of %(all)s calls; "
        "%(hasty)s in under 5 seconds.",
        sum(counts),
    ) % {
        "bucket": _buckets()[place],
        "most": f"{counts[place]:,}",
        "all": f"{sum(counts):,}",
        "hasty": f"{counts[0]:,}",
    }
    edges = [translated(words) for words in figures.EDGE_WORDS]
    return charts.counted(counts, edges, _SMALL_HEIGHT, finding)


def _expired(days: Days, today: date) -> dict[str, object] | None:
    """Return the chart and the table of the share that expired, week by week; None without any."""
    starts = [today - timedelta(days=7 * n - 1) for n in range(_WEEKS, 0, -1)]
    shares = [_expired_share(_sums(days, s, s + timedelta(days=7))) for s in starts]
    known = [one for one in shares if one is not None]
    if not known:
        return None
    labels = [*map(day_words, starts[:-1]), gettext("this week")]
    finding = gettext(
        "Share of calls that expired, by week: from %(first)s to %(last)s in %(weeks)s weeks."
    ) % {"first": _percent(known[0]), "last": _percent(known[-1]), "weeks": _WEEKS}
    chart = charts.drawn(shares, labels, _SMALL_HEIGHT, finding)
    return {"chart": chart, "rows": list(zip(labels, map(_percent, shares), strict=True))}


def _tools(rows: QuerySet[HistoryRow], wanted: Wanted) -> list[Tool]:
    keys = ("tool_name", "domain__name", "status", "by_rule")
    counted: dict[tuple[str, str], list[int]] = {}
    for name, domain, status, by_rule, count in (
        rows.order_by().values_list(*keys).annotate(count=Count("*"))
    ):
        counts = counted.setdefault((name, domain), [0] * len(volume.SERIES))
        counts[volume.series_of(status, by_rule=by_rule)] += count
    busiest = sorted(counted.items(), key=lambda one: (-sum(one[1]), one[0]))[:_MOST_TOOLS]
    return [
        Tool(name, domain, counts, wanted.history_url(tool=name))
        for (name, domain), counts in busiest
    ]


def _approvers(rows: QuerySet[HistoryRow], viewer: Person) -> list[Approver]:
    """Return how people decided these calls; signs about somebody only they and overseers see."""
    # From these rows on, not from the decisions: all of those would be looked through.
    decided = rows.order_by().filter(call__decisions__isnull=False)
    took = Seconds(F("call__decisions__at"), F("created_at"))
    seconds: dict[int, Counter[int]] = {}
    rejected: Counter[int] = Counter()
    for approver, verdict, value, count in (
        decided.annotate(took=took)
        .values_list("call__decisions__approver_id", "call__decisions__verdict", "took")
        .annotate(count=Count("*"))
    ):
        seconds.setdefault(approver, Counter())[max(0, value)] += count
        rejected[approver] += count if verdict == Decision.Verdict.REJECT else 0
    people = Person.objects.in_bulk(list(seconds))
    oversees = viewer.is_administrator or viewer.is_auditor
    found = [
        Approver(people[pk], seconds[pk], rejected[pk], shows_signs=oversees or pk == viewer.pk)
        for pk in seconds
    ]
    return sorted(found, key=lambda one: (-one.decisions, str(one.person)))[:_MOST_APPROVERS]


def _domains(person: Person) -> list[str]:
    seen = access.searchable_by(person).values("domain_id")
    names = Domain.objects.filter(pk__in=seen).order_by("name").values_list("name", flat=True)
    return list(names)
