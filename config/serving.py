"""Runs everything in one process: web server, bridge, worker and beat, and stops them in time."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from django.conf import settings

from config.celery import app
from config.embedded import EmbeddedBeat, EmbeddedWorker
from mcp_bridge import release

log = logging.getLogger(__name__)

RELEASES_MAY_TAKE_SECONDS = 8.0  # after a stop; what runs longer becomes unknown at the next start


class Everything(uvicorn.Server):
    """The web server, with a worker and beat that start after it and stop with it."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_ready = when_ready
        self._worker = EmbeddedWorker(app, name=f"embedded-{os.getpid()}@localhost")
        self._beat = EmbeddedBeat(app)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve first, then start what works behind."""
        await super().startup(sockets)
        if not self.started:
            return
        await asyncio.to_thread(self._worker.start)
        self._beat.start()
        await asyncio.to_thread(self._when_ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Claim nothing more, let releases that run end, close connections; all within 10 s."""
        self._beat.stop()
        await asyncio.gather(
            super().shutdown(sockets),
            asyncio.to_thread(stop_worker, self._worker),
        )


def stop_worker(worker: EmbeddedWorker) -> None:
    """Stop claiming, then give running releases their time."""
    release.stop_claiming()
    began = time.monotonic()
    worker.stop(2.0)
    left = release.wait_idle(RELEASES_MAY_TAKE_SECONDS - (time.monotonic() - began))
    if left:
        log.warning("%s releases were still running; the next start calls them unknown.", left)


def serve(listener: socket.socket, when_ready: Callable[[], None] = lambda: None) -> None:
    """Serve on a bound socket until SIGINT or SIGTERM.

    Args:
        when_ready: called in a thread once web, bridge, worker and beat all run.
    """
    config = uvicorn.Config(
        "config.asgi:all",
        ws="websockets-sansio",
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=3,
        server_header=False,
        **_proxies(),
    )
    # uvicorn raises the signal it caught once more after it has stopped cleanly; a stop that was
    # asked for is a success, whichever signal asked.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        Everything(config, when_ready).run([listener])


def _proxies() -> dict[str, Any]:
    return {"proxy_headers": settings.IS_HTTPS}
