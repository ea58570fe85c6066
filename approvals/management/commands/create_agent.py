"""`manage.py create_agent`: the identity of an MCP client, with its key."""

from argparse import ArgumentParser
from typing import Any

from django.db import transaction

from approvals.administration import agents, people
from approvals.administration.writing import COMMAND
from approvals.management import base


class Command(base.Command):
    help = "Creates an agent and prints its key, for the only time, alone on the last line."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--owner", required=True, metavar="PERSON")
        parser.add_argument(
            "--domain", action="append", required=True, metavar="D", help="it may use; repeatable"
        )
        parser.add_argument(
            "--effects",
            default="read,write",
            help="read, write or read,write (the default); write covers destructive, unreviewed"
            " and changed tools",
        )
        parser.add_argument("--acts-for", metavar="PERSON", help="default: its owner")
        parser.add_argument(
            "--grace", type=int, default=25, metavar="SECONDS",
            help="how long a held request is kept open before the agent gets a ticket (25)",
        )  # fmt: skip

    def act(self, *, name: str, owner: str, domain: list[str], **options: Any) -> None:
        person = people.get_person(owner)
        acts_for = people.get_person(options["acts_for"]) if options["acts_for"] else person
        effects = [effect.strip() for effect in options["effects"].split(",")]
        # Together, because no other command makes a key for an agent that was left without one.
        with transaction.atomic():
            agent = agents.create_agent(
                name, owner=person, domains=domain, effects=effects,
                grace_seconds=options["grace"], actor=COMMAND,
            )  # fmt: skip
            key = agents.create_key(agent, acts_for=acts_for, actor=COMMAND)
        self.warn_of_missing_purposes(domain)
        self.stdout.write(f"Created agent {name}. Its key, which is not shown again:")
        self.stdout.write(key)
