"""Where and when a measurement was made: cores, memory, load, commit."""

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Machine:
    """What a figure has to be read with.

    Attributes:
        load: average over one minute when the run began; others use a shared machine too.
        commit: short; "+" at its end says that files differ from it.
    """

    commit: str
    began_at: str
    cores: int
    ram_gb: float
    load: float
    python: str
    processor: str

    def words(self) -> str:
        """Return one line."""
        return (
            f"commit {self.commit}, {self.began_at}: {self.cores} cores ({self.processor}),"
            f" {self.ram_gb:g} GB RAM, load average {self.load:g} at the start,"
            f" Python {self.python}"
        )

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object."""
        return asdict(self)


def here() -> Machine:
    """Return this machine as it is now."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        commit=_commit(),
        began_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=os.cpu_count() or 1,
        ram_gb=round(pages * size / 2**30, 1),
        load=round(os.getloadavg()[0], 1),
        python=platform.python_version(),
        processor=platform.machine(),
    )


def _commit() -> str:
    try:
        head = _git("rev-parse", "--short", "HEAD")
        # What a run keeps is not a change of what it measured.
        differs = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+" if differs else head


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
