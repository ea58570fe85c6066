"""The policy over REST: read, drafted, published and signed by people with a session."""

import json

import pytest

from approvals import ruling
from approvals.administration import policy
from approvals.models import AuditEvent, Person, Proposal
from tests.support import world as worlds
from tests.support.visiting import post_json, visitor

SMALL = {"name": "small", "outcome": "allow", "tool": "billing__refund",
         "condition": "args.amount <= 5000", "comment": "As agreed."}  # fmt: skip
DENY = {"name": "closed", "outcome": "deny", "tool": "billing__refund"}


@pytest.fixture
def ada(world: worlds.World) -> Person:
    """Return a second administrator."""
    return worlds.person("ada", role="admin")


def get(person, path):
    return visitor(person).get(f"/api/v1/policy/{path}")


def post(person, path, **body):
    return post_json(visitor(person), f"policy/{path}", body)


def test_rules_that_do_not_loosen_are_in_force_at_once(world, ada):
    answer = post(world.dee, "", rules=[DENY], reason="Closed.", based_on=0)

    assert answer.status_code == 201
    assert answer.json()["proposal"] is None
    assert answer.json()["version"]["rules"] == [DENY]
    now = get(world.aud, "").json()
    assert (now["version"], now["reason"], now["loaded_by"]) == (1, "Closed.", "person:dee")
    assert get(world.aud, "versions/1/").json() == now
    assert [rule["name"] for rule in get(world.dee, "versions/0/").json()["rules"]] == [
        "allow reads"
    ]
    assert get(world.dee, "versions/2/").status_code == 404


def test_a_proposal_is_signed_with_the_binding_that_was_shown(world, ada):
    opened = post(world.dee, "", rules=[SMALL], reason="Small ones.").json()["proposal"]
    path = f"proposals/{opened['id']}/"
    shown = get(ada, path).json()
    assert shown == opened
    assert (shown["state"], shown["rules"], shown["based_on"]) == ("open", [SMALL], 0)
    assert shown["evidence"]["found"]
    assert [one["id"] for one in get(world.aud, "proposals/").json()["results"]] == [opened["id"]]

    own = post(world.dee, path + "signature/", binding=shown["binding"])
    stale = post(ada, path + "signature/", binding="0" * 64)
    signed = post(ada, path + "signature/", binding=shown["binding"])
    again = post(ada, path + "signature/", binding=shown["binding"])

    assert (own.status_code, own.json()["kind"]) == (403, "not_allowed")
    assert (stale.status_code, stale.json()["kind"]) == (409, "stale_binding")
    assert signed.status_code == 201
    assert (signed.json()["state"], signed.json()["signed_by"], signed.json()["version"]) == (
        "signed", "ada", 1,
    )  # fmt: skip
    assert (again.status_code, again.json()["kind"]) == (409, "proposal_ended")
    version = get(world.dee, "").json()
    assert (version["signed_by"], version["proposal"]) == ("person:ada", opened["id"])
    refused = AuditEvent.objects.get(stream="person:dee", code="policy.refused")
    assert "Another administrator" in json.loads(bytes(refused.data))["why"]


def test_a_proposal_is_taken_back_with_a_reason(world, ada):
    opened = post(world.dee, "", rules=[SMALL], reason="Small ones.").json()["proposal"]
    path = f"proposals/{opened['id']}/withdrawal/"

    assert post(world.dee, path, reason=" ").status_code == 400
    answer = post(world.dee, path, reason="Not now.")

    assert (answer.json()["state"], answer.json()["end_reason"]) == ("withdrawn", "Not now.")


def test_a_draft_is_saved_rebased_and_published(world, ada):
    assert get(world.dee, "draft/").status_code == 404
    draft = post(world.dee, "draft/").json()
    wrong = post(
        world.dee, "draft/rules/", rules=[{"outcome": "hold", "odd": 1}], revision=draft["revision"]
    ).json()
    assert wrong["problems"] == [{"path": "$.rules[0].odd", "message": "unknown key"}]
    refused = post(world.dee, "draft/publication/", reason="Now.", revision=wrong["revision"])
    assert (refused.status_code, refused.json()["path"]) == (400, "$.rules[0].odd")
    stale = post(world.dee, "draft/rules/", rules=[], revision=draft["revision"])
    assert (stale.status_code, stale.json()["kind"]) == (409, "draft_changed")

    saved = post(world.dee, "draft/rules/", rules=[DENY], revision=wrong["revision"]).json()
    policy.load_rules({"rules": [DENY | {"message": "By Ada."}]}, source="t", actor="person:ada")
    late = post(world.dee, "draft/publication/", reason="Now.", revision=saved["revision"])
    assert (late.status_code, late.json()["kind"]) == (409, "policy_changed")
    rebased = post(world.dee, "draft/rebase/").json()

    assert rebased["draft"]["based_on"] == 1
    assert [conflict["name"] for conflict in rebased["conflicts"]] == ["closed"]
    published = post(
        world.dee, "draft/publication/", reason="Now.", revision=rebased["draft"]["revision"]
    )
    assert published.json()["version"]["version"] == 2
    assert get(world.dee, "draft/").status_code == 404


def test_a_draft_is_thrown_away(world):
    post(world.dee, "draft/")

    assert post(world.dee, "draft/discard/").status_code == 204
    assert get(world.dee, "draft/").status_code == 404


def test_bad_rules_name_each_place_and_change_nothing(world, ada):
    bad = [DENY, DENY, {"outcome": "hold", "odd": 1}, {"outcome": "hold", "quorum": 0}]

    answer = post(world.dee, "", rules=bad, reason="Bad.")

    assert (answer.status_code, answer.json()["kind"]) == (400, "invalid_input")
    assert [problem["path"] for problem in answer.json()["problems"]] == [
        "$.rules[2].odd", "$.rules[3].quorum", "$.rules[1].name",
    ]  # fmt: skip
    assert ruling.in_force().version == 0
    assert not Proposal.objects.exists()


@pytest.mark.parametrize(
    "body", [{}, {"rules": 1, "reason": "x"}, {"rules": []}, {"rules": [], "reason": " "}]
)
def test_a_body_of_another_shape_is_refused(world, body):
    answer = post(world.dee, "", **body)

    assert answer.status_code == 400
    assert answer.json()["problems"]


def test_as_large_a_policy_as_a_file_may_hold_fits_into_a_body(world):
    rules = [{"name": f"rule {n:04}", "outcome": "hold", "tool": "billing__*", "comment": "c" * 300}
             for n in range(1_000)]  # fmt: skip

    assert post(world.dee, "", rules=rules, reason="Large.").status_code == 201


def test_whoever_only_approves_reads_no_whole_policy(world):
    for person in (world.bo, world.ann, world.eve):
        assert get(person, "").status_code == 403
        assert get(person, "proposals/").json()["results"] == []
