"""What must hold before a process serves: a folder of one's own, a database, working guards."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError

from approvals import guards, lifecycle
from approvals.models import ToolCall, database_now
from config import logs

S = ToolCall.Status


class CannotStart(CommandError):
    """One sentence that says why nothing was started and what to do; exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process; two embedded servers on one folder would race.

    Raises:
        CannotStart: another process has it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "up.lock", "w")  # noqa: SIM115 - kept open as long as we serve
    except OSError as error:
        raise CannotStart(
            f"Cannot write to {folder} ({error.strerror}): choose another folder with --data DIR."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                f"Countersign is running on {folder} already: stop it, or choose --data DIR."
            ) from None
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket, before anything else is started.

    Raises:
        CannotStart: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: only then does asyncio turn Nagle's algorithm off, which would add 40 ms to each
    # answer that leaves in two parts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise CannotStart(
            f"Port {port} on {host} cannot be used ({getattr(error, 'strerror', None) or error}):"
            f" choose another with --port, for example --port {port % 60000 + 1}."
        ) from error
    return listener


def serve_at(host: str, port: int) -> str:
    """Return the address people open; where PUBLIC_URL is not set it follows host and port.

    The port is known only now, after the settings were read, and before anything uses them.
    """
    if os.environ.get("PUBLIC_URL"):
        return str(settings.PUBLIC_URL)
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    shown = f"[{name}]" if ":" in name else name
    settings.PUBLIC_URL = f"http://{shown}:{port}"
    settings.CSRF_TRUSTED_ORIGINS = [settings.PUBLIC_URL]
    settings.ALLOWED_HOSTS = sorted({*settings.ALLOWED_HOSTS, name})
    settings.SESSION_COOKIE_NAME = f"countersign_session_{port}"
    return str(settings.PUBLIC_URL)


def prepare_database() -> None:
    """Bring the tables up to date and try the guards.

    Raises:
        CannotStart: the database cannot be used, or it lets through what it must refuse.
    """
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        raise CannotStart(f"The database cannot be used: {error}") from error
    check_database()


def check_database() -> None:
    """Try the guards of a database that somebody else has migrated.

    Raises:
        CannotStart: it cannot be used, or it lets through what it must refuse.
    """
    try:
        problems = guards.refuse_to_start()
    except DatabaseError as error:
        raise CannotStart(f"The database cannot be used: {error}") from error
    if problems:
        raise CannotStart(" ".join(problems))


def recover() -> int:
    """Take over what an earlier run of the only process left behind; return how many calls.

    Claimed calls were not sent, so they are given back; of dispatched ones nobody can tell.
    """
    ToolCall.objects.filter(status=S.CLAIMED).update(lease_until=database_now())
    claimed = list(ToolCall.objects.filter(status=S.CLAIMED).values_list("pk", flat=True))
    dispatched = list(ToolCall.objects.filter(status=S.DISPATCHED).values_list("pk", flat=True))
    for call_id in claimed:
        lifecycle.lapse(call_id)
    for call_id in dispatched:
        lifecycle.lose(
            call_id,
            reason="Countersign was stopped while the upstream worked; it may have happened.",
            only_if=lambda call: True,
        )
    return len(claimed) + len(dispatched)


def log_to(folder: Path) -> Path:
    """Write the log to a file in the data folder as well; return its path."""
    path = folder / "logs" / "countersign.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=10_000_000, backupCount=3)
    handler.setFormatter(logs.formatter(settings.LOG_FORMAT))
    handler.setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    return path
