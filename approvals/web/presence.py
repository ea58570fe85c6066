"""Who else looks at a call: the page asks every ten seconds, and that question is the presence."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from approvals import access, observations
from approvals.errors import NotFound
from approvals.models import Look, Person, ToolCall, database_now
from approvals.translating import translated
from approvals.web.accounts import signed_in
from approvals.web.showing import Looking


@signed_in
def presence(request: HttpRequest, person: Person, call_id: UUID) -> HttpResponse:
    """Note that this person looks at the call, and say who else does; it changes nothing else."""
    try:
        call = access.get_call(person, call_id)
    except NotFound as error:
        raise Http404(translated(error.message)) from None
    observations.looked(call, person)
    context = {"call": call, "looking": looking_at([call], person, database_now()).get(call.pk)}
    return render(request, "approvals/_presence.html", context)


def looking_at(
    calls: Collection[ToolCall], person: Person, now: datetime
) -> Mapping[UUID, Looking]:
    """Return who but this person looks at these calls, by call; one query for all of them."""
    looks = (
        Look.objects.filter(call__in=calls, at__gt=now - observations.LOOK_LASTS)
        .exclude(person=person)
        .select_related("person")
        .order_by("pk")
    )
    found: dict[UUID, list[Look]] = defaultdict(list)
    for look in looks:
        found[look.call_id].append(look)
    return {call_id: _looking(looks, now) for call_id, looks in found.items()}


def _looking(looks: list[Look], now: datetime) -> Looking:
    first_over = min(look.at for look in looks) + observations.LOOK_LASTS
    return Looking(
        names=tuple(look.person.display_name for look in looks),
        seconds=max(1, int((first_over - now).total_seconds()) + 1),
    )
