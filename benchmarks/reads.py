"""A governed read against the same read direct: `python -m benchmarks.reads`.

Both go through the same raw client over kept connections, in turns in one run: a block direct, a
block through the bridge, and again, so that a machine whose speed drifts does so for both.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.raw import Connection
from tests.support.running import ROOT, Installation, Process, free_port

ROUNDS = 8
CALLS = 400  # of one block, shared among its callers
WARM_UP = 200


async def block(url: str, tool: str, callers: int, key: str = "") -> tuple[list[float], float]:
    """Return the seconds each call took, and calls per second of the whole block."""
    connections = [await Connection(url, key).open() for _ in range(callers)]
    times: list[float] = []

    async def caller(connection: Connection) -> None:
        for number in range(CALLS // callers):
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


async def compare(direct: str, bridge: str, key: str, callers: int) -> dict[str, object]:
    """Return percentiles of both ways and their ratios."""
    times: dict[str, list[float]] = {"direct": [], "bridge": []}
    rates: dict[str, list[float]] = {"direct": [], "bridge": []}
    for _ in range(ROUNDS):
        for name, url, tool in (("direct", direct, "echo"), ("bridge", bridge, "echo__echo")):
            took, rate = await block(url, tool, callers, key if name == "bridge" else "")
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


def measure(folder: Path) -> list[dict[str, object]]:
    """Start an echo server and an installation that governs it; return the figures."""
    port = free_port()
    installation = Installation(folder / "data")
    environment = installation.environment()
    command = [sys.executable, "examples/echo.py", "--port", str(port)]
    echo = Process(command, folder / "echo", environment)
    echo.start("serves MCP")
    try:
        installation.populate(examples={}, echo=f"http://127.0.0.1:{port}/mcp")
        installation.start()
        return asyncio.run(_all(f"http://127.0.0.1:{port}/mcp", installation))
    finally:
        installation.kill()
        echo.kill()


async def _all(direct: str, installation: Installation) -> list[dict[str, object]]:
    bridge, key = f"{installation.url}/mcp", installation.key
    connection = await Connection(bridge, key).open()
    for _ in range(WARM_UP):
        await connection.call("echo__echo", {"text": "warm"})
    connection.close()
    return [await compare(direct, bridge, key, callers) for callers in (1, 16)]


def table(figures: Sequence[dict[str, object]]) -> str:
    """Return the figures as lines for people."""
    return "\n".join(
        f"{f['callers']:>2} callers: p50 {f['p50_ratio']} x direct, throughput"
        f" {f['throughput_ratio']} x direct  (direct {f['direct_ms']}, bridge {f['bridge_ms']})"
        for f in figures
    )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    sys.stdout.write(f"{table(figures)}\nKept in {report.keep('reads', figures)}\n")
