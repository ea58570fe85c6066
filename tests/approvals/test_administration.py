"""Verbs about people, agents, keys and rules: what they write, and what they refuse whole."""

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from approvals import access, canonical, ruling
from approvals.administration import agents, people, policy
from approvals.errors import InvalidInput, NotFound, PolicyChanged
from approvals.models import (
    Agent,
    AgentKey,
    AuditEvent,
    Domain,
    Person,
    PolicyVersion,
    Revision,
    RuleRow,
)
from tests.support.world import ACTOR, PASSWORD, World

ROWS = (Person, Domain, Agent, AgentKey, PolicyVersion, RuleRow, AuditEvent)


def rows() -> list[int]:
    """Return how many rows there are of everything a verb here writes."""
    return [model._default_manager.count() for model in ROWS] + [Revision.current()]


def newest(stream: str) -> tuple[str, str, dict[str, Any]]:
    event = AuditEvent.objects.filter(stream=stream).order_by("-seq")[0]
    facts = canonical.parse(bytes(event.data))
    assert isinstance(facts, dict)
    return event.code, event.actor, facts


def create(name: str = "fay", role: str = "approver", **changes: Any) -> Person:
    return people.create_person(
        name, **{"role": role, "password": PASSWORD, "actor": ACTOR, **changes}
    )


# -- people --------------------------------------------------------------------------------------


def test_an_approver_signs_in_and_may_decide_in_their_domains(world: World) -> None:
    before = Revision.current()

    fay = create(domains=["billing"])

    assert fay.check_password(PASSWORD)
    assert access.is_approver_of(fay, world.billing.pk)
    assert not fay.is_auditor
    assert not fay.is_administrator
    assert newest("person:fay") == (
        "person.created", ACTOR, {"role": "approver", "domains": ["billing"]}
    )  # fmt: skip
    assert newest("domain:billing")[2] == {"people": ["fay"]}
    assert Revision.current() > before


@pytest.mark.parametrize(
    ("role", "is_auditor", "is_administrator"), [("auditor", True, False), ("admin", False, True)]
)
def test_a_role_is_one_flag_and_no_domain(
    db: None, role: str, is_auditor: bool, is_administrator: bool
) -> None:
    person = create(role=role)

    assert (person.is_auditor, person.is_administrator) == (is_auditor, is_administrator)
    assert not person.is_staff
    assert not person.is_superuser


@pytest.mark.parametrize("role", ["auditor", "admin"])
def test_whoever_audits_or_administers_cannot_be_made_an_approver_by_the_way(
    world: World, role: str
) -> None:
    before = rows()

    with pytest.raises(InvalidInput) as refused:
        create(role=role, domains=["billing"])

    assert refused.value.path == "$.domains"
    assert rows() == before


def test_a_domain_that_a_person_names_is_created_without_a_purpose(db: None) -> None:
    fay = create(domains=["deploys"])

    deploys = Domain.objects.get(name="deploys")
    assert deploys.purpose == ""
    assert access.is_approver_of(fay, deploys.pk)


BAD_PEOPLE: list[tuple[dict[str, Any], str]] = [
    ({"role": "king"}, "$.role"),
    ({"role": ""}, "$.role"),
    ({"name": ""}, "$.name"),
    ({"name": "two words"}, "$.name"),
    ({"name": "bо"}, "$.name"),  # the second letter is Cyrillic
    ({"name": "fay\x1b[31m"}, "$.name"),
    ({"name": "-fay"}, "$.name"),
    ({"name": "f" * 65}, "$.name"),
    ({"name": "bo"}, "$.name"),
    ({"name": "BO"}, "$.name"),
    ({"password": ""}, "$.password"),
    ({"password": "short"}, "$.password"),
    ({"password": "password"}, "$.password"),
    ({"password": "8135792468"}, "$.password"),
    ({"name": "fayfairchild", "password": "fayfairchild"}, "$.password"),
    ({"domains": ["billing", "Not A Domain"]}, "$.domains"),
    ({"domains": ["new", "c"]}, "$.domains"),
]


