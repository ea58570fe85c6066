"""`manage.py approver_group`: creates a group of approvers, and says who is in it."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from approvals.administration import groups, people
from approvals.administration.writing import COMMAND
from approvals.errors import InvalidInput
from approvals.management import base
from approvals.models import ApproverGroup, Domain


class Command(base.Command):
    help = "Creates an approver group of a domain, adds people to it, or takes people out of it."

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("domain", metavar="DOMAIN")
        parser.add_argument("name", metavar="GROUP", help="such as Finance; rules name it")
        parser.add_argument("--create", action="store_true", help="create it first")
        parser.add_argument("--owner", metavar="PERSON", help="who answers for it")
        parser.add_argument("--add", nargs="+", metavar="PERSON", default=[])
        parser.add_argument("--remove", nargs="+", metavar="PERSON", default=[])

    def act(
        self, *, domain: str, name: str, create: bool, owner: str | None, add: Sequence[str],
        remove: Sequence[str], **_: Any,
    ) -> None:  # fmt: skip
        # Looked up first: a name that is wrong must leave nothing behind.
        added = [people.get_person(one) for one in add]
        removed = [people.get_person(one, even_if_gone=True) for one in remove]
        with transaction.atomic():
            group = self._created(domain, name, owner) if create else groups.get_group(domain, name)
            if owner and not create:
                groups.set_owner(group, people.get_person(owner), actor=COMMAND)
            if added:
                groups.add_members(group, added, actor=COMMAND)
            if removed:
                groups.remove_members(group, removed, actor=COMMAND)
        names = sorted(person.get_username() for person in group.people.filter(is_active=True))
        self.stdout.write(f"{group}: {', '.join(names) or 'nobody'}.")

    def _created(self, domain: str, name: str, owner: str | None) -> ApproverGroup:
        found = Domain.objects.filter(name=domain).first()
        if found is None:
            raise InvalidInput(f"There is no domain {domain!r}.", path="$.domain")
        answers = people.get_person(owner) if owner else None
        return groups.create_group(found, name, owner=answers, actor=COMMAND)
