"""The page of one call, and the forms on it: decide, settle, withdraw. Nothing decides by GET."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from approvals import access, canonical, lifecycle, observations
from approvals.errors import ApprovalsError, NotAllowed, NotFound, StaleBinding
from approvals.models import Person, ToolCall
from approvals.web import call_page
from approvals.web.accounts import signed_in
from approvals.web.showing import S

_DECIDED = {
    S.REJECTED: "Rejected. The agent can read your reason.",
    S.APPROVED: "Approved. It runs as soon as a worker takes it.",
    S.PENDING: "Signed. It still needs another signature.",
}


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
    return render(request, "approvals/call_parts.html", context)


@signed_in
def decide(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """Record the person's decision on what their page showed."""

    def verb(call: ToolCall) -> str:
        _refuse_older(request, call)
        decided = lifecycle.decide(
            call.pk,
            decider=person,
            verdict=request.POST.get("verdict", ""),
            binding=request.POST.get("binding", ""),
            reason=request.POST.get("reason", ""),
        )
        return _DECIDED.get(S(decided.status), "Your decision is recorded.")

    return _act(request, person, call_id, "decision.refused", verb)


@signed_in
def settle(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """Record what the person found out about a call whose outcome is unknown."""

    def verb(call: ToolCall) -> str:
        outcome = request.POST.get("outcome", "")
        evidence = request.POST.get("evidence", "")
        lifecycle.settle(call.pk, person=person, outcome=outcome, evidence=evidence)
        return "Recorded, with your evidence."

    return _act(request, person, call_id, "settlement.refused", verb)


@signed_in
def withdraw(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """Withdraw a call on behalf of the agent that made it."""

    def verb(call: ToolCall) -> str:
        permission = access.may_withdraw(person, call)
        if not permission:
            raise NotAllowed(permission.why, call_id=call.pk)
        reason = request.POST.get("reason", "").strip()
        canonical.check(reason)  # no control character a database cannot keep
        lifecycle.cancel(call.pk, actor=f"person:{person.get_username()}", reason=reason)
        return "Withdrawn. Nothing ran."

    return _act(request, person, call_id, "withdrawal.refused", verb)


def _act(
    request: HttpRequest,
    person: Person,
    call_id: UUID,
    refusal: str,
    verb: Callable[[ToolCall], str],
) -> HttpResponse:
    """Do a verb and show what the server did; or show, on the call's page, why it did not."""
    call = _get(person, call_id)
    if request.method != "POST":
        return _to_page(call)
    try:
        messages.success(request, verb(call))
    except ApprovalsError as error:
        if isinstance(error, NotAllowed):
            observations.person_event(person, refusal, call=str(call.pk), why=error.message)
        return _refused(request, person, call, error)
    return _to_page(call)


def _refused(
    request: HttpRequest, person: Person, call: ToolCall, error: ApprovalsError
) -> HttpResponse:
    # What is shown below the refusal is the call as it is now, without forms unless the form itself
    # was wrong: it must be read again before anybody decides.
    is_form_wrong = error.http_status == 400
    fresh = _get(person, call.pk)
    observations.payload_read(person, [fresh])
    context = call_page.context(person, fresh, seen=fresh.version if is_form_wrong else -1)
    context |= {"refusal": error, "form": request.POST if is_form_wrong else {}}
    return render(request, "approvals/call.html", context, status=error.http_status)


def _refuse_older(request: HttpRequest, call: ToolCall) -> None:
    """Refuse a form of an older version: somebody signed meanwhile, so yours may mean more."""
    version = request.POST.get("version", "")
    if version and version != str(call.version) and call.status == S.PENDING:
        raise StaleBinding("This call has changed since you opened it. Read it again.")


def _get(person: Person, call_id: UUID) -> ToolCall:
    try:
        return call_page.get(person, call_id)
    except NotFound as error:
        raise Http404(error.message) from None


def _to_page(call: ToolCall) -> HttpResponse:
    return HttpResponseRedirect(reverse("call", args=[call.pk]))
