"""`manage.py export_rules`: writes a policy down as the file it can be loaded from again."""

import json
from argparse import ArgumentParser
from typing import Any

from approvals import policy, ruling
from approvals.errors import NotFound
from approvals.management import base
from approvals.models import PolicyVersion


class Command(base.Command):
    help = "Prints the rules in force as JSON, in the form that load_rules reads."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--policy", type=int, metavar="N", help="those of a former version instead"
        )

    def act(self, *, policy: int | None, **_: Any) -> None:
        self.stdout.write(json.dumps(_document(policy), ensure_ascii=False, indent=2))


def _document(number: int | None) -> dict[str, Any]:
    if number is None:
        return policy.dump(ruling.in_force().rules)
    version = PolicyVersion.objects.filter(number=number).first()
    if version is None:
        raise NotFound(f"There is no policy version {number}.")
    return policy.dump(ruling.rules_of(version))
