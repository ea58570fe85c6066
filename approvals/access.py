"""Who may see, decide, settle, withdraw and administer; the only way from user input to a row."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from approvals import policy
from approvals.errors import NotFound
from approvals.models import (
    Agent,
    ApproverGroup,
    Domain,
    HistoryRow,
    Person,
    Proposal,
    Tool,
    ToolCall,
    Upstream,
)
from approvals.phrases import joined, phrase

S = ToolCall.Status


@dataclass(frozen=True)
class Permission:
    """Whether somebody may do something, and why not: a phrase, which pages translate."""

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


def groups_of(person: Person) -> dict[int, set[str]]:
    """Return the names of the approver groups a person is in, by the id of their domain.

    Values, where a subquery would cost more: a planner that sees how few they are reads an index
    alone.
    """
    found: dict[int, set[str]] = {}
    if person.is_active:
        rows = ApproverGroup.objects.filter(people=person).values_list("domain_id", "name")
        for domain_id, name in rows:
            found.setdefault(domain_id, set()).add(name)
    return found


def has_turn(groups: Mapping[int, Collection[str]]) -> Q:
    """Return the condition that leaves calls which ask one of these groups of their domain now."""
    asked = Q(asked_group="")  # every approver of the domain
    for domain_id, names in groups.items():
        named = Q(asked_group__in=names) | Q(escalated_to__in=names)
        asked |= Q(domain=domain_id) & named
    return asked


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
    """Return whether the person may give this verdict, whatever state the call is in.

    Under a rule with stages, only the group whose turn it is approves, and the one it escalated to;
    everybody of any of these groups may say no.
    """
    groups = groups_of(person).get(call.domain_id)
    if not groups:
        return Permission(False, phrase("Only an approver of this domain can decide."))
    if why := _is_not_asked(groups, call, verdict):
        return Permission(False, why)
    if verdict == "approve" and call.four_eyes and person.pk in (call.owner_id, call.acts_for_id):
        return Permission(
            False,
            phrase("Four eyes: the agent's owner and the person it acts for cannot approve."),
        )
    return ALLOWED


def _is_not_asked(groups: set[str], call: ToolCall, verdict: str) -> str:
    """Return in words why somebody in these groups is not asked; empty when they are."""
    asked = [stage["group"] for stage in call.rule.get("stages", ())]
    if not asked:
        return ""
    if call.escalated_to and call.escalated_to not in asked:
        asked.append(call.escalated_to)
    if groups.isdisjoint(asked):
        return phrase("Only %(groups)s can decide.", groups=joined(", ", asked))
    if verdict == "approve" and groups.isdisjoint((call.asked_group, call.escalated_to)):
        return phrase("It is the turn of %(group)s.", group=call.asked_group)
    return ""


def out_of_reach(calls: Iterable[ToolCall]) -> set[UUID]:
    """Return which pending calls cannot get all their approvals from whom there is by now.

    They hold until their time is over, or until somebody joins a group; nothing passes by itself.
    One query for all, beside decisions that are not loaded.
    """
    calls = [call for call in calls if call.status == S.PENDING]
    members: dict[int, dict[str, set[int]]] = {}
    rows = ApproverGroup.people.through.objects.filter(
        approvergroup__domain__in={call.domain_id for call in calls}, person__is_active=True
    ).values_list("approvergroup__domain_id", "approvergroup__name", "person_id")
    for domain_id, name, person_id in rows if calls else ():
        members.setdefault(domain_id, {}).setdefault(name, set()).add(person_id)
    return {call.pk for call in calls if not _is_in_reach(call, members.get(call.domain_id, {}))}


def _is_in_reach(call: ToolCall, members: Mapping[str, set[int]]) -> bool:
    rule, decisions = policy.Rule(**call.rule), call.decisions.all()
    gone = {decision.approver_id for decision in decisions}
    if call.four_eyes:
        gone |= {call.owner_id, call.acts_for_id}
    approved = [decision.stage for decision in decisions if decision.verdict == "approve"]
    if not rule.stages:
        left = set[int]().union(*members.values()) - gone
        return len(left) >= call.quorum - len(approved)
    later = members.get(rule.escalate_to, set())
    return policy.can_be_filled(
        [stage.quorum - approved.count(number) for number, stage in enumerate(rule.stages, 1)],
        [(members.get(stage.group, set()) | later) - gone for stage in rule.stages],
    )


def may_settle(person: Person, call: ToolCall) -> Permission:
    """Return whether the person may say what became of a call whose outcome is unknown."""
    if not is_approver_of(person, call.domain_id):
        return Permission(False, phrase("Only an approver of this domain can settle it."))
    return ALLOWED


def may_withdraw(person: Person, call: ToolCall) -> Permission:
    """Return whether the person may withdraw the call on the agent's behalf."""
    if not person.is_active or person.pk != call.owner_id:
        return Permission(False, phrase("Only the agent's owner can withdraw its call."))
    return ALLOWED


def catalogue_of(person: Person) -> QuerySet[Domain]:
    """Return the domains whose servers, tools and approvers a person may read about.

    Auditors and administrators read of all; everybody else of domains they approve for or own, and
    of those their agents reach.
    """
    domains = Domain.objects.all()
    if not person.is_active:
        return domains.none()
    if person.is_auditor or person.is_administrator:
        return domains
    theirs = Q(owner=person) | Q(pk__in=domains_of(person)) | Q(pk__in=_reached_by(person))
    return domains.filter(theirs)


