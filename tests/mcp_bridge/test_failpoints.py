"""What becomes of a release that breaks at a named place: the state in the end, and the effects.

The tables are literal: they are what README and SECURITY promise, place by place.
"""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from approvals import failpoints, lifecycle, tasks
from approvals.models import Dispatch, ToolCall, database_now
from mcp_bridge import release
from tests.support.breaking import workers
from tests.support.running import until
from tests.support.upstreams import HttpUpstream
from tests.support.world import REFUND

S = ToolCall.Status
Approved = Callable[..., ToolCall]
End = tuple[str, str, int]
PATIENCE_SECONDS = 10  # for what comes by itself after the call was answered
LEASED = (S.CLAIMED, S.DISPATCHED)

# audit-insert and outbox are passed three times: with the claim, the dispatch and the outcome.
RAISED: dict[str, End] = {
    "after-claim": ("succeeded", "", 1),
    "connect": ("succeeded", "", 1),
    "dispatch-commit": ("failed", "not_sent", 0),
    "first-byte": ("unknown", "", 0),
    "last-byte": ("unknown", "", 1),
    "answer-read": ("succeeded", "", 1),  # unknown for a moment, then read again
    "finish-commit": ("succeeded", "", 1),
    "audit-insert@1": ("succeeded", "", 1),
    "audit-insert@2": ("succeeded", "", 1),
    "audit-insert@3": ("unknown", "", 1),
    "outbox@1": ("succeeded", "", 1),
    "outbox@2": ("succeeded", "", 1),
    "outbox@3": ("succeeded", "", 1),
}
KILLED: dict[str, End] = {
    "after-claim": ("succeeded", "", 1),
    "connect": ("succeeded", "", 1),
    "dispatch-commit": ("unknown", "", 0),
    "first-byte": ("unknown", "", 0),
    "last-byte": ("unknown", "", 1),
    "answer-read": ("unknown", "", 1),
    "finish-commit": ("succeeded", "", 1),
    "audit-insert@1": ("succeeded", "", 1),
    "audit-insert@2": ("succeeded", "", 1),
    "audit-insert@3": ("unknown", "", 1),
    "outbox@1": ("succeeded", "", 1),
    "outbox@2": ("unknown", "", 0),
    "outbox@3": ("succeeded", "", 1),
}
# Whoever wakes after the lease sends nothing that has not begun to leave, and says what it knows.
HUNG: dict[str, End] = {
    "after-claim": ("succeeded", "", 1),
    "connect": ("succeeded", "", 1),
    "dispatch-commit": ("failed", "not_sent", 0),
    "first-byte": ("succeeded", "", 1),
    "last-byte": ("succeeded", "", 1),
    "answer-read": ("succeeded", "", 1),
    "finish-commit": ("succeeded", "", 1),
    "audit-insert@1": ("succeeded", "", 1),
    "audit-insert@2": ("failed", "not_sent", 0),
    "audit-insert@3": ("succeeded", "", 1),
    "outbox@1": ("succeeded", "", 1),
    "outbox@2": ("failed", "not_sent", 0),
    "outbox@3": ("succeeded", "", 1),
}
# Where the row is locked while it hangs, so that no sweep can take it.
WITHIN_A_TRANSACTION = "audit-insert"

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _nothing_armed() -> Any:
    yield
    failpoints.arm("")


def armed(row: str, fault: str) -> str:
    point, _, times = row.partition("@")
    return f"{point}={fault}@{times or 1}"


def broke(row: str) -> bool:
    return row.partition("@")[0] not in failpoints.left()


def fresh(call: ToolCall) -> ToolCall:
    return ToolCall.objects.get(pk=call.pk)


def time_passes(call: ToolCall) -> None:
    """Let the lease and the pause of a call be over."""
    mine = ToolCall.objects.filter(pk=call.pk)
    mine.filter(status__in=LEASED).update(lease_until=database_now())
    mine.filter(status=S.APPROVED).update(not_before=None)


