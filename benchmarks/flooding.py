"""What other agents' reads take beside one that floods, against the same load well behaved.

In turns, in one run: a block beside an agent with many connections that sends as fast as it can,
then a block beside one with a few, each of which waits for its answers, that asks evenly for as
many reads a second as the flood was answered. Only the reads of others are timed.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import report
from benchmarks.goals import SQLITE, Figure
from benchmarks.places import Outcome, Size, allow_open_files, governed_echo
from benchmarks.raw import Connection
from tests.support.running import Installation

OTHERS = ("ada", "bea", "cat", "dan")
LOUD = "loud"
_CALM = 16  # connections of the agent when it is well behaved
_SPARE_FILES = 500
_READ = "echo__echo"
_THINKS_SECONDS = 0.02  # between two reads of one of the others

Pace = Callable[[int], Awaitable[None]]


def run(folder: Path, size: Size) -> Outcome:
    """Start an echo server and an installation that governs it; return the figure."""
    allow_open_files(2 * size.flooders + _SPARE_FILES)
    agents = dict.fromkeys((LOUD, *OTHERS), 1)
    with governed_echo(folder, agents=agents) as (installation, _):
        return asyncio.run(_measured(installation, size))


async def _measured(installation: Installation, size: Size) -> Outcome:
    beside_flood, beside_calm, rates = list[float](), list[float](), list[float]()
    calm_rates = list[float]()
    async with _load(installation, _CALM, as_fast_as_it_can):
        await others(installation, size.beside)  # opens what is opened once
    for _ in range(size.blocks):
        async with _load(installation, size.flooders, as_fast_as_it_can) as flood:
            beside_flood += await others(installation, size.beside)
        rates.append(flood.rate)
        async with _load(installation, _CALM, evenly(flood.rate)) as calm:
            beside_calm += await others(installation, size.beside)
        calm_rates.append(calm.rate)
    flooded, calm_p95 = (report.percentile(took, 0.95) for took in (beside_flood, beside_calm))
    details = {
        "beside_flood_ms": report.milliseconds(beside_flood),
        "beside_calm_ms": report.milliseconds(beside_calm),
        "flood_per_second": rates, "calm_per_second": calm_rates,
    }  # fmt: skip
    return Outcome([Figure("flood", SQLITE, round(flooded / calm_p95, 2))], details)


async def others(installation: Installation, reads: int) -> list[float]:
    """Return the seconds of each read of the other agents, one at a time each."""

    async def reader(name: str) -> list[float]:
        connection = await Connection(
            f"{installation.agents_url}/mcp", installation.key_of(name)
        ).open()
        took = []
        for number in range(reads):
            began = time.perf_counter()
            body = await connection.call(_READ, {"text": f"{name} {number}"})
            took.append(time.perf_counter() - began)
            if f"{name} {number}".encode() not in body:
                raise RuntimeError(body.decode())
            await asyncio.sleep(_THINKS_SECONDS)
        connection.close()
        return took

    return [one for took in await asyncio.gather(*map(reader, OTHERS)) for one in took]


class Load:
    """How many answers one agent was given, and in what time."""

    def __init__(self) -> None:
        self.answers = 0
        self.seconds = 0.0

    @property
    def rate(self) -> float:
        """Return answers a second."""
        return round(self.answers / self.seconds, 1)


async def as_fast_as_it_can(number: int) -> None:
    """Wait for nothing before the n-th read."""


def evenly(rate: float) -> Pace:
    """Return a pace of so many reads a second."""
    began = time.monotonic()

    async def wait(number: int) -> None:
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))

    return wait


@asynccontextmanager
async def _load(installation: Installation, callers: int, pace: Pace) -> AsyncIterator[Load]:
    """Let the loud agent read over so many connections while the block runs."""
    load, sent = Load(), iter(range(sys.maxsize))

    async def caller() -> None:
        while True:
            connection = await Connection(
                f"{installation.agents_url}/mcp", installation.key_of(LOUD)
            ).open()
            try:
                while True:
                    number = next(sent)
                    await pace(number)
                    await connection.call(_READ, {"text": f"loud {number}"})
                    load.answers += 1
            except (RuntimeError, OSError, asyncio.IncompleteReadError):
                load.answers += 1  # turned away, which ends the connection
            finally:
                connection.close()

    began = time.perf_counter()
    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    try:
        yield load
    finally:
        load.seconds = time.perf_counter() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
