"""In which time zone a person reads times: their own, or the installation's. The trail is UTC."""

import zoneinfo
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

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


@cache
def names() -> list[str]:
    """Return the zones one can choose: UTC, then places by name, without aliases of old."""
    found = zoneinfo.available_timezones()
    return ["UTC", *sorted(name for name in found if name.partition("/")[0] in _PLACES)]


def offset(at: datetime) -> str:
    """Return how far the zone in force is from UTC at a moment: "UTC+01:00"."""
    return f"UTC{timezone.localtime(at).isoformat(timespec='seconds')[19:]}"
