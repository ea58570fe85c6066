"""The page of one agent at `/agents/<name>/`: its keys, each shown once, and how to connect it."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from approvals import access
from approvals.administration import agents as verbs
from approvals.administration import people
from approvals.errors import Conflict, InvalidInput
from approvals.models import Agent, Person, ToolCall, database_now
from approvals.phrases import phrase
from approvals.web import connecting, refusing
from approvals.web.accounts import signed_in
from approvals.web.agents import REFUSED, found, valid_keys

_MOST_ENDED = 20
_LONGEST = timedelta(days=3660)  # of a key's life; beyond, no end at all says the same


@signed_in
def page(request: HttpRequest, person: Person, name: str) -> HttpResponse:
    """One agent."""
    agent = found(person, name)
    return _page(request, person, agent)


@signed_in
def make_key(request: HttpRequest, person: Person, name: str) -> HttpResponse:
    """Make a key and show it, in the answer to the form and never again."""
    agent = found(person, name)
    if request.method != "POST":
        return _to_page(agent)
    refusing.demand(access.may_manage(person, agent), person, REFUSED)
    try:
        key = _make(request, person, agent)
    except InvalidInput as error:
        return _page(request, person, agent, refusing.problems(error))
    except Conflict:
        messages.warning(request, _none_made())
        return _to_page(agent)
    domain = _domain(agent, request.POST.get("to", ""))
    context = {"agent": agent, "key": key, **connect_context(agent, domain)}
    return render(request, "approvals/agent_key.html", context)


@signed_in
def revoke(request: HttpRequest, person: Person, name: str, prefix: str) -> HttpResponse:
    """End a key; first the page that says what that means."""
    agent = found(person, name)
    key = agent.keys.select_related("acts_for").filter(prefix=prefix).first()
    if key is None:
        refusing.not_there()
    refusing.demand(access.may_manage(person, agent), person, REFUSED)
    if key.revoked_at is not None:
        messages.warning(request, gettext("That key is revoked already."))
        return _to_page(agent)
    if request.method != "POST":
        context = {"agent": agent, "key": key, "now": database_now()}
        return render(request, "approvals/agent_revoke.html", context)
    verbs.revoke_key(prefix, actor=f"person:{person.get_username()}")
    messages.success(request, gettext("Revoked. Nothing can sign in with that key any more."))
    return _to_page(agent)


def connect_context(agent: Agent, domain: str) -> dict[str, Any]:
    """Return what the texts for connecting need."""
    return {
        "ways": connecting.ways(domain),
        "address": connecting.address(domain),
        "to": domain,
        "reachable": list(agent.domains.order_by("name").values_list("name", flat=True)),
    }


def _page(
    request: HttpRequest, person: Person, agent: Agent, problems: Mapping[str, str] | None = None
) -> HttpResponse:
    keys = agent.keys.select_related("acts_for").order_by("-pk")
    domain = _domain(agent, request.GET.get("to", ""))
    is_admin = bool(access.may_administer(person))
    calls = ToolCall.objects.filter(agent=agent)
    context = {
        "now": database_now(),
        "agent": agent,
        "may": access.may_manage(person, agent),
        "keys": keys.filter(valid_keys()),
        "ended": keys.exclude(valid_keys())[:_MOST_ENDED],
        "newest": verbs.newest_key(agent),
        "pending": calls.filter(status=ToolCall.Status.PENDING).count(),
        "people": Person.objects.filter(is_active=True).order_by("username") if is_admin else (),
        "problems": problems or {},
        "form": request.POST if problems else {},
        **connect_context(agent, domain),
    }
    return render(request, "approvals/agent.html", context, status=400 if problems else 200)


def _none_made() -> str:
    return gettext(
        "No key was made: the keys of this agent have changed since that form was opened. A key is "
        "shown once; if nobody kept it, revoke it and make another."
    )


def _make(request: HttpRequest, person: Person, agent: Agent) -> str:
    form = request.POST
    try:
        acts_for = people.get_person(form.get("acts_for") or agent.owner.get_username())
    except InvalidInput as error:
        raise InvalidInput(error.message, path="$.acts_for") from None
    refusing.demand(access.may_act_for(person, agent, acts_for), person, REFUSED)
    after = form.get("after", "")
    return verbs.create_key(
        agent,
        acts_for=acts_for,
        actor=f"person:{person.get_username()}",
        label=form.get("label", "").strip(),
        expires_at=_end_of(form.get("ends_on", "")),
        after=int(after) if after.isascii() and after.isdecimal() and len(after) < 18 else -1,
    )


def _end_of(day: str) -> datetime | None:
    """Return when a day is over where the reader is; None for no day."""
    if not day:
        return None
    try:
        wanted = date.fromisoformat(day)
    except ValueError:
        raise InvalidInput(phrase("A date such as 2026-12-31."), path="$.ends_on") from None
    today = timezone.localdate()
    if not today <= wanted <= today + _LONGEST:
        raise InvalidInput(phrase("From today to ten years from now."), path="$.ends_on")
    return datetime.combine(
        wanted + timedelta(days=1), time.min, tzinfo=timezone.get_current_timezone()
    )


def _domain(agent: Agent, name: str) -> str:
    """Return the domain to connect to; empty, which means all, for one the agent has not got."""
    return name if agent.domains.filter(name=name[:31]).exists() else ""


def _to_page(agent: Agent) -> HttpResponse:
    return HttpResponseRedirect(reverse("agent", args=[agent.name]))
