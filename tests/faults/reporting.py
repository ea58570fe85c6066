"""What a fault run says: a line while it goes on, and a report in Markdown and JSON at its end."""

import json
import platform
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.clients import Clients
from tests.faults.journal import read
from tests.faults.nemesis import Progress

_WIDTH = 30
_SHARE_DONE = 0.94
_SHARE_IN_FLIGHT = 0.3125  # a hundred of 320


def progress(clients: Clients, done: Progress) -> None:
    """Show how far a run is, until it is over; in a file only now and then."""
    is_screen, began, shown = sys.stderr.isatty(), time.monotonic(), -1
    while not done.is_over and clients.ended < clients.calls:
        time.sleep(0.5)
        share = clients.ended / clients.calls
        bar = "#" * int(share * _WIDTH)
        seconds = time.monotonic() - began
        line = (
            f"[{bar:<{_WIDTH}}] {clients.ended}/{clients.calls} calls,"
            f" {clients.nemesis.done}/{len(clients.nemesis.faults)} faults, {seconds:.0f} s"
        )
        if is_screen:
            sys.stderr.write(f"\r{line}")
        elif int(share * 10) > shown:
            shown = int(share * 10)
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    if is_screen:
        sys.stderr.write("\n")


def write(folder: Path, run: dict[str, Any], verdict: dict[str, Any]) -> str:
    """Write report.json and report.md; return the latter."""
    faults = list(read(folder / "faults.jsonl"))
    report = {
        "run": run,
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "commit": commit(),
        "faults": _summary(faults),
        "ended_by_themselves": _ended(folder),
        "each_fault": faults,
        "verdict": verdict,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    text = _markdown(report)
    (folder / "report.md").write_text(text)
    return text


def too_little(folder: Path) -> list[str]:
    """Return what a run met too little of to be called one of its size; it must not find nothing.

    Reads report.json and the plan in it. Of the faults a nemesis plans, some find their process
    gone already; of its kills, a third is to meet calls that are claimed or dispatched.
    """
    report = json.loads((folder / "report.json").read_text())
    planned, faults, counts = (
        report["run"]["planned"],
        report["faults"],
        report["verdict"]["counts"],
    )
    done: Counter[str] = Counter(fault["kind"] for fault in report["each_fault"])
    wanted = {kind: (done[kind], int(number * _SHARE_DONE)) for kind, number in planned.items()}
    wanted["kills while something was claimed or dispatched"] = (
        faults["kills_while_claimed_or_dispatched"], int(planned["kill"] * _SHARE_IN_FLIGHT),
    )  # fmt: skip
    wanted["effects"] = (counts["effects"], report["run"]["calls"] // 2)
    return [
        f"{name}: {number}, and at least {least} were wanted"
        for name, (number, least) in wanted.items()
        if number < least
    ]


def _ended(folder: Path) -> dict[str, int]:
    """Return how often processes ended that nobody had killed, and were started again."""
    lines = read(folder / "processes.jsonl")
    return dict(Counter(line["name"] for line in lines if line["ended"] not in (-9, -3)
                        and line["name"] != "postgres"))  # fmt: skip


def commit() -> str:
    """Return which commit this is, and whether anything was changed since."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"


def _summary(faults: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = Counter(f"{fault['kind']} of {fault['role']}" for fault in faults)
    kills = [fault for fault in faults if fault["kind"] == "kill"]
    busy = sum(bool(_busy(fault)) for fault in kills)
    found: Counter[str] = Counter()
    for fault in faults:
        found.update(fault["states"])
    return {
        "by_kind": dict(sorted(kinds.items())),
        "kills": len(kills),
        "kills_while_claimed_or_dispatched": busy,
        "calls_in_flight_at_faults": dict(found),
    }


def _busy(fault: dict[str, Any]) -> int:
    return sum(fault["states"].get(state, 0) for state in ("claimed", "dispatched"))


def _markdown(report: dict[str, Any]) -> str:
    run, verdict, faults = report["run"], report["verdict"], report["faults"]
    took = run["asked"] - run["serving"]
    lines = [
        f"# Fault run: {run['calls']} calls on {run['database']}, seed {run['seed']}",
        "",
        f"Commit {report['commit']}, {report['machine']['system']}, Python"
        f" {report['machine']['python']}. {took:.0f} s, {run['calls'] / took:.1f} calls a second.",
        "",
        f"**{len(verdict['violations'])} violations.** {faults['kills']} kills,"
        f" {faults['kills_while_claimed_or_dispatched']} of them while something was claimed or"
        " dispatched.",
        "",
        f"Ended by themselves and started again: {_states(report['ended_by_themselves'])}.",
        "",
        "| fault | times |", "|---|---|",
        *(f"| {kind} | {times} |" for kind, times in faults["by_kind"].items()),
        "",
        "| what was counted | |", "|---|---|",
        *(f"| {name} | {count} |" for name, count in verdict["counts"].items()),
        "",
        "| rule | violations |", "|---|---|",
        *(f"| {rule} | {count} |" for rule, count in verdict["rules"].items()),
        "",
    ]  # fmt: skip
    lines += [f"- seed {run['seed']}: {violation}" for violation in verdict["violations"][:50]]
    lines += ["", "## Every fault", ""]
    lines += ["| # | kind | process | role | aimed at | in flight | its own |", f"{'|---' * 7}|"]
    lines += [
        f"| {fault['number']} | {fault['kind']} | {fault['process']} | {fault['role']}"
        f" | {fault['aim']} | {_states(fault['states'])} | {_states(fault['own'])} |"
        for fault in report["each_fault"]
    ]
    return "\n".join(lines) + "\n"


def _states(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