def get_upstream(person: Person, upstream_id: int) -> Upstream:
    """Return an upstream of a domain the person may read about.

    Raises:
        NotFound: there is none, or it is not theirs to see; the two look the same.
    """
    visible = Upstream.objects.filter(domain__in=catalogue_of(person))
    upstream = visible.select_related("domain").filter(pk=upstream_id).first()
    if upstream is None:
        raise NotFound(phrase("There is no such server."))
    return upstream


def get_tool(person: Person, tool_id: int) -> Tool:
    """Return a tool of a domain the person may read about, with its upstream and domain.

    Raises:
        NotFound: see above.
    """
    visible = Tool.objects.filter(upstream__domain__in=catalogue_of(person))
    related = visible.select_related("upstream__domain__owner", "reviewed_by")
    tool = related.filter(pk=tool_id).first()
    if tool is None:
        raise NotFound(phrase("There is no such tool."))
    return tool


def may_administer(person: Person) -> Permission:
    """Return whether the person may change who and what there is."""
    if not person.is_active or not person.is_administrator:
        return Permission(False, phrase("Only an administrator can do this."))
    return ALLOWED


def may_read_policies(person: Person) -> Permission:
    """Return whether the person may read policies whole, with the rules of every domain."""
    if person.is_active and (person.is_auditor or person.is_administrator):
        return ALLOWED
    return Permission(False, phrase("Only administrators and auditors read all rules."))


def administrators() -> QuerySet[Person]:
    """Return who could sign a proposal: the administrators whose accounts are active."""
    return Person.objects.filter(is_administrator=True, is_active=True)


def proposals_visible_to(person: Person) -> QuerySet[Proposal]:
    """Return the proposals a person may see: auditors and administrators see all, others none."""
    proposals = Proposal.objects.all()
    return proposals if may_read_policies(person) else proposals.none()


def get_proposal(person: Person, proposal_id: int) -> Proposal:
    """Return a proposal the person may see.

    Raises:
        NotFound: there is none, or it is not theirs to see; the two look the same.
    """
    visible = proposals_visible_to(person).select_related("proposer", "signed_by", "version")
    proposal = visible.filter(pk=proposal_id).first()
    if proposal is None:
        raise NotFound(phrase("There is no such proposal."))
    return proposal


def may_sign(person: Person, proposal: Proposal) -> Permission:
    """Return whether the person may give the second signature, whatever became of it by now."""
    if not may_administer(person):
        return may_administer(person)
    if proposal.proposer_id == person.pk:
        return Permission(False, phrase("Another administrator has to sign what you proposed."))
    if proposal.proposer_id is None and not administrators().exclude(pk=person.pk).exists():
        return Permission(
            False, phrase("It came from the command line, and nobody else could have typed it.")
        )
    return ALLOWED


def may_review(person: Person, domain: Domain) -> Permission:
    """Return whether the person may say what the domain's tools do, and how their calls read."""
    if may_administer(person) or (person.is_active and domain.owner_id == person.pk):
        return ALLOWED
    return Permission(
        False, phrase("Only an administrator or the owner of the domain can review it.")
    )


def agents_visible_to(person: Person) -> QuerySet[Agent]:
    """Return the agents a person may see: their own; auditors and administrators see all."""
    agents = Agent.objects.all()
    if not person.is_active:
        return agents.none()
    return agents if sees_all_agents(person) else agents.filter(owner=person)


def sees_all_agents(person: Person) -> bool:
    """Return whether the page of agents is theirs even where they own none."""
    return person.is_active and (person.is_auditor or person.is_administrator)


def get_agent(person: Person, name: str) -> Agent:
    """Return an agent the person may see.

    Raises:
        NotFound: there is none by that name, or it is not theirs to see; the two look the same.
    """
    agent = agents_visible_to(person).select_related("owner").filter(name=name).first()
    if agent is None:
        raise NotFound(phrase("There is no such agent."))
    return agent


def agents_managed_by(person: Person) -> QuerySet[Agent]:
    """Return the agents a person may pause and make keys for: their own, or all."""
    agents = Agent.objects.all()
    if not person.is_active:
        return agents.none()
    return agents if person.is_administrator else agents.filter(owner=person)


def may_manage(person: Person, agent: Agent) -> Permission:
    """Return whether the person may pause the agent, and make and revoke its keys."""
    if person.is_active and (person.is_administrator or person.pk == agent.owner_id):
        return ALLOWED
    return Permission(False, phrase("Only its owner and administrators can change an agent."))


def may_act_for(person: Person, agent: Agent, acts_for: Person) -> Permission:
    """Return whether the person may make a key that acts for somebody.

    An owner speaks for themselves only: a key in another's name would show that person calls they
    never asked for, and put their name on them.
    """
    if not may_manage(person, agent):
        return may_manage(person, agent)
    if person.is_administrator or acts_for.pk == person.pk:
        return ALLOWED
    return Permission(
        False, phrase("Only an administrator can make a key that acts for somebody else.")
    )


def _reached_by(person: Person) -> QuerySet[Domain]:
    return Domain.objects.filter(agents__owner=person)


def _theirs(person: Person) -> Q:
    return Q(domain__in=domains_of(person)) | Q(owner=person) | Q(acts_for=person)


def _get(calls: QuerySet[ToolCall], call_id: UUID | str) -> ToolCall:
    try:
        wanted = call_id if isinstance(call_id, UUID) else UUID(str(call_id))
    except ValueError:
        raise NotFound(phrase("There is no such call.")) from None
    call = calls.filter(pk=wanted).first()
    if call is None:
        raise NotFound(phrase("There is no such call."))
    return call
