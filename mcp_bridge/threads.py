"""The threads in which async code talks to the database; anything in mcp_bridge may use them.

Connections stay open between jobs, because opening one costs more than most jobs do; each is
closed by the thread that opened it, and after any error.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from django.db import Error, connections

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_Job = Callable[[], None]
_IDLE_SECONDS = 5.0  # a connection unused for longer is tried before it is trusted again


class DatabaseThreads:
    """A few threads with database connections of their own; started at the first job."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a blocking function returns, or raise what it raises.

        A caller that is cancelled stops waiting; the function runs to its end all the same.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result, failure = function(*args, **kwargs), None
            except Exception as error:  # noqa: BLE001 - raised again where it is awaited
                result, failure = None, error
                if isinstance(error, Error):
                    # A broken connection must not meet the next job.
                    connections.close_all()
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(_settle, answer, result, failure)

        self._start()
        self._jobs.put(job)
        return await answer

    def close(self) -> None:
        """End the threads after the jobs they have, and close their connections."""
        with self._lock:
            threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(10)

    def _start(self) -> None:
        with self._lock:
            if self._threads:
                return
            self._threads = [
                threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
                for number in range(self._size)
            ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        used_at = time.monotonic()
        while (job := self._jobs.get()) is not None:
            if time.monotonic() - used_at > _IDLE_SECONDS:
                for connection in connections.all(initialized_only=True):
                    vars(connection)["health_check_done"] = False
            job()
            used_at = time.monotonic()
        connections.close_all()


def _settle(answer: asyncio.Future[Any], result: object, failure: Exception | None) -> None:
    if answer.done():
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(result)


_shared = DatabaseThreads(6, "bridge-db")
_background: set[asyncio.Task[None]] = set()


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run synchronous ORM code in a thread of this process's shared ones."""
    return await _shared.run(function, *args, **kwargs)


def in_background(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ORM code that nobody waits for; should it fail, that costs a line in the log."""

    async def run() -> None:
        try:
            await in_database(function, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - nobody is there to be told
            log.warning("Not noted: %s (%s).", getattr(function, "__name__", function), error)

    task = asyncio.create_task(run())
    _background.add(task)
    task.add_done_callback(_background.discard)


async def close() -> None:
    """Let what runs in the background end, then the shared threads; the next job starts new."""
    if mine := [task for task in _background if task.get_loop() is asyncio.get_running_loop()]:
        await asyncio.wait(mine, timeout=5)
    _shared.close()
