"""`manage.py doctor`: looks at an installation, and says in a line each what to do."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from approvals.wording import clean
from config import doctor

_LONGEST = 400
_MARKS = {"ok": "ok     ", "warning": "WARNING", "problem": "PROBLEM"}


class Command(BaseCommand):
    help = "Looks at everything an installation needs; ends with 1 when something is wrong."
    requires_system_checks: list[str] = []  # a database that is away is a finding, not an error

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", metavar="DIR", help="the data folder (default: var/)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: str, **options: Any) -> None:
        found = []
        for finding in doctor.findings():
            found.append(finding)
            if not options["json"]:
                self.stdout.write(in_a_line(finding))
        is_well = all(finding.state != "problem" for finding in found)
        if options["json"]:
            told = {"is_well": is_well, "findings": [asdict(finding) for finding in found]}
            self.stdout.write(json.dumps(told, indent=2))
        if not is_well:
            sys.exit(1)


def in_a_line(finding: doctor.Finding) -> str:
    """Return a finding in one line; names and errors may hold what a terminal would obey."""
    said = f"{finding.name}: {finding.said} {finding.do}".rstrip()
    return f"{_MARKS[finding.state]} {clean(said, _LONGEST)}"
