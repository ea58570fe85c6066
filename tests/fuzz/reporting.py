"""Writes a fuzz run's report, for people and for machines, and shows how far it is."""

import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.reporting import commit
from tests.fuzz.tally import Tally


def write(folder: Path, tally: Tally, options: Mapping[str, Any], seconds: float) -> str:
    """Write report.md and report.json into a folder; return the former."""
    report = {
        "commit": commit(),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "options": {name: str(value) for name, value in options.items() if value is not None},
        "seconds": round(seconds, 1),
        **tally.as_dict(),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    text = _markdown(report)
    (folder / "report.md").write_text(text)
    return text


def progress(sent: int, whole: int) -> None:
    """Show how far it is, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r{sent} of {whole}", end="" if sent < whole else "\n", file=sys.stderr, flush=True)


def _markdown(report: dict[str, Any]) -> str:
    options, surfaces, memory = report["options"], report["surfaces"], report["memory_mb"]
    inputs = sum(surface["inputs"] for surface in surfaces.values())
    grown = memory.get("after", 0.0) - memory.get("before", 0.0)
    lines = [
        f"# Fuzz: {inputs} inputs on {options['database']}, seed {options['seed']}",
        "",
        f"Commit {report['commit']}, {report['machine']['system']}, Python"
        f" {report['machine']['python']}. {report['seconds']:.0f} s.",
        "",
        f"**{len(report['violations'])} violations.** An answer may take"
        f" {options['limit_seconds']} s, and what it rightly waits. Resident memory of the server's"
        f" processes: {memory.get('before', 0):.0f} MB after the warm-up,"
        f" {memory.get('after', 0):.0f} MB at the end ({grown:+.0f} MB).",
        "",
        "| surface | inputs | authenticated and valid by schema | 429 | slowest answer | of |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {s['inputs']} | {s['valid']} ({100 * s['valid'] / s['inputs']:.0f} %)"
            f" | {s['limited']} | {s['slowest_seconds']:.2f} s | {s['slowest_kind']} |"
            for name, s in surfaces.items()
        ),
        "",
        "Files are read in one process, command by command, through `manage.py`'s own way in; of"
        " them the second column counts right ones. Their status is the exit code.",
        "",
        "| surface | status | times | of valid ones |", "|---|---|---|---|",
        *(
            f"| {name} | {status} | {times} | {s['of_valid'].get(status, 0)} |"
            for name, s in surfaces.items()
            for status, times in sorted(s["statuses"].items())
        ),
        "",
    ]  # fmt: skip
    lines += [f"- seed {options['seed']}: {violation}" for violation in report["violations"][:100]]
    return "\n".join(lines).rstrip() + "\n"
