"""Runs the benchmarks and prints their table; `manage.py benchmark` starts it.

A missed goal is marked FAIL in the table and leaves the exit code alone: on a shared machine it
says as much about the neighbours. The code is 1 when something could not be measured at all.
"""

import argparse
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import (
    crowds,
    flooding,
    holding,
    judging,
    machine,
    pages,
    reads,
    report,
    restarting,
    returning,
    trying,
    versus,
)
from benchmarks.goals import Figure
from benchmarks.places import QUICK, Outcome, Size

PARTS: dict[str, Callable[[Path, Size], Outcome]] = {
    "reads": reads.run,
    "policy": judging.run,
    "backtest": trying.run,
    "latencies": holding.run,
    "submits": crowds.submits,
    "held": crowds.held,
    "flood": flooding.run,
    "reconnects": returning.run,
    "restart": restarting.run,
    "pages": pages.run,
}


def main() -> int:
    """Run what was asked for; return the exit code."""
    wanted = _arguments()
    # An exception, so that whatever was started is ended: it has sessions of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    size = QUICK if wanted.quick else Size()
    where, figures, details = machine.here(), list[Figure](), dict[str, object]()
    notes = ["A quick run: its figures mean nothing."] if wanted.quick else []
    broken = False
    parts = dict(PARTS)
    if wanted.against:
        parts = {"reads": partial(versus.run, commit=wanted.against)}
    for name in wanted.only or parts:
        try:
            found = _measured(name, parts[name], size)
        except Exception:  # noqa: BLE001 - the other parts are worth having
            traceback.print_exc()
            notes.append(f"FAIL: {name} could not be measured; the reason stands above the table.")
            broken = True
            continue
        figures += found.figures
        notes += found.notes
        details[name] = found.details
    sys.stdout.write(f"{report.table(where, figures, notes)}\n")
    if not wanted.quick:
        kept = report.keep(_name(wanted), where, figures, details)
        sys.stdout.write(f"Kept in {kept}\n")
    return int(broken)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="manage.py benchmark", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="this part; may be given several times"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that everything works"
    )
    parser.add_argument(
        "--against", metavar="COMMIT", help="reads of these files and of another commit, in turns"
    )
    wanted = parser.parse_args()
    if wanted.against and wanted.only not in (None, ["reads"]):
        parser.error("only reads can be measured against another commit")
    return wanted


def _measured(name: str, part: Callable[[Path, Size], Outcome], size: Size) -> Outcome:
    sys.stderr.write(f"Measuring {name} …\n")
    with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
        return part(Path(folder), size)


def _name(wanted: argparse.Namespace) -> str:
    if wanted.against:
        return "reads-against"
    return "-".join(wanted.only) if wanted.only else "all"


if __name__ == "__main__":
    sys.exit(main())
