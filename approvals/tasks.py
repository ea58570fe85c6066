"""The sweep: once a second it finds what time, a crash or a lost message left behind."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from celery import current_app, shared_task
from django.conf import settings
from django.db import OperationalError
from django.db.models import OuterRef, Q, QuerySet, Subquery
from kombu.exceptions import OperationalError as BrokerError

from approvals import access, events, lifecycle, observations
from approvals.administration import backtests, catalog, proposals
from approvals.errors import Conflict
from approvals.models import AuditEvent, Domain, Heartbeat, ToolCall, Upstream, database_now

log = logging.getLogger(__name__)

S = ToolCall.Status
SWEEP = "sweep"  # the heartbeat's name
_AT_ONCE = 200  # rows of one kind in one round; the next round is a second away
_LONGEST_QUEUE = 50  # messages of one domain; more would only wait for a worker that is dead
_REACH = ("status", "domain", "rule", "quorum", "four_eyes", "owner", "acts_for", "version",
          "is_out_of_reach")  # fmt: skip
_REACH_SETTLES = timedelta(seconds=10)  # no transaction takes longer to decide or to hold a call
_BROKER_SECONDS = 1  # to reach it; a broker that is down must not hold up the sweep


@shared_task(name="approvals.sweep", ignore_result=True)
def sweep() -> None:
    """Expire, give back, lose, void, wake what is due. Safe to run twice, late or beside itself."""
    now = database_now()
    for calls, verb in _due(now):
        _each(calls, verb)
    _look_at_reach(now)
    _see_to_proposals(now)
    observations.close_repeats(after=timedelta(minutes=10))
    backtests.look_after(now)
    _wake(now)
    if settings.IS_EMBEDDED:
        _republish()
    Heartbeat.objects.update_or_create(name=SWEEP, defaults={"at": database_now()})


@shared_task(name="approvals.backtest", ignore_result=True)
def backtest(backtest_id: int) -> None:
    """Try a policy on past calls. Safe to deliver twice or never."""
    backtests.run(backtest_id)


def _see_to_proposals(now: datetime) -> None:
    for verb in (proposals.expire, proposals.apply_due):
        try:
            verb(now)
        except OperationalError:
            raise  # the database: the next round is a second away
        except Exception:
            log.exception("Proposals cannot be seen to; calls have their turn.")


def _due(now: datetime) -> Iterable[tuple[Iterable[UUID], Callable[[UUID], object]]]:
    # Those that could not be moved before come last, or enough of them would fill every round.
    calls = ToolCall.objects.order_by("needs_attention", "created_at")
    late = Q(status=S.PENDING, decide_by_at__lte=now) | Q(status=S.APPROVED, run_by_at__lte=now)
    over = Q(status=S.CLAIMED, lease_until__lte=now)
    due = calls.filter(status=S.PENDING, attend_at__lte=now, decide_by_at__gt=now)
    yield _ids(due), lifecycle.attend
    yield _ids(calls.filter(late | (over & Q(run_by_at__lte=now)))), lifecycle.expire
    yield _ids(calls.filter(over)), lifecycle.lapse
    yield _ids(calls.filter(status=S.DISPATCHED, lease_until__lte=now)), _lose
    stale = dict(catalog.stale_calls()[:_AT_ONCE])
    yield stale, lambda pk: lifecycle.void(pk, actor="clock", reason=stale[pk])


def _ids(calls: QuerySet[ToolCall]) -> list[UUID]:
    return list(calls.values_list("pk", flat=True)[:_AT_ONCE])


def _each(calls: Iterable[UUID], verb: Callable[[UUID], object]) -> None:
    """Do a verb on each call; one that cannot be moved must not keep the others waiting."""
    for call_id in calls:
        try:
            verb(call_id)
        except Conflict:
            continue  # it moved on meanwhile: nothing to do
        except OperationalError:
            raise  # the database, not the row: the next round is a second away
        except Exception as error:  # noqa: BLE001 - whatever it is, the others have their turn
            _park(call_id, error)


def _park(call_id: UUID, error: Exception) -> None:
    """Mark a call for people to look at; told once, not with every round."""
    why = (str(error).partition("\n")[0] or repr(error))[:500]
    unmarked = ToolCall.objects.filter(pk=call_id).exclude(needs_attention=why)
    if unmarked.update(needs_attention=why):
        log.error("Call %s cannot be moved.", call_id, exc_info=error)


def _look_at_reach(now: datetime) -> None:
    """Look at every call that waits where who approves has changed lately."""
    changed = Domain.objects.filter(people_changed_at__isnull=False)
    for domain, at in list(changed.values_list("pk", "people_changed_at")):
        pending = ToolCall.objects.filter(domain=domain, status=S.PENDING)
        calls = list(pending.only(*_REACH).prefetch_related("decisions"))
        stuck = access.out_of_reach(calls)
        news = [call.pk for call in calls if (call.pk in stuck) != call.is_out_of_reach]
        _each(news, lifecycle.look_at_reach)
        # Not at once: what was under way then may have been written by who knew nothing of it.
        if at is not None and at <= now - _REACH_SETTLES:
            changed.filter(pk=domain, people_changed_at=at).update(people_changed_at=None)


def _lose(call_id: UUID) -> None:
    lifecycle.lose(
        call_id,
        reason="No answer came in time; it may have happened.",
        only_if=lambda call: call.lease_until is not None and call.lease_until <= database_now(),
    )


def _wake(now: datetime) -> None:
    """Ask workers for approved calls whose message was lost, and only over a short queue.

    One call of each upstream: whoever is woken takes on everything that is ready there, in turn.
    """
    # One second's grace: a call approved just now has its own message under way.
    ready = ToolCall.objects.filter(
        Q(not_before=None) | Q(not_before__lte=now), status=S.APPROVED, run_by_at__gt=now,
        moved_at__lte=now - timedelta(seconds=1), upstream=OuterRef("pk"),
    )  # fmt: skip
    # In the order of an index that begins with the upstream: any other would scan all that wait.
    ready = ready.order_by("agent_id", "moved_at")
    upstreams = Upstream.objects.annotate(woken=Subquery(ready.values("pk")[:1]))
    woken: dict[str, list[UUID]] = {}
    for name, call_id in upstreams.exclude(woken=None).values_list("domain__name", "woken"):
        woken.setdefault(name, []).append(call_id)
    if not woken:
        return
    with current_app.connection_for_read() as broker:
        unreachable: tuple[type[BaseException], ...] = (BrokerError, *broker.connection_errors)
        try:
            broker.ensure_connection(max_retries=1, timeout=_BROKER_SECONDS)
            waiting = {
                name: events.messages_waiting(events.release_queue(name), broker) for name in woken
            }
        except unreachable as error:
            log.warning("Releases were not woken (%s); the next sweep tries again.", error)
            return
    for name, call_ids in woken.items():
        if waiting[name] < _LONGEST_QUEUE:
            for call_id in call_ids:
                events.wake_release(call_id, name)


class _Published:
    """How far this process has told its pages what happened."""

    event_id: int | None = None


def _republish() -> None:
    """Tell this process's pages what another process did.

    The embedded default has no Redis that would carry a command's hints here; a hint given twice
    does no harm.
    """
    newest = AuditEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    since, _Published.event_id = _Published.event_id, newest
    if since is None or newest <= since:
        return
    changed = AuditEvent.objects.filter(pk__gt=since, stream__startswith="call:")
    ids = {stream.removeprefix("call:") for stream in changed.values_list("stream", flat=True)}
    for call in ToolCall.objects.select_related("domain").filter(pk__in=ids):
        events.publish_on_commit(call)
