"""`manage.py create_person`: somebody who may sign in."""

import sys
import warnings
from argparse import ArgumentParser
from getpass import GetPassWarning, getpass
from typing import Any

from approvals.administration import people
from approvals.administration.writing import COMMAND
from approvals.errors import InvalidInput
from approvals.management import base


class Command(base.Command):
    help = "Creates a person: an approver (of domains), an auditor or an administrator."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="to sign in with")
        parser.add_argument("--role", required=True, choices=people.ROLES)
        parser.add_argument(
            "--domain", action="append", default=[], metavar="D", help="to approve for; repeatable"
        )
        parser.add_argument(
            "--password-stdin", action="store_true", help="read it from the first line of stdin"
        )

    def act(
        self, *, name: str, role: str, domain: list[str], password_stdin: bool, **_: Any
    ) -> None:
        password = _first_line() if password_stdin else _asked()
        people.create_person(name, role=role, password=password, domains=domain, actor=COMMAND)
        self.warn_of_missing_purposes(domain)
        self.stdout.write(f"Created {name}, {role}{' of ' if domain else ''}{', '.join(domain)}.")


def _first_line() -> str:
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InvalidInput("The password must be UTF-8 text.") from None


def _asked() -> str:
    """Ask twice, without echo.

    Raises:
        InvalidInput: there is no terminal, or the two differ.
    """
    with warnings.catch_warnings():
        # Where it cannot switch the echo off, getpass only warns.
        warnings.simplefilter("error", GetPassWarning)
        try:
            first, second = getpass("Password: "), getpass("Again: ")
        except (GetPassWarning, EOFError):
            raise InvalidInput(
                "There is no terminal to ask for the password on: use --password-stdin."
            ) from None
    if first != second:
        raise InvalidInput("The two passwords are not the same.")
    return first
