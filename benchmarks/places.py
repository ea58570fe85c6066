"""What installations of the benchmarks stand on, and how large a run is."""

import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.apart import Apart
from benchmarks.goals import POSTGRES, REDIS, SQLITE, Figure
from tests.support import services
from tests.support.running import Installation, Process, free_port, postgres_database, until

# The caps that a benchmark is beyond by intention.
RAISED = {
    "PENDING_PER_AGENT": "50000",
    "PENDING_PER_DOMAIN": "50000",
    "SUBMITS_PER_SECOND": "100000",
    "SUBMITS_BURST": "100000",
    "PENDING_IN_ALL": "50000",
    "RUN_WITHIN_SECONDS": "14400",  # to fill and to drain takes longer than ten minutes
}


BILLING = {"billing": ("refund:write", "get_customer:read")}


@contextmanager
def governed_echo(folder: Path, **more: object) -> Iterator[tuple[Installation, str]]:
    """Run an echo server and an installation that governs it; yield that and the direct address.

    Args:
        more: what `tests.support.populate` is to make besides.
    """
    port = free_port()
    direct = f"http://127.0.0.1:{port}/mcp"
    installation = Installation(folder / "data")
    command = [sys.executable, "examples/echo.py", "--port", str(port)]
    echo = Process(command, folder / "echo", installation.environment())
    echo.start("serves MCP")
    try:
        installation.populate(examples={}, echo=direct, **more)
        with installation.running():
            yield installation, direct
    finally:
        echo.kill()


def raised() -> str:
    """Return the raised caps in words."""
    return ", ".join(f"{name}={value}" for name, value in RAISED.items())


@dataclass(frozen=True)
class Size:
    """How much is measured; a run that only shows that everything works needs little."""

    rounds: int = 8
    reads: int = 384  # of one block, shared among its callers: 64 of them have six each
    latencies: int = 40
    submits: int = 1_000
    held: int = 10_000
    sockets: int = 500
    approved: int = 10_000  # as many are pending beside them
    flooders: int = 128  # connections of the agent that floods
    blocks: int = 6  # of reads beside a flood, and as many beside calm
    beside: int = 50  # reads of each of the others in a block
    pending: int = 10_000
    settled: int = 100_000
    tried: int = 100_000  # calls on which a policy is tried


QUICK = Size(
    rounds=1, reads=64, latencies=2, submits=32, held=20, pending=50, settled=200, sockets=12,
    tried=200, approved=12, flooders=24, blocks=1, beside=5,
)  # fmt: skip


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
    populated = {"grace_seconds": grace_seconds}
    with prepared(folder, place, populated, **settings) as ready, ready.running() as installation:
        yield installation


@contextmanager
def prepared(
    folder: Path, place: str, populated: Mapping[str, object], **settings: str
) -> Iterator[Installation]:
    """Yield the same before it runs, populated as `tests.support.populate` says."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        name = f"benchmark_{os.getpid()}_{folder.name}"
        database = nullcontext("") if place == SQLITE else postgres_database(name)
        url = stack.enter_context(database)
        broker = {"REDIS_URL": stack.enter_context(_redis(folder))} if place == REDIS else {}
        kind = Apart if place == REDIS else Installation
        installation = kind(folder / "data", url, settings=RAISED | broker | settings)
        installation.populate(**{"examples": BILLING, **populated})
        stack.callback(installation.close)
        yield installation


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


def on_both(
    measure: Callable[[Path, str, Size], tuple[list[Figure], object]], folder: Path, size: Size
) -> Outcome:
    """Measure on SQLite and on PostgreSQL, each in a folder of its own."""
    figures, details, notes = list[Figure](), dict[str, object](), list[str]()
    for place in (SQLITE, POSTGRES):
        if why := missing(place):
            notes.append(f"Nothing on {place}: {why}.")
            continue
        found, details[place] = measure(folder / place.lower(), place, size)
        figures += found
    return Outcome(figures, details, notes)


def resident_megabytes(installation: Installation) -> float:
    """Return the resident memory of the `up` process itself, in MB."""
    status = Path(f"/proc/{_process_id(installation)}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def cpu_seconds(installation: Installation) -> float:
    """Return the CPU time the `up` process has used: what a shared machine does not change."""
    return cpu_seconds_of(_process_id(installation))


def cpu_seconds_of(process_id: int) -> float:
    """Return the CPU time a process has used."""
    stat = Path(f"/proc/{process_id}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return round((int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), 2)


def _process_id(installation: Installation) -> int:
    popen = installation.process.popen
    if popen is None:
        raise RuntimeError("it does not run")
    return popen.pid
