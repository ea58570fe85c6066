"""What installations of the benchmarks stand on, and how large a run is."""

import os
import resource
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.goals import REDIS, SQLITE, Figure
from tests.support import services
from tests.support.running import Installation, Process, free_port, postgres_database, until

# The caps that a benchmark is beyond by intention.
RAISED = {
    "PENDING_PER_AGENT": "50000",
    "PENDING_PER_DOMAIN": "50000",
    "SUBMITS_PER_SECOND": "100000",
    "SUBMITS_BURST": "100000",
}


@dataclass(frozen=True)
class Size:
    """How much is measured; a run that only shows that everything works needs little."""

    rounds: int = 8
    reads: int = 384  # of one block, shared among its callers: 64 of them have six each
    latencies: int = 40
    submits: int = 1_000
    held: int = 10_000
    pending: int = 10_000
    settled: int = 100_000


QUICK = Size(rounds=1, reads=64, latencies=2, submits=32, held=20, pending=50, settled=200)


@dataclass(frozen=True)
class Outcome:
    """What one part found: figures for the table, details for the file, what it left out."""

    figures: Sequence[Figure]
    details: object
    notes: Sequence[str] = ()


def missing(place: str) -> str:
    """Return in one line why there cannot be an installation on a place; empty when there can."""
    if place != SQLITE and not services.SERVICES["postgres"].find():
        return services.SERVICES["postgres"].absence()
    if place == REDIS and shutil.which("redis-server") is None:
        return "redis-server is absent; to get it: apt-get install redis-server"
    return ""


@contextmanager
def installed(
    folder: Path, place: str, *, grace_seconds: int = 1, **settings: str
) -> Iterator[Installation]:
    """Yield a running installation with the billing example, on databases of its own."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        name = f"benchmark_{os.getpid()}_{folder.name}"
        database = nullcontext("") if place == SQLITE else postgres_database(name)
        url = stack.enter_context(database)
        broker = {"REDIS_URL": stack.enter_context(_redis(folder))} if place == REDIS else {}
        installation = Installation(folder / "data", url, settings=RAISED | broker | settings)
        installation.populate(examples={"billing": ("refund:write",)}, grace_seconds=grace_seconds)
        yield stack.enter_context(installation.running())


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """Yield the address of a Redis that nobody else uses."""
    port = free_port()
    command = [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no", "--dir", str(folder),
    ]  # fmt: skip
    server = Process(command, folder / "redis", {"PATH": os.environ["PATH"]})
    server.launch()

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(listens, "Redis listening")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()


def allow_open_files(wanted: int) -> None:
    """Let this process, and those it starts, have so many files open.

    Raises:
        RuntimeError: the machine does not let it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RuntimeError(f"{wanted} open files are needed; `ulimit -Hn` allows {hard}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
