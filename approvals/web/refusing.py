"""How pages outside a call's say no: what one sees but may not do, and what a form has wrong."""

from dataclasses import dataclass
from typing import NoReturn

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext

from approvals import access, observations
from approvals.errors import ApprovalsError, InvalidInput
from approvals.models import Person
from approvals.translating import translated


def demand(permission: access.Permission, person: Person, what: str) -> None:
    """Go on if it is permitted; else note the attempt in the person's stream and answer 403.

    Args:
        what: the code of the event, which ends in `.refused`.

    Raises:
        PermissionDenied: it is not.
    """
    if permission:
        return
    observations.person_event(person, what, why=permission.why)
    raise PermissionDenied(translated(permission.why))


def not_there() -> NoReturn:
    """Answer 404, as if there were no such page."""
    raise Http404(gettext("There is no such page."))


def no_such_page(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404, whatever the body.

    Django's own view looks in the body for the token against forgery, at addresses that there are
    not too, and a body that cannot be read would turn its 404 into a 500.
    """
    return render(request, "404.html", status=404)


@dataclass(frozen=True)
class Refusal:
    """Why a form did nothing, as its page says it; the error itself speaks English."""

    message: str
    http_status: int


def told(error: ApprovalsError) -> Refusal:
    """Return a refusal in the reader's language."""
    return Refusal(translated(error.message), error.http_status)


def problems(error: InvalidInput) -> dict[str, str]:
    """Return what is wrong by field, as templates show it beside the field."""
    found: dict[str, str] = {}
    for problem in error.problems:
        field = problem["path"].removeprefix("$").lstrip(".").partition(".")[0].partition("[")[0]
        words = translated(problem["message"])
        found.setdefault(field or "form", words[:1].upper() + words[1:])
    return found
