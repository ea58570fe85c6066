"""The approver groups of a domain, at `/catalogue/domains/…/groups/`: who is in which.

For administrators. Rules name groups, and never persons, so this is where people come in.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.db.models import Count, Prefetch
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from approvals import access, observations, ruling, wording
from approvals.administration import groups as verbs
from approvals.administration import people
from approvals.errors import ApprovalsError, InvalidInput, NotAllowed, NotFound
from approvals.models import ApproverGroup, Domain, Person, ToolCall
from approvals.translating import translated
from approvals.web import refusing
from approvals.web.accounts import signed_in

REFUSED = "group_change.refused"
_PENDING = ToolCall.Status.PENDING


@dataclass(frozen=True)
class Row:
    """One group as the page shows it."""

    group: ApproverGroup
    members: list[Person]  # also those whose accounts are deactivated
    rules: list[str]  # names of those in force that ask it
    waiting: int  # held calls that wait for it now

    @property
    def is_deserted(self) -> bool:
        """Tell whether nobody is in it who can sign."""
        return not any(member.is_active for member in self.members)


@signed_in
def page(request: HttpRequest, person: Person, domain: str) -> HttpResponse:
    """The groups of a domain, and the form that creates one."""
    found = _administered(person, domain)
    if request.method != "POST":
        return _page(request, found)

    def verb(actor: str) -> str:
        named = request.POST.get("owner", "").strip()
        owner = people.get_person(named) if named else None
        name = request.POST.get("name", "").strip()
        verbs.create_group(found, name, owner=owner, actor=actor)
        return gettext("%(group)s is there. Nobody is in it yet.") % {"group": name}

    return _act(request, person, found, verb)


@require_POST
@signed_in
def change(request: HttpRequest, person: Person, domain: str, group_id: int) -> HttpResponse:
    """Put somebody into a group, take somebody out of it, or say who answers for it."""
    found = _administered(person, domain)
    group = found.approver_groups.select_related("domain").filter(pk=group_id).first()
    verb = _VERBS.get(request.POST.get("do", ""))
    if group is None or verb is None:
        refusing.not_there()
    name = request.POST.get("person", "").strip()
    return _act(request, person, found, lambda actor: verb(group, name, actor))


def _add(group: ApproverGroup, name: str, actor: str) -> str:
    person = people.get_person(name)
    verbs.add_members(group, [person], actor=actor)
    return gettext("%(person)s is in %(group)s.") % {"person": person, "group": group.name}


def _remove(group: ApproverGroup, name: str, actor: str) -> str:
    person = people.get_person(name, even_if_gone=True)
    verbs.remove_members(group, [person], actor=actor)
    done = gettext("%(person)s is no longer in %(group)s. What they signed stays signed.")
    return done % {"person": person, "group": group.name}


def _own(group: ApproverGroup, name: str, actor: str) -> str:
    owner = people.get_person(name) if name else None
    verbs.set_owner(group, owner, actor=actor)
    if owner is None:
        done = gettext("Whoever owns the domain answers for %(group)s.")
    else:
        done = gettext("%(person)s answers for %(group)s.")
    return done % {"person": owner, "group": group.name}


_VERBS: dict[str, Callable[[ApproverGroup, str, str], str]] = {
    "add": _add,
    "remove": _remove,
    "own": _own,
}


def _act(
    request: HttpRequest, person: Person, domain: Domain, verb: Callable[[str], str]
) -> HttpResponse:
    """Do a verb and show the page with its effect; or show on it why nothing was done."""
    try:
        messages.success(request, verb(f"person:{person.get_username()}"))
    except ApprovalsError as error:
        if isinstance(error, NotAllowed):
            observations.person_event(person, REFUSED, why=error.message)
        return _page(request, domain, error)
    return HttpResponseRedirect(reverse("groups", args=[domain.name]))


def _page(
    request: HttpRequest, domain: Domain, error: ApprovalsError | None = None
) -> HttpResponse:
    typed = request.POST if error else {}
    wrong = refusing.problems(error) if isinstance(error, InvalidInput) else {}
    refusal = next(iter(wrong.values()), refusing.told(error).message if error else "")
    context = {
        "domain": domain,
        "rows": _rows(domain),
        "people": Person.objects.filter(is_active=True).order_by("username"),
        "refusal": refusal,
        # What no name can have is spelled out, as anywhere else.
        "form": {key: wording.clean(value, 150) for key, value in typed.items()},
    }
    status = error.http_status if error else 200
    return render(request, "approvals/groups.html", context, status=status)


def _rows(domain: Domain) -> list[Row]:
    members = Prefetch("people", queryset=Person.objects.order_by("username"))
    groups = domain.approver_groups.select_related("owner").prefetch_related(members)
    pending = ToolCall.objects.filter(domain=domain, status=_PENDING)
    waiting = dict(pending.values_list("asked_group").annotate(Count("pk")).order_by())
    asks: dict[str, list[str]] = {}
    for rule in ruling.in_force().rules:
        if rule.domain in ("", domain.name):
            named = [stage.group for stage in rule.stages] + [rule.escalate_to]
            for name in set(filter(None, named)):
                asks.setdefault(name, []).append(rule.name)
    return [
        Row(group, list(group.people.all()), asks.get(group.name, []), waiting.get(group.name, 0))
        for group in groups.order_by("name")
    ]


def _administered(person: Person, name: str) -> Domain:
    """Return a domain whose groups the person may change; else answer 404 or 403."""
    try:
        domain = access.get_domain(person, name)
    except NotFound as error:
        raise Http404(translated(error.message)) from None
    refusing.demand(access.may_administer(person), person, REFUSED)
    return domain
