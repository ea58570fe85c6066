"""What all commands share: a database to work on, and one clean sentence when something is wrong.

Exit codes: 2 when what was typed, or the file that was named, can never work; 1 when it was refused
as things stand. `manage.py` takes `--data DIR` out of the arguments before settings are read, so
that no command sees it; it stands in the parser for `--help` only.
"""

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from approvals import canonical, events
from approvals.errors import ApprovalsError, InvalidInput
from approvals.models import Domain
from approvals.wording import clean

REFUSED, MISTAKEN = 1, 2  # exit codes
MAX_FILE_BYTES = 1024 * 1024
_LONGEST_LINE = 2_000
_HINT_SECONDS = 2  # a broker that is down must not hold up a command for longer


class Error(CommandError):
    """Why a command did nothing; Django prints it as `Error: …` and ends with its code."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message, returncode=code)


class Command(BaseCommand):
    """A command that says `declare` its arguments and `act` on them."""

    requires_system_checks: list[str] = []  # `up` looks; a command should not cost a second
    # They work; in the usage text they would bury what is ours.
    suppressed_base_arguments = {
        "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color",
        "--force-color", "--skip-checks",
    }  # fmt: skip

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add `--data`, then what the command declares."""
        parser.add_argument("--data", metavar="DIR", help="the data folder (default: var/)")
        self.declare(parser)

    def declare(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments."""

    def act(self, *args: Any, **options: Any) -> None:
        """Do it; an ApprovalsError becomes a sentence and an exit code."""
        raise NotImplementedError

    def handle(self, *args: Any, data: str | None = None, **options: Any) -> None:
        """Prepare the database, act, and turn whatever is refused into one sentence."""
        if data is not None:
            raise Error("The data folder is chosen by manage.py, before settings are read.", 2)
        try:
            prepare_database()
            self.act(**options)
            events.wait_until_sent(_HINT_SECONDS)
        except ApprovalsError as error:
            code = MISTAKEN if isinstance(error, InvalidInput) else REFUSED
            raise Error(in_words(error), code) from error
        except DatabaseError as error:
            said = clean(str(error), 300)
            raise Error(f"The database could not be used, nothing was changed: {said}.") from error
        except KeyboardInterrupt:
            raise Error("Stopped.", 130) from None

    def warn(self, sentence: str) -> None:
        """Say on stderr what the operator should know; the command goes on."""
        self.stderr.write(f"Warning: {sentence}", self.style.WARNING)

    def warn_of_missing_purposes(self, names: Iterable[str]) -> None:
        """Warn of the domains among these whose purpose nobody has written down."""
        for domain in Domain.objects.filter(name__in=list(names), purpose="").order_by("name"):
            self.warn(
                f"Domain {domain} has no purpose yet; give it one: manage.py create_domain"
                f" {domain} --purpose TEXT --owner PERSON"
            )


def prepare_database() -> None:
    """Create the tables of an embedded installation that was never started.

    Only there, so that people can be created before the first `up`. A database that has tables may
    be in use by another version, and a server database has other processes: when those are brought
    up to date is for somebody to choose.

    Raises:
        Error: the database is not up to date, or its folder cannot be made.
    """
    if connection.vendor == "sqlite":
        _make_folder(Path(settings.DATA_DIR))
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if connection.vendor != "sqlite" or executor.loader.applied_migrations:
        raise Error("The database is not up to date: run `manage.py migrate` or `manage.py up`.")
    call_command("migrate", interactive=False, verbosity=0)


def read_json(path: Path) -> object:
    """Return what the strict JSON in a file stands for.

    Raises:
        InvalidInput: it cannot be read, is too large, or is not strict JSON.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)  # and no more: some files never end
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(f"Cannot read {path}: {why}.") from None
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidInput(f"{path} has more than {MAX_FILE_BYTES} bytes.")
    return canonical.parse(raw, max_bytes=MAX_FILE_BYTES, limits=canonical.DEFINITION)


def in_words(error: ApprovalsError) -> str:
    """Return what a refusal says, with every place that is wrong on a line of its own."""
    if isinstance(error, InvalidInput):
        lines = [_at_its_place(problem) for problem in error.problems]
        if len(lines) > 1:
            lines = [f"{len(lines)} places are wrong:", *(f"  {line}" for line in lines)]
        return "\n".join(lines)
    wait = error.retry_after_seconds
    when = "" if wait is None else f" Try again in {wait:.0f} s."
    return clean(error.message, _LONGEST_LINE) + when


def _at_its_place(problem: dict[str, str]) -> str:
    path, message = problem["path"], problem["message"]
    # Names and files may hold what a terminal would obey.
    return clean(message if path == "$" else f"{path}: {message}", _LONGEST_LINE)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Error(
            f"Cannot write to {folder} ({error.strerror}): choose another with --data DIR.", 2
        ) from error
