"""How fast calls are held, and what the process needs while many requests are held open."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import report
from benchmarks.goals import POSTGRES, SQLITE, Figure
from benchmarks.holding import hold, refund
from benchmarks.places import RAISED, Outcome, Size, allow_open_files, installed, missing
from benchmarks.raw import Connection
from tests.support.running import Installation, until

_CALLERS = 16
_AT_ONCE = 64  # requests on their way; a whole crowd at once would only measure time-outs
_SPARE_FILES = 1_000
_LONGEST_GRACE = 600  # seconds a request may be held open; all have to be there by then

_Measure = Callable[[Path, str, Size], tuple[list[Figure], object]]


def submits(folder: Path, size: Size) -> Outcome:
    """Measure how fast calls are held."""
    return _on_both(_submits, folder, size)


def held(folder: Path, size: Size) -> Outcome:
    """Measure what held requests cost in memory."""
    raised = ", ".join(f"{name}={value}" for name, value in RAISED.items())
    found = _on_both(_held, folder, size)
    note = f"{size.held} calls were held at once; caps raised for that: {raised}."
    return Outcome(found.figures, found.details, [*found.notes, note])


def _on_both(measure: _Measure, folder: Path, size: Size) -> Outcome:
    figures, details, notes = list[Figure](), dict[str, object](), list[str]()
    for place in (SQLITE, POSTGRES):
        if why := missing(place):
            notes.append(f"Nothing on {place}: {why}.")
            continue
        found, details[place] = measure(folder / place.lower(), place, size)
        figures += found
    return Outcome(figures, details, notes)


def _submits(folder: Path, place: str, size: Size) -> tuple[list[Figure], object]:
    with installed(folder, place) as installation:
        took, rate = asyncio.run(submit_many(installation, size.submits))
    milliseconds = report.milliseconds(took)
    figures = [
        Figure("submits", place, round(rate, 1)),
        Figure("submit_p99", place, milliseconds["p99"]),
    ]
    return figures, {"callers": _CALLERS, "per_second": round(rate, 1), "ms": milliseconds}


async def submit_many(installation: Installation, calls: int) -> tuple[list[float], float]:
    """Return the seconds from each request to its ticket, and tickets per second."""
    await hold(installation, calls)  # the first one opens sessions and connections
    numbers, took = iter(range(calls)), list[float]()

    async def caller() -> None:
        connection = await Connection(f"{installation.url}/mcp", installation.key).open()
        for number in numbers:
            began = time.perf_counter()
            await connection.task("billing__refund", refund(number))
            took.append(time.perf_counter() - began)
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return took, len(took) / (time.perf_counter() - began)


def _held(folder: Path, place: str, size: Size) -> tuple[list[Figure], object]:
    allow_open_files(size.held + _SPARE_FILES)
    with installed(folder, place, grace_seconds=_LONGEST_GRACE) as installation:
        before = resident_megabytes(installation)
        began = time.perf_counter()
        after = asyncio.run(hold_many(installation, size.held))
        took = round(time.perf_counter() - began, 1)
    details = {"idle_mb": before, "held_mb": after, "held": size.held, "seconds": took}
    return [Figure("memory", place, after)], details


async def hold_many(installation: Installation, calls: int) -> float:
    """Hold that many requests open at once; return the process's memory then, in MB."""
    waiting = set[asyncio.Task[bytes]]()
    for begin in range(0, calls, _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, calls))
        for number in numbers:
            connection = await Connection(f"{installation.url}/mcp", installation.key).open()
            waiting.add(asyncio.create_task(connection.call("billing__refund", refund(number))))
        are_held = partial(_holds, installation, numbers.stop)
        await asyncio.to_thread(until, are_held, f"{numbers.stop} calls held", 120)
    megabytes = resident_megabytes(installation)
    ended = [task for task in waiting if task.done()]
    for task in waiting:
        task.cancel()
    if ended:
        raise RuntimeError(f"{len(ended)} of {calls} requests were not held")
    return megabytes


def _holds(installation: Installation, wanted: int) -> bool:
    """Tell whether so many calls are held; the database is asked, the server left alone."""
    return bool(installation.stored("toolcall", "count(*)")[0][0] >= wanted)


def resident_megabytes(installation: Installation) -> float:
    """Return the resident memory of the `up` process itself, in MB."""
    popen = installation.process.popen
    if popen is None:
        raise RuntimeError("it does not run")
    status = Path(f"/proc/{popen.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)
