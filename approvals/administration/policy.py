"""The policy: replaced as a whole, each time a new version; what loosens it, by two people."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from approvals import ruling
from approvals.administration import loosening, proposals, versions
from approvals.administration.versions import Wanted
from approvals.administration.writing import MOST_REASON, administrator_now, reason_of
from approvals.models import Person, PolicyVersion, Proposal, Revision

check = versions.check


def publish(
    document: object,
    *,
    source: str,
    actor: str,
    person: Person | None,
    reason: str,
    based_on: int | None,
) -> PolicyVersion | Proposal:
    """Put a whole new policy in force, or propose it where a call could need fewer people.

    Args:
        document: the parsed file, {"rules": [...]}.
        source: where it came from, for people.
        actor: as in audit events.
        person: the administrator who does it; None: whoever has a shell on the server.
        reason: why, for people; a person has to say it.
        based_on: the version that was read when this one was written; None loads over any.

    Returns:
        The version that is in force now, or the proposal that waits for another administrator.

    Raises:
        InvalidInput: anything in it is wrong; every place is named and nothing is changed.
        NotAllowed: the person is no administrator.
        PolicyChanged: another version came meanwhile; nothing is changed.
    """
    reason = reason_of(reason) if person else reason.strip()[:MOST_REASON]
    return carry_out(document, Wish(source, actor, person, reason, based_on))


@dataclass(frozen=True)
class Wish:
    """What `publish` is told beside the document."""

    source: str
    actor: str
    person: Person | None
    reason: str
    based_on: int | None


def carry_out(
    document: object, wish: Wish, *, first: Callable[[], object] = lambda: None
) -> PolicyVersion | Proposal:
    """Publish, with something that is done first, in the same transaction."""
    seen = Revision.current()
    # Outside of any transaction: to look for what loosens takes a while, and would keep all others
    # from writing.
    looked = _looked(document, wish)
    with transaction.atomic():
        first()
        if wish.person:
            administrator_now(wish.person)
        Revision.bump()
        if Revision.current() != seen + 1:
            # Rules, tools or groups changed meanwhile; nobody can change them any more.
            looked = _looked(document, wish)
        if not looked.evidence:
            return versions.write(looked.wanted)
        return proposals.open_for(looked.wanted, person=wish.person, evidence=looked.evidence)


@dataclass(frozen=True)
class _Looked:
    wanted: Wanted
    evidence: dict[str, object]  # empty: nothing loosens


def _looked(document: object, wish: Wish) -> _Looked:
    rules, before = versions.check(document), ruling.in_force()
    versions.refuse_overtaken(wish.based_on, before.version)
    wanted = Wanted(rules, wish.source, wish.actor, wish.reason, before.version)
    return _Looked(wanted, loosening.evidence(before.rules, rules))


def load_rules(
    document: object, *, source: str, actor: str, reason: str = "", based_on: int | None = None
) -> PolicyVersion:
    """Put a whole new policy in force without asking anybody: to set up tests, and nothing else.

    Raises:
        InvalidInput, PolicyChanged: see `publish`.
    """
    return versions.write(Wanted(versions.check(document), source, actor, reason, based_on))
