"""How pages outside a call's say no: what one sees but may not do, and what a form has wrong."""

from typing import NoReturn

from django.core.exceptions import PermissionDenied
from django.http import Http404

from approvals import access, observations
from approvals.errors import InvalidInput
from approvals.models import Person


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
    raise PermissionDenied(permission.why)


def not_there() -> NoReturn:
    """Answer 404, as if there were no such page."""
    raise Http404("There is no such page.")


def problems(error: InvalidInput) -> dict[str, str]:
    """Return what is wrong by field, as templates show it beside the field."""
    found: dict[str, str] = {}
    for problem in error.problems:
        field = problem["path"].removeprefix("$").lstrip(".").partition(".")[0].partition("[")[0]
        words = problem["message"]
        found.setdefault(field or "form", words[:1].upper() + words[1:])
    return found
