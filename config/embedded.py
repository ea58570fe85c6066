"""A Celery worker, and beat, as threads of a process that does something else as well.

`up` runs both beside the web server; `worker` runs the worker alone. Celery's own command installs
signal handlers and waits for ever on a stop; a release may take long, so both are left out here.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence

from celery import Celery
from celery.beat import Scheduler, Service
from celery.worker import WorkController, state
from django.db import DatabaseError, connection

from approvals.events import release_queue
from approvals.models import Domain

log = logging.getLogger(__name__)

CORE = "core"  # sweeps and other timed work
_FOLLOW_SECONDS = 1.0
_AGAIN_SECONDS = 1.0


class EmbeddedWorker:
    """A Celery worker in a thread, which follows domains as they are created."""

    def __init__(
        self, app: Celery, *, domains: Sequence[str] = (), concurrency: int = 8, name: str
    ) -> None:
        """Prepare a worker.

        Args:
            domains: whose releases it takes; empty means every domain, and the core queue too.
            name: its node name, unique among running workers.
        """
        self._app = app
        self._domains = tuple(domains)
        self._concurrency = concurrency
        self._name = name
        self._queues: set[str] = set()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._controller: WorkController | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads; return when the worker takes messages.

        Raises:
            RuntimeError: it did not come up within 20 s.
        """
        self._queues = self._wanted()
        self._run(self._work, "celery-worker")
        if not self._ready.wait(20):
            raise RuntimeError("The Celery worker did not start.")
        if not self._domains:
            self._run(self._follow, "celery-follow")

    def stop(self, timeout_seconds: float) -> bool:
        """Take no more messages; return whether everything ended in time."""
        self._stop.set()
        vars(state)["should_stop"] = 0  # the consumer's loop leaves at its next tick
        for thread in self._threads:
            thread.join(timeout_seconds)
        return not any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        """Block until the worker ends."""
        self._threads[0].join()

    def _run(self, target: Callable[[], None], name: str) -> None:
        def guarded() -> None:
            try:
                target()
            except (SystemExit, KeyboardInterrupt):
                pass
            except Exception:
                log.exception("The thread %s died.", name)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self) -> None:
        """Run a controller, and another one whenever it ends though nobody stopped it.

        Celery calls some broken connections to its broker unrecoverable and gives up; the process
        would go on for ever and take no message.
        """
        while True:
            self._controller = self._controlled()
            self._controller.start()
            connection.close()
            if self._stop.wait(_AGAIN_SECONDS):
                return
            log.error("The Celery worker ended by itself; it is started again.")

    def _controlled(self) -> WorkController:
        ready = self._ready

        class Controller(WorkController):
            def on_consumer_ready(self, consumer: object) -> None:
                ready.set()

        return Controller(
            app=self._app,
            pool="threads",
            concurrency=self._concurrency,
            hostname=self._name,
            queues=sorted(self._queues),
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            loglevel="WARNING",
        )

    def _wanted(self) -> set[str]:
        if self._domains:
            return {release_queue(name) for name in self._domains}
        names = Domain.objects.values_list("name", flat=True)
        return {CORE, *(release_queue(name) for name in names)}

    def _follow(self) -> None:
        while not self._stop.wait(_FOLLOW_SECONDS):
            with contextlib.suppress(DatabaseError):
                for queue in self._wanted() - self._queues:
                    self._app.control.add_consumer(queue, destination=[self._name])
                    self._queues.add(queue)
            connection.close()


class EmbeddedBeat:
    """Celery beat in a thread, its schedule in memory: every start begins anew, and may."""

    def __init__(self, app: Celery) -> None:
        self._service = Service(app, max_interval=1, scheduler_cls=Scheduler)
        self._thread = threading.Thread(target=self._service.start, name="celery-beat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what was sent is the worker's."""
        self._service.stop(wait=False)
