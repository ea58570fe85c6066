"""A draft on its page: its difference, its order, how it comes into force, two who edit at once."""

from typing import Any

import pytest

from approvals.administration import drafts
from approvals.administration import policy as policies
from approvals.models import PolicyDraft, PolicyVersion
from tests.support import world as worlds
from tests.support.visiting import text_of, visitor
from tests.support.world import ACTOR

PAGE = "/policies/draft/"
READS: dict[str, Any] = {"name": "reads", "outcome": "allow", "effect": "read"}
TWO: dict[str, Any] = {"name": "two", "outcome": "hold", "tool": "billing__refund", "quorum": 2}
LATE: dict[str, Any] = {"name": "late", "outcome": "hold", "condition": "now.getHours() > 20"}


@pytest.fixture
def in_force(world):
    policies.load_rules({"rules": [READS]}, source="file", actor=ACTOR)


def write(person, *rules):
    draft = drafts.begin(person)
    return drafts.save(person, {"rules": list(rules)}, revision=draft.revision)


def send(client, do, draft, **more):
    form = {"do": do, "revision": draft.revision, "based_on": draft.based_on, **more}
    return client.post(PAGE, form)


def names(person):
    draft: Any = drafts.get(person)
    return [rule["name"] for rule in draft.document["rules"]]


def test_without_a_draft_the_rules_in_force_are_shown_and_none_is_made(world, in_force):
    shown = text_of(visitor(world.dee).get(PAGE))

    assert "It begins with your first change." in shown
    assert "Nothing: it is the rules in force." in shown
    assert not PolicyDraft.objects.exists()


def test_what_a_draft_changes_is_told_against_the_rules_in_force(world, in_force):
    write(world.dee, TWO, READS)

    shown = text_of(visitor(world.dee).get(PAGE))

    assert "Hold billing__refund 2 approvers, 60 minutes, then it expires" in shown
    assert "What it changes against version 1, which is in force" in shown
    assert "Added Before: – none Then: Hold billing__refund for 2 approvers" in shown


def test_a_draft_is_published_with_a_reason_as_a_version(world, in_force):
    draft, client = write(world.dee, TWO, READS), visitor(world.dee)

    unsaid = send(client, "publish", draft, reason=" ")
    done = send(client, "publish", draft, reason="Two from now on.")

    assert unsaid.status_code == 400
    assert "is empty; say why" in text_of(unsaid).lower()
    assert done["Location"] == "/policies/"
    assert "Published: version 2 is in force." in text_of(client.get(done["Location"]))
    version = PolicyVersion.objects.get(number=2)
    assert (version.reason, version.loaded_by) == ("Two from now on.", "person:dee")
    assert not PolicyDraft.objects.exists()


def test_rules_are_moved_and_deleted_and_the_last_stays(world, in_force):
    client = visitor(world.dee)
    write(world.dee, TWO, READS, LATE)

    for do, order in (
        ("up-2", ["reads", "two", "late"]),
        ("down-2", ["reads", "late", "two"]),
        ("up-1", ["reads", "late", "two"]),
        ("delete-2", ["reads", "two"]),
        ("delete-3", ["reads", "two"]),
        ("delete-0", ["reads", "two"]),
        ("up-99", ["reads", "two"]),
    ):
        send(client, do, drafts.get(world.dee))
        assert names(world.dee) == order


def test_the_first_move_begins_the_draft(world, in_force):
    client = visitor(world.dee)

    client.post(PAGE, {"do": "delete-1", "revision": "0", "based_on": "1"})

    assert names(world.dee) == []


@pytest.mark.parametrize("do", ["publish", "up-2", "delete-1"])
def test_a_page_that_is_out_of_date_changes_nothing(world, in_force, do):
    old, client = write(world.dee, TWO, READS), visitor(world.dee)
    drafts.save(world.dee, {"rules": [READS, LATE]}, revision=old.revision)

    late = send(client, do, old, reason="Because.")

    assert late.status_code == 409
    assert "Your draft was changed in another window" in text_of(late)
    assert "Because." in text_of(late)
    assert names(world.dee) == ["reads", "late"]
    assert PolicyVersion.objects.count() == 1


def test_the_second_of_two_editors_sees_the_difference_and_nothing_is_lost(world, in_force):
    fay = worlds.person("fay", role="admin")
    mine, client = write(world.dee, READS, TWO), visitor(world.dee)
    theirs = write(fay, LATE, READS)
    drafts.publish(fay, reason="Nights.", revision=theirs.revision)

    overtaken = send(client, "publish", mine, reason="Two.")
    assert overtaken.status_code == 409
    shown = text_of(overtaken)
    assert "Version 2 is in force by now; this draft was begun from version 1." in shown
    assert "Removed Before: Hold everything where now.getHours()" in shown

    rebased = send(client, "rebase", mine)
    assert "Your changes are on top of the rules in force." in text_of(rebased)
    assert "Removed" not in text_of(rebased)
    assert sorted(names(world.dee)) == ["late", "reads", "two"]

    send(client, "publish", drafts.get(world.dee), reason="Two.")
    assert PolicyVersion.objects.count() == 3


def test_where_both_changed_the_same_rule_the_page_says_which(world):
    policies.load_rules({"rules": [TWO]}, source="file", actor=ACTOR)
    client, mine = visitor(world.dee), write(world.dee, TWO | {"quorum": 4})
    policies.load_rules({"rules": [TWO | {"quorum": 3}]}, source="file", actor=ACTOR)

    shown = text_of(send(client, "rebase", mine))

    assert "Both changed these; yours were kept" in shown
    assert "Changed Before: Hold billing__refund for 3 approvers" in shown
    assert "Then: Hold billing__refund for 4 approvers" in shown


def test_a_draft_that_is_wrong_says_where_and_is_not_published(world, in_force):
    draft, client = write(world.dee, READS, {"name": "x"}, TWO), visitor(world.dee)

    shown = text_of(client.get(PAGE))
    refused = send(client, "publish", draft, reason="Because.")

    assert "It cannot be published like this. $.rules[1].outcome is required" in shown
    assert "x cannot be read as it is" in shown
    assert refused.status_code == 400
    assert PolicyVersion.objects.count() == 1
    assert client.get("/policies/draft/rules/2/").status_code == 302
    send(client, "delete-2", drafts.get(world.dee))
    assert names(world.dee) == ["reads", "two"]


def test_a_draft_is_discarded(world, in_force):
    draft, client = write(world.dee, TWO), visitor(world.dee)

    done = send(client, "discard", draft)

    assert "Discarded." in text_of(client.get(done["Location"]))
    assert not PolicyDraft.objects.exists()


def test_the_policies_page_leads_administrators_to_the_forms_of_rules(world, in_force):
    before = visitor(world.dee).get("/policies/").content.decode()
    write(world.dee, TWO, READS)
    after = visitor(world.dee).get("/policies/").content.decode()

    assert 'href="/policies/draft/rules/1/" aria-label="Edit rule 1: reads"' in before
    assert 'href="/policies/draft/rules/2/" aria-label="Edit rule 1: reads"' in after
    assert "Your draft" not in before
    assert "Your draft" in after
    assert "/policies/draft/" not in visitor(world.aud).get("/policies/").content.decode()
