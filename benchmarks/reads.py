"""A governed read against the same read direct.

Both go through the same raw client over kept connections, in turns in one run: a block direct, a
block through the bridge, and again, so that a machine whose speed drifts does so for both.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.goals import MANY, ONE, SIXTEEN, Figure
from benchmarks.places import Outcome, Size, governed_echo
from benchmarks.raw import Connection
from tests.support.running import Installation

CALLERS = {1: ONE, 16: SIXTEEN, 64: MANY}
_WARM_UP = 200


def run(folder: Path, size: Size) -> Outcome:
    """Start an echo server and an installation that governs it; return the figures."""
    with governed_echo(folder) as (installation, direct):
        found = asyncio.run(_all(direct, installation, size))
    figures = [
        Figure(name, CALLERS[ratios["callers"]], ratios[key])
        for ratios in found
        for name, key in (("read_p50", "p50_ratio"), ("read_rate", "throughput_ratio"))
    ]
    return Outcome(figures, found)


async def _all(direct: str, installation: Installation, size: Size) -> list[dict[str, Any]]:
    bridge, key = f"{installation.agents_url}/mcp", installation.key
    connection = await Connection(bridge, key).open()
    for _ in range(_WARM_UP):
        await connection.call("echo__echo", {"text": "warm"})
    connection.close()
    ways = {"direct": (direct, "echo", ""), "bridge": (bridge, "echo__echo", key)}
    return [await compare(ways, callers, size) for callers in CALLERS]


async def compare(
    ways: dict[str, tuple[str, str, str]], callers: int, size: Size
) -> dict[str, Any]:
    """Return percentiles of both ways, each a URL, a tool and a key, and their ratios."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(size.rounds):
        for name, way in ways.items():
            took, rate = await block(way, callers, size.reads)
            times[name] += took
            rates[name].append(rate)
    middle = {name: report.percentile(rate, 0.5) for name, rate in rates.items()}
    p50 = {name: report.percentile(took, 0.5) for name, took in times.items()}
    return {
        "callers": callers,
        "p50_ratio": round(p50["bridge"] / p50["direct"], 2),
        "throughput_ratio": round(middle["bridge"] / middle["direct"], 2),
        "direct_ms": report.milliseconds(times["direct"]),
        "bridge_ms": report.milliseconds(times["bridge"]),
        "direct_per_second": round(middle["direct"]),
        "bridge_per_second": round(middle["bridge"]),
    }


async def block(way: tuple[str, str, str], callers: int, calls: int) -> tuple[list[float], float]:
    """Return the seconds each call took, and calls per second of the whole block."""
    url, tool, key = way
    connections = [await Connection(url, key).open() for _ in range(callers)]
    times: list[float] = []

    async def caller(connection: Connection) -> None:
        for number in range(calls // callers):
            began = time.perf_counter()
            body = await connection.call(tool, {"text": f"hello {number}"})
            times.append(time.perf_counter() - began)
            if f"hello {number}".encode() not in body:
                raise RuntimeError(body.decode())

    began = time.perf_counter()
    await asyncio.gather(*map(caller, connections))
    took = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return times, len(times) / took
