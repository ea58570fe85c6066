"""Whose call is claimed next: so many at once for each upstream, and agents take turns."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet

from approvals.errors import Conflict
from approvals.lifecycle.moving import locked
from approvals.lifecycle.releasing import Claim, leased
from approvals.lifecycle.states import S
from approvals.models import ToolCall, Upstream, bound_waiting, database_now

_ASIDE = timedelta(seconds=60)  # for a call that cannot be claimed, until it is tried again
_FROZEN_SECONDS = 10  # a worker that stands still with the lock loses it; its claim is undone
_WAIT_SECONDS = 1  # for such a lock: what waits longer is left to the next sweep


def claim_next(upstream_id: int, *, worker: str) -> Claim | None:
    """Lease the call of an upstream whose turn it is.

    At most RELEASES_PER_UPSTREAM calls of an upstream are claimed or dispatched at once. That is
    counted in the database, one claim after the other, so it holds for all workers together; what
    a dead one left counts until the sweep has ended it. Agents take turns; of one agent's calls the
    one approved first comes first.

    Returns:
        None: nothing is ready, or as many as may be are at the upstream.

    Raises:
        Conflict: the call moved on meanwhile; another may be ready.
        OperationalError: the database is away, or somebody stands still while claiming.
    """
    # A look without a lock first: most workers are woken for what another has claimed already.
    if _ready(upstream_id).first() is None or _is_full(upstream_id):
        return None
    chosen: ToolCall | None = None
    try:
        with transaction.atomic(durable=True):
            turn_of = _locked_turn(upstream_id)
            if turn_of is None or _is_full(upstream_id):
                return None
            chosen = _next(upstream_id, after=turn_of)
            if chosen is None:
                return None
            Upstream.objects.filter(pk=upstream_id).update(turn_of=chosen.agent_id)
            return leased(locked(chosen.pk), worker)
    except (Conflict, OperationalError, InterfaceError):
        raise  # the moment, or the database; not the call
    except Exception as error:
        if chosen is not None:
            _set_aside(chosen.pk, error)
        raise


def _ready(upstream_id: int) -> QuerySet[ToolCall]:
    """Return what can be claimed, in the order of call_of_upstream: without one, all is scanned."""
    now = database_now()
    ready = ToolCall.objects.filter(
        Q(not_before=None) | Q(not_before__lte=now),
        upstream=upstream_id,
        status=S.APPROVED,
        run_by_at__gt=now,
    )
    return ready.order_by("agent_id", "moved_at").only("agent_id")


def _is_full(upstream_id: int) -> bool:
    there = ToolCall.objects.filter(upstream=upstream_id, status__in=(S.CLAIMED, S.DISPATCHED))
    return there.count() >= settings.RELEASES_PER_UPSTREAM


def _locked_turn(upstream_id: int) -> int | None:
    """Let one claim of an upstream come after the other; return whose turn was the last."""
    bound_waiting(still_seconds=_FROZEN_SECONDS, lock_seconds=_WAIT_SECONDS)
    row = Upstream.objects.select_for_update(no_key=True).filter(pk=upstream_id)
    return row.values_list("turn_of", flat=True).first()


def _next(upstream_id: int, *, after: int) -> ToolCall | None:
    """Return the oldest ready call of the next agent that has one; by ids, round and round."""
    ready = _ready(upstream_id)
    return ready.filter(agent__gt=after).first() or ready.filter(agent__lte=after).first()


def _set_aside(call_id: UUID, error: Exception) -> None:
    """Let the others have their turn: a call that cannot be claimed would be chosen for ever."""
    why = (str(error).partition("\n")[0] or repr(error))[:500]
    ToolCall.objects.filter(pk=call_id, status=S.APPROVED).update(
        needs_attention=why, not_before=database_now() + _ASIDE
    )
