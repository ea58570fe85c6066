"""The page of one call, and the forms on it: decide, settle, withdraw. Nothing decides by GET."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import access, canonical, lifecycle, observations
from approvals.errors import (
    AlreadyDecided,
    ApprovalsError,
    InvalidInput,
    LookAgain,
    NotAllowed,
    NotFound,
)
from approvals.models import Decision, Person, ToolCall, database_now
from approvals.phrases import phrase
from approvals.translating import translated
from approvals.web import call_page, refusing, showing, stamps
from approvals.web.accounts import signed_in
from approvals.web.queue import wants_pane
from approvals.web.showing import S

_DECIDED: dict[S, Promise] = {
    S.REJECTED: gettext_lazy("Rejected. The agent can read your reason."),
    S.APPROVED: gettext_lazy("Approved. It runs as soon as a worker takes it."),
    S.PENDING: gettext_lazy("Signed. It still needs another signature."),
}


@dataclass(frozen=True)
class Told:
    """What a form did, for as long as the call is in that state: "it runs soon" is wrong later."""

    words: str
    status: str


@signed_in
def page(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """One call, in full."""
    call = _get(person, call_id)
    observations.payload_read(person, [call])
    return render(request, "approvals/call.html", call_page.context(person, call))


@signed_in
def parts(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """The parts of the page that change, for a page that shows version `?seen=`."""
    call = _get(person, call_id)
    if call.result is not None:
        observations.payload_read(person, [call])
    seen = request.GET.get("seen", "")
    context = call_page.context(
        person, call, seen=int(seen) if seen.isdecimal() and len(seen) < 10 else None
    )
    context["in_pane"] = "pane" in request.GET
    return render(request, "approvals/call_parts.html", context)


@signed_in
def decide(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """Record the person's decision on what their page showed."""

    def verb(call: ToolCall) -> Told:
        verdict = request.POST.get("verdict", "")
        _refuse_unread(request, person, call, verdict)
        decided = lifecycle.decide(
            call.pk,
            decider=person,
            verdict=verdict,
            binding=request.POST.get("binding", ""),
            reason=_reason(request),
        )
        words = _DECIDED.get(S(decided.status), gettext_lazy("Your decision is recorded."))
        return Told(str(words), decided.status)

    return _act(request, person, call_id, "decision.refused", verb)


@signed_in
def settle(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """Record what the person found out about a call whose outcome is unknown."""

    def verb(call: ToolCall) -> Told:
        outcome = request.POST.get("outcome", "")
        evidence = request.POST.get("evidence", "")
        settled = lifecycle.settle(call.pk, person=person, outcome=outcome, evidence=evidence)
        return Told(gettext("Recorded, with your evidence."), settled.status)

    return _act(request, person, call_id, "settlement.refused", verb)


@signed_in
def withdraw(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """Withdraw a call on behalf of the agent that made it."""

    def verb(call: ToolCall) -> Told:
        permission = access.may_withdraw(person, call)
        if not permission:
            raise NotAllowed(permission.why, call_id=call.pk)
        reason = request.POST.get("reason", "").strip()
        canonical.check(reason)  # no control character a database cannot keep
        actor = f"person:{person.get_username()}"
        cancelled = lifecycle.cancel(call.pk, actor=actor, reason=reason)
        return Told(gettext("Withdrawn. Nothing ran."), cancelled.status)

    return _act(request, person, call_id, "withdrawal.refused", verb)


def _act(
    request: HttpRequest,
    person: Person,
    call_id: UUID,
    refusal: str,
    verb: Callable[[ToolCall], Told],
) -> HttpResponse:
    """Do a verb and show what the server did; or show, on the call's page, why it did not."""
    call = _get(person, call_id)
    if request.method != "POST":
        return _to_page(call)
    try:
        told = verb(call)
    except ApprovalsError as error:
        if isinstance(error, NotAllowed):
            observations.person_event(person, refusal, call=str(call.pk), why=error.message)
        return _refused(request, person, call, error)
    if wants_pane(request):
        context = call_page.context(person, _get(person, call.pk))
        context |= {"in_pane": True, "told": told}
        return render(request, "approvals/_pane.html", context)
    messages.success(request, told.words, extra_tags=told.status)
    return _to_page(call)


def _refused(
    request: HttpRequest, person: Person, call: ToolCall, error: ApprovalsError
) -> HttpResponse:
    # What is shown below the refusal is the call as it is now, without forms unless the form itself
    # was wrong, or came too soon: it must be read again before anybody decides.
    is_form_shown = error.http_status == 400 or isinstance(error, LookAgain)
    fresh = _get(person, call.pk)
    observations.payload_read(person, [fresh])
    context = call_page.context(person, fresh, seen=fresh.version if is_form_shown else -1)
    # Nothing that was typed is lost, whether there is still a form for it or not.
    context |= {"refusal": refusing.told(error), "form": request.POST, "ticked": _ticked(request)}
    context["chosen"] = request.POST.getlist("preset")
    context["in_pane"] = wants_pane(request)
    template = "approvals/_pane.html" if context["in_pane"] else "approvals/call.html"
    return render(request, template, context, status=error.http_status)


def _refuse_unread(request: HttpRequest, person: Person, call: ToolCall, verdict: str) -> None:
    """Refuse a decision by whoever may not decide, was not shown the call, or did not check it."""
    permission = access.may_decide(person, call, verdict)
    if not permission:
        raise NotAllowed(permission.why, call_id=call.pk)
    if showing.signed_by(call, person):
        raise AlreadyDecided(call_id=call.pk)  # in another tab; the stamp would only say "changed"
    asked = stamps.check(request.POST.get("stamp", ""), call, person, database_now())
    if verdict == Decision.Verdict.APPROVE and not set(asked) <= set(_ticked(request)):
        told = phrase("Tick what you have checked: each marked value.")
        raise InvalidInput(told, path="$.checked")


def _ticked(request: HttpRequest) -> list[str]:
    return request.POST.getlist("checked")


def _reason(request: HttpRequest) -> str:
    """Return the reason the agent will read: the presets, in English, then the person's words."""
    chosen = request.POST.getlist("preset")
    presets = [preset for preset in call_page.PRESETS if preset in chosen]
    words = request.POST.get("reason", "").strip()
    return ". ".join([*presets, words] if words else presets)


def _get(person: Person, call_id: UUID) -> ToolCall:
    try:
        return call_page.get(person, call_id)
    except NotFound as error:
        raise Http404(translated(error.message)) from None


def _to_page(call: ToolCall) -> HttpResponse:
    return HttpResponseRedirect(reverse("call", args=[call.pk]))
