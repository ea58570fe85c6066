"""`manage.py try_rules`: says what a policy would have done with the calls of the last days."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from approvals.administration import backtests, policy
from approvals.management import base
from approvals.models import database_now
from approvals.policy import comparing
from approvals.policy.comparing import Change
from approvals.wording import clean

_MOST_LINES = 20  # of one list; --json has them all
_LONGEST = 200  # characters of a name or a reason


class Command(base.Command):
    help = "Tries the rules of a JSON file on the calls of the last days; changes nothing."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help='{"rules": [{"outcome": "hold", …}, …]}')
        parser.add_argument(
            "--days", type=int, choices=range(1, 366), metavar="N", default=backtests.DAYS,
            help="of 24 hours, back from now (default: 30)",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="all of it, for a program")

    def act(self, *, file: str, days: int, json: bool, **_: Any) -> None:
        rules = policy.check(base.read_json(Path(file)))
        found = backtests.tried(rules, database_now(), days, self._tell)
        if json:
            self._write_json(found)
        else:
            self._write(found, days)

    def _tell(self, done: int, total: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"{done:,} of {total:,} calls", ending="\r")

    def _write_json(self, found: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(found, ensure_ascii=False, indent=1))

    def _write(self, found: dict[str, Any], days: int) -> None:
        if not found["calls"]:
            self.stdout.write(f"No calls in the last {days} days: there is nothing to try it on.")
            return
        say, before, after = self.stdout.write, found["before"], found["after"]
        say(f"{found['calls']:,} calls in the last {days} days.")
        say(f"{'':10}{'then':>10}{'with these rules':>20}")
        for outcome, words in (("allow", "passed"), ("hold", "held"), ("deny", "refused")):
            say(f"{words:10}{before[outcome]:>10,}{after[outcome]:>20,}")
        more = comparing.more_a_day(found, days)
        say(f"It would ask people {abs(more):,.1f} times a day {'more' if more >= 0 else 'less'}.")
        for how in Change:
            if number := found["changed"][how]:
                say(f"{number:>8,} {_WORDS[how]}")
        for one in found["unjudged"][:_MOST_LINES]:
            name, why = clean(one["name"], _LONGEST), clean(one["why"], _LONGEST)
            say(f"{one['calls']:>8,} that “{name}” could not judge, such as {one['call']}: {why}")
        for group in found["groups"][:_MOST_LINES]:
            whose = group["group"] or "approvers"
            more = sum(group["after"]) - sum(group["before"])
            say(f"{more:>+8,} requests for {whose} of {group['domain']}")
        for one in [*found["looser"], *found["others"]][:_MOST_LINES]:
            rule = clean(one["after"]["rule"], _LONGEST)
            say(f"  {one['call']}  {one['at'][:16]}  {_WORDS[Change(one['change'])]}, by “{rule}”")
        say("Not tried: reads that passed at the door, and what was refused; neither is kept.")


_WORDS = {
    Change.PASSES: "would newly pass with nobody asked",
    Change.FEWER: "would be held for less",
    Change.HELD: "would newly be held",
    Change.REFUSED: "would be refused",
    Change.MORE: "would be held for more",
    Change.OTHERS: "would be held for others",
}
