"""The steps of one release on the worker's event loop; `release` hands calls over to it.

Claim, connect and look at the tool again: all of that may be repeated. Then the dispatch is
committed, and only after that a byte leaves, once. Every step's truth is the call's row.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseTrouble  # whatever a database's driver may raise

from approvals import bindings, failpoints, lifecycle
from approvals.errors import ApprovalsError, Conflict, NotFound
from approvals.models import ToolCall, Upstream
from approvals.outcomes import UNKNOWN, Outcome
from mcp_bridge.threads import DatabaseThreads, in_database
from mcp_bridge.upstreams import catalog
from mcp_bridge.upstreams.breaker import Breaker, Trial
from mcp_bridge.upstreams.connections import Connection
from mcp_bridge.upstreams.opened import Open
from mcp_bridge.upstreams.sending import Sending, parameters
from mcp_bridge.upstreams.sessions import Sessions
from mcp_bridge.upstreams.targets import WRITE

log = logging.getLogger(__name__)

LATE_SECONDS = 600.0  # how long the answer of a call that became unknown is still listened for
_NOT_SENT = ToolCall.Failure.NOT_SENT
_TAKEN_AWAY = "The upstream server was taken away after the call was made."
_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # while the database is away


@dataclass(frozen=True)
class _Ready:
    """What a dispatch needs: where to send, what was seen there, and what to send."""

    connection: Connection
    session: Open
    seen: bindings.Seen
    params: dict[str, Any]


class Releases:
    """Everything this process releases, and the sessions it does that with."""

    def __init__(self, worker: str, may_claim: Callable[[], bool]) -> None:
        """Prepare; used on one event loop.

        Args:
            worker: signs claims and dispatches.
            may_claim: whether the process still takes on work.
        """
        self.sessions = Sessions(WRITE)
        self._worker = worker
        self._may_claim = may_claim
        self._busy: Counter[int] = Counter()  # calls this process has at each upstream
        self._breakers: dict[int, Breaker] = {}
        self._late: set[asyncio.Task[None]] = set()
        # Claims of an upstream wait for each other, at worst for a process that stands still. What
        # is on its way must not wait behind them: an answer not written down in time is unknown.
        self._claims = DatabaseThreads(3, "claims")

    async def release(self, call_id: UUID) -> None:
        """Release what is ready at a call's upstream, in turn; return when nothing is left to do.

        Safe to call twice, late, or for a call that needs no release. Each call is released at
        most once, and the one that was named is not always the one whose turn it is.
        """
        call = await in_database(_approved, call_id)
        if call is not None and self._has_room(call.upstream_id):
            await self._work_off(call.upstream)

    async def refresh(self, upstream_id: int) -> None:
        """Read an upstream's list again with this worker's credentials.

        Raises:
            NotFound, TemporarilyUnavailable.
        """
        connection = await self.sessions.connection(upstream_id)
        await catalog.refresh(connection, actor=f"worker:{self._worker}")

    async def close(self) -> None:
        """Leave every session, and listen for late answers no longer."""
        for task in self._late:
            task.cancel()
        await self.sessions.close()
        await asyncio.to_thread(self._claims.close)

    def _has_room(self, upstream_id: int) -> bool:
        """Tell whether this process alone has not filled the upstream; the database counts all."""
        return self._busy[upstream_id] < settings.RELEASES_PER_UPSTREAM

    async def _work_off(self, upstream: Upstream) -> None:
        """Claim and carry out, as many at once as may be, until nothing can be claimed."""
        running = set[asyncio.Task[None]]()
        self._start_runner(upstream, running)
        broken: BaseException | None = None
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running -= done
            broken = next((e for e in map(asyncio.Task.exception, done) if e), broken)
        if broken is not None:
            raise broken

    def _start_runner(self, upstream: Upstream, running: "set[asyncio.Task[None]]") -> None:
        running.add(asyncio.create_task(self._run(upstream, running)))

    async def _run(self, upstream: Upstream, running: "set[asyncio.Task[None]]") -> None:
        """Release one call after the other; whatever ends leaves its place to the next."""
        breaker = self._breakers.setdefault(upstream.pk, Breaker(settings.BREAKER_FAILURES))
        while True:
            with breaker.trial() as trial:
                if trial is None or not self._may_claim():
                    return
                try:
                    claim = await self._claims.run(
                        lifecycle.claim_next, upstream.pk, worker=self._worker
                    )
                except Conflict:
                    continue  # withdrawn or expired in that moment
                except DatabaseTrouble as error:
                    log.warning("Nothing was claimed (%s); the sweep wakes us again.", error)
                    return
                if claim is None:
                    return
                self._busy[upstream.pk] += 1
                try:
                    failpoints.hit("after-claim")
                    if self._has_room(upstream.pk):
                        self._start_runner(upstream, running)
                    await self._carry_out(claim, trial)
                finally:
                    self._busy[upstream.pk] -= 1
            if breaker.is_open:
                seconds = breaker.pause_seconds
                log.warning("Upstream %s keeps failing: no claims for %.0f s.", upstream, seconds)

    async def _carry_out(self, claim: lifecycle.Claim, trial: Trial) -> None:
        ready = await self._ready(claim, trial)
        if ready is None:
            return
        # A session that is left meanwhile stays until this is answered.
        with ready.session.used():
            over = time.monotonic() + _lease_seconds()
            try:
                await in_database(lifecycle.dispatch, claim, seen=ready.seen)
                failpoints.hit("dispatch-commit")
            except Conflict:
                return  # void, expired, or no longer ours: nothing was sent
            except Exception as error:  # noqa: BLE001 - whatever it was, nothing was sent
                await _after_unclear_commit(claim, error)
                return
            sending = Sending(
                ready.connection, ready.params, bytes(claim.call.arguments), ready.session, over
            )
            outcome = await sending.outcome(settings.UPSTREAM_TIMEOUT_SECONDS)
        trial.ended_well = outcome.status != UNKNOWN and outcome.failure_kind != _NOT_SENT
        if outcome.status == UNKNOWN:
            self._listen_late(claim, sending)
        await _finish(claim, outcome)

    async def _ready(self, claim: lifecycle.Claim, trial: Trial) -> _Ready | None:
        """Return everything a dispatch needs; None when the call is void or was given back."""
        call, actor = claim.call, f"worker:{claim.worker}"
        try:
            params = parameters(call.pk, call.tool.name, bytes(call.arguments))
            async with _renewed(claim):
                ready = await self._looked_at(call, params)
        except (ValueError, NotFound) as error:
            why = _TAKEN_AWAY if isinstance(error, NotFound) else str(error)
            await _quietly(lifecycle.void, call.pk, actor=actor, reason=why)
        except ApprovalsError as error:
            trial.ended_well = False
            await _quietly(lifecycle.unclaim, claim, reason=error.message)
        else:
            if self._may_claim():
                return ready
            # What is not sent before the process goes must not be half sent when it does.
            await _quietly(lifecycle.unclaim, claim, reason="The worker stopped; nothing was sent.")
        return None

    async def _looked_at(self, call: ToolCall, params: dict[str, Any]) -> _Ready:
        """Connect and look at the tool again; free to redo, because nothing is sent.

        Raises:
            NotFound: the upstream is switched off.
            ApprovalsError: it cannot be reached now, or does not list its tools.
        """
        connection = await self.sessions.connection(call.upstream_id)
        session = await connection.opened()
        failpoints.hit("connect")
        try:
            listing = await catalog.read_list(connection, session)
        except ApprovalsError:
            session = await connection.opened()  # another one: that was stale
            listing = await catalog.read_list(connection, session)
        tool = next((entry for entry in listing.tools if entry.name == call.tool.name), None)
        digest = catalog.digest_of(tool) if tool else ""
        if digest != call.definition_digest:
            # The catalogue learns it here, so that the tool is changed before anybody asks again.
            await catalog.take_over(connection, listing, actor=f"worker:{self._worker}")
        target = connection.target
        seen = bindings.Seen(digest, target.address, target.credential_ref)
        return _Ready(connection, session, seen, params)

    def _listen_late(self, claim: lifecycle.Claim, sending: Sending) -> None:
        """Record a definite answer that comes after the call was called unknown."""

        async def listen() -> None:
            outcome = await sending.outcome(LATE_SECONDS)
            if outcome.status != UNKNOWN:
                await _finish(claim, outcome)

        task = asyncio.create_task(listen())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


def _approved(call_id: UUID) -> ToolCall | None:
    """Return a call that waits for a worker, and its upstream's name; no lock."""
    waiting = ToolCall.objects.filter(pk=call_id, status=ToolCall.Status.APPROVED)
    return waiting.select_related("upstream").only("upstream__name").first()


