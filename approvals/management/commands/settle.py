"""`manage.py settle`: says what became of a call whose outcome is unknown."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from approvals import lifecycle
from approvals.administration import people
from approvals.management import base


class Command(base.Command):
    help = (
        "Settles an unknown call as an approver of its domain who looked at what really happened."
    )

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("call", metavar="CALL", type=UUID, help="its id")
        parser.add_argument("--outcome", required=True, choices=("ran", "not-ran"))
        parser.add_argument("--evidence", required=True, metavar="TEXT", help="what you looked at")
        parser.add_argument("--as", required=True, dest="person", metavar="PERSON")

    def act(self, *, call: UUID, outcome: str, evidence: str, person: str, **_: Any) -> None:
        settled = lifecycle.settle(
            call, person=people.get_person(person), outcome=outcome, evidence=evidence
        )
        self.stdout.write(f"Call {call} is {settled.status}: {settled.status_reason}")
