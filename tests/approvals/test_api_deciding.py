"""Deciding over REST: by session and CSRF only, with one shape of refusal."""

import json

import pytest

from approvals import canonical
from approvals.models import Decision, Domain, ToolCall
from tests.support.visiting import attempts, post_json, visitor

S = ToolCall.Status
VERBS = ["decisions/", "settlement/", "withdrawal/"]
ADDRESSES = [
    "calls/",
    "calls/{id}/",
    *(f"calls/{{id}}/{v}" for v in VERBS),
    "audit/events/?call={id}",
]


def decision(call, verdict="approve", **changes):
    return {"verdict": verdict, "binding": call.binding, **changes}


def decide(person, call, body):
    return post_json(visitor(person), f"calls/{call.pk}/decisions/", body)


def status_of(call) -> str:
    return ToolCall.objects.get(pk=call.pk).status


def test_an_approval_answers_with_the_call_as_it_is_now(world, held_call):
    call = held_call()

    response = decide(world.bo, call, decision(call))

    assert response.status_code == 201
    assert (response.json()["status"], response.json()["version"]) == ("approved", 3)
    assert [d["approver"] for d in response.json()["decisions"]] == ["bo"]


def test_a_rejection_takes_a_reason(world, held_call):
    call = held_call()

    without = decide(world.bo, call, decision(call, "reject"))
    given = decide(world.bo, call, decision(call, "reject", reason="Wrong amount."))

    assert without.status_code == 400
    assert without.json()["path"] == "$.reason"
    assert given.json()["status"] == "rejected"
    assert given.json()["status_reason"] == "Wrong amount."


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_agents_key_opens_nothing_here(world, held_call, address, method):
    call = held_call()
    headers = {"Authorization": f"Bearer {world.key}"}

    send = getattr(visitor(), method)
    response = send(f"/api/v1/{address.format(id=call.pk)}", headers=headers)

    assert response.status_code == 401
    assert response.json()["kind"] == "not_signed_in"
    assert status_of(call) == S.PENDING


def test_a_session_without_its_csrf_token_changes_nothing(world, held_call):
    call = held_call()
    client = visitor(world.bo, csrf=True)

    responses = [post_json(client, f"calls/{call.pk}/{verb}", decision(call)) for verb in VERBS]

    assert [response.status_code for response in responses] == [403, 403, 403]
    assert responses[0].json()["kind"] == "not_allowed"
    assert status_of(call) == S.PENDING


def test_a_call_that_is_not_mine_to_see_does_not_exist(world, held_call):
    call = held_call()

    responses = [
        post_json(visitor(world.eve), f"calls/{call.pk}/{verb}", decision(call)) for verb in VERBS
    ]

    assert [response.status_code for response in responses] == [404, 404, 404]
    assert attempts(world.eve) == []


@pytest.mark.parametrize("name", ["ann", "aud", "dee"])
def test_who_may_see_but_not_decide_is_refused_and_it_is_noted(world, held_call, name):
    call, person = held_call(), getattr(world, name)
    Domain.objects.get().approver_groups.get().people.add(world.ann)

    response = decide(person, call, decision(call))

    assert response.status_code == 403
    assert response.json()["kind"] == "not_allowed"
    assert attempts(person) == ["decision.refused"]
    assert status_of(call) == S.PENDING


def test_a_stale_binding_is_a_conflict(world, held_call):
    call = held_call()

    response = decide(world.bo, call, decision(call, binding="0" * 64))

    assert response.status_code == 409
    assert response.json()["kind"] == "stale_binding"
    assert response.json()["call_id"] == str(call.pk)


def test_a_second_vote_is_a_conflict(world, held_call):
    call = held_call(quorum=2)
    decide(world.bo, call, decision(call))

    response = decide(world.bo, call, decision(call))

    assert (response.status_code, response.json()["kind"]) == (409, "already_decided")
    assert Decision.objects.count() == 1


