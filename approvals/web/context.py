"""What every page's frame shows: who is signed in, how much waits for them, light or dark."""

from datetime import datetime
from functools import cached_property

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext

from approvals import access
from approvals.models import Agent, Person, Proposal
from approvals.web import open_proposals, queue

THEME_COOKIE = "theme"
THEMES = ("light", "dark")


class Shell:
    """The frame's facts; each is asked of the database only by a template that shows it."""

    def __init__(self, request: HttpRequest) -> None:
        # Requests refused before the session was read have no user.
        user = getattr(request, "user", None)
        self.person = user if isinstance(user, Person) else None
        self.path = request.path
        theme = request.COOKIES.get(THEME_COOKIE, "")
        self.theme = theme if theme in THEMES else ""

    @cached_property
    def waiting(self) -> int:
        """Return how many calls wait for this person."""
        return queue.count_waiting(self.person) if self.person else 0

    @cached_property
    def alone(self) -> Proposal | None:
        """Return a change of the rules that comes into force by the clock; every page says so."""
        return open_proposals.soon_in_force() if self.person else None

    @cached_property
    def sees_agents(self) -> bool:
        """Return whether the page of agents is theirs."""
        if self.person is None:
            return False
        return access.sees_all_agents(self.person) or self.person.agents.exists()

    @cached_property
    def now(self) -> datetime:
        """Return the time for pages that tell times and are not ours."""
        return timezone.now()

    @cached_property
    def is_first_run(self) -> bool:
        """Return whether this person could set up an installation in which no agent is yet."""
        may = self.person is not None and access.may_administer(self.person)
        return bool(may) and not Agent.objects.exists()

    @cached_property
    def role(self) -> str:
        """Return in a few words what this person may do."""
        if self.person is None:
            return ""
        flags = {
            gettext("Administrator"): self.person.is_administrator,
            gettext("Auditor"): self.person.is_auditor,
        }
        words = [word for word, is_so in flags.items() if is_so]
        domains = ", ".join(map(str, access.domains_of(self.person).order_by("name")[:3]))
        words += [gettext("Approves %(domains)s") % {"domains": domains}] if domains else []
        if not words and self.person.agents.exists():
            return gettext("Owns agents")
        return ", ".join(words) or gettext("No role yet")


def shell(request: HttpRequest) -> dict[str, Shell]:
    """Return the context all templates share."""
    return {"shell": Shell(request)}
