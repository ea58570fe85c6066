"""Who stands behind a socket, what their pages may hear of, and how many sockets they have open."""

from collections import Counter
from collections.abc import Collection
from importlib import import_module
from typing import Any

from channels.auth import get_user
from channels.db import database_sync_to_async
from django.conf import settings

from approvals import access, events
from approvals.models import Domain, Person

MOST_SOCKETS = 10  # of one person, in one process
_open: Counter[int] = Counter()


async def person_of(session_key: str | None) -> Person | None:
    """Return who is signed in with a session now; None once it, they or their password ended."""
    if not session_key:
        return None
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore
    scope: Any = {"session": store(session_key)}
    user = await get_user(scope)
    return user if isinstance(user, Person) else None


@database_sync_to_async
def groups_of(person: Person) -> set[str]:
    """Return the channel groups whose news may concern a person's pages."""
    sees_all = person.is_auditor or person.is_administrator
    domains = Domain.objects.all() if sees_all else access.domains_of(person)
    ids = domains.values_list("pk", flat=True)
    return {events.person_group(person.pk), *map(events.domain_group, ids)}


@database_sync_to_async
def visible(person: Person, call_ids: Collection[str]) -> set[str]:
    """Return which of these calls the person may see now."""
    calls = access.visible_to(person).filter(pk__in=call_ids)
    return {str(pk) for pk in calls.values_list("pk", flat=True)}


def enter(person: Person) -> bool:
    """Count one more socket of a person; False when there are as many as there may be."""
    if _open[person.pk] >= MOST_SOCKETS:
        return False
    _open[person.pk] += 1
    return True


def leave(person_id: int) -> None:
    """Count one socket less."""
    _open[person_id] -= 1
    if not _open[person_id]:
        del _open[person_id]
