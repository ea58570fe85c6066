"""What it costs to judge a call by 500 rules, of which 200 have conditions.

The worst that a policy can ask: each condition is on the call's own tool, and none is true, so that
all of them are judged. Conditions are compiled before, as they are when a policy is read.
"""

import random
import time
from datetime import UTC, datetime
from pathlib import Path

from approvals.policy import Facts, Outcome, Rule, evaluate, prepare
from benchmarks import report
from benchmarks.goals import Figure
from benchmarks.places import Outcome as Measured
from benchmarks.places import Size

RULES, WITH_CONDITIONS = 500, 200
TOOLS = 50
_CONDITIONS = (
    "args.amount > {} && args.currency == 'eur'",
    "args.amount < {} && args.customer.startsWith('vip')",
    "args.lines.exists(line, line.price > {})",
    "has(args.memo) && args.memo.contains('urgent') && args.amount > {}",
    "now.getHours() > {} && acts_for == 'nobody'",
)


def run(_folder: Path, size: Size) -> Measured:
    """Judge many different calls; return the figures."""
    rules, chance = policy(), random.Random(5)  # noqa: S311 - the same calls in every run
    prepare(rules)
    times = []
    for number in range(size.reads):
        facts = call(chance, number)
        began = time.perf_counter()
        ruled = evaluate(facts, rules)
        times.append(time.perf_counter() - began)
        if ruled.why:
            raise RuntimeError(ruled.why)
    p95 = round(report.percentile(times, 0.95) * 1000, 3)
    return Measured([Figure("policy", "500 rules, 200 conditions", p95)], {"p95_ms": p95})


def policy() -> list[Rule]:
    """Return the rules."""
    rules = []
    for number in range(RULES):
        has_one = number % 5 < 2  # 200 of 500
        condition = _CONDITIONS[number % len(_CONDITIONS)].format(100_000 + number)
        rules.append(
            Rule(
                position=number + 1,
                name=f"rule {number}",
                outcome=Outcome.HOLD,
                domain="billing",
                tool="billing__*" if has_one else f"billing__other_{number}",
                condition=condition if has_one else "",
            )
        )
    return rules


def call(chance: random.Random, number: int) -> Facts:
    """Return what is known of one call."""
    args = {
        "amount": chance.randrange(50_000),
        "currency": chance.choice(["usd", "eur"]),
        "customer": f"cus_{number}",
        "memo": "as agreed on the telephone",
        "lines": [{"name": f"line {line}", "price": line} for line in range(5)],
    }
    return Facts(
        domain="billing", tool=f"billing__tool_{chance.randrange(TOOLS)}", effect="write",
        agent="support", args=args, acts_for="ann", now=datetime.now(UTC),
    )  # fmt: skip
