"""The queue at `/`: what waits for people, what expires first on top, and the call being read.

On a wide screen `?call=<id>` opens a call beside the list: rendered with the page on a direct load,
alone when htmx asks for it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import access, observations
from approvals.errors import NotFound
from approvals.models import Decision, Person, ToolCall, database_now
from approvals.translating import translated
from approvals.web import call_page, filters, showing
from approvals.web.accounts import signed_in
from approvals.web.filters import Filter, Weighed
from approvals.web.history_filter import decided_by
from approvals.web.presence import looking_at
from approvals.web.showing import S, Shown

PER_PAGE = 50
MOST_CHANGES = 50  # rows one request may ask for; live.js asks again for the rest
_MOST_UNKNOWN = 50
_MOST_DECISIONS = 8
_WITHIN: tuple[tuple[timedelta, Promise], ...] = (
    (timedelta(minutes=10), gettext_lazy("Within 10 minutes")),
    (timedelta(hours=1), gettext_lazy("Within the hour")),
    (timedelta.max, gettext_lazy("Later")),
)


@dataclass(frozen=True)
class Tab:
    """One view of the queue."""

    label: str
    query: str
    count: int
    is_current: bool


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    heading: str
    rows: list[Shown]


def waiting_for(person: Person) -> QuerySet[ToolCall]:
    """Return the calls that ask something of a person: to approve them, or to settle them."""
    may_approve = Q(four_eyes=False) | ~(Q(owner=person) | Q(acts_for=person))
    to_decide = Q(status=S.PENDING) & may_approve & ~Q(decisions__approver=person)
    asks = Q(status__in=(S.PENDING, S.UNKNOWN))  # said first: an index knows these few
    return access.in_domains_of(person).filter(asks & (to_decide | Q(status=S.UNKNOWN)))


def count_waiting(person: Person) -> int:
    """Return how many calls wait for a person; one request, whose person it is, counts once."""
    kept: dict[str, Any] = vars(person)
    if "_waiting" not in kept:
        kept["_waiting"] = waiting_for(person).count()
    waiting: int = kept["_waiting"]
    return waiting


def _everything(person: Person) -> QuerySet[ToolCall]:
    return access.visible_to(person).filter(status__in=(S.PENDING, S.UNKNOWN))


def _signed(person: Person) -> QuerySet[ToolCall]:
    # Of all a person ever decided, few are pending: the history's rows find them by an index alone.
    rows = access.searchable_by(person).filter(status=S.PENDING)
    return access.visible_to(person).filter(status=S.PENDING, pk__in=decided_by(person, rows))


_VIEWS: dict[str, tuple[Promise, Callable[[Person], QuerySet[ToolCall]]]] = {
    "mine": (gettext_lazy("For you"), waiting_for),
    "all": (gettext_lazy("Everyone"), _everything),
    "signed": (gettext_lazy("Signed by you"), _signed),
}


PANE = "pane"  # the id of the element htmx puts a call into


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """The queue, a page of it at a time, and beside it the call that is being read."""
    pane = _pane(request, person)
    if pane and wants_pane(request):
        return render(request, "approvals/_pane.html", pane)
    view = _view(request, person)
    now = database_now()
    ids = view.calls.values_list("pk", flat=True)
    unknown = in_order(ids.filter(status=S.UNKNOWN).order_by("moved_at")[:_MOST_UNKNOWN])
    paginator = Paginator(ids.filter(status=S.PENDING).order_by("decide_by_at", "pk"), PER_PAGE)
    more = len(unknown) == _MOST_UNKNOWN
    unknown_count = ids.filter(status=S.UNKNOWN).count() if more else len(unknown)
    vars(paginator)["count"] = view.count - unknown_count  # instead of counting once more
    pages = paginator.get_page(request.GET.get("page"))
    pending = in_order(pages.object_list)
    return render(
        request,
        "approvals/queue.html",
        {
            **pane,
            **_common(person, view, now),
            "groups": _groups(shown(unknown, person, now), shown(pending, person, now), now),
            "pages": pages,
            "domains": filters.domains(person, view.filter.domain),
            "agents": filters.agents(person, view.filter.agent),
            "risks": [(risk, showing.risk_words(risk)) for risk in filters.RISKS],
        },
    )


@signed_in
def changes(request: HttpRequest, person: Person) -> HttpResponse:
    """The rows of calls that just changed, and the counts; what live.js asks for after a hint."""
    view = _view(request, person)
    ids = ids_from(request)
    now = database_now()
    found = list(loaded(access.visible_to(person).filter(pk__in=ids).order_by("created_at")))
    return render(
        request,
        "approvals/queue_changes.html",
        {
            **_common(person, view, now),
            "rows": shown(found, person, now),
            # Only these belong on the page if they are not there yet.
            "belonging": set(view.calls.filter(pk__in=ids).values_list("pk", flat=True)),
        },
    )


def wants_pane(request: HttpRequest) -> bool:
    """Tell whether htmx asks for a call to put into the pane."""
    htmx: Any = getattr(request, "htmx", None)
    return bool(htmx) and htmx.target == PANE


def shown(calls: Iterable[ToolCall], person: Person, now: datetime) -> list[Shown]:
    """Return loaded calls as rows show them to a person."""
    calls = list(calls)
    # Only of a reviewed write does the risk depend on its arguments.
    unusual = filters.unusual_in(call for call in calls if call.effect == "write")
    looking = looking_at(calls, person, now)
    return [
        showing.show(call, now, unusual=unusual.get(call.pk, 0), looking=looking.get(call.pk))
        for call in calls
    ]


def loaded(calls: QuerySet[ToolCall]) -> QuerySet[ToolCall]:
    """Return the query with everything a row shows, in a fixed number of queries."""
    decisions = Decision.objects.select_related("approver")
    return (
        calls.select_related("agent", "domain", "upstream", "tool", "owner", "acts_for")
        .prefetch_related(Prefetch("decisions", queryset=decisions))
        .defer("result")
    )


def in_order(ids: Iterable[UUID]) -> list[ToolCall]:
    """Return calls as `loaded`, in the order of their ids.

    Which ones, and in which order, an index knows; a sort of whole rows would read all of them.
    """
    ids = list(ids)
    found = {call.pk: call for call in loaded(ToolCall.objects.filter(pk__in=ids))}
    return [found[pk] for pk in ids if pk in found]


@dataclass(frozen=True)
class _View:
    """What one address of the queue shows."""

    filter: Filter
    calls: QuerySet[ToolCall]
    tabs: list[Tab]
    weighed: Weighed

    @property
    def count(self) -> int:
        return next(tab.count for tab in self.tabs if tab.is_current)


def _view(request: HttpRequest, person: Person) -> _View:
    # Who approves nothing has nothing "for you": an auditor begins with everything.
    usual = "mine" if access.domains_of(person).exists() else "all"
    key = request.GET.get("show", usual)
    wanted = Filter.of(request, key if key in _VIEWS else usual)
    # Every view is a part of everything, so its calls are weighed once for all tabs.
    weighed = filters.weigh(wanted.risk, wanted.narrow(_everything(person)))
    views = {
        key: wanted.narrow(query(person)).filter(weighed.condition)
        for key, (_, query) in _VIEWS.items()
    }
    counts = {key: view.count() for key, view in views.items() if key != "mine" or wanted.is_on}
    counts.setdefault("mine", count_waiting(person))
    tabs = [
        Tab(str(label), wanted.showing(key).query(), counts[key], key == wanted.show)
        for key, (label, _) in _VIEWS.items()
    ]
    return _View(wanted, views[wanted.show], tabs, weighed)


def _common(person: Person, view: _View, now: datetime) -> dict[str, object]:
    # Asked decision by decision, newest first; a list of all calls in sight would be long.
    in_sight = Exists(access.visible_to(person).filter(pk=OuterRef("call_id")))
    decisions = Decision.objects.filter(in_sight).select_related("approver", "call")
    return {
        "now": now,
        "show": view.filter.show,
        "filter": view.filter,
        "query": view.filter.query(),
        "tabs": view.tabs,
        "count": view.count,
        "is_part": view.weighed.is_part,
        "most_weighed": filters.MOST_WEIGHED,
        "lately": decisions.order_by("-pk")[:_MOST_DECISIONS],
        "changes_url": f"{reverse('queue_changes')}?{view.filter.query()}",
    }


def _pane(request: HttpRequest, person: Person) -> dict[str, object]:
    """Return what the pane shows; nothing when no call is being read."""
    wanted = request.GET.get("call", "")
    if not wanted:
        return {}
    try:
        call = call_page.get(person, wanted)
    except NotFound as error:
        raise Http404(translated(error.message)) from None
    observations.payload_read(person, [call])
    return call_page.context(person, call) | {"in_pane": True}


def _groups(unknown: list[Shown], pending: list[Shown], now: datetime) -> list[Group]:
    groups = [Group(gettext("Outcome unknown: say what happened"), unknown)]
    since = timedelta.min
    for until, heading in _WITHIN:
        within = [row for row in pending if since < row.call.decide_by_at - now <= until]
        groups.append(Group(str(heading), within))
        since = until
    return [group for group in groups if group.rows]


def ids_from(request: HttpRequest) -> list[UUID]:
    """Return the calls a request asks for by `?id=…&id=…`; what is no id is left out."""
    ids = []
    for text in request.GET.getlist("id")[:MOST_CHANGES]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue  # nobody's call
    return ids
