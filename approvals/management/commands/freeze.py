"""`manage.py freeze`: puts a freeze on a domain, lists what is on and planned, or ends one."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from approvals import freezes
from approvals.administration import freezes as administration
from approvals.administration.writing import COMMAND
from approvals.errors import InvalidInput, NotFound
from approvals.management import base
from approvals.models import Domain, Freeze, database_now
from approvals.wording import clean


class Command(base.Command):
    help = (
        "While a freeze is on, people are asked about what rules let through in a domain."
        " Without --until and --end it lists what is on and planned."
    )

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("domain", metavar="DOMAIN")
        moment = "such as 2026-12-24T18:00, in the installation's time zone, or with +01:00"
        parser.add_argument("--from", dest="begins", metavar="TIME", help=f"{moment}; default: now")
        parser.add_argument("--until", metavar="TIME", help="likewise; it ends at that moment")
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="people and agents read it"
        )
        parser.add_argument("--group", default="", help="who is to decide meanwhile")
        parser.add_argument("--reads", action="store_true", help="ask about reads as well")
        parser.add_argument("--end", type=int, metavar="NUMBER", help="end that freeze now")

    def act(self, *, domain: str, until: str | None, end: int | None, **given: Any) -> None:
        found = Domain.objects.filter(name=domain).first()
        if found is None:
            raise NotFound(f"There is no domain {domain}.")
        if end is not None:
            self._end(found, end)
        elif until is not None:
            self._add(found, until, **given)
        else:
            self._list(found)

    def _add(self, domain: Domain, until: str, **given: Any) -> None:
        begins = given["begins"]
        begins_at = _moment(begins, "$.from") if begins else database_now()
        wanted = {key: given[key] for key in ("reason", "group", "reads")}
        planned = administration.Planned(begins_at, _moment(until, "$.until"), **wanted)
        freeze = administration.add(domain, planned, actor=COMMAND)
        self.stdout.write(f"Freeze {_told(freeze)}")

    def _end(self, domain: Domain, number: int) -> None:
        if not Freeze.objects.filter(domain=domain, pk=number).exists():
            raise NotFound(f"{domain} has no freeze {number}.")
        administration.end(number, actor=COMMAND)
        self.stdout.write(f"Ended freeze {number} of {domain}.")

    def _list(self, domain: Domain) -> None:
        found = freezes.coming([domain])
        for freeze in found:
            self.stdout.write(_told(freeze))
        if not found:
            self.stdout.write(f"No freeze is on or planned in {domain}.")


def _told(freeze: Freeze) -> str:
    what = "everything" if freeze.reads else "all but reads"
    group = f", for {freeze.group}" if freeze.group else ""
    span = f"{_clock(freeze.begins_at)} to {_clock(freeze.ends_at)}"
    return f"{freeze.pk} of {freeze.domain}: {span}, {what}{group}: {clean(freeze.reason, 140)}"


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _moment(text: str, path: str) -> datetime:
    """Return the moment that a text names; without a zone, by the installation's clocks.

    Raises:
        InvalidInput: it names none, or clocks show it twice or never.
    """
    try:
        named = datetime.fromisoformat(text)
        if named.tzinfo is not None:
            return named.astimezone(UTC)
        local = named.replace(tzinfo=timezone.get_default_timezone())
        once = local.utcoffset() == local.replace(fold=1).utcoffset()
        moment = local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput("must be a time such as 2026-12-24T18:00", path=path) from None
    if not once:
        wrong = "is shown twice or never, as clocks change then; add the offset, such as +01:00"
        raise InvalidInput(wrong, path=path)
    return moment
