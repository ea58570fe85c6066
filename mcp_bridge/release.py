"""The Celery tasks of the bridge: release one approved call, and read an upstream's list again.

One event loop in a thread of its own does the work and owns this process's sessions with the write
credentials. A worker's thread only hands a call over, so that one slow upstream cannot use all of
them up; who calls a task as a function waits for its end.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from celery import Task, shared_task

from approvals.errors import ApprovalsError
from mcp_bridge.upstreams.releasing import Releases

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.5


@shared_task(bind=True, name="mcp_bridge.release", ignore_result=True)
def release(task: "Task[Any, Any]", call_id: str) -> None:
    """Release one approved call, at most once. Safe to deliver twice or never."""
    _hand_over(task, _work.releases().release(UUID(call_id)))


@shared_task(bind=True, name="mcp_bridge.refresh", ignore_result=True)
def refresh(task: "Task[Any, Any]", upstream_id: int) -> None:
    """Read an upstream's list again, with this worker's credentials."""

    async def quietly() -> None:
        try:
            await _work.releases().refresh(upstream_id)
        except ApprovalsError as error:
            log.info("Upstream %s was not refreshed: %s", upstream_id, error)

    _hand_over(task, quietly())


def worker_name() -> str:
    """Return what claims and dispatches of this process are signed with."""
    return f"{socket.gethostname()}-{os.getpid()}"


def stop_claiming() -> None:
    """Claim nothing more in this process; what runs goes on."""
    _work.is_stopping = True


def wait_idle(seconds: float) -> int:
    """Wait for releases that run, then leave every session; return how many still run."""
    return _work.end(seconds)


def _hand_over(task: "Task[Any, Any]", work: Coroutine[Any, Any, None]) -> None:
    running = _work.start(work)
    if running is not None and task.request.called_directly:
        running.result()


class _Work:
    """What runs in this process, and the loop it runs on; the loop starts at the first use."""

    def __init__(self) -> None:
        self.is_stopping = False
        self._changed = threading.Condition()
        self._running: set[Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._releases: Releases | None = None

    def releases(self) -> Releases:
        """Return what releases; only its loop may use it."""
        with self._changed:
            if self._releases is None:
                self._releases = Releases(worker_name(), lambda: not self.is_stopping)
            return self._releases

    def start(self, work: Coroutine[Any, Any, None]) -> "Future[None] | None":
        """Run a coroutine on the loop, unless the process is stopping."""
        with self._changed:
            if self.is_stopping:
                work.close()
                return None
            future = asyncio.run_coroutine_threadsafe(work, self._started())
            self._running.add(future)
        future.add_done_callback(self._done)
        return future

    def end(self, seconds: float) -> int:
        """Wait until nothing runs, at most that long, then close sessions; return what still runs.

        Where something still runs, no session is closed: that would end an upstream in the middle
        of its work, and make an outcome unknown that the next start is there to judge.
        """
        end = time.monotonic() + max(0.0, seconds)
        with self._changed:
            while self._running and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            remaining, loop, releases = len(self._running), self._loop, self._releases
        if not remaining and loop is not None and releases is not None:
            closing = asyncio.run_coroutine_threadsafe(releases.close(), loop)
            try:
                closing.result(_CLOSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - the process ends anyway
                log.info("Sessions were not left in time: %s", type(error).__name__)
        return remaining

    def _done(self, future: "Future[None]") -> None:
        with self._changed:
            self._running.discard(future)
            self._changed.notify_all()
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("A release broke off; the sweep finds the call.", exc_info=error)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="upstreams", daemon=True).start()
        return self._loop


_work = _Work()
