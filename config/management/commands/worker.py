"""`manage.py worker`: releases approved calls of some domains, with their write credentials."""

import os
import signal
import socket
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from config import starting
from config.celery import app
from config.embedded import EmbeddedWorker
from config.management.commands.up import finish


class Command(BaseCommand):
    help = "Runs a Celery worker: releases of every domain and the sweeps, or of some domains only."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--domain", action="append", default=[], metavar="D")
        parser.add_argument("--concurrency", type=int, default=8)

    def handle(self, *args: str, domain: list[str], concurrency: int, **options: Any) -> None:
        from config.serving import stop_worker

        starting.check_database()
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        name = f"worker-{os.getpid()}@{socket.gethostname()}"
        worker = EmbeddedWorker(app, domains=domain, concurrency=concurrency, name=name)
        worker.start()
        self.stdout.write(f"Worker {name} is ready for {', '.join(domain) or 'every domain'}.")
        self.stdout.flush()
        stopped.wait()
        stop_worker(worker)
        finish("Stopped.")
