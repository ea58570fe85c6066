"""A proposal at `/policies/proposals/…/`: what it changes, what shows that, who may sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from approvals import access, policy, ruling
from approvals.administration import loosening
from approvals.administration import proposals as verbs
from approvals.errors import ApprovalsError, InvalidInput, NotFound
from approvals.models import Person, PolicyVersion, Proposal, ToolCall, database_now
from approvals.translating import translated
from approvals.web import refusing, rule_changes, working_copy
from approvals.web.accounts import signed_in
from approvals.web.rule_lines import Look

S = Proposal.State
LOOKS: dict[str, Look] = {
    S.OPEN: Look("warn", "clock", gettext_lazy("Waits for a signature")),
    S.SIGNED: Look("ok", "check", gettext_lazy("Signed, and in force since")),
    S.APPLIED: Look("ok", "check", gettext_lazy("In force, by the clock")),
    S.WITHDRAWN: Look("idle", "undo", gettext_lazy("Withdrawn")),
    S.EXPIRED: Look("idle", "clock", gettext_lazy("Expired")),
}


@signed_in
def page(request: HttpRequest, person: Person, proposal_id: int) -> HttpResponse:
    """One proposal; its forms sign it or take it back."""
    proposal = _get(person, proposal_id)
    if request.method != "POST":
        return _page(request, person, proposal)
    refusing.demand(access.may_administer(person), person, working_copy.REFUSED)
    try:
        return _done(request, person, proposal)
    except InvalidInput as error:
        problem = refusing.problems(error).get("reason", "")
        more = {"problem": problem} if problem else {"refusal": refusing.told(error)}
        return _page(request, person, _get(person, proposal_id), status=400, more=more)
    except ApprovalsError as error:
        more = {"refusal": refusing.told(error)}
        now = _get(person, proposal_id)
        return _page(request, person, now, status=error.http_status, more=more)


def _done(request: HttpRequest, person: Person, proposal: Proposal) -> HttpResponse:
    if request.POST.get("do") == "withdraw":
        verbs.withdraw(proposal.pk, person=person, reason=request.POST.get("reason", ""))
        messages.success(request, gettext("Withdrawn. The rules in force are as they were."))
        return HttpResponseRedirect(reverse("proposal", args=[proposal.pk]))
    binding = request.POST.get("binding", "")
    signed = verbs.sign(proposal.pk, signer=person, binding=binding)
    done = gettext("Signed: version %(number)s is in force.")
    number = signed.version.number if signed.version else 0
    messages.success(request, done % {"number": number})
    return HttpResponseRedirect(reverse("policies"))


@dataclass(frozen=True)
class Shown:
    """One thing that shows that a proposal loosens."""

    words: str
    call: ToolCall | None  # that was made, where the reader may see it
    arguments: str  # of one that was made up


def _page(
    request: HttpRequest,
    person: Person,
    proposal: Proposal,
    *,
    status: int = 200,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    before, after = _rules(proposal)
    may_sign = access.may_sign(person, proposal)
    others = access.administrators().order_by("username")
    if proposal.proposer:
        others = others.exclude(pk=proposal.proposer.pk)
    context = {
        "now": database_now(),
        "proposal": proposal,
        "look": LOOKS[proposal.state],
        "binding": verbs.binding_of(proposal),
        "changes": rule_changes.changes(person, before, after) if after else [],
        "evidence": _evidence(person, proposal),
        "looked_at": proposal.evidence.get("looked_at", {}),
        "is_cut": proposal.evidence.get("is_cut", False),
        "may_sign": may_sign,
        "why_not": translated(may_sign.why),
        "may_withdraw": bool(access.may_administer(person)),
        "others": list(others[:10]),
        "is_overtaken": proposal.is_open and ruling.in_force().version != proposal.based_on,
        "reason": request.POST.get("reason", "")[:1_000],
        **(more or {}),
    }
    return render(request, "approvals/proposal.html", context, status=status)


def _rules(proposal: Proposal) -> tuple[Sequence[policy.Rule], Sequence[policy.Rule]]:
    """Return the rules before and after, as they were and as it says."""
    version = PolicyVersion.objects.filter(number=proposal.based_on).first()
    before = ruling.rules_of(version) if version else policy.SEED
    try:
        return before, policy.load(proposal.document)
    except InvalidInput:
        return before, ()  # written by an older version, whose rules were others


def _evidence(person: Person, proposal: Proposal) -> list[Shown]:
    found = proposal.evidence.get("found", [])
    ids = [entry["call"] for entry in found if entry.get("kind") == "call"]
    calls = {str(call.pk): call for call in access.visible_to(person).filter(pk__in=ids)}
    return [_shown(entry, calls) for entry in found]


def _shown(entry: Mapping[str, Any], calls: Mapping[str, ToolCall]) -> Shown:
    arguments = entry.get("arguments") or {}
    told = ", ".join(f"{name} {value}" for name, value in arguments.items())
    words = translated(loosening.in_words(entry))
    return Shown(words, calls.get(str(entry.get("call", ""))), told)


def _get(person: Person, proposal_id: int) -> Proposal:
    try:
        return access.get_proposal(person, proposal_id)
    except NotFound:
        refusing.not_there()
