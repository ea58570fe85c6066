"""Deciding, settling and withdrawing by form: what is recorded, what is refused and how."""

from datetime import timedelta

import pytest

from approvals import lifecycle
from approvals.models import Decision, Domain, ToolCall
from tests.support.visiting import attempts, form_of, page_of, text_of, visitor

S = ToolCall.Status


def post(person, call, data, part="decide/"):
    return visitor(person).post(page_of(call, part), data)


def status_of(call) -> str:
    return ToolCall.objects.get(pk=call.pk).status


def test_an_approval_is_recorded_and_the_page_shows_what_the_server_did(world, held_call):
    call = held_call()
    client = visitor(world.bo)

    response = client.post(page_of(call, "decide/"), form_of(call, world.bo), follow=True)

    assert response.redirect_chain == [(page_of(call), 302)]
    assert status_of(call) == S.APPROVED
    assert "Approved. It runs as soon as a worker takes it." in text_of(response)


def test_a_rejection_keeps_its_reason_word_for_word(world, held_call):
    call = held_call()

    post(world.bo, call, form_of(call, world.bo, "reject", reason="No: <b>offer</b> a lamp."))

    assert status_of(call) == S.REJECTED
    assert Decision.objects.get().reason == "No: <b>offer</b> a lamp."


def test_a_rejection_without_a_reason_comes_back_with_the_form_as_it_was(world, held_call):
    call = held_call()

    response = post(world.bo, call, form_of(call, world.bo, "reject", reason="  "))

    assert response.status_code == 400
    assert "A rejection needs a reason; the agent will read it." in text_of(response)
    assert 'value="reject" autocomplete="off" checked' in response.content.decode()
    assert status_of(call) == S.PENDING


def test_a_verdict_nobody_knows_records_nothing(world, held_call):
    call = held_call()

    assert post(world.bo, call, form_of(call, world.bo, "maybe")).status_code == 400
    assert not Decision.objects.exists()


def test_the_last_signature_is_told_from_the_one_before(world, held_call):
    call = held_call(quorum=2)
    client = visitor(world.bo)

    first = client.post(page_of(call, "decide/"), form_of(call, world.bo), follow=True)
    call.refresh_from_db()
    second = visitor(world.cy).post(page_of(call, "decide/"), form_of(call, world.cy), follow=True)

    assert "Signed. It still needs another signature." in text_of(first)
    assert "Approved. It runs as soon as a worker takes it." in text_of(second)


def test_a_form_without_its_csrf_token_records_nothing(world, held_call):
    call = held_call()

    response = visitor(world.bo, csrf=True).post(page_of(call, "decide/"), form_of(call, world.bo))

    assert response.status_code == 403
    assert "This form is too old" in text_of(response)
    assert status_of(call) == S.PENDING


@pytest.mark.parametrize("part", ["decide/", "settle/", "withdraw/"])
def test_nothing_happens_by_get(world, held_call, part):
    call = held_call()

    response = visitor(world.ann).get(page_of(call, part), form_of(call, world.ann))

    assert response.status_code == 302
    assert response["Location"] == page_of(call)
    assert status_of(call) == S.PENDING


def test_a_call_that_is_not_mine_to_see_cannot_be_decided(world, held_call):
    call = held_call()

    response = post(world.eve, call, form_of(call, world.eve))

    assert response.status_code == 404
    assert status_of(call) == S.PENDING
    assert attempts(world.eve) == []


@pytest.mark.parametrize("name", ["ann", "aud", "dee"])
def test_who_may_see_but_not_decide_is_refused_and_it_is_noted(world, held_call, name):
    call, person = held_call(), getattr(world, name)

    response = post(person, call, form_of(call, person))

    assert response.status_code == 403
    assert "It has been noted that you tried." in text_of(response)
    assert status_of(call) == S.PENDING
    assert attempts(person) == ["decision.refused"]


def test_the_owner_cannot_approve_though_she_approves_for_the_domain(world, held_call):
    call = held_call()
    Domain.objects.get().approver_groups.get().people.add(world.ann)

    response = post(world.ann, call, form_of(call, world.ann))

    assert response.status_code == 403
    assert attempts(world.ann) == ["decision.refused"]