@asynccontextmanager
async def _renewed(claim: lifecycle.Claim) -> AsyncIterator[None]:
    """Keep a claim's lease from running out while connecting takes its time."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(settings.CLAIM_LEASE_SECONDS / 3)
            try:
                await in_database(lifecycle.renew, claim)
            except (Conflict, DatabaseTrouble) as error:
                log.info("The lease of call %s is not renewed: %s", claim.call_id, error)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()


def _lease_seconds() -> float:
    """Return how long after its dispatch a call is this worker's; then it is unknown."""
    return float(settings.UPSTREAM_TIMEOUT_SECONDS + settings.ANSWER_GRACE_SECONDS)


async def _finish(claim: lifecycle.Claim, outcome: Outcome) -> None:
    """Record the outcome; a database that is away for a while must not cost it."""
    for pause in (*_PAUSES, None):
        try:
            await in_database(lifecycle.finish, claim, outcome)
        except Conflict:
            return  # settled by a person meanwhile
        except DatabaseTrouble:
            if pause is None:
                log.exception("The outcome of call %s is lost; the sweep ends it.", claim.call_id)
                return
            await asyncio.sleep(pause)
        else:
            failpoints.hit("finish-commit")
            return


async def _after_unclear_commit(claim: lifecycle.Claim, error: Exception) -> None:
    """Send nothing, and read again: only the row knows whether the dispatch was committed."""
    log.error("The dispatch of call %s may not have been committed.", claim.call_id, exc_info=error)
    for pause in (*_PAUSES, None):
        try:
            await in_database(_undo, claim)
        except DatabaseTrouble:
            if pause is None:
                return  # leases run out: given back where it was claimed, else unknown
            await asyncio.sleep(pause)
        else:
            return


def _undo(claim: lifecycle.Claim) -> None:
    """Say of a dispatch that was committed that nothing was sent; else give the claim back."""
    why = "The database did not confirm the dispatch, so nothing was sent."
    call = ToolCall.objects.get(pk=claim.call_id)
    try:
        if call.status == ToolCall.Status.CLAIMED and call.fence == claim.fence:
            lifecycle.unclaim(claim, reason=why)
        else:
            lifecycle.finish(claim, Outcome.failed(ToolCall.Failure.NOT_SENT, why))
    except Conflict:
        return  # it moved on meanwhile, or is not ours


async def _quietly(verb: Any, *args: object, **options: object) -> None:
    try:
        await in_database(verb, *args, **options)
    except Conflict:
        log.info("The call moved on meanwhile.")
    except DatabaseTrouble as error:
        log.warning("The database is away: %s", error)
