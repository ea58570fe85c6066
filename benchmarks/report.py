"""How a measurement is summarised and kept: percentiles, the machine, the commit, JSON."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the sorted values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 in milliseconds, and how many were measured."""
    named = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: round(percentile(seconds, at) * 1000, 2) for name, at in named.items()}
    return found | {"count": len(seconds)}


def keep(name: str, figures: object) -> Path:
    """Write figures beside where and when they were measured; return the file."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    kept = {
        "commit": commit.stdout.strip(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}; shared and noisy",
        "figures": figures,
    }
    path.write_text(json.dumps(kept, indent=2) + "\n")
    return path