def test_a_stale_binding_is_refused_and_the_page_must_be_read_again(world, held_call):
    call = held_call()

    response = post(world.bo, call, form_of(call, world.bo, binding="0" * 64))

    assert response.status_code == 409
    assert "read it again" in text_of(response)
    assert 'name="binding"' not in response.content.decode()
    assert status_of(call) == S.PENDING


def test_a_form_from_before_somebody_signed_is_refused(world, held_call):
    call = held_call(quorum=2)
    old = form_of(call, world.bo)
    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)

    response = post(world.bo, call, old)

    assert response.status_code == 409
    assert "This call has changed since you opened it." in text_of(response)
    assert status_of(call) == S.PENDING


def test_a_second_vote_of_one_person_is_refused(world, held_call):
    call = held_call(quorum=2)
    post(world.bo, call, form_of(call, world.bo))

    response = post(world.bo, call, form_of(call, world.bo))

    assert response.status_code == 409
    assert "You have already decided on this call." in text_of(response)
    assert Decision.objects.count() == 1


@pytest.mark.parametrize("status", [S.REJECTED, S.CANCELLED, S.SUCCEEDED, S.EXPIRED, S.VOID])
def test_a_settled_call_answers_with_what_happened(world, held_call, status):
    call = held_call(status)

    response = post(world.cy, call, form_of(call, world.cy))

    assert response.status_code == 409
    assert "Nothing was recorded. This is the call as it is now." in text_of(response)
    assert status_of(call) == status


def test_a_decision_after_the_deadline_is_refused_before_any_sweep(world, held_call):
    call = held_call(age=timedelta(hours=2))

    response = post(world.bo, call, form_of(call, world.bo))

    assert response.status_code == 409
    assert "the call has expired" in text_of(response)
    assert status_of(call) == S.EXPIRED


def test_an_unknown_outcome_is_settled_with_evidence(world, held_call, settings):
    settings.SETTLE_QUARANTINE_SECONDS = 0
    call = held_call(S.UNKNOWN)
    data = {"outcome": "not-ran", "evidence": "No refund on in_2201 in the ledger."}

    response = visitor(world.bo).post(page_of(call, "settle/"), data, follow=True)

    assert "Recorded, with your evidence." in text_of(response)
    assert "Bo Tester said that it did not run" in text_of(response)
    assert "No refund on in_2201 in the ledger." in text_of(response)
    assert status_of(call) == S.FAILED


def test_settling_too_early_without_evidence_or_without_the_right_is_refused(
    world, held_call, settings
):
    call = held_call(S.UNKNOWN)
    good = {"outcome": "ran", "evidence": "Seen."}

    early = post(world.bo, call, good, "settle/")
    settings.SETTLE_QUARANTINE_SECONDS = 0
    bare = post(world.bo, call, {"outcome": "ran"}, "settle/")
    foreign = post(world.ann, call, good, "settle/")

    assert [early.status_code, bare.status_code, foreign.status_code] == [409, 400, 403]
    assert 'value="ran" autocomplete="off" required checked' in bare.content.decode()
    assert attempts(world.ann) == ["settlement.refused"]
    assert status_of(call) == S.UNKNOWN


def test_the_owner_withdraws_her_agents_call(world, held_call):
    call = held_call()

    response = visitor(world.ann).post(
        page_of(call, "withdraw/"), {"reason": "Not needed."}, follow=True
    )

    assert "Withdrawn by Ann Tester" in text_of(response)
    assert status_of(call) == S.CANCELLED


def test_nobody_else_withdraws_and_nothing_that_was_sent_is_withdrawn(world, held_call):
    pending, sent = held_call(), held_call(S.DISPATCHED, arguments={"amount": 1})

    assert post(world.bo, pending, {}, "withdraw/").status_code == 403
    assert attempts(world.bo) == ["withdrawal.refused"]
    assert post(world.ann, sent, {}, "withdraw/").status_code == 409
    assert post(world.ann, pending, {"reason": "a\0b"}, "withdraw/").status_code == 400
    assert status_of(pending) == S.PENDING
