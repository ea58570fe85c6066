"""`manage.py proposals`: lists what waits for a second signature, and takes one back."""

from argparse import ArgumentParser
from typing import Any

from approvals.administration import loosening, proposals
from approvals.errors import InvalidInput
from approvals.management import base
from approvals.models import Proposal


class Command(base.Command):
    help = (
        "Lists the policies that wait for the signature of an administrator. They sign in the"
        " browser or by REST, never here: a shell is nobody."
    )

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--withdraw", type=int, metavar="N", help="take one back, by its number"
        )
        parser.add_argument("--reason", default="", help="why; with --withdraw")

    def act(self, *, withdraw: int | None, reason: str, **_: Any) -> None:
        if withdraw is not None:
            proposal = proposals.withdraw(withdraw, person=None, reason=reason)
            self.stdout.write(f"Proposal {proposal.pk} is withdrawn.")
            return
        if reason:
            raise InvalidInput("goes with --withdraw", path="$.reason")
        waiting = Proposal.objects.filter(state=Proposal.State.OPEN).order_by("opened_at")
        for proposal in waiting:
            by = f"proposed by {proposal.proposed_by} for version {proposal.based_on}"
            self.stdout.write(
                f"Proposal {proposal.pk}, {by}: {proposal.reason or 'no reason given'}"
            )
            self.stdout.write(f"  {proposals.in_words(proposal)}")
            for line in loosening.lines(proposal.evidence):
                self.stdout.write(f"  {line}")
        if not waiting:
            self.stdout.write("No proposal waits.")
