"""Story: the agent asks for something else in place of what still waits."""

from tests.flows.errands import REFUND, refund


def test_new_call_takes_the_place_of_the_pending_one(installation, bo):
    agent, first_asked, second_asked = installation.raw("hasty"), refund(), refund()
    first = agent.call(REFUND, first_asked).call_id

    second = agent.call(REFUND, second_asked, supersedes=first).call_id

    assert second != first
    assert bo.call(first)["status"] == "void"
    assert second in bo.call(first)["status_reason"]
    assert bo.decide(first, "approve").status_code == 409
    assert agent.status(first).facts["kind"] == "void"

    bo.approve(second)
    agent.status(second, wait_seconds=25)

    assert installation.refunds(first) == []
    (row,) = installation.refunds(second)
    assert row["amount"] == second_asked["amount"]


def test_another_agents_call_cannot_be_superseded(installation, bo):
    first = installation.raw("hasty").call(REFUND, refund()).call_id

    answer = installation.raw("stranger").call(REFUND, refund(), supersedes=first)

    assert answer.facts["kind"] == "not_found"
    assert bo.call(first)["status"] == "pending"


def test_call_that_is_decided_cannot_be_superseded(installation, bo):
    agent, asked = installation.raw("hasty"), refund()
    first = agent.call(REFUND, refund()).call_id
    bo.approve(first)
    agent.status(first, wait_seconds=25)

    answer = agent.call(REFUND, asked, supersedes=first)

    assert answer.is_error
    assert answer.facts["kind"] == "invalid_input"
    pending = bo.get("calls/", status="pending")["results"]
    assert asked not in [call["arguments"] for call in pending]
    assert len(installation.refunds(first)) == 1
