"""Tries of a policy on the calls of the last days, before it lives; they change nothing else.

A try is begun by an administrator, run by a worker of the core queue, and looked after by the
sweep: what no worker took is sent again, and what one left behind has failed.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from approvals import access, canonical, events, freezes, policy, ruling
from approvals.administration import policy as policies
from approvals.administration.past import PastCalls, asked
from approvals.errors import ApprovalsError, NotAllowed
from approvals.models import Backtest, Person, database_now
from approvals.policy.backtesting import Replay
from approvals.policy.comparing import LOOSER, Change, Comparison
from approvals.policy.windows import LONGEST

log = logging.getLogger(__name__)

S = Backtest.State
DAYS = 30
MOST_KEPT = 20  # tries of one person
_DAY = timedelta(hours=26)  # no day of a budget is longer, however clocks are changed on it
_TELL_EVERY = 1_000  # calls
_UNTAKEN = timedelta(seconds=5)  # then its message is taken for lost
_STALE = timedelta(minutes=1)  # without a sign of life
# A policy of a thousand rules fits, each with all that a rule can say.
_MOST_BYTES = 8 * 1024 * 1024
_LIMITS = replace(canonical.DEFINITION, max_keys=100_000)

Tell = Callable[[int, int], None]  # how many of how many calls were tried


@transaction.atomic
def begin(person: Person, document: object, *, days: int = DAYS) -> Backtest:
    """Ask for a try of a policy; one of the same person that still runs is given up for it.

    The same policy, while it is being tried, is the same try.

    Args:
        document: {"rules": [...]}.

    Raises:
        NotAllowed: the person is no administrator.
        InvalidInput: anything in the document is wrong; every place is named.
    """
    permission = access.may_administer(person)
    if not permission:
        raise NotAllowed(permission.why)
    policies.check(document)
    # Whoever asks twice at once: the second finds the first.
    Person.objects.select_for_update(no_key=True).get(pk=person.pk)
    digest, now = _digest(document), database_now()
    running = person.backtests.filter(state=S.RUNNING)
    same = running.filter(document_digest=digest, days=days).first()
    if same is not None:
        return same
    running.update(
        state=S.CANCELLED,
        ended_at=now,
        why="Another policy was tried by the same person meanwhile.",
    )
    backtest = Backtest.objects.create(
        asked_by=person, document=document, document_digest=digest, days=days,
        based_on=ruling.in_force().version, begun_at=now, moved_at=now,
    )  # fmt: skip
    kept = person.backtests.order_by("-begun_at").values_list("pk", flat=True)[:MOST_KEPT]
    person.backtests.exclude(pk__in=list(kept)).delete()
    transaction.on_commit(lambda: events.start_backtest(backtest.pk), robust=True)
    return backtest


def latest_for(person: Person, document: object) -> Backtest | None:
    """Return the person's newest try of this very policy."""
    tries = person.backtests.filter(document_digest=_digest(document))
    return tries.order_by("-begun_at").first()


def summary(backtest: Backtest) -> dict[str, Any]:
    """Return what a try found, small enough to be kept with a version; empty until it is done."""
    if backtest.state != S.DONE:
        return {}
    return {"try": backtest.pk, "days": backtest.days, **brief(backtest.result)}


def brief(result: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of a result, without what is listed."""
    changed = result["changed"]
    return {
        **{key: result[key] for key in ("since", "until", "calls", "before", "after", "changed")},
        "looser": sum(changed[how] for how in LOOSER),
        "stricter": sum(changed[how] for how in Change if how not in LOOSER),
        "unjudged": sum(one["calls"] for one in result["unjudged"]),
    }


def tried(rules: Sequence[policy.Rule], until: datetime, days: int, tell: Tell) -> dict[str, Any]:
    """Return what these rules would have done with the calls before a moment.

    Args:
        days: of 24 hours, back from there.
        tell: is told now and then how far it is; what it raises ends the try.
    """
    zone, since = timezone.get_default_timezone(), until - timedelta(days=days)
    # From here on calls are judged, so that what the first ones find of budgets is what the rules
    # would have left; what these read of history lies before.
    judged_since = since - _DAY
    calendar = freezes.between(judged_since, until)
    replay = Replay(rules, zone, calendar.admit)
    comparison = Comparison(since, until, zone)
    total, told = asked(since, until).count(), 0
    tell(0, total)
    for calls in PastCalls(rules).between(judged_since - LONGEST, until):
        for call in calls:
            if call.asked_at >= since:
                comparison.add(call, replay.judge(call))
            elif call.asked_at >= judged_since:
                replay.judge(call)
            else:
                replay.see(call)
        if comparison.calls >= told + _TELL_EVERY:
            told = comparison.calls
            tell(told, total)
    return comparison.as_dict()


def run(backtest_id: int) -> None:
    """Carry a try out, unless somebody does or did already: a message may come twice, or late."""
    now = database_now()
    waiting = Backtest.objects.filter(pk=backtest_id, state=S.RUNNING, taken_at=None)
    if not waiting.update(taken_at=now, moved_at=now):
        return
    backtest = Backtest.objects.get(pk=backtest_id)
    try:
        rules = policy.load(backtest.document)
        result = tried(rules, backtest.begun_at, backtest.days, lambda *far: _tell(backtest, *far))
    except _GivenUp:
        return
    except ApprovalsError as error:
        _end(backtest_id, S.FAILED, why=error.message[:500])
    except Exception:
        log.exception("The try %s of a policy failed.", backtest_id)
        _end(backtest_id, S.FAILED, why="Something went wrong that nobody foresaw; the log has it.")
    else:
        _end(backtest_id, S.DONE, result=result, done=result["calls"], total=result["calls"])


def look_after(now: datetime) -> None:
    """Send again what no worker took, and end what one left behind."""
    running = Backtest.objects.filter(state=S.RUNNING)
    for pk in running.filter(taken_at=None, moved_at__lte=now - _UNTAKEN).values_list(
        "pk", flat=True
    ):
        running.filter(pk=pk).update(moved_at=now)
        events.start_backtest(pk)
    running.exclude(taken_at=None).filter(moved_at__lte=now - _STALE).update(
        state=S.FAILED, ended_at=now, why="The process that ran it ended; try again."
    )


class _GivenUp(Exception):
    """Somebody has ended the try meanwhile."""


def _tell(backtest: Backtest, done: int, total: int) -> None:
    running = Backtest.objects.filter(pk=backtest.pk, state=S.RUNNING)
    if not running.update(done=done, total=total, moved_at=database_now()):
        raise _GivenUp


def _end(backtest_id: int, state: Backtest.State, **columns: object) -> None:
    now = database_now()
    running = Backtest.objects.filter(pk=backtest_id, state=S.RUNNING)
    running.update(state=state, ended_at=now, moved_at=now, **columns)


def _digest(document: object) -> str:
    return canonical.digest(canonical.to_bytes(document, max_bytes=_MOST_BYTES, limits=_LIMITS))
