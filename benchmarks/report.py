"""How a measurement is summarised, shown and kept: percentiles, one table, JSON beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.goals import GOALS, Figure, Goal, goal_of
from benchmarks.machine import Machine

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


def table(machine: Machine, figures: Sequence[Figure], notes: Sequence[str]) -> str:
    """Return what people read: the machine, a row for each figure, what was left out and why."""
    ordered = sorted(figures, key=lambda figure: GOALS.index(goal_of(figure)))
    rows = [("", "figure", "where", "measured", "goal"), *map(_row, ordered)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    judged = [goal_of(figure).is_missed(figure.value) for figure in figures if _is_judged(figure)]
    summary = f"{judged.count(True)} of {len(judged)} goals missed."
    return "\n".join([machine.words(), "", *lines, "", summary, *notes])


def keep(
    name: str, machine: Machine, figures: Sequence[Figure], details: Mapping[str, object]
) -> Path:
    """Write figures beside where and when they were measured; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    kept = {
        "machine": machine.as_dict(),
        "figures": [_kept(figure, goal_of(figure)) for figure in figures],
        "details": details,
    }
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    return path


def _is_judged(figure: Figure) -> bool:
    return goal_of(figure).limit is not None


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    goal, verdict = goal_of(figure), ""
    if _is_judged(figure):
        verdict = "FAIL" if goal.is_missed(figure.value) else "ok"
    measured = f"{figure.value:g} {goal.unit}"
    return verdict, goal.words, figure.where, measured, goal.asked()


def _kept(figure: Figure, goal: Goal) -> dict[str, object]:
    return {
        "name": figure.name,
        "where": figure.where,
        "value": figure.value,
        "unit": goal.unit,
        "goal": goal.asked(),
        "is_missed": goal.is_missed(figure.value),
    }
