"""The settings at `/settings/`: how one person likes the pages, and how they sign in."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from approvals import access
from approvals.administration import people
from approvals.errors import InvalidInput
from approvals.models import Person, database_now
from approvals.web import refusing, theme, zones
from approvals.web.accounts import signed_in


@signed_in
def page(request: HttpRequest, person: Person) -> HttpResponse:
    """Show what is set, or keep what was chosen."""
    problems = {}
    if request.method == "POST":
        try:
            _keep(request, person)
        except InvalidInput as error:
            problems = refusing.problems(error)
        else:
            messages.success(request, gettext("Your settings are kept."))
            response = HttpResponseRedirect(reverse("settings"))
            theme.keep(response, request.POST.get("theme", ""))
            return response
    now = database_now()
    kinds = list(Authenticator.objects.filter(user=person).values_list("type", flat=True))
    context = {
        "now": now,
        "offset": zones.offset(now),
        "zones": zones.names(),
        "zone": person.time_zone,
        "installation_zone": settings.TIME_ZONE,
        "problems": problems,
        "has_app": Authenticator.Type.TOTP in kinds,
        "passkeys": kinds.count(Authenticator.Type.WEBAUTHN),
        "domains": access.domains_of(person).order_by("name"),
        "agents": person.agents.order_by("name"),
    }
    return render(request, "approvals/settings.html", context, status=400 if problems else 200)


def _keep(request: HttpRequest, person: Person) -> None:
    people.set_preferences(
        person,
        time_zone=request.POST.get("time_zone", ""),
        uses_single_keys="single_keys" in request.POST,
        wants_notices="notices" in request.POST,
        actor=f"person:{person.get_username()}",
    )
