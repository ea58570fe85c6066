"""The first run at `/first-run/`: within a minute to a first held call, on a practice server."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django_htmx.http import HttpResponseClientRedirect

from approvals import access
from approvals.administration import practice
from approvals.errors import Conflict
from approvals.models import Agent, Person, ToolCall, Upstream
from approvals.translating import translated
from approvals.web import agent_page, refusing
from approvals.web.accounts import signed_in


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """Show how far it is; a POST sets the practice domain up and shows the agent's key, once."""
    _demand(person)
    key = ""
    if request.method == "POST":
        try:
            key = practice.set_up(person, actor=f"person:{person.get_username()}")
        except Conflict as error:
            words = gettext("Nothing was set up. %(why)s")
            messages.warning(request, words % {"why": translated(error.message)})
            return HttpResponseRedirect(reverse("first_run"))
    return render(request, "approvals/first_run.html", {"key": key, **_context(person)})


@signed_in
def state(request: HttpRequest, person: Person) -> HttpResponse:
    """The way to the call, once one is held; else whether the tool is there, if `?seen=` is old."""
    _demand(person)
    context = _context(person)
    if context["is_waiting"]:
        return _lead(request, reverse("call", args=[context["call"].pk]))
    if request.GET.get("seen") == context["tools_state"]:
        return HttpResponse(status=204)  # nothing is swapped, nothing is read out again
    return render(request, "approvals/_first_run_tools.html", context)


def _lead(request: HttpRequest, address: str) -> HttpResponse:
    htmx: Any = getattr(request, "htmx", False)
    if htmx:
        return HttpResponseClientRedirect(address)
    words = gettext("Go to the call")
    return HttpResponse(format_html('<a data-lead href="{}">{}</a>', address, words))


def _demand(person: Person) -> None:
    if not access.may_administer(person):
        refusing.not_there()


def _tools_state(upstream: Upstream) -> str:
    if upstream.tools.filter(is_listed=True).exists():
        return "listed"
    return "failed" if upstream.list_error else "starting"


def _context(person: Person) -> dict[str, Any]:
    upstream = Upstream.objects.filter(name=practice.NAME, domain__name=practice.NAME).first()
    agent = Agent.objects.filter(name=practice.NAME).first()
    calls = access.visible_to(person).filter(agent__name=practice.NAME)
    call = calls.order_by("created_at").last()
    context = {
        "upstream": upstream,
        "agent": agent,
        "tools_state": _tools_state(upstream) if upstream else "",
        "call": call,
        "is_waiting": call is not None and call.status == ToolCall.Status.PENDING,
    }
    return context | (agent_page.connect_context(agent, practice.NAME) if agent else {})
