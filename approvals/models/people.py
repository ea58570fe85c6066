"""People: who signs in to the web application. Agents are not people; see `agents`."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class Person(AbstractUser):
    """Somebody who may sign in. What they may do follows from these flags and their groups.

    An approver is a member of a domain's approver group; there is no flag for it.
    """

    is_auditor = models.BooleanField(default=False)  # reads everything, decides nothing
    is_administrator = models.BooleanField(default=False)  # changes who and what, decides nothing

    # How this person likes the pages
    time_zone = models.CharField(max_length=64, blank=True)  # IANA name; empty: the installation's
    uses_single_keys = models.BooleanField(default=True)  # j, k, a, r …; WCAG 2.1.4 wants a switch
    wants_notices = models.BooleanField(default=False)  # browser notifications of new calls

    class Meta:
        verbose_name = "person"
        verbose_name_plural = "people"

    @property
    def display_name(self) -> str:
        """Return the full name, or the sign-in name where there is none."""
        return self.get_full_name() or self.get_username()

    def __str__(self) -> str:
        return self.display_name
