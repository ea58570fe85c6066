"""`manage.py load_rules`: puts a whole new policy in force, or proposes it, from a file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from approvals.administration import conditions, loosening, marks, policy, proposals
from approvals.administration.writing import COMMAND
from approvals.management import base
from approvals.models import Proposal
from approvals.policy import load


class Command(base.Command):
    help = "Replaces all rules by those of a JSON file; if anything in it is wrong, by none."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help='{"rules": [{"outcome": "hold", …}, …]}')
        parser.epilog = (
            "Rules under which a write could need fewer people wait for the signature of an"
            " administrator; with none but one, they wait a day. See docs/rules.md."
        )
        parser.add_argument("--reason", default="", help="why, for people who read the versions")
        parser.add_argument(
            "--based-on", type=int, metavar="N", help="refuse unless version N is still in force"
        )

    def act(self, *, file: str, reason: str, based_on: int | None, **_: Any) -> None:
        document = base.read_json(Path(file))
        found = policy.publish(
            document, source=file, actor=COMMAND, person=None, reason=reason, based_on=based_on
        )
        if isinstance(found, Proposal):
            self.stdout.write(proposals.in_words(found))
            for line in loosening.lines(found.evidence):
                self.stdout.write(f"  {line}")
        else:
            self.stdout.write(f"Policy {found} is in force: {found.rules.count()} rules.")
        rules = load(document)
        trials = conditions.trials(rules)
        for trial in trials:
            if trial.tools:
                self.stdout.write(trial.in_words())
            else:
                self.warn(trial.in_words())
        for words in marks.in_words(rules, trials):
            self.warn(words)
