"""Story: a rule wants two signatures."""

from tests.flows.errands import REFUND, refund
from tests.flows.test_two_approvers import ROUNDS, at_once, deciding


def test_one_signature_runs_nothing_and_two_run_it_once(installation, ann, bo, cy):
    agent, asked = installation.raw("careful"), refund()
    call_id = agent.call(REFUND, asked).call_id

    bo.approve(call_id)
    again = bo.decide(call_id, "approve")
    owner = ann.decide(call_id, "approve")

    call = bo.call(call_id)
    assert (again.status_code, owner.status_code) == (409, 403)
    assert (call["status"], call["quorum"], len(call["decisions"])) == ("pending", 2, 1)
    assert installation.refunds(call_id) == []

    cy.approve(call_id)
    answer = agent.status(call_id, wait_seconds=25)

    (row,) = installation.refunds(call_id)
    assert answer.facts["id"] == row["id"]
    assert {one["approver"] for one in bo.call(call_id)["decisions"]} == {"bo", "cy"}


def test_one_no_outweighs_a_yes(installation, bo, cy):
    agent = installation.raw("careful")
    call_id = agent.call(REFUND, refund()).call_id

    bo.approve(call_id)
    cy.decide(call_id, "reject", "Not without the customer's word.")

    assert agent.status(call_id).facts["kind"] == "rejected"
    assert installation.refunds(call_id) == []


def test_last_two_signatures_at_once_are_both_counted(installation, bo, cy):
    agent = installation.raw("careful")
    for _ in range(ROUNDS):
        call_id = agent.call(REFUND, refund()).call_id

        codes = at_once(deciding(bo, call_id, "approve"), deciding(cy, call_id, "approve"))

        assert codes == [201, 201]
        bo.sees(call_id, "succeeded")
        assert len(installation.refunds(call_id)) == 1
        events = [event["code"] for event in bo.events(call_id)]
        assert events.count("call.approved") == 1
