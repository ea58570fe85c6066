"""`manage.py benchmark`: runs the benchmarks in a process of their own, as `test` runs pytest."""

import signal
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config.management.commands.test import environment


class Command(BaseCommand):
    """Hands every argument after `benchmark` on, and ends with the exit code it gets."""

    help = (
        "Measures reads, latencies, submits, memory and pages on databases of its own, and prints"
        " one table; missed goals are marked FAIL. Try --help."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Skip Django's parser: the benchmarks have one of their own."""
        self.handle(*argv[2:])

    def handle(self, *args: str, **options: Any) -> None:
        """Run them to their end, whatever Ctrl-C says: they have processes to end."""
        with TemporaryDirectory(prefix="countersign-benchmark-") as data:
            run = subprocess.Popen(
                [sys.executable, "-m", "benchmarks", *args],
                cwd=settings.BASE_DIR,
                env=environment(data),
            )
            # A handler that does nothing, not SIG_IGN: the benchmarks would inherit that one.
            signal.signal(signal.SIGINT, lambda *_: None)
            signal.signal(signal.SIGTERM, lambda *_: run.terminate())
            code = run.wait()
        sys.exit(code if code >= 0 else 128 - code)
