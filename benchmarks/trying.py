"""How long it takes to try a policy of 500 rules on the calls of 30 days.

Of its rules 200 have conditions: on arguments, on the clock and on `history`. First spread over the
tools, as policies are; then, on a tenth of the calls and told as if it were all of them, each
condition on every call. Each engine has a process (`python -m benchmarks.trying`) and a database of
its own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import django

from benchmarks.goals import POSTGRES, SQLITE, Figure
from benchmarks.pages import environment, tidy
from benchmarks.places import Outcome, Size, missing

RULES, WITH_CONDITIONS = 500, 200
ROUNDS = 3
_WORST_SHARE = 10
_CONDITIONS = (
    "args.amount > {} && args.customer.startsWith('vip')",
    "has(args.memo) && args.memo.contains('urgent') && args.amount > {}",
    "now.getHours() >= 8 && args.amount > 1{}000",
    "history.calls_day > {}",
    "history.sum_day.amount > 9{}00000",
)


def document(tools: list[str], agents: list[str]) -> dict[str, Any]:
    """Return a policy: for each tool as many rules, then one that lets it through in a budget."""
    each, with_one = RULES // len(tools), WITH_CONDITIONS // len(tools)
    rules: list[dict[str, Any]] = []
    for number, tool in enumerate(tools):
        for place in range(each - 1):
            rule = {"name": f"{tool} {place}", "outcome": "hold", "tool": tool, "quorum": 2}
            if place < with_one:
                condition = _CONDITIONS[place % len(_CONDITIONS)].format(number + place + 10)
                rules.append(rule | {"condition": condition})
            else:
                rules.append(rule | {"agent": f"nobody-{place}"})
        budget = {
            "per": "agent", "window": "day", "limit": 200_000, "field": "amount",
            "unit": "USD:minor",
        }  # fmt: skip
        rules.append({"name": tool, "outcome": "allow", "tool": tool, "budget": budget})
    return {"rules": rules}


def on_every_call() -> dict[str, Any]:
    """Return a policy each of whose conditions is judged for each call."""
    rules = []
    for number in range(RULES):
        rule: dict[str, Any] = {"name": f"rule {number}", "outcome": "hold"}
        if number % 5 < 2:
            rule["condition"] = _CONDITIONS[number % len(_CONDITIONS)].format(number + 10)
        else:
            rule["agent"] = f"nobody-{number}"
        rules.append(rule)
    return {"rules": rules}


def measure(calls: int) -> dict[str, object]:
    """Fill the database of this process and return how long tries take, in seconds."""
    django.setup()
    from django.core.management import call_command

    from approvals import policy
    from benchmarks import filling

    call_command("migrate", verbosity=0)
    cast = filling.fill(0, calls, days=30)
    tidy()
    spread = document([tool.exposed_name for tool in cast.tools], [])
    took = sorted(_tried(policy.load(spread), 30) for _ in range(ROUNDS))
    worst = _tried(policy.load(on_every_call()), 30 // _WORST_SHARE) * _WORST_SHARE
    return {"seconds": took, "median_seconds": took[ROUNDS // 2], "one_tool_seconds": worst}


def _tried(rules: Any, days: int) -> float:
    from approvals.administration import backtests
    from approvals.models import database_now

    began = time.perf_counter()
    backtests.tried(rules, database_now(), days, lambda done, total: None)
    return round(time.perf_counter() - began, 2)


def run(folder: Path, size: Size) -> Outcome:
    """Measure on every engine, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.trying", f"--calls={size.tried}"]
    figures, details, notes = list[Figure](), dict[str, object](), list[str]()
    for place in (SQLITE, POSTGRES):
        if why := missing(place):
            notes.append(f"No policy was tried on {place}: {why}.")
            continue
        with environment(folder, place) as own:
            done = subprocess.run(command, env=own, stdout=subprocess.PIPE, check=True)
        found = details[place] = json.loads(done.stdout)
        figures.append(Figure("backtest", place, found["median_seconds"]))
        figures.append(Figure("backtest_of_one_tool", place, found["one_tool_seconds"]))
    return Outcome(figures, details, notes)


def main() -> None:
    """Measure in this process and its database; write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, required=True)
    sys.stdout.write(json.dumps(measure(parser.parse_args().calls)))


if __name__ == "__main__":
    main()
