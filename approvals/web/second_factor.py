"""Writes into the trail what people change about how they sign in; django-allauth does the rest."""

from typing import Any

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.dispatch import receiver

from approvals import observations
from approvals.models import Person


@receiver(signals.authenticator_added)
def added(user: Person, authenticator: Authenticator, **_: Any) -> None:
    """Record that an app, a key or recovery codes were added."""
    observations.person_event(user, "person.second_factor_added", kind=authenticator.type)


@receiver(signals.authenticator_removed)
def removed(user: Person, authenticator: Authenticator, **_: Any) -> None:
    """Record that one was taken away."""
    observations.person_event(user, "person.second_factor_removed", kind=authenticator.type)


@receiver(signals.authenticator_reset)
def renewed(user: Person, authenticator: Authenticator, **_: Any) -> None:
    """Record that recovery codes were made anew."""
    observations.person_event(user, "person.second_factor_renewed", kind=authenticator.type)