def is_answered(call: ToolCall) -> bool:
    """Do what sweep, clock and broker do in a second; return whether the agent is told by now."""
    time_passes(call)
    tasks.sweep()
    release.release(str(call.pk))
    return fresh(call).status in lifecycle.ANSWERED


def settles_as(wanted: End, call: ToolCall, row: str, billing: HttpUpstream) -> End:
    """Return how it ended, as soon as that is what is wanted; an answer may be late by a moment."""
    until(lambda: is_answered(call), f"the end of a call that broke at {row}", 60)
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := end_of(call, row, billing)) != wanted and time.monotonic() < end:
        threading.Event().wait(0.02)
    return found


def end_of(call: ToolCall, row: str, billing: HttpUpstream) -> End:
    """Return the state, the kind of failure, and how often the upstream acted."""
    now = fresh(call)
    return str(now.status), now.failure_kind, effects(billing, row)


def effects(billing: HttpUpstream, row: str) -> int:
    return [effect["memo"] for effect in billing.effects].count(row)


def at_most_one_dispatch_each(calls: int) -> bool:
    # The guard refuses a second one; here it is asked that nobody even came so far.
    return Dispatch.objects.count() <= calls == ToolCall.objects.count()


def test_a_release_that_breaks_off_ends_as_the_table_says(
    approved: Approved, billing: HttpUpstream
):
    found = {}
    for row, wanted in RAISED.items():
        call = approved(arguments=REFUND | {"memo": row})
        failpoints.arm(armed(row, "raise"))

        with suppress(failpoints.Failed):  # told to the log, where a worker runs
            release.release(str(call.pk))
        assert broke(row), row
        found[row] = settles_as(wanted, call, row, billing)

    assert found == RAISED
    assert at_most_one_dispatch_each(len(RAISED))


def test_a_worker_that_is_killed_leaves_what_the_table_says(
    approved: Approved, billing: HttpUpstream, tmp_path: Path
):
    found = {}
    with workers(str(connection.settings_dict["NAME"]), tmp_path) as processes:
        for row, wanted in KILLED.items():
            call = approved(arguments=REFUND | {"memo": row})

            code = processes.release(call.pk, armed(row, "kill"))

            assert code == -signal.SIGKILL, row
            found[row] = settles_as(wanted, call, row, billing)

    assert found == KILLED
    assert at_most_one_dispatch_each(len(KILLED))


def test_a_worker_that_hangs_past_its_lease_ends_as_the_table_says(
    approved: Approved, billing: HttpUpstream, settings: Any
):
    settings.CLAIM_LEASE_SECONDS = 1
    settings.UPSTREAM_TIMEOUT_SECONDS, settings.ANSWER_GRACE_SECONDS = 2, 0
    found = {}
    for row, wanted in HUNG.items():
        call = approved(arguments=REFUND | {"memo": row})
        failpoints.arm(armed(row, "hang"))
        hanging = threading.Thread(target=release.release, args=(str(call.pk),))
        hanging.start()
        until(partial(broke, row), f"hanging at {row}")

        until_its_lease_is_over(call, row)
        failpoints.arm("")
        hanging.join(30)

        found[row] = settles_as(wanted, call, row, billing)

    assert found == HUNG
    assert at_most_one_dispatch_each(len(HUNG))


def until_its_lease_is_over(call: ToolCall, row: str) -> None:
    """Sweep until the clock has taken the call from who hangs; where it is locked, just wait."""
    if row.startswith(WITHIN_A_TRANSACTION):
        over = threading.Event()
        over.wait(2.2)
        return
    left = fresh(call)

    def is_taken() -> bool:
        tasks.sweep()
        return fresh(call).status not in LEASED

    assert left.status in (*LEASED, S.SUCCEEDED), row
    until(is_taken, f"the sweep taking what hangs at {row}")
