"""`manage.py race_guards`: takes out each guard against a race, and its tests have to fail."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Hands every argument to a part of the tests."""

    help = (
        "Takes each guard of tests/races/guards.py out of a copy of the project, and runs the tests"
        " that aim at it there; they have to fail. --guard NAME, --database sqlite|postgres."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Skip Django's parser: it has its own."""
        self.handle(*argv[2:])

    def handle(self, *args: str, **options: Any) -> None:
        """Become it: whoever stops us stops what it runs."""
        if not (settings.BASE_DIR / "tests" / "races").is_dir():
            raise CommandError("The race tests are part of a clone, and not of an image.")
        os.chdir(settings.BASE_DIR)
        command = [sys.executable, "-m", "tests.races.removing", *args]
        os.execv(sys.executable, command)
