"""`manage.py test`: runs pytest in a clean environment; overrides Django's command of that name."""

import os
import signal
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

# An installation's own settings must not leak into the tests, nor the tests into its database.
FOREIGN = {"DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "ALLOWED_HOSTS", "SECRET_KEY"}


class Command(BaseCommand):
    """Hands every argument after `test` to pytest and ends with pytest's exit code."""

    help = (
        "Runs the tests on SQLite and, where PostgreSQL can be reached, on PostgreSQL."
        " Whatever follows goes to pytest. TEST_POSTGRES_URL and TEST_REDIS_URL say where the"
        " services are; COUNTERSIGN_TEST_DATABASE=sqlite or =postgres limits the run to one;"
        " COUNTERSIGN_REQUIRE_ALL=1 makes every skip a failure."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Skip Django's parser, which would refuse what is meant for pytest."""
        self.handle(*argv[2:])

    def handle(self, *args: str, **options: Any) -> None:
        """Run pytest to its end, whatever Ctrl-C says: it has databases to remove."""
        with TemporaryDirectory(prefix="countersign-test-") as data:
            pytest = subprocess.Popen(
                [sys.executable, "-m", "pytest", *args],
                cwd=settings.BASE_DIR,
                env=environment(data),
            )
            # A handler that does nothing, not SIG_IGN: pytest would inherit that one.
            signal.signal(signal.SIGINT, lambda *_: None)
            signal.signal(signal.SIGTERM, lambda *_: pytest.terminate())
            code = pytest.wait()
        sys.exit(code if code >= 0 else 128 - code)


def environment(data: str) -> dict[str, str]:
    """Return the environment of the tests: ours without an installation's own settings."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    kept["COUNTERSIGN_DATA"] = data
    if kept.get("COUNTERSIGN_TEST_DATABASE") == "postgres":
        # Imported late: the product runs without its tests.
        from tests.support.services import postgres_database_url

        kept["DATABASE_URL"] = postgres_database_url()
    return kept
