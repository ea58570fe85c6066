"""`manage.py fault_run`: breaks a running installation on purpose and checks what is left."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Hands every argument to the fault machine, which is a part of the tests and no part of us."""

    help = (
        "Starts real processes on a database of their own, lets agents and people use them, kills"
        " and stops them by a seed, and checks that nothing was lost, doubled or unapproved."
        " --calls N, --database sqlite|postgres, --seed N, --kills N, --keep DIR; --bugs runs it"
        " on each planted bug instead, and must find them all."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Skip Django's parser: the machine has its own."""
        self.handle(*argv[2:])

    def handle(self, *args: str, **options: Any) -> None:
        """Become it: whoever stops us stops the machine, which ends its processes then."""
        if not (settings.BASE_DIR / "tests" / "faults").is_dir():
            raise CommandError("The fault machine is part of a clone, and not of an image.")
        os.chdir(settings.BASE_DIR)
        command = [sys.executable, "-m", "tests.faults.machine", *args]
        os.execv(sys.executable, command)
