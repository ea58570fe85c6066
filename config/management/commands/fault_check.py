"""`manage.py fault_check DIR`: judges again what a fault run kept in a folder."""

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

CHECKER = Path(settings.BASE_DIR) / "tests" / "faults" / "fault_check.py"


class Command(BaseCommand):
    help = "Works out the verdict on a fault run again, from the files it kept and nothing else."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", metavar="DIR", help="as `fault_run --keep DIR` left it")

    def handle(self, *args: str, folder: str, **options: Any) -> None:
        if not CHECKER.exists():
            raise CommandError("The checker is part of a clone, and not of an image.")
        # Without site-packages: the checker is to know nothing of what it judges.
        command = [sys.executable, "-I", "-S", str(CHECKER), str(Path(folder).absolute())]
        done = subprocess.run(command, check=False)
        sys.exit(done.returncode)
