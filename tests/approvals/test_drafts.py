"""Drafts: one working copy of the rules for each administrator, until it is published."""

import pytest

from approvals import ruling
from approvals.administration import drafts, policy
from approvals.errors import DraftChanged, InvalidInput, NotAllowed, NotFound, PolicyChanged
from approvals.models import AuditEvent, PolicyDraft, PolicyVersion
from tests.support import world as worlds
from tests.support.world import ACTOR

DENY = {"name": "no refunds", "outcome": "deny", "tool": "billing__refund"}
READS = {"name": "allow reads", "outcome": "allow", "effect": "read"}


@pytest.fixture
def ada(world: worlds.World):
    """Return a second administrator."""
    return worlds.person("ada", role="admin")


def load(*rules):
    return policy.load_rules({"rules": list(rules)}, source="test", actor=ACTOR)


def kept(person):
    return PolicyDraft.objects.get(author=person)


def names(document):
    return [rule["name"] for rule in document["rules"]]


def test_a_draft_begins_as_what_is_in_force_and_is_ones_own(world, ada):
    load(DENY)

    draft = drafts.begin(world.dee)

    assert (draft.based_on, draft.document) == (1, {"rules": [DENY]})
    assert drafts.get(ada) is None
    assert drafts.begin(world.dee).pk == draft.pk


def test_a_draft_may_be_wrong_and_governs_nobody(world):
    draft = drafts.begin(world.dee)

    saved = drafts.save(
        world.dee, {"rules": [{"outcome": "hold", "odd": 1}]}, revision=draft.revision
    )

    assert saved.revision == draft.revision + 1
    assert kept(world.dee).document == {"rules": [{"outcome": "hold", "odd": 1}]}
    with pytest.raises(InvalidInput, match="odd"):
        drafts.publish(world.dee, reason="A try.", revision=saved.revision)
    assert ruling.in_force().version == 0
    assert drafts.get(world.dee) is not None
    assert not AuditEvent.objects.filter(stream="policy").exists()


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"rules": 1}, {"rules": ["x"]}, {"rules": [], "more": 1},
     {"rules": [{"name": "\x00"}]}, {"rules": [{}] * 1001}],
)  # fmt: skip
def test_what_is_no_list_of_rules_is_not_kept(world, document):
    draft = drafts.begin(world.dee)

    with pytest.raises(InvalidInput):
        drafts.save(world.dee, document, revision=draft.revision)

    assert kept(world.dee).document == draft.document


def test_the_second_window_is_told_what_the_first_one_saved(world):
    draft = drafts.begin(world.dee)
    drafts.save(world.dee, {"rules": [DENY]}, revision=draft.revision)

    with pytest.raises(DraftChanged) as refused:
        drafts.save(world.dee, {"rules": []}, revision=draft.revision)

    assert refused.value.draft == kept(world.dee)
    assert kept(world.dee).document == {"rules": [DENY]}
    with pytest.raises(DraftChanged):
        drafts.publish(world.dee, reason="Old.", revision=draft.revision)
    assert ruling.in_force().version == 0


def test_a_published_draft_is_a_version_with_its_reason_and_gone(world):
    draft = drafts.begin(world.dee)
    draft = drafts.save(world.dee, {"rules": [DENY, READS]}, revision=draft.revision)

    version = drafts.publish(world.dee, reason="  Quarter end. ", revision=draft.revision)

    assert isinstance(version, PolicyVersion)
    assert (version.number, version.reason, version.source) == (1, "Quarter end.", "editor")
    assert version.loaded_by == "person:dee"
    assert drafts.get(world.dee) is None
    assert [rule.name for rule in ruling.in_force().rules] == [
        "no refunds", "allow reads", "hold by default",
    ]  # fmt: skip


def test_a_draft_is_not_published_without_a_reason(world):
    draft = drafts.begin(world.dee)

    with pytest.raises(InvalidInput, match="say why"):
        drafts.publish(world.dee, reason=" \n", revision=draft.revision)

    assert ruling.in_force().version == 0


def test_a_draft_of_an_older_version_is_kept_and_not_published(world):
    draft = drafts.begin(world.dee)
    load(DENY)

    with pytest.raises(PolicyChanged, match="Version 1 is in force, not version 0"):
        drafts.publish(world.dee, reason="Late.", revision=draft.revision)

    assert drafts.get(world.dee) is not None


def test_a_draft_put_on_top_of_another_version_loses_nothing(world):
    load(DENY, READS)
    draft = drafts.begin(world.dee)
    mine = {"name": "mine", "outcome": "hold", "tool": "billing__*", "quorum": 2}
    draft = drafts.save(world.dee, {"rules": [mine, DENY, READS]}, revision=draft.revision)
    theirs = {"name": "theirs", "outcome": "hold", "effect": "destructive", "quorum": 3}
    load(DENY | {"message": "Closed."}, READS, theirs)

    conflicts = drafts.rebase(world.dee)

    now = kept(world.dee)
    assert conflicts == ()
    assert (now.based_on, now.revision) == (2, draft.revision + 1)
    assert names(now.document) == ["mine", "no refunds", "allow reads", "theirs"]
    assert now.document["rules"][1]["message"] == "Closed."
    assert drafts.rebase(world.dee) == ()


def test_a_rule_that_both_changed_is_named(world):
    load(DENY, READS)
    draft = drafts.begin(world.dee)
    own = DENY | {"message": "Mine."}
    drafts.save(world.dee, {"rules": [own, READS]}, revision=draft.revision)
    load(DENY | {"message": "Theirs."}, READS)

    (conflict,) = drafts.rebase(world.dee)

    assert conflict.name == "no refunds"
    assert (conflict.mine, conflict.theirs) == (own, DENY | {"message": "Theirs."})
    assert kept(world.dee).document["rules"][0] == own


def test_discarding_a_draft_leaves_nothing(world):
    drafts.begin(world.dee)

    drafts.discard(world.dee)
    drafts.discard(world.dee)

    assert not PolicyDraft.objects.exists()
    with pytest.raises(NotFound):
        drafts.save(world.dee, {"rules": []}, revision=1)


def test_only_administrators_have_drafts(world):
    dee = drafts.begin(world.dee)
    for verb in (
        drafts.begin, drafts.discard, drafts.rebase,
        lambda person: drafts.save(person, {"rules": []}, revision=1),
        lambda person: policy.publish(
            {"rules": []}, source="x", actor="x", person=person, reason="x", based_on=None
        ),
    ):  # fmt: skip
        for person in (world.bo, world.aud, world.ann):
            with pytest.raises(NotAllowed):
                verb(person)
    world.dee.__class__.objects.filter(pk=world.dee.pk).update(is_active=False)
    for verb in (drafts.begin, drafts.discard):
        with pytest.raises(NotAllowed):
            verb(world.dee)
    with pytest.raises(NotAllowed):
        drafts.publish(world.dee, reason="Gone.", revision=dee.revision)
    assert ruling.in_force().version == 0