@pytest.mark.parametrize("status", [S.REJECTED, S.CANCELLED, S.SUCCEEDED, S.EXPIRED, S.VOID])
def test_a_settled_call_is_a_conflict_that_says_what_happened(world, held_call, status):
    call = held_call(status)

    response = decide(world.cy, call, decision(call))

    assert (response.status_code, response.json()["kind"]) == (409, "settled")
    assert status in response.json()["message"]


BAD_BODIES = {
    "no JSON": ("{", "$"),
    "a list": ("[]", "$"),
    "a key twice": ('{"verdict": "reject", "verdict": "approve"}', "$.verdict"),
    "NaN": ('{"verdict": NaN}', "$"),
    "too large a number": ('{"verdict": 1e400}', "$.verdict"),
    "too deep": ('{"verdict": ' + "[" * 65 + "]" * 65 + "}", "$"),
    "too much": (json.dumps({"reason": "x" * canonical.MAX_BODY_BYTES}), "$"),
    "nothing": ("", "$"),
    "no verdict": ('{"binding": "x"}', "$.verdict"),
    "a verdict nobody knows": ('{"binding": "x", "verdict": "maybe"}', "$.verdict"),
    "a verdict that is no text": ('{"binding": "x", "verdict": ["approve"]}', "$.verdict"),
    "U+0000": ('{"binding": "x", "verdict": "reject", "reason": "a\\u0000"}', "$.reason"),
    "too long a reason": (
        json.dumps({"binding": "x", "verdict": "reject", "reason": "x" * 1001}),
        "$.reason",
    ),
}


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_bad_body_is_refused_with_the_place(world, held_call, body):
    call = held_call()
    text, place = BAD_BODIES[body]

    response = decide(world.bo, call, text)

    assert response.status_code == 400, response.content
    assert response.json()["kind"] == "invalid_input"
    assert response.json()["path"].startswith(place)
    assert not Decision.objects.exists()


def test_another_kind_of_body_is_refused(world, held_call):
    call = held_call()

    response = visitor(world.bo).post(f"/api/v1/calls/{call.pk}/decisions/", decision(call))

    assert (response.status_code, response.json()["kind"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_done_by_get(world, held_call, verb):
    call = held_call()

    response = visitor(world.bo).get(f"/api/v1/calls/{call.pk}/{verb}")

    assert (response.status_code, response.json()["kind"]) == (405, "method_not_allowed")


def test_an_unknown_outcome_is_settled_with_evidence_after_its_quarantine(
    world, held_call, settings
):
    call = held_call(S.UNKNOWN)
    body = {"outcome": "ran", "evidence": "Refund re_5512 is there."}
    address = f"calls/{call.pk}/settlement/"

    early = post_json(visitor(world.bo), address, body)
    settings.SETTLE_QUARANTINE_SECONDS = 0
    bare = post_json(visitor(world.bo), address, {"outcome": "ran"})
    foreign = post_json(visitor(world.ann), address, body)
    good = post_json(visitor(world.bo), address, body)

    assert (early.status_code, early.json()["kind"]) == (409, "quarantine")
    assert early.json()["retry_after_seconds"] > 0
    assert (bare.status_code, bare.json()["path"]) == (400, "$.evidence")
    assert (foreign.status_code, attempts(world.ann)) == (403, ["settlement.refused"])
    assert (good.status_code, good.json()["status"]) == (201, "succeeded")
    assert "Refund re_5512 is there." in good.json()["status_reason"]


def test_the_owner_withdraws_her_agents_call_and_nobody_else_does(world, held_call):
    call = held_call()
    address = f"calls/{call.pk}/withdrawal/"

    foreign = post_json(visitor(world.bo), address, {})
    own = post_json(visitor(world.ann), address, {"reason": "Not needed."})
    again = post_json(visitor(world.ann), address, {})

    assert (foreign.status_code, attempts(world.bo)) == (403, ["withdrawal.refused"])
    assert (own.status_code, own.json()["status"]) == (201, "cancelled")
    assert (again.status_code, again.json()["kind"]) == (409, "settled")
