"""How fast calls are held, and what the process needs while many requests are held open."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.goals import Figure
from benchmarks.holding import hold, refund
from benchmarks.places import (
    Outcome,
    Size,
    allow_open_files,
    installed,
    on_both,
    raised,
    resident_megabytes,
)
from benchmarks.raw import Connection, ticket_of
from tests.support.running import Installation, until

_CALLERS = 16
_AT_ONCE = 64  # requests on their way; a whole crowd at once would only measure time-outs
_SPARE_FILES = 1_000
_LONGEST_GRACE = 600  # seconds a request may be held open; who waits longer gets a ticket
_PAGES = 40
_HANDS = 4
_REASON = "Too many of them."
_REJECTED = _REASON.encode()  # word for word in the answer


def submits(folder: Path, size: Size) -> Outcome:
    """Measure how fast calls are held."""
    return on_both(_submits, folder, size)


def held(folder: Path, size: Size) -> Outcome:
    """Measure what held requests cost in memory and on the queue page, and answer them all."""
    found = on_both(_held, folder, size)
    note = f"{size.held} calls were held at once; caps raised for that: {raised()}."
    return Outcome(found.figures, found.details, [*found.notes, note])


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
        connection = await Connection(f"{installation.agents_url}/mcp", installation.key).open()
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
        crowd = asyncio.run(hold_many(installation, size.held))
    took = report.milliseconds(crowd.pages)
    figures = [
        Figure("memory", place, crowd.megabytes),
        Figure("queue_of_held", place, took["p95"]),
        Figure("held_answered", place, round(100 * crowd.answered / size.held, 2)),
    ]
    return figures, {"idle_mb": before, "queue_ms": took, **asdict(crowd)}


@dataclass
class Crowd:
    """What came of many requests that were held open at once.

    Attributes:
        megabytes: the process's resident memory while all were held.
        pages: seconds of each queue page then.
        tickets: how many were held for so long that they got a ticket, and asked again with it.
        answered: how many heard, at once or then, what a person had decided.
        hold_seconds: until all were held.
        answer_seconds: from the first decision to the last answer.
    """

    megabytes: float
    pages: list[float]
    tickets: int
    answered: int
    hold_seconds: float
    answer_seconds: float


async def hold_many(installation: Installation, calls: int) -> Crowd:
    """Hold that many requests open at once, look at the queue, then reject and hear them all."""
    began = time.perf_counter()
    waiting, connections = set[asyncio.Task[bytes]](), list[Connection]()
    for begin in range(0, calls, _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, calls))
        for number in numbers:
            connection = await Connection(f"{installation.agents_url}/mcp", installation.key).open()
            connections.append(connection)
            waiting.add(asyncio.create_task(connection.call("billing__refund", refund(number))))
        are_held = partial(_holds, installation, numbers.stop)
        await asyncio.to_thread(until, are_held, f"{numbers.stop} calls held", 120)
    took = time.perf_counter() - began
    megabytes = resident_megabytes(installation)
    pages = await asyncio.to_thread(_queue_pages, installation)
    if ended := [task for task in waiting if task.done()]:
        raise RuntimeError(f"{len(ended)} of {calls} requests were not held")
    began = time.perf_counter()
    rejecting = asyncio.create_task(asyncio.to_thread(_reject_all, installation))
    answers = await asyncio.gather(*waiting)
    await rejecting
    tickets = [ticket_of(answer) for answer in answers if b"HELD" in answer]
    answers += [await ask_again(installation, ticket) for ticket in tickets]
    answered = sum(_REJECTED in answer for answer in answers)
    answering = time.perf_counter() - began
    for connection in connections:
        connection.close()
    await asyncio.sleep(0)
    return Crowd(megabytes, pages, len(tickets), answered, took, answering)


async def ask_again(installation: Installation, ticket: str) -> bytes:
    """Return what an agent hears of a ticket."""
    connection = await Connection(f"{installation.agents_url}/mcp", installation.key).open()
    answer = await connection.call("approval_status", {"ticket": ticket})
    connection.close()
    return answer


def _holds(installation: Installation, wanted: int) -> bool:
    """Tell whether so many calls are held; the database is asked, the server left alone."""
    return bool(installation.stored("toolcall", "count(*)")[0][0] >= wanted)


def _queue_pages(installation: Installation) -> list[float]:
    """Return the seconds of each of some requests for the queue; the first does not count."""
    bo, took = installation.person("bo"), []
    for _ in range(_PAGES + 1):
        began = time.perf_counter()
        answer = bo.http.get("/")
        took.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise RuntimeError(f"the queue answered {answer.status_code}")
    return took[1:]


def _reject_all(installation: Installation) -> None:
    """Reject every pending call, as one person with a few hands."""
    bo = installation.person("bo")

    def reject(call: dict[str, Any]) -> None:
        answer = bo.post(
            f"calls/{call['id']}/decisions/", verdict="reject", binding=call["binding"],
            reason=_REASON,
        )  # fmt: skip
        if not answer.is_success:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")

    with ThreadPoolExecutor(_HANDS) as hands:
        while pending := bo.get("calls/", status="pending", page_size="100")["results"]:
            list(hands.map(reject, pending))
