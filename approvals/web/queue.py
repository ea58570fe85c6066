"""The queue at `/`: what waits for people, what expires first on top, and the call being read.

On a wide screen `?call=<id>` opens a call beside the list: rendered with the page on a direct load,
alone when htmx asks for it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import access, observations
from approvals.errors import NotFound
from approvals.models import Agent, Decision, Domain, Person, ToolCall, database_now
from approvals.translating import translated
from approvals.web import call_page, filters, open_proposals, showing
from approvals.web.accounts import signed_in
from approvals.web.filters import Filter, Weighed
from approvals.web.presence import looking_at
from approvals.web.showing import S, Shown

PER_PAGE = 50
MOST_CHANGES = 50  # rows one request may ask for; live.js asks again for the rest
_MOST_UNKNOWN = 50
_MOST_DECISIONS = 8
_NAMES = ("username", "first_name", "last_name")  # what a person is called by
_SHOWN = (
    "agent", "domain", "acts_for", "sentence", "effect", "arguments", "definition_digest", "quorum",
    "four_eyes", "rule", "status", "version", "created_at", "decide_by_at", "owner", "stage",
    "escalated_to", "reminders",
)  # fmt: skip
_OPEN = Q(status__in=(S.PENDING, S.UNKNOWN))  # said first: an index knows these few
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


def count_waiting(person: Person) -> int:
    """Return how many calls and proposals wait for a person; one request counts once."""
    kept: dict[str, Any] = vars(person)
    if "_waiting" not in kept:
        groups = access.groups_of(person)
        waits = _Part(pending=_waits_for(person, groups), unknown=Q()).condition
        # Counted by the condition and not filtered by it: PostgreSQL would read rows for that, as
        # it tells states apart, and so reads an index alone.
        theirs = ToolCall.objects.filter(_OPEN, domain__in=list(groups))
        kept["_waiting"] = theirs.aggregate(waiting=Count("pk", filter=waits))["waiting"]
    waiting: int = kept["_waiting"]
    return waiting + open_proposals.count_for(person)


@dataclass(frozen=True)
class _Part:
    """Which open calls a view shows: of those that are pending, and of those that are unknown."""

    pending: Q
    unknown: Q | None = None  # none of them

    @property
    def condition(self) -> Q:
        """Return the condition that leaves both."""
        pending = Q(status=S.PENDING) & self.pending
        return pending if self.unknown is None else pending | Q(status=S.UNKNOWN) & self.unknown


def _waits_for(person: Person, groups: Mapping[int, Collection[str]]) -> Q:
    """Return the condition that leaves, of the pending calls, what they can approve."""
    may_approve = Q(four_eyes=False) | ~(Q(owner=person) | Q(acts_for=person))
    return may_approve & access.has_turn(groups) & ~_is_signed_by(person)


def _is_signed_by(person: Person) -> Q:
    # A signature makes a new version. So nearly all calls are known by an index to have none, and
    # the few others are asked about one by one.
    theirs = Decision.objects.filter(call=OuterRef("pk"), approver=person)
    return Q(version__gt=1) & Q(Exists(theirs))


def _parts(person: Person, groups: Mapping[int, Collection[str]]) -> dict[str, _Part]:
    theirs = Q(domain__in=list(groups))
    return {
        "mine": _Part(theirs & _waits_for(person, groups), theirs),
        "all": _Part(Q(), Q()),
        "signed": _Part(_is_signed_by(person)),
        **({"stuck": _Part(Q(is_out_of_reach=True))} if access.may_administer(person) else {}),
    }


_VIEWS: dict[str, Promise] = {
    "mine": gettext_lazy("For you"),
    "all": gettext_lazy("Everyone"),
    "signed": gettext_lazy("Signed by you"),
    "stuck": gettext_lazy("Out of reach"),  # of administrators, who can put people into groups
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
    unknown = view.unknown.order_by("moved_at").values_list("pk", flat=True)[:_MOST_UNKNOWN]
    pending = view.pending.order_by("decide_by_at", "pk").values_list("pk", flat=True)
    paginator = Paginator(pending, PER_PAGE)
    vars(paginator)["count"] = view.count - view.unknown_count  # instead of counting once more
    pages = paginator.get_page(request.GET.get("page"))
    rows = shown(in_order([*unknown, *pages.object_list]), person, now)
    return render(
        request,
        "approvals/queue.html",
        {
            **pane,
            **_common(person, view, now),
            "groups": _groups(rows, now),
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
            "belonging": set(view.among(ids)),
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
    looking, stuck = looking_at(calls, person, now), access.out_of_reach(calls)
    return [
        showing.show(
            call, now, unusual=unusual.get(call.pk, 0), looking=looking.get(call.pk),
            is_out_of_reach=call.pk in stuck,
        )
        for call in calls
    ]  # fmt: skip


def loaded(calls: QuerySet[ToolCall]) -> QuerySet[ToolCall]:
    """Return the query with everything a row shows and no more, in a fixed number of queries."""
    people = Person.objects.only(*_NAMES)
    signers = [f"approver__{name}" for name in _NAMES]
    decisions = Decision.objects.select_related("approver").only(
        "call", "verdict", "stage", *signers
    )
    # Not joined: many calls have few agents, and each column of a joined row is read for each call.
    return calls.only(*_SHOWN).prefetch_related(
        Prefetch("agent", queryset=Agent.objects.only("name")),
        Prefetch("domain", queryset=Domain.objects.only("name")),
        Prefetch("acts_for", queryset=people),
        Prefetch("decisions", queryset=decisions),
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
    seen: QuerySet[ToolCall]  # all that the person sees and the filters leave
    part: _Part
    unknown_count: int
    tabs: list[Tab]
    weighed: Weighed
    stuck: int  # calls that too few are left to approve; 0 for whom that is nothing to mend

    @property
    def count(self) -> int:
        return next(tab.count for tab in self.tabs if tab.is_current)

    # Each state apart, as its own index gives the first of them in order.
    @property
    def pending(self) -> QuerySet[ToolCall]:
        return self.seen.filter(self.part.pending, status=S.PENDING)

    @property
    def unknown(self) -> QuerySet[ToolCall]:
        if self.part.unknown is None:
            return self.seen.none()
        return self.seen.filter(self.part.unknown, status=S.UNKNOWN)

    def among(self, ids: list[UUID]) -> QuerySet[ToolCall, UUID]:
        return self.seen.filter(self.part.condition, pk__in=ids).values_list("pk", flat=True)


def _view(request: HttpRequest, person: Person) -> _View:
    groups = access.groups_of(person)
    # Who approves nothing has nothing "for you": an auditor begins with everything.
    usual = "mine" if groups else "all"
    parts = _parts(person, groups)
    key = request.GET.get("show", usual)
    wanted = Filter.of(request, key if key in parts else usual)
    # Every view is a part of everything: its calls are weighed once, and counted by one query.
    seen = wanted.narrow(access.visible_to(person))
    weighed = filters.weigh(wanted.risk, seen.filter(_OPEN))
    seen = seen.filter(weighed.condition)
    conditions = {key: part.condition for key, part in parts.items()}
    counts = seen.filter(_OPEN).aggregate(
        **{key: Count("pk", filter=condition) for key, condition in conditions.items()},
        unknown=Count("pk", filter=conditions[wanted.show] & Q(status=S.UNKNOWN)),
    )
    if not wanted.is_on:
        vars(person)["_waiting"] = counts["mine"]
    tabs = [
        Tab(str(label), wanted.showing(key).query(), counts[key], key == wanted.show)
        for key, label in _VIEWS.items()
        if key in parts and (key != "stuck" or counts[key] or key == wanted.show)
    ]
    part, stuck = parts[wanted.show], counts.get("stuck", 0)
    return _View(wanted, seen, part, counts["unknown"], tabs, weighed, stuck)


def _common(person: Person, view: _View, now: datetime) -> dict[str, object]:
    # Asked decision by decision, newest first; a list of all calls in sight would be long.
    in_sight = Exists(access.visible_to(person).filter(pk=OuterRef("call_id")))
    decisions = Decision.objects.filter(in_sight).select_related("approver", "call")
    signers = [f"approver__{name}" for name in _NAMES]
    decisions = decisions.only("verdict", "reason", "at", "call__sentence", *signers)
    return {
        "now": now,
        "show": view.filter.show,
        "filter": view.filter,
        "query": view.filter.query(),
        "tabs": view.tabs,
        "count": view.count + (0 if view.filter.is_on else open_proposals.count_for(person)),
        "proposals": [] if view.filter.is_on else open_proposals.visible_to(person),
        "stuck_query": view.filter.showing("stuck").query(),
        "stuck": 0 if view.filter.show == "stuck" else view.stuck,
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


def _groups(rows: list[Shown], now: datetime) -> list[Group]:
    unknown = [row for row in rows if row.call.status == S.UNKNOWN]
    pending = [row for row in rows if row.call.status != S.UNKNOWN]
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
