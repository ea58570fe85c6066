"""`manage.py forget_second_factor`: for somebody who lost their phone, keys and recovery codes."""

from argparse import ArgumentParser
from typing import Any

from approvals.administration import people
from approvals.administration.writing import COMMAND
from approvals.management import base


class Command(base.Command):
    help = "Takes away a person's authenticator app, keys and recovery codes; the password stays."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="to sign in with")

    def act(self, *, name: str, **_: Any) -> None:
        kinds = people.forget_second_factor(people.get_person(name), actor=COMMAND)
        what = ", ".join(kinds) or "nothing: there was none"
        self.stdout.write(f"Forgot of {name}: {what}. The password alone signs them in now.")
