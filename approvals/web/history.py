"""The history at `/history/`: every call a person may see, found by words and by facets."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from approvals import access, observations
from approvals.errors import NotFound
from approvals.models import HistoryRow, Person, ToolCall, database_now
from approvals.web import call_page, definitions, facets, queue, showing, trail, volume
from approvals.web.accounts import signed_in
from approvals.web.history_filter import Filter
from approvals.web.showing import Shown

PER_PAGE = 50
_CHART_HEIGHT = 102  # px
_FEWEST_DAYS = 14  # in the chart
_MOST_READS = 100
_FEW = 500  # found calls


@dataclass(frozen=True)
class Opened:
    """What the drawer shows: a call as it was, and the chain of what was recorded of it."""

    shown: Shown
    rows: tuple[Any, ...]  # of the arguments
    steps: list[trail.Step]
    is_as_signed: bool | None  # whether what was sent is what people signed; None: nothing was


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """A page of the history, from the newest or from where the last one ended."""
    wanted = Filter.of(request.GET)
    drawer = {
        "opened": _opened(person, request.GET.get("open", "")),
        "closed": wanted.url(),
        "now": database_now(),
    }
    if getattr(request, "htmx", False) and request.htmx.target == "drawer":  # type: ignore[attr-defined]  # set by django-htmx's middleware
        return render(request, "approvals/_drawer.html", drawer)
    return render(request, "approvals/history.html", drawer | _found(request, person, wanted))


@signed_in
def changes(request: HttpRequest, person: Person) -> HttpResponse:
    """The rows of calls that just changed; what live.js asks for after a hint."""
    ids = queue.ids_from(request)
    calls = queue.loaded(access.visible_to(person).filter(pk__in=ids))
    context = {
        "rows": _shown(list(calls)),
        "filter": Filter.of(request.GET),
        "now": database_now(),
    }
    return render(request, "approvals/history_changes.html", context)


@signed_in
def reads(request: HttpRequest, person: Person) -> HttpResponse:
    """What the person read as an auditor: their own stream of the trail."""
    context = {"steps": trail.reads(person, _MOST_READS), "most": _MOST_READS}
    return render(request, "approvals/history_reads.html", context)


def _found(request: HttpRequest, person: Person, wanted: Filter) -> dict[str, object]:
    visible = access.searchable_by(person)
    counted = facets.count(visible, wanted)
    rows = wanted.narrowed(visible)
    start = _start(visible, request.GET.get("before", ""))
    total = counted.total(wanted)
    calls = _page(rows, start, few=total < _FEW)
    shown = _shown(calls[:PER_PAGE])
    choices = facets.of(counted, wanted)
    return {
        "rows": shown,
        "filter": wanted,
        "facets": choices,
        "chosen": [choice for facet in choices for choice in facet.choices if choice.is_current],
        "count": total,
        "volume": _volume(rows, wanted),
        "older": wanted.url(before=str(calls[PER_PAGE - 1].pk)) if len(calls) > PER_PAGE else "",
        "newest": wanted.url() if start else "",
    }


def _volume(rows: QuerySet[HistoryRow], wanted: Filter) -> volume.Volume | None:
    counted = volume.by_day(rows, wanted.grouped_by)
    if not counted:
        return None
    days = [day for day, _ in counted]
    # One day alone would be one bar as wide as the page.
    first = min(*days, max(days) - timedelta(days=_FEWEST_DAYS - 1))
    return volume.show(counted, first, max(days), _CHART_HEIGHT)


def _page(rows: QuerySet[HistoryRow], start: HistoryRow | None, *, few: bool) -> list[ToolCall]:
    """Return the calls of one page and one more, so that it shows whether there are older ones.

    Many are found by the index of times before it is read far. It would be read to its end for a
    few, row by row: those are found among all rows as they lie, and sorted.
    """
    if start is not None:
        older = Q(created_at__lt=start.created_at)
        rows = rows.filter(older | Q(created_at=start.created_at, pk__lt=start.pk))
    asked = Coalesce("created_at", "created_at") if few else F("created_at")
    newest = rows.order_by(asked.desc(), "-pk").values_list("pk", flat=True)
    return queue.in_order(newest[: PER_PAGE + 1])


def _start(visible: QuerySet[HistoryRow], before: str) -> HistoryRow | None:
    try:
        return visible.filter(pk=UUID(before)).first() if before else None
    except ValueError:
        return None


def _opened(person: Person, call_id: str) -> Opened | None:
    try:
        call = call_page.get(person, call_id)
    except NotFound:
        return None
    observations.payload_read(person, [call])
    dispatch = getattr(call, "dispatch", None)
    definition = definitions.of([call]).get(call.definition_digest, {})
    return Opened(
        shown=showing.show(call, database_now()),
        rows=showing.argument_rows(call, definition),
        steps=trail.steps(call),
        is_as_signed=dispatch.binding == call.binding if dispatch else None,
    )


def _shown(calls: list[ToolCall]) -> list[Shown]:
    now = database_now()
    return [showing.show(call, now) for call in calls]
