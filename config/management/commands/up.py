"""`manage.py up`: web, bridge, worker and beat in one process."""

import logging
import os
import sys
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config import starting


class Command(BaseCommand):
    help = "Runs Countersign in one process: web, bridge, worker and beat."
    requires_system_checks: list[str] = []  # the database may not exist yet; `starting` looks

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: str, host: str, port: int, **options: Any) -> None:
        with starting.alone_in(settings.DATA_DIR):
            listener = starting.listen(host, port)
            url = starting.serve_at(host, port)
            starting.log_to(settings.DATA_DIR)
            starting.prepare_database()
            if settings.IS_EMBEDDED:
                starting.recover()
            self.prepare()
            from config import serving  # only now: it reads settings that `serve_at` has set

            serving.serve(listener, lambda: self.ready(url))
            finish("Stopped.")

    def prepare(self) -> None:
        """Do what comes before serving; `demo` creates its people here."""

    def ready(self, url: str) -> None:
        """Say that everything runs; `demo` says more."""
        self.stdout.write(f"Countersign is ready at {url}/ (Ctrl-C stops it).")
        self.stdout.flush()


def finish(last_words: str) -> None:
    """End the process now: a release that hangs must not keep its thread, and so us, alive."""
    logging.shutdown()
    with suppress(BrokenPipeError):  # whoever read our words may have gone before us
        sys.stdout.write(f"{last_words}\n")
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)
