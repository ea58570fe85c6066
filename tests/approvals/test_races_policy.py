"""Policies and proposals, by several people at the same moment; see `tests/races/promises.py`."""

from functools import partial

import pytest
from django.db import transaction

from approvals import ruling
from approvals.administration import drafts, policy, proposals
from approvals.errors import DraftChanged, NotAllowed, PolicyChanged, ProposalEnded
from approvals.models import AuditEvent, Person, PolicyDraft, PolicyVersion, Proposal
from tests.support import listening, racing
from tests.support import world as worlds

S = Proposal.State


@pytest.fixture
def world(transactional_db: None) -> worlds.World:
    """Return the world of all tests, committed, so that other threads see it."""
    return worlds.build()


@pytest.fixture
def ada(world: worlds.World) -> Person:
    return worlds.person("ada", role="admin")


@pytest.fixture
def abe(world: worlds.World) -> Person:
    return worlds.person("abe", role="admin")


def publish(person, *rules, based_on=None):
    return policy.publish(
        {"rules": list(rules)}, source="race", actor=f"person:{person.get_username()}",
        person=person, reason="A race.", based_on=based_on,
    )  # fmt: skip


def loosened(number):
    return {"name": f"small {number}", "outcome": "allow", "tool": "billing__refund",
            "condition": f"args.amount <= {5000 + number}"}  # fmt: skip


def tightened(number):
    return {"name": f"closed {number}", "outcome": "deny", "tool": "billing__refund"}


def proposed(person, number):
    return publish(person, loosened(number))


def sign(proposal, signer):
    binding = proposals.binding_of(proposal)
    return partial(proposals.sign, proposal.pk, signer=signer, binding=binding)


def events(code):
    return AuditEvent.objects.filter(code=f"policy.{code}").count()


def test_of_two_signatures_at_once_one_puts_it_in_force(world, ada, abe):
    for race in racing.rounds("first", "second"):
        proposal = proposed(world.dee, race.number)

        outcomes = race.together(sign(proposal, ada), sign(proposal, abe))

        place, _, (lost,) = racing.winner(outcomes)
        assert type(lost) is ProposalEnded
        proposal.refresh_from_db()
        assert (proposal.state, proposal.signed_by) == (S.SIGNED, (ada, abe)[place])
        assert PolicyVersion.objects.count() == events("signed") == race.number + 1
        race.went(("first", "second")[place])


def test_of_a_signature_and_a_withdrawal_at_once_one_stands(world, ada, abe):
    for race in racing.rounds(S.SIGNED, S.WITHDRAWN):
        proposal = proposed(world.dee, race.number)
        before = PolicyVersion.objects.count()

        outcomes = race.together(
            sign(proposal, ada),
            partial(proposals.withdraw, proposal.pk, person=abe, reason="No."),
        )

        _, won, (lost,) = racing.winner(outcomes)
        assert type(lost) is ProposalEnded
        proposal.refresh_from_db()
        assert proposal.state == won.state
        assert PolicyVersion.objects.count() - before == (won.state == S.SIGNED)
        race.went(won.state)


def test_of_a_signature_and_another_version_at_once_one_comes_first(world, ada):
    """Signed first, the other version replaces it; signed later, it is refused."""
    for race in racing.rounds("signed", "overtaken"):
        proposal = proposed(world.dee, race.number)

        signed, version = race.together(
            sign(proposal, ada), partial(publish, world.dee, tightened(race.number))
        )

        assert isinstance(version, PolicyVersion)
        is_overtaken = type(signed) is PolicyChanged
        assert is_overtaken or signed.version.number == version.number - 1
        assert ruling.in_force().version == version.number
        race.went("overtaken" if is_overtaken else "signed")


def test_of_two_versions_at_once_one_replaces_what_both_were_written_for(world, ada):
    for race in racing.rounds("dee", "ada"):
        number = ruling.in_force().version

        outcomes = race.together(
            partial(publish, world.dee, tightened(0), based_on=number),
            partial(publish, ada, tightened(1), based_on=number),
        )

        _, won, (lost,) = racing.winner(outcomes)
        assert type(lost) is PolicyChanged
        assert (won.number, ruling.in_force().version) == (number + 1, number + 1)
        race.went(won.loaded_by.removeprefix("person:"))


def test_what_loosens_only_against_the_version_that_came_meanwhile_is_found(world, ada):
    """Dee's copy of no rules at all loosens nothing; over Ada's denial, it does."""
    for race in racing.rounds("before", "after"):
        policy.load_rules({"rules": []}, source="race", actor="command")

        outcomes = race.together(partial(publish, ada, tightened(0)), partial(publish, world.dee))

        denied, opened = racing.all_done(outcomes)
        is_after = isinstance(opened, Proposal)
        in_force = ruling.in_force().rules[0].name
        assert in_force == "closed 0"
        assert is_after or opened.number == denied.number - 1
        race.went("after" if is_after else "before")


def test_a_signature_that_waited_while_the_role_went_is_refused(world, ada):
    proposal = proposed(world.dee, 0)

    with transaction.atomic():
        Person.objects.filter(pk=ada.pk).update(is_administrator=False)
        racer = racing.Racer(sign(proposal, ada))
        racer.start()
        listening.wait_until(lambda: racing._all_wait([racer]))

    assert type(racer.outcome()) is NotAllowed
    assert ruling.in_force().version == 0


def test_of_two_windows_that_save_at_once_one_is_told(world):
    for race in racing.rounds(0, 1):
        drafts.discard(world.dee)
        draft = drafts.begin(world.dee)
        documents = [{"rules": [tightened(number)]} for number in (0, 1)]

        outcomes = race.together(
            *(
                partial(drafts.save, world.dee, document, revision=draft.revision)
                for document in documents
            )
        )

        place, _, (lost,) = racing.winner(outcomes)
        assert type(lost) is DraftChanged
        assert PolicyDraft.objects.get().document == documents[place]
        race.went(place)


def test_a_draft_published_twice_at_once_is_one_version(world):
    for race in racing.rounds("first", "second"):
        draft = drafts.begin(world.dee)
        rules = {"rules": [tightened(race.number)]}
        draft = drafts.save(world.dee, rules, revision=draft.revision)
        before = PolicyVersion.objects.count()
        step = partial(drafts.publish, world.dee, reason="Now.", revision=draft.revision)

        outcomes = race.together(step, step)

        place, _, _ = racing.winner(outcomes)
        assert PolicyVersion.objects.count() == before + 1
        race.went(("first", "second")[place])


def test_the_clock_and_a_withdrawal_at_once_one_stands(world):
    for race in racing.rounds(S.APPLIED, S.WITHDRAWN):
        proposal = proposed(world.dee, race.number)

        applied, withdrawn = race.together(
            partial(proposals.apply_due, proposal.applies_at),
            partial(proposals.withdraw, proposal.pk, person=world.dee, reason="No."),
        )

        proposal.refresh_from_db()
        assert (applied == 1) == (proposal.state == S.APPLIED)
        assert (type(withdrawn) is ProposalEnded) == (proposal.state == S.APPLIED)
        race.went(proposal.state)
