"""People: who may sign in, and in which role."""

import re
import zoneinfo
from collections.abc import Sequence

from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from approvals.administration.catalog import add_approvers, ensure_domain
from approvals.administration.writing import hold_to_rules, note, people_changed
from approvals.errors import Conflict, InvalidInput
from approvals.models import Agent, Person
from approvals.phrases import phrase

ROLES = ("approver", "auditor", "admin")
_ADMINISTERS = Q(is_administrator=True, is_active=True)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@.+_-]{0,63}")


@transaction.atomic
def create_person(
    name: str,
    *,
    role: str,
    password: str,
    actor: str,
    domains: Sequence[str] = (),
    full_name: str = "",
) -> Person:
    """Create somebody who may sign in.

    Args:
        name: to sign in with; plain letters, because it stands for the person in the trail.
        role: "approver" (of `domains`), "auditor" or "admin".

    Raises:
        InvalidInput: the name is taken or odd, the role unknown, the password too weak.
    """
    if role not in ROLES:
        raise InvalidInput(f"The role is one of {', '.join(ROLES)}.", path="$.role")
    if domains and role != "approver":
        raise InvalidInput("Only an approver has domains to approve for.", path="$.domains")
    _refuse_name(name)
    first, _, last = full_name.partition(" ")
    person = Person(
        username=name,
        first_name=first,
        last_name=last,
        is_auditor=role == "auditor",
        is_administrator=role == "admin",
    )
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages), path="$.password") from None
    person.set_password(password)
    hold_to_rules(person, words={})
    person.save()
    for domain_name in domains:
        domain, _ = ensure_domain(domain_name, actor=actor)
        add_approvers(domain, [person], actor=actor)
    note(f"person:{name}", "person.created", actor=actor, role=role, domains=list(domains))
    return person


@transaction.atomic
def deactivate(person: Person, *, actor: str) -> list[str]:
    """Let somebody who left sign in no more, and decide nothing; return what is left of theirs.

    A vote of theirs that is under way is waited for, or finds that they are gone. What they signed
    stays signed; their agents and keys are not touched: whoever has them now says what becomes of
    these.

    Returns:
        names of the agents they own, or that have a key which acts for them.

    Raises:
        Conflict: they are deactivated already, or nobody would be left who administers.
    """
    # In one order, so that two administrators who deactivate each other do not both succeed.
    everybody = Person.objects.select_for_update(no_key=True).order_by("pk")
    left = {one.pk: one for one in everybody.filter(Q(pk=person.pk) | _ADMINISTERS)}
    if not left[person.pk].is_active:
        raise Conflict(phrase("That account is deactivated already."))
    if person.is_administrator and len(left) == 1:
        raise Conflict(phrase("Nobody else administers: create another administrator first."))
    _set_active(person, False, actor=actor, code="person.deactivated")
    agents = Agent.objects.filter(Q(owner=person) | Q(keys__acts_for=person))
    return sorted(set(agents.values_list("name", flat=True)))


@transaction.atomic
def reactivate(person: Person, *, actor: str) -> None:
    """Let somebody sign in again, in the groups they are in.

    Raises:
        Conflict: they can already.
    """
    if Person.objects.select_for_update(no_key=True).get(pk=person.pk).is_active:
        raise Conflict(phrase("That account is active already."))
    _set_active(person, True, actor=actor, code="person.reactivated")


def _set_active(person: Person, is_active: bool, *, actor: str, code: str) -> None:
    person.is_active = is_active
    person.save(update_fields=["is_active"])
    groups = list(person.approver_groups.select_related("domain"))
    people_changed({group.domain_id for group in groups})
    names = sorted(str(group) for group in groups)
    note(f"person:{person.get_username()}", code, actor=actor, groups=names)


def get_person(name: str, *, even_if_gone: bool = False) -> Person:
    """Return an active person by sign-in name.

    Args:
        even_if_gone: also one whose account was deactivated.

    Raises:
        InvalidInput: there is none.
    """
    person = Person.objects.filter(username=name).first()
    if person is None or not (person.is_active or even_if_gone):
        raise InvalidInput(phrase("There is no person called %(name)s.", name=repr(name)), path="$")
    return person


@transaction.atomic
def set_preferences(
    person: Person, *, time_zone: str, uses_single_keys: bool, wants_notices: bool, actor: str
) -> None:
    """Keep how a person likes the pages.

    Args:
        time_zone: an IANA name; empty for the installation's.

    Raises:
        InvalidInput: there is no such zone.
    """
    if time_zone and time_zone not in zoneinfo.available_timezones():
        raise InvalidInput(phrase("There is no such time zone."), path="$.time_zone")
    wanted = {
        "time_zone": time_zone,
        "uses_single_keys": uses_single_keys,
        "wants_notices": wants_notices,
    }
    changed = {key: value for key, value in wanted.items() if getattr(person, key) != value}
    if not changed:
        return
    Person.objects.filter(pk=person.pk).update(**changed)
    note(f"person:{person.get_username()}", "person.preferences_set", actor=actor, **changed)


@transaction.atomic
def forget_second_factor(person: Person, *, actor: str) -> list[str]:
    """Take away every app, key and recovery code of somebody who lost them; return their kinds.

    The password is all it takes to sign in then, until they set something up again.
    """
    known = Authenticator.objects.filter(user=person)
    kinds = sorted(known.values_list("type", flat=True))
    known.delete()
    note(
        f"person:{person.get_username()}", "person.second_factor_forgotten", actor=actor,
        kinds=kinds,
    )  # fmt: skip
    return kinds


def _refuse_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            phrase(
                "must be 1 to 64 letters (a to z), digits or @ . + - _, and begin with a letter or"
                " digit"
            ),
            path="$.name",
        )
    # People sign in whatever the case, so the case must not make two of them.
    if Person.objects.filter(username__iexact=name).exists():
        told = phrase("is taken: there is a person called %(name)s already", name=repr(name))
        raise InvalidInput(told, path="$.name")
