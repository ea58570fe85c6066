"""Story: the upstream breaks before, while or after it acts; nobody is told more than is known."""

import pytest

from tests.flows.errands import FRAGILE_REFUND, refund
from tests.support.running import until


def settle(person, call_id, outcome, evidence="Looked into the ledger."):
    """Settle a call once its quarantine, which is a second here, is over."""

    def try_it():
        answer = person.post(f"calls/{call_id}/settlement/", outcome=outcome, evidence=evidence)
        return None if answer.status_code == 409 else answer

    return until(try_it, "the end of the quarantine")


@pytest.mark.parametrize(
    ("memo", "rows", "outcome", "status"),
    [("dies after", 1, "ran", "succeeded"), ("dies before", 0, "not-ran", "failed")],
)
def test_lost_answer_is_unknown_until_a_person_settles_it(
    installation, fragile, bo, memo, rows, outcome, status
):
    agent, asked = installation.raw("patient"), refund(memo)
    begun = agent.begin(FRAGILE_REFUND, asked)
    call_id = bo.held(asked)

    bo.approve(call_id)
    answer = begun.result(30)

    assert answer.is_error
    assert answer.text.startswith("OUTCOME UNKNOWN")
    assert answer.facts["kind"] == "outcome_unknown"
    assert bo.call(call_id)["status"] == "unknown"
    assert len(installation.refunds(call_id)) == rows

    # Nothing is sent again, and the agent cannot make it so.
    assert agent.call(FRAGILE_REFUND, asked).call_id == call_id

    settled = settle(bo, call_id, outcome)
    assert settled.status_code == 201
    assert settled.json()["status"] == status
    assert agent.status(call_id).facts["state"] == status
    assert len(installation.refunds(call_id)) == rows
    assert fragile.acted()[call_id] == 1


def test_only_an_approver_settles_and_not_before_the_quarantine_is_over(
    installation, fragile, ann, bo
):
    agent, asked = installation.raw("patient"), refund("dies after")
    begun = agent.begin(FRAGILE_REFUND, asked)
    call_id = bo.held(asked)
    bo.approve(call_id)
    begun.result(30)
    body = {"outcome": "not-ran", "evidence": "I would rather it had not."}

    early = bo.post(f"calls/{call_id}/settlement/", **body)
    owner = ann.post(f"calls/{call_id}/settlement/", **body)
    settle(bo, call_id, "ran")
    twice = bo.post(f"calls/{call_id}/settlement/", **body)

    assert (early.status_code, owner.status_code, twice.status_code) == (409, 403, 409)
    assert early.json()["kind"] == "quarantine"
    assert bo.call(call_id)["status"] == "succeeded"


def test_settled_by_command_as_well(installation, fragile, bo):
    agent, asked = installation.raw("patient"), refund("dies after")
    begun = agent.begin(FRAGILE_REFUND, asked)
    call_id = bo.held(asked)
    bo.approve(call_id)
    begun.result(30)
    moved_at = bo.call(call_id)["moved_at"]
    until(lambda: settled_by_command(installation, call_id), "the end of the quarantine")

    call = bo.call(call_id)

    assert call["status"] == "succeeded"
    assert "Row 1 is there." in call["status_reason"]
    assert call["moved_at"] > moved_at
    assert bo.events(call_id)[-1]["actor"] == "person:bo"


def settled_by_command(installation, call_id):
    """Settle; a refusal because of the quarantine is not the end."""
    evidence = ("--outcome", "ran", "--evidence", "Row 1 is there.", "--as", "bo")
    return "is succeeded" in installation.try_manage("settle", call_id, *evidence)


def test_after_not_run_the_same_request_asks_anew_and_runs(installation, fragile, bo):
    agent, asked = installation.raw("hasty"), refund("dies before")
    first = agent.call(FRAGILE_REFUND, asked).call_id
    bo.approve(first)
    bo.sees(first, "unknown")
    settle(bo, first, "not-ran")
    assert agent.status(first).facts["state"] == "failed"

    second = agent.call(FRAGILE_REFUND, asked)

    assert second.call_id != first
    assert second.facts["state"] == "pending"


def test_upstream_that_cannot_be_started_costs_time_and_nothing_else(installation, fragile, bo):
    asked = refund()
    call_id = installation.raw("hasty").call(FRAGILE_REFUND, asked).call_id
    fragile.break_down()

    bo.approve(call_id)
    until(lambda: len(bo.events(call_id)) >= 5, "a claim that was given back")
    codes = [event["code"] for event in bo.events(call_id)]
    fragile.repair()
    bo.sees(call_id, "succeeded", seconds=30)

    assert codes[3:5] == ["call.claimed", "call.approved"]
    assert len(installation.refunds(call_id)) == fragile.acted()[call_id] == 1
    assert [event["code"] for event in bo.events(call_id)].count("call.dispatched") == 1
