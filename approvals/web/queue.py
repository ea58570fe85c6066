"""The queue at `/`: what waits for people, what expires first on top, and what just changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from approvals import access
from approvals.models import Decision, Person, ToolCall, database_now
from approvals.web import definitions, showing
from approvals.web.accounts import signed_in
from approvals.web.showing import S, Shown

PER_PAGE = 50
MOST_CHANGES = 50  # rows one request may ask for; live.js asks again for the rest
_MOST_UNKNOWN = 50
_MOST_DECISIONS = 8
_WITHIN = (
    (timedelta(minutes=10), "Within 10 minutes"),
    (timedelta(hours=1), "Within the hour"),
    (timedelta.max, "Later"),
)


@dataclass(frozen=True)
class Tab:
    """One view of the queue."""

    key: str
    label: str
    count: int
    is_current: bool


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    heading: str
    rows: list[Shown]


def waiting_for(person: Person) -> QuerySet[ToolCall]:
    """Return the calls that ask something of a person: to approve them, or to settle them."""
    yours = Q(domain__in=access.domains_of(person))
    may_approve = Q(four_eyes=False) | ~(Q(owner=person) | Q(acts_for=person))
    to_decide = Q(status=S.PENDING) & may_approve & ~Q(decisions__approver=person)
    asks = Q(status__in=(S.PENDING, S.UNKNOWN))  # said first: an index knows these few
    return access.visible_to(person).filter(asks & yours & (to_decide | Q(status=S.UNKNOWN)))


def _everything(person: Person) -> QuerySet[ToolCall]:
    return access.visible_to(person).filter(status__in=(S.PENDING, S.UNKNOWN))


def _signed(person: Person) -> QuerySet[ToolCall]:
    return access.visible_to(person).filter(status=S.PENDING, decisions__approver=person)


_VIEWS = {
    "mine": ("For you", waiting_for),
    "all": ("Everyone", _everything),
    "signed": ("Signed by you", _signed),
}


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """The queue, a page of it at a time."""
    key, calls = _wanted(request, person)
    tabs = _tabs(person, key)
    count = next(tab.count for tab in tabs if tab.is_current)
    now = database_now()
    unknown = list(loaded(calls.filter(status=S.UNKNOWN).order_by("moved_at"))[:_MOST_UNKNOWN])
    pending = Paginator(
        loaded(calls.filter(status=S.PENDING).order_by("decide_by_at", "pk")), PER_PAGE
    ).get_page(request.GET.get("page"))
    return render(
        request,
        "approvals/queue.html",
        {
            **_common(person, key, tabs, count, now),
            "groups": _groups(unknown, pending, now),
            "pages": pending,
        },
    )


@signed_in
def changes(request: HttpRequest, person: Person) -> HttpResponse:
    """The rows of calls that just changed, and the counts; what live.js asks for after a hint."""
    key, calls = _wanted(request, person)
    ids = ids_from(request)
    now = database_now()
    found = list(loaded(access.visible_to(person).filter(pk__in=ids).order_by("created_at")))
    tabs = _tabs(person, key)
    count = next(tab.count for tab in tabs if tab.is_current)
    return render(
        request,
        "approvals/queue_changes.html",
        {
            **_common(person, key, tabs, count, now),
            "rows": shown(found, now),
            # Only these belong on the page if they are not there yet.
            "belonging": set(calls.filter(pk__in=ids).values_list("pk", flat=True)),
        },
    )


def shown(calls: Iterable[ToolCall], now: datetime) -> list[Shown]:
    """Return loaded calls as rows show them."""
    calls = list(calls)
    # Only of a reviewed write does the risk depend on its arguments.
    writes = [call for call in calls if call.effect == "write"]
    known = definitions.of(writes)
    unusual = {
        call.pk: showing.unusual_in(
            showing.argument_rows(call, known.get(call.definition_digest, {}))
        )
        for call in writes
    }
    return [showing.show(call, now, unusual=unusual.get(call.pk, 0)) for call in calls]


def loaded(calls: QuerySet[ToolCall]) -> QuerySet[ToolCall]:
    """Return the query with everything a row shows, in a fixed number of queries."""
    decisions = Decision.objects.select_related("approver")
    return (
        calls.select_related("agent", "domain", "upstream", "tool", "owner", "acts_for")
        .prefetch_related(Prefetch("decisions", queryset=decisions))
        .defer("result")
    )


def _wanted(request: HttpRequest, person: Person) -> tuple[str, QuerySet[ToolCall]]:
    # Who approves nothing has nothing "for you": an auditor begins with everything.
    usual = "mine" if access.domains_of(person).exists() else "all"
    key = request.GET.get("show", usual)
    key = key if key in _VIEWS else usual
    return key, _VIEWS[key][1](person)


def _tabs(person: Person, current: str) -> list[Tab]:
    return [
        Tab(key, label, query(person).count(), key == current)
        for key, (label, query) in _VIEWS.items()
    ]


def _common(
    person: Person, key: str, tabs: list[Tab], count: int, now: datetime
) -> dict[str, object]:
    # Asked decision by decision, newest first; a list of all calls in sight would be long.
    in_sight = Exists(access.visible_to(person).filter(pk=OuterRef("call_id")))
    decisions = Decision.objects.filter(in_sight).select_related("approver", "call")
    return {
        "now": now,
        "show": key,
        "tabs": tabs,
        "count": count,
        "lately": decisions.order_by("-pk")[:_MOST_DECISIONS],
        "changes_url": f"{reverse('queue_changes')}?show={key}",
    }


def _groups(unknown: list[ToolCall], pending: Page[ToolCall], now: datetime) -> list[Group]:
    groups = [Group("Outcome unknown: say what happened", shown(unknown, now))]
    rows = shown(pending, now)
    since = timedelta.min
    for until, heading in _WITHIN:
        within = [row for row in rows if since < row.call.decide_by_at - now <= until]
        groups.append(Group(heading, within))
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
