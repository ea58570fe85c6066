"""Approver groups: who is in them, and who answers for that. Rules name groups, never persons."""

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from django.db import transaction

from approvals import canonical, policy
from approvals.administration.writing import note, people_changed
from approvals.errors import InvalidInput, NotAllowed
from approvals.models import ApproverGroup, Domain, Person, Tool
from approvals.phrases import phrase


@transaction.atomic
def create_group(
    domain: Domain, name: str, *, owner: Person | None, actor: str, people: Sequence[Person] = ()
) -> ApproverGroup:
    """Create an approver group of a domain; whoever is in one may see and settle its calls too.

    Args:
        owner: who answers for who is in it; None: whoever answers for the domain.

    Raises:
        InvalidInput: the name is odd or taken, whatever its case.
    """
    if not re.fullmatch(policy.GROUP_NAME, name):
        raise InvalidInput(f"must be {policy.GROUP_WORDS}", path="$.name")
    if domain.approver_groups.filter(name__iexact=name).exists():
        raise InvalidInput(
            phrase("is taken: there is one called %(name)s already", name=repr(name)), path="$.name"
        )
    group = ApproverGroup.objects.create(domain=domain, name=name, owner=owner)
    note(
        f"domain:{domain.name}", "group.created", actor=actor, group=name,
        owner=owner.get_username() if owner else "",
    )  # fmt: skip
    if people:
        add_members(group, people, actor=actor)
    return group


@transaction.atomic
def add_members(group: ApproverGroup, people: Sequence[Person], *, actor: str) -> None:
    """Put people into a group; who is in it already stays.

    Raises:
        NotAllowed: somebody would put themselves in, and decide then what others were to decide.
    """
    if actor in {f"person:{person.get_username()}" for person in people}:
        raise NotAllowed(phrase("Nobody puts themselves into a group; another administrator can."))
    group.people.add(*people)
    _note_members(group, "group.members_added", people, actor)


@transaction.atomic
def remove_members(group: ApproverGroup, people: Sequence[Person], *, actor: str) -> None:
    """Take people out of a group; what they have signed stays signed, and is theirs.

    A vote of theirs that is under way is waited for, or finds that they are gone.

    Raises:
        InvalidInput: somebody is not in it.
    """
    members = set(group.people.values_list("pk", flat=True))
    for person in people:
        if person.pk not in members:
            raise InvalidInput(f"{person.get_username()!r} is not in {group}", path="$.people")
    group.people.remove(*people)
    _note_members(group, "group.members_removed", people, actor)


@transaction.atomic
def set_owner(group: ApproverGroup, owner: Person | None, *, actor: str) -> None:
    """Say who answers for who is in a group; None: whoever answers for the domain."""
    group.owner = owner
    group.save(update_fields=["owner"])
    note(
        f"domain:{group.domain.name}", "group.owner_set", actor=actor, group=group.name,
        owner=owner.get_username() if owner else "",
    )  # fmt: skip


def get_group(domain: str, name: str) -> ApproverGroup:
    """Return a group by its domain's name and its own.

    Raises:
        InvalidInput: there is none; the message names what there is.
    """
    groups = ApproverGroup.objects.filter(domain__name=domain)
    group = groups.select_related("domain").filter(name=name).first()
    if group is None:
        known = ", ".join(groups.order_by("name").values_list("name", flat=True)) or "none"
        raise InvalidInput(f"There is no group {name!r} in {domain!r}; there is: {known}.")
    return group


def refuse_unknown(rules: Iterable[policy.Rule]) -> None:
    """Refuse rules that name a group which no domain has whose calls they can match.

    Raises:
        InvalidInput: with each place.
    """
    problems = [
        {"path": canonical.path_of(place), "message": f"no domain it can match has “{name}”"}
        for rule in rules
        for place, name in _names(rule)
        if not _domains_with(rule, name)
    ]
    if problems:
        raise InvalidInput(problems=problems)


def _names(rule: policy.Rule) -> Iterator[tuple[tuple[str | int, ...], str]]:
    place = ("rules", rule.position - 1)
    for index, stage in enumerate(rule.stages):
        yield (*place, "stages", index, "group"), stage.group
    if rule.escalate_to:
        yield (*place, "escalate_to"), rule.escalate_to


def _domains_with(rule: policy.Rule, name: str) -> bool:
    groups = ApproverGroup.objects.filter(name=name)
    if rule.domain:
        return groups.filter(domain__name=rule.domain).exists()
    listed = Tool.objects.values_list("exposed_name", "upstream__domain_id") if rule.tool else ()
    matched = {domain for tool, domain in listed if fnmatchcase(tool, rule.tool)}
    # A pattern that matches nothing yet may come to match in any domain.
    return (groups.filter(domain__in=matched) if matched else groups).exists()


def _note_members(group: ApproverGroup, code: str, people: Sequence[Person], actor: str) -> None:
    names = sorted(person.get_username() for person in people)
    stream = f"domain:{group.domain.name}"
    people_changed([group.domain_id])
    note(stream, code, actor=actor, group=group.name, people=names)
