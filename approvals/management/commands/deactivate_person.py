"""`manage.py deactivate_person`: somebody leaves; or is back, with --undo."""

from argparse import ArgumentParser
from typing import Any

from approvals.administration import people
from approvals.administration.writing import COMMAND
from approvals.management import base


class Command(base.Command):
    help = (
        "Deactivates an account: who left signs in no more and decides nothing. What they signed"
        " stays; calls that too few are left to approve stay held, and say so."
    )

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="to sign in with")
        parser.add_argument("--undo", action="store_true", help="let them sign in again")

    def act(self, *, name: str, undo: bool, **_: Any) -> None:
        person = people.get_person(name, even_if_gone=True)
        if undo:
            people.reactivate(person, actor=COMMAND)
            self.stdout.write(f"{name} can sign in again.")
            return
        agents = people.deactivate(person, actor=COMMAND)
        self.stdout.write(f"Deactivated {name}.")
        if agents:
            self.warn(
                f"These agents are theirs, or act for them, and go on: {', '.join(agents)}."
                " Pause them, or revoke their keys, on the agents page."
            )
