"""Who may see, decide, settle, withdraw and administer; the only way from user input to a row."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from approvals.errors import NotFound
from approvals.models import ApproverGroup, Domain, HistoryRow, Person, ToolCall

S = ToolCall.Status


@dataclass(frozen=True)
class Permission:
    """Whether somebody may do something, and in words why not."""

    allowed: bool
    why: str = ""

    def __bool__(self) -> bool:
        return self.allowed


ALLOWED = Permission(True)


def visible_to(person: Person) -> QuerySet[ToolCall]:
    """Return the calls a person may see.

    Auditors and administrators see all; everybody else the calls of domains they approve for, of
    agents they own, and those made for them.
    """
    calls = ToolCall.objects.all()
    if not person.is_active:
        return calls.none()
    if person.is_auditor or person.is_administrator:
        return calls
    return calls.filter(_theirs(person))


def searchable_by(person: Person) -> QuerySet[HistoryRow]:
    """Return what the history may look through for a person: the rows of `visible_to`, no more."""
    rows = HistoryRow.objects.all()
    if not person.is_active:
        return rows.none()
    if person.is_auditor or person.is_administrator:
        return rows
    return rows.filter(_theirs(person))


def seen_only_as_auditor(person: Person, calls: Iterable[ToolCall]) -> list[ToolCall]:
    """Return the calls that the person sees for no other reason than being an auditor."""
    if not person.is_auditor:
        return []
    domains = set(domains_of(person).values_list("pk", flat=True))
    return [
        call
        for call in calls
        if call.domain_id not in domains and person.pk not in (call.owner_id, call.acts_for_id)
    ]


def domains_of(person: Person) -> QuerySet[Domain]:
    """Return the domains a person approves for."""
    return Domain.objects.filter(
        pk__in=ApproverGroup.objects.filter(people=person).values("domain_id")
    )


def get_call(person: Person, call_id: UUID | str) -> ToolCall:
    """Return a call the person may see.

    Raises:
        NotFound: there is none by that id, or it is not theirs to see; the two look the same.
    """
    return _get(visible_to(person), call_id)


def get_agent_call(agent_id: int, ticket: UUID | str) -> ToolCall:
    """Return an agent's own call by its ticket; another agent's does not exist for it.

    Raises:
        NotFound: see above.
    """
    return _get(ToolCall.objects.filter(agent_id=agent_id), ticket)


def is_approver_of(person: Person, domain_id: int) -> bool:
    """Return whether the person is in an approver group of the domain, and active."""
    return (
        person.is_active
        and ApproverGroup.objects.filter(domain_id=domain_id, people=person).exists()
    )


def may_decide(person: Person, call: ToolCall, verdict: str = "approve") -> Permission:
    """Return whether the person may give this verdict, whatever state the call is in."""
    if not is_approver_of(person, call.domain_id):
        return Permission(False, "Only an approver of this domain can decide.")
    if verdict == "approve" and call.four_eyes and person.pk in (call.owner_id, call.acts_for_id):
        return Permission(
            False,
            "Four eyes: the agent's owner and the person it acts for cannot approve.",
        )
    return ALLOWED


def may_settle(person: Person, call: ToolCall) -> Permission:
    """Return whether the person may say what became of a call whose outcome is unknown."""
    if not is_approver_of(person, call.domain_id):
        return Permission(False, "Only an approver of this domain can settle it.")
    return ALLOWED


def may_withdraw(person: Person, call: ToolCall) -> Permission:
    """Return whether the person may withdraw the call on the agent's behalf."""
    if not person.is_active or person.pk != call.owner_id:
        return Permission(False, "Only the agent's owner can withdraw its call.")
    return ALLOWED


def _theirs(person: Person) -> Q:
    return Q(domain__in=domains_of(person)) | Q(owner=person) | Q(acts_for=person)


def _get(calls: QuerySet[ToolCall], call_id: UUID | str) -> ToolCall:
    try:
        wanted = call_id if isinstance(call_id, UUID) else UUID(str(call_id))
    except ValueError:
        raise NotFound("There is no such call.") from None
    call = calls.filter(pk=wanted).first()
    if call is None:
        raise NotFound("There is no such call.")
    return call
