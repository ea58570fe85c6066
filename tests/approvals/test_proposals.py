"""Proposals: what could ask fewer people comes into force by a second administrator."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from approvals import access, lifecycle, ruling, tasks
from approvals.administration import drafts, policy, proposals
from approvals.audit.verify import Verification
from approvals.errors import (
    InvalidInput,
    NotAllowed,
    NotFound,
    PolicyChanged,
    ProposalEnded,
    StaleBinding,
)
from approvals.models import AuditEvent, Person, PolicyVersion, Proposal, database_now
from tests.support import world as worlds
from tests.support.world import ACTOR

S = Proposal.State
MOVES = {status.value: targets for status, targets in lifecycle.MOVES.items()}
ALLOW = {"name": "small", "outcome": "allow", "tool": "billing__refund",
         "condition": "args.amount <= 5000"}  # fmt: skip
DENY = {"name": "closed", "outcome": "deny", "tool": "billing__refund"}
DAY, WEEK = timedelta(days=1), timedelta(days=7)


@pytest.fixture
def ada(world: worlds.World) -> Person:
    """Return a second administrator."""
    return worlds.person("ada", role="admin")


def publish(*rules, person=None, based_on=None):
    actor = f"person:{person.get_username()}" if person else "command"
    return policy.publish(
        {"rules": list(rules)}, source="a test", actor=actor, person=person, reason="A reason.",
        based_on=based_on,
    )  # fmt: skip


def proposed(*rules, **more):
    found = publish(*(rules or (ALLOW,)), **more)
    assert isinstance(found, Proposal)
    return found


def sign(proposal, signer):
    return proposals.sign(proposal.pk, signer=signer, binding=proposals.binding_of(proposal))


def codes():
    events = AuditEvent.objects.filter(stream="policy").order_by("seq")
    return list(events.values_list("code", flat=True))


def names():
    return [rule.name for rule in ruling.in_force().rules]


def state(proposal):
    return Proposal.objects.get(pk=proposal.pk).state


def test_what_loosens_waits_and_what_does_not_is_in_force_at_once(world, ada):
    proposal = proposed(person=world.dee)

    assert (proposal.state, proposal.based_on, proposal.proposed_by) == (S.OPEN, 0, "person:dee")
    assert proposal.evidence["found"]
    assert proposal.expires_at - proposal.opened_at == WEEK
    assert names() == ["allow reads", "hold by default"]
    assert isinstance(publish(DENY, person=world.dee), PolicyVersion)
    assert names() == ["closed", "hold by default"]
    assert codes() == ["policy.proposed", "policy.loaded"]


def test_a_second_administrator_signs_it_and_it_is_in_force(world, ada):
    proposal = proposed(person=world.dee)

    signed = sign(proposal, ada)

    assert (signed.state, signed.signed_by) == (S.SIGNED, ada)
    version = PolicyVersion.objects.get()
    assert signed.version == version
    assert version.proposal == signed
    assert (version.loaded_by, version.signed_by, version.reason) == (
        "person:dee", "person:ada", "A reason.",
    )  # fmt: skip
    assert names() == ["small", "hold by default"]
    assert codes() == ["policy.proposed", "policy.loaded", "policy.signed"]
    loaded = AuditEvent.objects.get(code="policy.loaded")
    assert json.loads(bytes(loaded.data))["signed_by"] == "person:ada"
    assert list(Verification(MOVES).problems()) == []


def test_nobody_signs_what_they_proposed_and_only_administrators_sign(world, ada):
    proposal = proposed(person=world.dee)

    for person in (world.dee, world.bo, world.aud, world.ann):
        with pytest.raises(NotAllowed):
            sign(proposal, person)

    assert state(proposal) == S.OPEN
    assert names() == ["allow reads", "hold by default"]


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_administrator": False}])
def test_who_is_no_administrator_any_more_does_not_sign(world, ada, change):
    proposal = proposed(person=world.dee)
    Person.objects.filter(pk=ada.pk).update(**change)

    with pytest.raises(NotAllowed):
        sign(proposal, ada)  # whose page was open since before

    assert state(proposal) == S.OPEN


def test_the_database_itself_refuses_the_signature_of_who_proposed(world, ada):
    proposal = proposed(person=world.dee)
    version = PolicyVersion.objects.create(number=9, source="x", loaded_by="x")
    wrong = {"state": S.SIGNED, "ended_at": database_now(), "version": version}

    for columns in (
        wrong | {"signed_by": world.dee},
        wrong,  # signed by nobody
        {"signed_by": ada},  # and open still
        {"state": S.WITHDRAWN},
        {"state": S.APPLIED, "ended_at": database_now()},  # without a version
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Proposal.objects.filter(pk=proposal.pk).update(**columns)
    Proposal.objects.filter(pk=proposal.pk).update(**wrong, signed_by=ada)


def test_a_signature_is_of_what_was_shown(world, ada):
    one, other = proposed(person=world.dee), proposed(ALLOW | {"name": "other"}, person=world.dee)

    with pytest.raises(StaleBinding):
        proposals.sign(one.pk, signer=ada, binding=proposals.binding_of(other))

    assert state(one) == S.OPEN


def test_what_was_written_for_another_version_cannot_be_signed(world, ada):
    proposal = proposed(person=world.dee)
    publish(DENY, person=world.dee)

    with pytest.raises(PolicyChanged, match="Version 1 is in force, not version 0"):
        sign(proposal, ada)

    assert state(proposal) == S.OPEN
    assert names() == ["closed", "hold by default"]


def test_what_names_a_group_that_is_gone_cannot_be_signed(world, ada):
    group = world.billing.approver_groups.create(name="Finance")
    policy.load_rules({"rules": [DENY | {"outcome": "hold", "quorum": 2}]}, source="t", actor=ACTOR)
    rule = DENY | {"outcome": "hold", "stages": [{"group": "Finance"}]}
    proposal = proposed(rule, person=world.dee)
    group.delete()

    with pytest.raises(InvalidInput, match="Finance"):
        sign(proposal, ada)

    assert state(proposal) == S.OPEN


def test_any_administrator_takes_one_back_with_a_reason(world, ada):
    proposal = proposed(person=world.dee)
    with pytest.raises(InvalidInput):
        proposals.withdraw(proposal.pk, person=ada, reason=" ")
    with pytest.raises(NotAllowed):
        proposals.withdraw(proposal.pk, person=world.bo, reason="No.")

    proposals.withdraw(proposal.pk, person=ada, reason="Not now.")

    proposal.refresh_from_db()
    assert (proposal.state, proposal.end_reason) == (S.WITHDRAWN, "Not now.")
    assert codes()[-1] == "policy.withdrawn"
    for verb in (lambda: sign(proposal, ada),
                 lambda: proposals.withdraw(proposal.pk, person=ada, reason="Again.")):  # fmt: skip
        with pytest.raises(ProposalEnded, match="it was withdrawn"):
            verb()


def test_one_that_nobody_signs_expires(world, ada):
    proposal = proposed(person=world.dee)

    assert proposals.expire(proposal.expires_at - timedelta(seconds=1)) == 0
    assert proposals.expire(proposal.expires_at) == 1

    assert state(proposal) == S.EXPIRED
    assert codes() == ["policy.proposed", "policy.expired"]
    with pytest.raises(ProposalEnded, match="its time is over"):
        sign(proposal, ada)


def test_one_whose_time_is_over_is_not_signed_before_the_sweep_either(world, ada):
    proposal = proposed(person=world.dee)
    Proposal.objects.update(expires_at=database_now())

    with pytest.raises(ProposalEnded):
        sign(proposal, ada)


def test_there_is_no_proposal_by_another_number(world, ada):
    with pytest.raises(NotFound):
        proposals.sign(4711, signer=ada, binding="")
    with pytest.raises(NotFound):
        proposals.withdraw(4711, person=ada, reason="No.")


# -- with nobody else ----------------------------------------------------------------------------


def test_what_the_only_administrator_proposes_is_in_force_a_day_later(world):
    proposal = proposed(person=world.dee)

    assert proposal.applies_at - proposal.opened_at == DAY
    assert proposals.apply_due(proposal.applies_at - timedelta(seconds=1)) == 0
    assert names() == ["allow reads", "hold by default"]
    assert proposals.apply_due(proposal.applies_at) == 1

    assert state(proposal) == S.APPLIED
    assert names() == ["small", "hold by default"]
    assert PolicyVersion.objects.get().signed_by == ""
    assert codes() == ["policy.proposed", "policy.loaded", "policy.applied_alone"]
    assert list(Verification(MOVES).problems()) == []


def test_the_sweep_sees_to_it(world, settings):
    settings.PROPOSAL_ALONE_SECONDS = 0
    proposal = proposed(person=world.dee)
    settings.PROPOSAL_EXPIRES_SECONDS = 0
    late = proposed(ALLOW | {"name": "late"}, person=world.dee)

    tasks.sweep()

    assert (state(proposal), state(late)) == (S.APPLIED, S.EXPIRED)


def test_a_proposal_waits_for_a_signature_if_there_is_another_administrator_by_then(world):
    proposal = proposed(person=world.dee)
    ada = worlds.person("ada", role="admin")

    assert proposals.apply_due(proposal.applies_at) == 0

    proposal.refresh_from_db()
    assert (proposal.state, proposal.applies_at) == (S.OPEN, None)
    assert codes()[-1] == "policy.not_applied"
    assert names() == ["allow reads", "hold by default"]
    assert sign(proposal, ada).state == S.SIGNED


def test_nothing_is_applied_for_who_is_no_administrator_any_more(world):
    proposal = proposed(person=world.dee)
    Person.objects.filter(pk=world.dee.pk).update(is_administrator=False)

    assert proposals.apply_due(proposal.applies_at) == 0

    assert names() == ["allow reads", "hold by default"]
    assert codes()[-1] == "policy.not_applied"


def test_nothing_is_applied_over_another_version(world):
    proposal = proposed(person=world.dee)
    publish(DENY, person=world.dee)

    assert proposals.apply_due(proposal.applies_at) == 0

    assert names() == ["closed", "hold by default"]
    assert state(proposal) == S.OPEN


def test_two_that_are_due_at_once_do_not_both_come(world):
    first, second = proposed(person=world.dee), proposed(ALLOW | {"name": "b"}, person=world.dee)

    assert proposals.apply_due(second.applies_at) == 1

    assert (state(first), state(second)) == (S.APPLIED, S.OPEN)


def test_with_another_administrator_nothing_is_applied_by_the_clock(world, ada):
    proposal = proposed(person=world.dee)

    assert proposal.applies_at is None
    assert proposals.apply_due(proposal.expires_at - timedelta(seconds=1)) == 0


def test_who_may_have_typed_it_does_not_sign_what_came_from_the_command_line(world):
    proposal = proposed()
    assert proposal.proposer is None
    assert proposal.applies_at is not None
    with pytest.raises(NotAllowed, match="command line"):
        sign(proposal, world.dee)

    worlds.person("ada", role="admin")

    assert sign(proposal, world.dee).state == S.SIGNED


# -- every door ----------------------------------------------------------------------------------


def test_a_draft_that_loosens_becomes_a_proposal_and_is_gone(world, ada):
    draft = drafts.begin(world.dee)
    draft = drafts.save(world.dee, {"rules": [ALLOW]}, revision=draft.revision)

    found = drafts.publish(world.dee, reason="Small ones pass.", revision=draft.revision)

    assert isinstance(found, Proposal)
    assert (found.source, found.reason) == ("editor", "Small ones pass.")
    assert drafts.get(world.dee) is None
    assert sign(found, ada).state == S.SIGNED


def test_bad_rules_change_nothing_and_each_place_is_named(world, ada):
    publish(DENY)
    before = list(PolicyVersion.objects.values()), names(), codes()
    good = {"name": "good", "outcome": "hold", "tool": "billing__*"}
    last: dict[str, Any] = {
        "unknown key": {"name": "x", "outcome": "hold", "odd": 1},
        "duplicate": {"name": "good", "outcome": "hold"},
        "group": {"name": "x", "outcome": "hold", "stages": [{"group": "Nobody"}]},
        "tool": {"name": "x", "outcome": "hold", "tool": "billing__refnud"},
        "condition": {"name": "x", "outcome": "hold", "condition": "args.amount > 'x'",
                      "tool": "billing__refund"},
        "path": {"name": "x", "outcome": "hold", "condition": "args.amuont > 1",
                 "tool": "billing__refund"},
    }  # fmt: skip
    for rule in last.values():
        with pytest.raises(InvalidInput) as refused:
            publish(good, rule, person=world.dee)
        assert all("rules[1]" in problem["path"] for problem in refused.value.problems)
    with pytest.raises(InvalidInput) as refused:
        publish(last["group"], good, last["tool"] | {"name": "y"}, person=world.dee)
    assert [p["path"] for p in refused.value.problems] == [
        "$.rules[0].stages[0].group", "$.rules[2].tool",
    ]  # fmt: skip

    assert (list(PolicyVersion.objects.values()), names(), codes()) == before
    assert not Proposal.objects.exists()


def test_a_pattern_that_matches_nothing_yet_is_no_mistake(world):
    assert isinstance(publish(DENY | {"tool": "later__*"}), PolicyVersion)


def test_administrators_and_auditors_see_proposals(world, ada):
    proposal = proposed(person=world.dee)

    for person in (world.dee, ada, world.aud):
        assert access.get_proposal(person, proposal.pk) == proposal
    for person in (world.bo, world.ann, world.eve):
        assert not access.proposals_visible_to(person).exists()
        with pytest.raises(NotFound):
            access.get_proposal(person, proposal.pk)
