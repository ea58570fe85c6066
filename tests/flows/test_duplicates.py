"""Story: the same request arrives several times, as broken streams and retries make it."""

from tests.flows.errands import FRAGILE_REFUND, REFUND, refund


def test_one_request_sent_eight_times_at_once_is_one_call_and_one_refund(installation, fragile, bo):
    agent, asked = installation.raw("patient"), refund()
    begun = [agent.begin(FRAGILE_REFUND, asked) for _ in range(8)]
    call_id = bo.held(asked)
    pending = bo.get("calls/", status="pending")["results"]
    assert [call["arguments"] for call in pending].count(asked) == 1

    bo.approve(call_id)
    answers = [future.result(30) for future in begun]

    (row,) = installation.refunds(call_id)
    assert {answer.call_id for answer in answers} == {call_id}
    assert {answer.facts["id"] for answer in answers} == {row["id"]}
    marked = [answer.provenance.get("deduplicated", False) for answer in answers]
    assert marked.count(True) == 7
    assert fragile.acted()[call_id] == 1


def test_repeat_joins_the_ticket_that_waits(installation):
    agent, asked = installation.raw("hasty"), refund()

    first, second = agent.call(REFUND, asked), agent.call(REFUND, asked)

    assert second.call_id == first.call_id
    assert second.facts["deduplicated"] is True


def test_own_key_stands_for_one_request_only(installation):
    agent, asked = installation.raw("hasty"), refund()
    first = agent.call(REFUND, asked, idempotency_key="order-77")

    same = agent.call(REFUND, asked, idempotency_key="order-77")
    other = agent.call(REFUND, refund(), idempotency_key="order-77")

    assert same.call_id == first.call_id
    assert other.facts["kind"] == "idempotency_mismatch"
    assert installation.refunds(first.call_id) == []


def test_same_request_of_another_agent_is_another_call(installation):
    asked = refund()

    first = installation.raw("hasty").call(REFUND, asked)
    second = installation.raw("stranger").call(REFUND, asked)

    assert first.call_id != second.call_id
