"""Story: a person says no, and the agent reads why."""

from tests.flows.errands import REFUND, refund

REASON = "Already refunded by bank transfer on 12 November – see “ticket 4411”; don’t pay twice."


def test_agent_reads_the_reason_word_for_word_and_nothing_is_paid(installation, bo):
    asked = refund()
    begun = installation.sdk("patient").begin(REFUND, asked)
    call_id = bo.held(asked)

    decided = bo.decide(call_id, "reject", REASON)
    answer = begun.result(30)

    assert decided.status_code == 201
    assert answer.is_error
    assert answer.text.startswith("NOT EXECUTED")
    assert REASON in answer.text
    assert "Do not retry the same call" in answer.text
    assert answer.facts["kind"] == "rejected"
    assert answer.facts["reason"] == REASON
    assert answer.facts["retryable"] is False
    assert answer.facts["decided_by_role"] == "approver of billing"
    assert installation.refunds(call_id) == []
    assert [event["code"] for event in bo.events(call_id)] == [
        "call.held",
        "call.reject_signed",
        "call.rejected",
    ]


def test_same_request_is_answered_from_the_rejection_that_was_read(installation, bo):
    agent, asked = installation.raw("hasty"), refund()
    first = agent.call(REFUND, asked).call_id
    bo.decide(first, "reject", REASON)
    assert agent.status(first).facts["kind"] == "rejected"

    second = agent.call(REFUND, asked)
    third = agent.call(REFUND, asked, idempotency_key="another try")

    assert second.call_id == third.call_id == first
    assert third.facts["reason"] == REASON
    assert third.facts["repeats"] == 2
    assert "rejected just now, by a person" in third.text


def test_same_request_is_answered_again_while_the_rejection_was_not_read(installation, bo):
    agent, asked = installation.raw("hasty"), refund()
    first = agent.call(REFUND, asked).call_id
    bo.decide(first, "reject", REASON)

    again = agent.call(REFUND, asked)

    assert again.call_id == first
    assert again.facts["kind"] == "rejected"


def test_rejection_without_a_reason_is_refused(installation, bo):
    call_id = installation.raw("hasty").call(REFUND, refund()).call_id

    answer = bo.decide(call_id, "reject", "  ")

    assert answer.status_code == 400
    assert bo.call(call_id)["status"] == "pending"
    assert bo.call(call_id)["decisions"] == []


def test_rejected_call_cannot_be_approved_after_all(installation, bo, cy):
    call_id = installation.raw("hasty").call(REFUND, refund()).call_id
    bo.decide(call_id, "reject", REASON)

    late = cy.decide(call_id, "approve")

    assert late.status_code == 409
    assert cy.call(call_id)["status"] == "rejected"
    assert installation.refunds(call_id) == []
