"""`manage.py fuzz`: sends a running installation what nobody should, and looks at every answer."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Hands every argument to the fuzz, which is a part of the tests and no part of us."""

    help = (
        "Starts a server on a data folder of its own and sends it inputs drawn from its schemas,"
        " right and broken, over HTTP, MCP and WebSocket, and files to the commands that read them."
        " --inputs N, --seed N, --database sqlite|postgres, --only http|mcp|websocket|files,"
        " --keep DIR."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Skip Django's parser: the fuzz has its own."""
        self.handle(*argv[2:])

    def handle(self, *args: str, **options: Any) -> None:
        """Become it: whoever stops us stops the fuzz, which ends its server then."""
        if not (settings.BASE_DIR / "tests" / "fuzz").is_dir():
            raise CommandError("The fuzz is part of a clone, and not of an image.")
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, [sys.executable, "-m", "tests.fuzz.machine", *args])
