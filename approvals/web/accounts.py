"""Sign-in for people: no sign-up, and the gate every page stands behind."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect

from approvals.models import Person
from approvals.web import zones

P = ParamSpec("P")


class NoSignup(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Accounts are made by `create_person`, never by a visitor."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return False: nobody signs up."""
        return False


def signed_in(
    view: Callable[Concatenate[HttpRequest, Person, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Give a view the person who is signed in; send everybody else to sign in first.

    Nothing it answers is kept by a browser, so that "back" never shows an old state; times are in
    the person's zone.
    """

    def gate(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        person = request.user
        if not isinstance(person, Person):  # who is switched off has no session
            return _to_login(request)
        with timezone.override(zones.of(person)):
            return view(request, person, *args, **kwargs)

    return never_cache(update_wrapper(gate, view))


def _to_login(request: HttpRequest) -> HttpResponseBase:
    htmx: Any = getattr(request, "htmx", False)
    if htmx:
        return HttpResponseClientRedirect(reverse("account_login"))
    return redirect_to_login(request.get_full_path())