@pytest.mark.parametrize(("changes", "path"), BAD_PEOPLE)
def test_a_person_who_cannot_be_is_refused_with_the_place_and_leaves_no_row(
    world: World, changes: dict[str, Any], path: str
) -> None:
    before = rows()

    with pytest.raises(InvalidInput) as refused:
        create(**changes)

    assert refused.value.path == path
    assert rows() == before


def test_only_an_active_person_is_found_by_name(world: World) -> None:
    assert people.get_person("bo") == world.bo

    Person.objects.filter(pk=world.bo.pk).update(is_active=False)

    for name in ("bo", "nobody", ""):
        with pytest.raises(InvalidInput, match=f"no person called '{name}'"):
            people.get_person(name)


# -- agents and keys -----------------------------------------------------------------------------


def test_an_agent_has_its_domains_its_effects_and_a_key_that_is_kept_as_a_digest(
    world: World,
) -> None:
    agent = agents.create_agent(
        "triage", owner=world.ann, domains=["billing", "deploys"], effects=["read"],
        grace_seconds=4, actor=ACTOR,
    )  # fmt: skip
    key = agents.create_key(agent, acts_for=world.eve, actor=ACTOR)

    assert (agent.may_read, agent.may_write, agent.grace_seconds) == (True, False, 4)
    assert sorted(agent.domains.values_list("name", flat=True)) == ["billing", "deploys"]
    marker, prefix, secret = key.split("_", 2)
    row = AgentKey.objects.get(prefix=prefix)
    assert (marker, row.agent, row.acts_for) == ("cs", agent, world.eve)
    assert row.secret_digest == agents.secret_digest(secret)
    assert len(secret) >= 43  # 256 bits
    told = AuditEvent.objects.filter(stream="agent:triage").order_by("seq")
    assert [event.code for event in told] == ["agent.created", "key.created"]
    assert all(secret not in bytes(event.data).decode() for event in told)


BAD_AGENTS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "$.name"),
    ({"name": "Has Spaces"}, "$.name"),
    ({"name": "a" * 65}, "$.name"),
    ({"name": "support"}, "$.name"),
    ({"domains": []}, "$.domains"),
    ({"domains": ["c"]}, "$.domains"),
    ({"domains": ["new", "BAD"]}, "$.domains"),
    ({"effects": []}, "$.effects"),
    ({"effects": [""]}, "$.effects"),
    ({"effects": ["read", "destroy"]}, "$.effects"),
    ({"grace_seconds": -1}, "$.grace_seconds"),
    ({"grace_seconds": 601}, "$.grace_seconds"),
    ({"grace_seconds": 10**12}, "$.grace_seconds"),
]


@pytest.mark.parametrize(("changes", "path"), BAD_AGENTS)
def test_an_agent_that_cannot_be_is_refused_with_the_place_and_leaves_no_row(
    world: World, changes: dict[str, Any], path: str
) -> None:
    before = rows()
    wanted = {"name": "triage", "owner": world.ann, "domains": ["billing"], "actor": ACTOR}

    with pytest.raises(InvalidInput) as refused:
        agents.create_agent(**{**wanted, **changes})

    assert refused.value.path == path
    assert rows() == before


def test_a_revoked_key_is_revoked_once(world: World) -> None:
    prefix = world.key.split("_")[1]
    before = Revision.current()

    key = agents.revoke_key(prefix, actor=ACTOR)

    assert key.revoked_at is not None
    assert newest("agent:support") == ("key.revoked", ACTOR, {"prefix": prefix})
    assert Revision.current() > before
    for unknown in (prefix, "nothing", ""):
        with pytest.raises(NotFound):
            agents.revoke_key(unknown, actor=ACTOR)


def test_pausing_and_resuming_an_agent_are_events(world: World) -> None:
    agents.set_paused(world.agent, True, actor="person:dee")
    assert Agent.objects.get(pk=world.agent.pk).is_paused
    assert newest("agent:support") == ("agent.paused", "person:dee", {})

    agents.set_paused(world.agent, False, actor="person:dee")
    assert not Agent.objects.get(pk=world.agent.pk).is_paused
    assert newest("agent:support") == ("agent.resumed", "person:dee", {})


