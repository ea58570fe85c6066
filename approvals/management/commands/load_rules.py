"""`manage.py load_rules`: puts a whole new policy in force, from a file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from approvals.administration import conditions, marks, policy
from approvals.administration.writing import COMMAND
from approvals.management import base
from approvals.policy import load


class Command(base.Command):
    help = "Replaces all rules by those of a JSON file; if anything in it is wrong, by none."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help='{"rules": [{"outcome": "hold", …}, …]}')
        parser.add_argument("--reason", default="", help="why, for people who read the versions")
        parser.add_argument(
            "--based-on", type=int, metavar="N", help="refuse unless version N is still in force"
        )

    def act(self, *, file: str, reason: str, based_on: int | None, **_: Any) -> None:
        document = base.read_json(Path(file))
        version = policy.load_rules(
            document, source=file, actor=COMMAND, reason=reason, based_on=based_on
        )
        self.stdout.write(f"Policy {version} is in force: {version.rules.count()} rules.")
        rules = load(document)
        trials = conditions.trials(rules)
        for trial in trials:
            if trial.tools:
                self.stdout.write(trial.in_words())
            else:
                self.warn(trial.in_words())
        for words in marks.in_words(rules, trials):
            self.warn(words)
