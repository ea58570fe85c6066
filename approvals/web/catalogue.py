"""The catalogue at `/catalogue/`: domains, their servers, what these list, and who decides."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from approvals import access, events, freezes, observations
from approvals.errors import NotFound
from approvals.models import ApproverGroup, Domain, Freeze, Person, Tool, Upstream, database_now
from approvals.translating import translated
from approvals.web.accounts import signed_in

MOST_TOOLS = 200  # of one server among others; a page of its own has all
_OPEN = 12  # so many are shown without a press
_GONE = "gone"
_NAME = re.compile(r"[a-z0-9-]{1,40}")
# What asks for somebody's attention comes first.
GROUPS: tuple[tuple[str, Promise], ...] = (
    (Tool.CHANGED, gettext_lazy("Changed since review")),
    (Tool.UNREVIEWED, gettext_lazy("Reviewed by nobody")),
    (Tool.Effect.DESTRUCTIVE, gettext_lazy("Destructive")),
    (Tool.Effect.WRITE, gettext_lazy("Writes")),
    (Tool.Effect.READ, gettext_lazy("Reads")),
    (_GONE, gettext_lazy("No longer listed")),
)


@dataclass(frozen=True)
class Group:
    """Tools of one server that do the same, as far as anybody knows."""

    heading: str
    tools: list[Tool]
    count: int


@dataclass(frozen=True)
class Health:
    """How a server does, as a tone, an icon and a word."""

    tone: str
    icon: str
    word: str


@dataclass(frozen=True)
class Server:
    """One upstream with what it lists."""

    upstream: Upstream
    tools: list[Tool]
    most: int  # tools that are shown of it

    @cached_property
    def counts(self) -> Counter[str]:
        """Return how many tools there are by what they do."""
        return Counter(_group_of(tool) for tool in self.tools)

    @property
    def listed(self) -> int:
        """Return how many tools it offers."""
        return len(self.tools) - self.counts[_GONE]

    @property
    def reads(self) -> int:
        """Return how many a person reviewed as reads, which rules may let through as such."""
        return self.counts[Tool.Effect.READ]

    @property
    def others(self) -> int:
        """Return how many are no reviewed reads."""
        return self.listed - self.reads

    @property
    def share(self) -> str:
        """Return the share of reads, in hundredths."""
        return f"{100 * self.reads / self.listed:.1f}" if self.listed else "0"

    @property
    def changed(self) -> list[Tool]:
        """Return the tools that are no longer what somebody reviewed."""
        return [tool for tool in self.tools if _group_of(tool) == Tool.CHANGED]

    @property
    def unreviewed(self) -> int:
        """Return how many tools nobody has reviewed."""
        return self.counts[Tool.UNREVIEWED]

    @property
    def never_called(self) -> int:
        """Return how many tools it offers that no agent has called yet."""
        return sum(tool.is_listed and tool.last_called_at is None for tool in self.tools)

    @property
    def health(self) -> Health:
        """Return whether somebody should look at it, by its last list and what is known of it."""
        if not self.upstream.is_enabled:
            return Health("idle", "pause", gettext("Switched off"))
        if self.upstream.list_error:
            return Health("bad", "alert", gettext("Needs attention"))
        if self.upstream.listed_at is None:
            return Health("warn", "clock", gettext("Never listed"))
        if self.changed or self.unreviewed or self.upstream.dropped_tools:
            return Health("warn", "alert", gettext("Needs attention"))
        return Health("ok", "check", gettext("Healthy"))

    @property
    def groups(self) -> list[Group]:
        """Return its tools by what they do, at most `most` of them."""
        by_kind = defaultdict(list)
        for tool in self.tools:
            by_kind[_group_of(tool)].append(tool)
        room, found = self.most, []
        for kind, heading in GROUPS:
            if by_kind[kind]:
                found.append(Group(str(heading), by_kind[kind][:room], len(by_kind[kind])))
                room = max(0, room - len(by_kind[kind]))
        return found

    @property
    def unshown(self) -> int:
        """Return how many tools are left out."""
        return max(0, len(self.tools) - self.most)

    @property
    def is_open(self) -> bool:
        """Tell whether its tools are shown without a press."""
        return len(self.tools) <= _OPEN or self.most > MOST_TOOLS


@dataclass(frozen=True)
class Boundary:
    """One domain: who answers for it, who decides in it, and the servers within."""

    domain: Domain
    approvers: list[Person]  # of any of its groups
    servers: list[Server]
    freezes: list[Freeze]  # on or planned
    groups: list[ApproverGroup]  # by name; none where there is only the first one


@dataclass(frozen=True)
class Member:
    """One person and what they may do."""

    person: Person
    approves: list[str]
    owns: list[str]


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """Everything a person may read about; with `?server=` one server alone, with all its tools."""
    only = request.GET.get("server", "")
    if only and not _NAME.fullmatch(only):
        raise Http404(gettext("There is no such server."))
    boundaries = _boundaries(person, only)
    servers = [server for boundary in boundaries for server in boundary.servers]
    if only and not servers:
        raise Http404(gettext("There is no such server."))
    return render(
        request,
        "approvals/catalogue.html",
        {
            "now": database_now(),
            "boundaries": boundaries,
            "servers": servers,
            "only": only,
            "tools": sum(server.listed for server in servers),
            "reads": sum(server.reads for server in servers),
            "never_called": sum(server.never_called for server in servers),
            "changed": [tool for server in servers for tool in server.changed],
            "unreviewed": sum(server.unreviewed for server in servers),
            "members": [] if only else _members(person, boundaries),
            "may_administer": bool(access.may_administer(person)),
        },
    )


@require_POST
@signed_in
def refresh(request: HttpRequest, person: Person, upstream_id: int) -> HttpResponse:
    """Ask a worker to list a server's tools again."""
    try:
        upstream = access.get_upstream(person, upstream_id)
    except NotFound as error:
        raise Http404(translated(error.message)) from None
    if not access.may_administer(person):
        observations.person_event(person, "refresh.refused", upstream=upstream.name)
        raise PermissionDenied
    events.start_refresh(upstream.pk, upstream.domain.name)
    done = gettext("%(server)s is asked for its list. Look again in a moment.")
    messages.success(request, done % {"server": upstream.name})
    return redirect("catalogue")


