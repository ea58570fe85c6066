"""`manage.py revoke_key`: ends an agent's key at once."""

from argparse import ArgumentParser
from typing import Any

from approvals.administration import agents
from approvals.administration.writing import COMMAND
from approvals.management import base


class Command(base.Command):
    help = "Ends a key at once; what its agent has waiting goes on waiting."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", metavar="PREFIX", help="of cs_PREFIX_…; never the secret")

    def act(self, *, prefix: str, **_: Any) -> None:
        # Whoever pastes a whole key anyway shall not find its secret in an error message.
        public = prefix.removeprefix("cs_").partition("_")[0]
        key = agents.revoke_key(public, actor=COMMAND)
        self.stdout.write(f"Revoked key {key.prefix} of agent {key.agent}.")
