"""The history at `/history/`: every call a person may see, newest first."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from approvals import access
from approvals.errors import NotFound
from approvals.models import Domain, Person, ToolCall, database_now
from approvals.web import showing
from approvals.web.accounts import signed_in
from approvals.web.queue import ids_from, loaded
from approvals.web.showing import Shown

PER_PAGE = 50
_COUNTED = 1_000  # beyond this the number is "more than"


@dataclass(frozen=True)
class Filter:
    """What the form asks for; what it does not know means anything."""

    status: str = ""
    domain: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> "Filter":
        """Read a query string."""
        status = request.GET.get("status", "")
        domain = request.GET.get("domain", "")
        return cls(status if status in ToolCall.Status.values else "", domain[:31])

    def apply(self, calls: QuerySet[ToolCall]) -> QuerySet[ToolCall]:
        """Return the calls it leaves."""
        wanted = {"status": self.status, "domain__name": self.domain}
        return calls.filter(**{key: value for key, value in wanted.items() if value})

    def url(self, **more: str) -> str:
        """Return the address of the page it leads to, with more in its query."""
        parts = {"status": self.status, "domain": self.domain, **more}
        query = urlencode({key: value for key, value in parts.items() if value})
        return f"{reverse('history')}?{query}" if query else reverse("history")


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """A page of the history, from the newest or from where the last one ended."""
    wanted = Filter.of(request)
    calls = wanted.apply(access.visible_to(person))
    count = calls[: _COUNTED + 1].count()
    start = _start(person, request.GET.get("before", ""))
    rows = list(_after(loaded(calls), start)[: PER_PAGE + 1])
    is_more = len(rows) > PER_PAGE
    return render(
        request,
        "approvals/history.html",
        {
            "now": database_now(),
            "rows": _shown(rows[:PER_PAGE]),
            "filter": wanted,
            "statuses": [(status, look.words) for status, look in showing.LOOKS.items()],
            "domains": _domains(person),
            "count": f"More than {_COUNTED:,}" if count > _COUNTED else f"{count:,}",
            "is_one": count == 1,
            "older": wanted.url(before=str(rows[PER_PAGE - 1].pk)) if is_more else "",
            "newest": wanted.url() if start else "",
        },
    )


@signed_in
def changes(request: HttpRequest, person: Person) -> HttpResponse:
    """The rows of calls that just changed; what live.js asks for after a hint."""
    ids = ids_from(request)
    calls = loaded(access.visible_to(person).filter(pk__in=ids))
    context = {"rows": _shown(list(calls)), "now": database_now()}
    return render(request, "approvals/history_changes.html", context)


def _shown(calls: list[ToolCall]) -> list[Shown]:
    now = database_now()
    return [showing.show(call, now) for call in calls]


def _start(person: Person, before: str) -> ToolCall | None:
    try:
        return access.get_call(person, before) if before else None
    except NotFound:
        return None


def _after(calls: QuerySet[ToolCall], start: ToolCall | None) -> QuerySet[ToolCall]:
    ordered = calls.order_by("-created_at", "-pk")
    if start is None:
        return ordered
    older = Q(created_at__lt=start.created_at)
    return ordered.filter(older | Q(created_at=start.created_at, pk__lt=start.pk))


def _domains(person: Person) -> QuerySet[Domain]:
    domains = Domain.objects.order_by("name")
    if person.is_auditor or person.is_administrator:
        return domains
    theirs = Q(agents__owner=person) | Q(agents__keys__acts_for=person)
    return domains.filter(theirs | Q(pk__in=access.domains_of(person))).distinct()
