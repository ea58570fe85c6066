"""The agents at `/agents/`: who may call, and the switch that stops them all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, F, Func, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST

from approvals import access, lifecycle
from approvals.administration import agents as verbs
from approvals.administration import people
from approvals.errors import InvalidInput, NotFound
from approvals.models import Agent, AgentKey, Domain, Person, ToolCall, database_now
from approvals.phrases import phrase
from approvals.web import refusing
from approvals.web.accounts import signed_in

PER_PAGE = 50
REFUSED = "agent_change.refused"
S = ToolCall.Status


@dataclass(frozen=True)
class Row:
    """One agent as the list shows it."""

    agent: Agent
    is_mine: bool  # the reader may pause it
    pending: int
    keys: int  # valid ones
    last_used_at: Any

    @property
    def domains(self) -> list[Domain]:
        """Return its domains by name."""
        return sorted(self.agent.domains.all(), key=lambda domain: domain.name)


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """Every agent the person may see."""
    visible = access.agents_visible_to(person)
    if not access.sees_all_agents(person) and not visible.exists():
        refusing.not_there()
    pages = Paginator(_counted(visible), PER_PAGE).get_page(request.GET.get("page"))
    managed = access.agents_managed_by(person)
    paused = managed.aggregate(all=Count("pk"), paused=Count("pk", filter=Q(is_paused=True)))
    return render(
        request,
        "approvals/agents.html",
        {
            "now": database_now(),
            "pages": pages,
            "rows": [_row(agent, person) for agent in pages],
            "running": visible.filter(is_paused=False).count(),
            "may_create": access.may_administer(person),
            "may_stop": paused["all"] > paused["paused"],
            "may_resume": paused["paused"] > 1,
        },
    )


@signed_in
def new(request: HttpRequest, person: Person) -> HttpResponse:
    """The form that creates an agent."""
    if not access.sees_all_agents(person):
        refusing.not_there()
    refusing.demand(access.may_administer(person), person, REFUSED)
    problems: Mapping[str, str] = {}
    if request.method == "POST":
        try:
            agent = _create(request, person)
        except InvalidInput as error:
            problems = refusing.problems(error)
        else:
            done = gettext("%(agent)s is there. It needs a key to call.")
            messages.success(request, done % {"agent": agent.name})
            return HttpResponseRedirect(reverse("agent", args=[agent.name]))
    context = {
        "problems": problems,
        "form": request.POST if problems else {"grace": "25", "owner": person.get_username()},
        "chosen": set(request.POST.getlist("domain")),
        "effects": set(request.POST.getlist("effect")) if problems else {"read", "write"},
        "people": Person.objects.filter(is_active=True).order_by("username"),
        "domains": Domain.objects.order_by("name"),
    }
    return render(request, "approvals/agent_new.html", context, status=400 if problems else 200)


@signed_in
def stop(request: HttpRequest, person: Person) -> HttpResponse:
    """Pause every agent the person may manage; first the page that says what that means."""
    managed = _managed(person)
    if request.method == "POST":
        reason = request.POST.get("reason", "").strip()[:1000]
        try:
            stopped = verbs.stop_all(managed, actor=_actor(person), reason=reason)
        except InvalidInput as error:
            return _stop_page(request, managed, refusing.problems(error))
        done = ngettext(
            "Stopped %(number)s agent. New calls are refused.",
            "Stopped %(number)s agents. New calls are refused.",
            len(stopped),
        )
        messages.success(request, done % {"number": len(stopped)})
        return HttpResponseRedirect(reverse("agents"))
    return _stop_page(request, managed, {})


@signed_in
def resume(request: HttpRequest, person: Person) -> HttpResponse:
    """Resume the agents somebody ticks, out of those that are paused."""
    paused = _managed(person).filter(is_paused=True).order_by("name")
    if request.method == "POST":
        chosen = paused.filter(name__in=request.POST.getlist("agent")[:1000])
        for agent in (resumed := list(chosen)):
            verbs.set_paused(agent, False, actor=_actor(person))
        done = ngettext("Resumed %(number)s agent.", "Resumed %(number)s agents.", len(resumed))
        messages.success(request, done % {"number": len(resumed)})
        return HttpResponseRedirect(reverse("agents"))
    return render(request, "approvals/agents_resume.html", {"paused": paused})


@require_POST
@signed_in
def pause(request: HttpRequest, person: Person, name: str) -> HttpResponse:
    """Pause one agent, or resume it."""
    agent = found(person, name)
    refusing.demand(access.may_manage(person, agent), person, REFUSED)
    is_paused = request.POST.get("paused") == "yes"
    if agent.is_paused != is_paused:
        verbs.set_paused(agent, is_paused, actor=_actor(person))
        done = (
            gettext("%(agent)s is paused. Its new calls are refused.")
            if is_paused
            else gettext("%(agent)s may call again.")
        )
        messages.success(request, done % {"agent": agent.name})
    back = reverse("agents") if request.POST.get("from") == "list" else None
    return HttpResponseRedirect(back or reverse("agent", args=[agent.name]))


def found(person: Person, name: str) -> Agent:
    """Return an agent the person may see, or answer 404."""
    try:
        return access.get_agent(person, name)
    except NotFound:
        refusing.not_there()


def valid_keys() -> Q:
    """Return what is true of a key that opens the door now."""
    return Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=database_now()))


def _counted(agents: QuerySet[Agent]) -> QuerySet[Agent]:
    keys = AgentKey.objects.filter(agent=OuterRef("pk"))
    pending = ToolCall.objects.filter(agent=OuterRef("pk"), status=S.PENDING)
    return (
        agents.select_related("owner")
        .prefetch_related("domains")
        .annotate(
            pending=_number_of(pending),
            valid_keys=_number_of(keys.filter(valid_keys())),
            last_used_at=Subquery(
                keys.exclude(last_used_at=None).order_by("-last_used_at").values("last_used_at")[:1]
            ),
        )
        .order_by("name")
    )


def _number_of(rows: QuerySet[Any]) -> Subquery:
    counted = rows.order_by().annotate(n=Func(F("pk"), function="COUNT")).values("n")
    return Subquery(counted, output_field=IntegerField())


def _row(agent: Any, person: Person) -> Row:
    is_mine = bool(access.may_manage(person, agent))
    return Row(agent, is_mine, agent.pending, agent.valid_keys, agent.last_used_at)


def _create(request: HttpRequest, person: Person) -> Agent:
    form = request.POST
    grace = form.get("grace", "")
    if not (grace.isascii() and grace.isdecimal() and len(grace) < 6):
        raise InvalidInput(phrase("A whole number of seconds."), path="$.grace_seconds")
    wanted = form.getlist("domain")
    known = list(Domain.objects.filter(name__in=wanted[:1000]).values_list("name", flat=True))
    if len(known) != len(set(wanted)):
        told = phrase("There is no such domain any more; choose again.")
        raise InvalidInput(told, path="$.domains")
    try:
        owner = people.get_person(form.get("owner", ""))
    except InvalidInput as error:
        raise InvalidInput(error.message, path="$.owner") from None
    return verbs.create_agent(
        form.get("name", "").strip(), owner=owner, domains=known, actor=_actor(person),
        effects=form.getlist("effect"), grace_seconds=int(grace),
    )  # fmt: skip


def _managed(person: Person) -> QuerySet[Agent]:
    """Return what the person may pause; 404 for who sees no agents, 403 for who only reads."""
    managed = access.agents_managed_by(person)
    if not person.is_administrator and not managed.exists():
        if not access.sees_all_agents(person):
            refusing.not_there()
        why = phrase("Only owners and administrators can stop agents.")
        refusing.demand(access.Permission(False, why), person, REFUSED)
    return managed


def _stop_page(
    request: HttpRequest, managed: QuerySet[Agent], problems: Mapping[str, str]
) -> HttpResponse:
    calls = ToolCall.objects.filter(agent__in=managed)
    context = {
        "problems": problems,
        "running": managed.filter(is_paused=False).count(),
        "waiting": calls.filter(status__in=lifecycle.UNSENT).count(),
        "dispatched": calls.filter(status=S.DISPATCHED).count(),
    }
    return render(request, "approvals/agents_stop.html", context, status=400 if problems else 200)


def _actor(person: Person) -> str:
    return f"person:{person.get_username()}"
