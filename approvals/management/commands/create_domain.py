"""`manage.py create_domain`: a trust domain with its purpose and owner."""

from argparse import ArgumentParser
from typing import Any

from approvals.administration import catalog, people
from approvals.administration.writing import COMMAND
from approvals.errors import InvalidInput
from approvals.management import base


class Command(base.Command):
    help = "Creates a trust domain, or gives one that has no purpose its purpose and owner."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="such as billing; part of the URL /mcp/…")
        parser.add_argument("--purpose", required=True, metavar="TEXT", help="in one sentence")
        parser.add_argument("--owner", required=True, metavar="PERSON")
        parser.add_argument(
            "--no-four-eyes",
            action="store_false",
            dest="four_eyes",
            help="let an agent's owner approve its calls; every page and event says so",
        )

    def act(self, *, name: str, purpose: str, owner: str, four_eyes: bool, **_: Any) -> None:
        if not purpose.strip():
            raise InvalidInput("is empty; say in one sentence what it is for", path="$.purpose")
        catalog.create_domain(
            name,
            purpose=purpose.strip(),
            owner=people.get_person(owner),
            four_eyes=four_eyes,
            actor=COMMAND,
        )
        eyes = "" if four_eyes else " without four eyes: an agent's owner may approve its calls"
        self.stdout.write(f"Created domain {name}{eyes}.")