def _group_of(tool: Tool) -> str:
    return tool.effect if tool.is_listed else _GONE


def _boundaries(person: Person, only: str) -> list[Boundary]:
    approvers = ApproverGroup.objects.select_related("owner").prefetch_related(
        Prefetch("people", queryset=Person.objects.filter(is_active=True))
    )
    upstreams = Upstream.objects.order_by("name").prefetch_related(
        Prefetch("tools", queryset=Tool.objects.order_by("name"))
    )
    if only:
        upstreams = upstreams.filter(name=only)
    domains = (
        access.catalogue_of(person)
        .select_related("owner")
        .prefetch_related(
            Prefetch("approver_groups", queryset=approvers),
            Prefetch("upstreams", queryset=upstreams),
        )
        .order_by("name")
    )
    frozen = freezes.coming(domains)
    most = 10**6 if only else MOST_TOOLS
    found = [_boundary(domain, most, frozen) for domain in domains]
    return [boundary for boundary in found if boundary.servers] if only else found


def _boundary(domain: Domain, most: int, frozen: list[Freeze]) -> Boundary:
    groups = sorted(domain.approver_groups.all(), key=lambda group: group.name)
    people = {p.pk: p for group in groups for p in group.people.all()}
    return Boundary(
        domain,
        sorted(people.values(), key=str),
        [Server(upstream, list(upstream.tools.all()), most) for upstream in domain.upstreams.all()],
        [freeze for freeze in frozen if freeze.domain_id == domain.pk],
        groups if len(groups) > 1 else [],
    )


def _members(person: Person, boundaries: Iterable[Boundary]) -> list[Member]:
    """Return who has a say: over the domains shown, and over the installation."""
    approves, owns = defaultdict(list), defaultdict(list)
    for boundary in boundaries:
        for approver in boundary.approvers:
            approves[approver.pk].append(boundary.domain.name)
        if boundary.domain.owner_id:
            owns[boundary.domain.owner_id].append(boundary.domain.name)
    if not approves and not owns and not access.may_administer(person):
        return []
    return [
        Member(found, approves[found.pk], owns[found.pk])
        for found in _people({*approves, *owns}).order_by("username")
    ]


def _people(pks: Iterable[int]) -> QuerySet[Person]:
    with_a_say = Q(pk__in=pks) | Q(is_administrator=True) | Q(is_auditor=True)
    return Person.objects.filter(with_a_say, is_active=True)