# -- rules ---------------------------------------------------------------------------------------


def test_before_any_policy_was_loaded_the_seed_is_in_force(db: None) -> None:
    in_force = ruling.in_force()

    assert in_force.version == 0
    assert [(rule.outcome, rule.effect) for rule in in_force.rules] == [
        ("allow", "read"), ("hold", ""),
    ]  # fmt: skip


def test_a_policy_replaces_the_one_before_and_keeps_its_last_rule(db: None) -> None:
    first = {"rules": [{"outcome": "deny", "tool": "billing__*", "message": "Not now."}]}
    second = {"rules": [{"name": "two", "outcome": "hold", "quorum": 2, "expires_seconds": 60}]}

    policy.load_rules(first, source="first.json", actor=ACTOR)
    version = policy.load_rules(second, source="second.json", actor=ACTOR)

    in_force = ruling.in_force()
    assert (version.number, in_force.version) == (2, 2)
    assert [rule.name for rule in in_force.rules] == ["two", "hold by default"]
    assert (in_force.rules[0].quorum, in_force.rules[0].expires_seconds) == (2, 60)
    code, actor, facts = newest("policy")
    assert (code, actor, facts["version"], facts["source"]) == (
        "policy.loaded", ACTOR, 2, "second.json"
    )  # fmt: skip
    assert facts["rules"] == [rule.as_dict() for rule in in_force.rules]


def test_a_policy_with_one_mistake_is_refused_whole_and_every_place_named(db: None) -> None:
    policy.load_rules({"rules": []}, source="before", actor=ACTOR)
    before = rows()
    document = {"rules": [{"outcome": "allow"}, {"outcome": "alow"}, {"effect": "read", "x": 1}]}

    with pytest.raises(InvalidInput) as refused:
        policy.load_rules(document, source="after", actor=ACTOR)

    places = [problem["path"] for problem in refused.value.problems]
    assert places == ["$.rules[1].outcome", "$.rules[2].outcome", "$.rules[2].x"]
    assert rows() == before
    assert ruling.in_force().version == 1


def test_a_policy_written_for_another_version_than_the_one_in_force_is_refused(db: None) -> None:
    policy.load_rules({"rules": []}, source="first", actor=ACTOR, based_on=0)
    policy.load_rules({"rules": []}, source="hers", actor=ACTOR, based_on=1, reason="A freeze.")
    before = rows()

    with pytest.raises(PolicyChanged, match="Version 2 is in force, not version 1"):
        policy.load_rules({"rules": []}, source="mine", actor=ACTOR, based_on=1)

    assert rows() == before
    assert newest("policy")[2]["reason"] == "A freeze."
    assert PolicyVersion.objects.get(number=2).reason == "A freeze."


def test_the_largest_policy_that_is_allowed_can_be_loaded_and_recorded(db: None) -> None:
    rule = {
        "domain": "d" * 31, "tool": "t" * 199 + "*", "effect": "destructive", "agent": "a" * 64,
        "outcome": "hold", "quorum": 20, "expires_seconds": 604_800, "message": "m" * 500,
    }  # fmt: skip
    rules = [{**rule, "name": f"{number:0>100}"} for number in range(1000)]

    version = policy.load_rules({"rules": rules}, source="large", actor=ACTOR)

    assert version.rules.count() == 1001
    assert len(ruling.in_force().rules) == 1001


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_two_policies_loaded_at_once_become_two_versions() -> None:
    policy.load_rules({"rules": []}, source="first", actor=ACTOR)
    numbers: list[int] = []

    def load() -> None:
        try:
            version = policy.load_rules({"rules": []}, source="thread", actor=ACTOR)
            numbers.append(version.number)
        finally:
            connection.close()

    other = threading.Thread(target=load)
    with transaction.atomic():
        numbers.append(policy.load_rules({"rules": []}, source="main", actor=ACTOR).number)
        other.start()
        other.join(0.5)  # it waits for this transaction
        assert other.is_alive()
    other.join(10)

    assert numbers == [2, 3]
