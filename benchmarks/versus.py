"""A governed read here against the same read at another commit, in turns.

Both commits run at the same time, each from files of its own with an echo server of its own, and
the same client asks them: a block there, a block here, and again. Whatever slows the machine slows
both; CPU time, which other processes change little, is compared besides.
"""

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import reads, report
from benchmarks.goals import ONE, SIXTEEN, Figure
from benchmarks.places import Outcome, Size, cpu_seconds_of
from tests.support.running import ROOT

CALLERS = {1: ONE, 16: SIXTEEN}
PAIRS = 3  # for each round of the other measurements
_WARM_UP = 400
# Runs in the files of either commit, with what both of them have.
_SERVES = """
import json, sys
from pathlib import Path
from benchmarks.places import governed_echo
from tests.support.running import Installation

own = Installation.environment
Installation.environment = lambda self: own(self) | {"COUNTERSIGN_NO_BOOTSTRAP": "1"}
with governed_echo(Path(sys.argv[1])) as (installation, _):
    url = getattr(installation, "agents_url", installation.url)
    process = installation.process.popen.pid
    print(json.dumps([f"{url}/mcp", installation.key, process]), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Side:
    """One commit's installation."""

    url: str
    key: str
    process: int  # id of its `up`

    @property
    def way(self) -> tuple[str, str, str]:
        """Return how a block of reads goes there."""
        return self.url, "echo__echo", self.key


@dataclass(frozen=True)
class Pair:
    """A block at the other commit, then one here: how often as long this one took."""

    p50: float
    rate: float
    cpu: float


def run(folder: Path, size: Size, commit: str) -> Outcome:
    """Return how reads here compare with those at a commit.

    Raises:
        RuntimeError: there is no such commit, or it cannot be measured.
    """
    there = _files_of(commit, folder / "files")
    with _served(there, folder / "there") as other, _served(ROOT, folder / "here") as here:
        found = asyncio.run(_all(other, here, size))
    figures = [
        Figure(f"versus_{name}", where, _middle(pairs, name))
        for where, pairs in found.items()
        for name in ("p50", "rate", "cpu")
    ]
    told = [
        f"Against {commit}, {where}, p50 of each pair: " + " ".join(f"{p.p50:.2f}" for p in pairs)
        for where, pairs in found.items()
    ]
    details = {where: [vars(pair) for pair in pairs] for where, pairs in found.items()}
    return Outcome(figures, {"commit": commit, **details}, told)


async def _all(other: Side, here: Side, size: Size) -> dict[str, list[Pair]]:
    for side in (other, here):
        await reads.block(side.way, 1, _WARM_UP)
    found = {}
    for callers, where in CALLERS.items():
        found[where] = [await _pair(other, here, callers, size) for _ in range(PAIRS * size.rounds)]
    return found


async def _pair(other: Side, here: Side, callers: int, size: Size) -> Pair:
    there, now = [await _block(side, callers, size) for side in (other, here)]
    return Pair(*(round(mine / theirs, 3) for mine, theirs in zip(now, there, strict=True)))


async def _block(side: Side, callers: int, size: Size) -> tuple[float, float, float]:
    began = cpu_seconds_of(side.process)
    times, rate = await reads.block(side.way, callers, size.reads)
    # A block of few reads may be too short for the clock of processes.
    cpu = max(cpu_seconds_of(side.process) - began, 0.01)
    return report.percentile(times, 0.5), rate, cpu


def _middle(pairs: Sequence[Pair], name: str) -> float:
    return report.percentile([getattr(pair, name) for pair in pairs], 0.5)


def _files_of(commit: str, folder: Path) -> Path:
    """Write down the files of a commit; nothing is noted in the repository."""
    done = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, capture_output=True, check=False, timeout=60
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip())
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@contextmanager
def _served(files: Path, folder: Path) -> Iterator[Side]:
    """Run an echo server and an installation of some files; yield where it is."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVES, str(folder)], cwd=files, text=True,
        env=os.environ | {"PYTHONPATH": str(files)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        said = process.stdout.readline() if process.stdout else ""
        if not said:
            raise RuntimeError(f"nothing serves from {files}; the reason stands above")
        yield Side(*json.loads(said))
    finally:
        # Its input ends, and so does what it runs.
        process.communicate(timeout=60)
