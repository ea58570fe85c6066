"""In which time zone a person reads times: their own, or the installation's. The trail is UTC."""

import zoneinfo
from collections.abc import Callable
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from approvals.models import Person

_PLACES = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian",
           "Pacific")  # fmt: skip


def of(person: Person) -> ZoneInfo | None:
    """Return the zone a person chose; None, the installation's, where that is not known here."""
    if not person.time_zone:
        return None
    try:
        return ZoneInfo(person.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None


def on_account_pages(
    answer: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: pages about signing in, which are not ours, tell times in the person's zone too.

    All others do so by `signed_in`; no other address asks who is there.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        person = None
        if request.path.startswith(reverse("account_login").removesuffix("login/")):
            person = request.user
        with timezone.override(of(person) if isinstance(person, Person) else None):
            return answer(request)

    return middleware


@cache
def names() -> list[str]:
    """Return the zones one can choose: UTC, then places by name, without aliases of old."""
    found = zoneinfo.available_timezones()
    return ["UTC", *sorted(name for name in found if name.partition("/")[0] in _PLACES)]


def offset(at: datetime) -> str:
    """Return how far the zone in force is from UTC at a moment: "UTC+01:00"."""
    return f"UTC{timezone.localtime(at).isoformat(timespec='seconds')[19:]}"
