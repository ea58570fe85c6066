"""Story: one agent asks too much; it is told so, and nobody else suffers."""

from collections import Counter

from tests.flows.errands import CUSTOMER, READ, REFUND, refund
from tests.support.running import until

PENDING, BURST = 5, 12


TIGHT = {
    "PENDING_PER_AGENT": str(PENDING),
    "SUBMITS_PER_SECOND": "1",
    "SUBMITS_BURST": str(BURST),
}


def test_full_queue_takes_no_more_until_there_is_room(stopped):
    stopped.start(**TIGHT)
    agent, bo = stopped.raw("full"), stopped.person("bo")
    held = [agent.call(REFUND, refund()) for _ in range(PENDING)]

    refused = agent.call(REFUND, refund())

    assert refused.is_error
    assert refused.facts["kind"] == "queue_full"
    assert refused.facts["retryable"] is True
    assert refused.facts["retry_after_seconds"] > 0
    mine = [c for c in bo.get("calls/", status="pending")["results"] if c["agent"] == "full"]
    assert {call["id"] for call in mine} == {answer.call_id for answer in held}
    assert stopped.raw("stranger").call(REFUND, refund()).facts["state"] == "pending"
    assert agent.call(READ, CUSTOMER).facts["id"] == CUSTOMER["customer"]

    agent.cancel(held[0].call_id)
    assert agent.call(REFUND, refund()).facts["state"] == "pending"


def test_flood_slips_past_no_limit_and_leaves_nothing_half_made(stopped):
    stopped.start(**TIGHT)
    agent, before = stopped.raw("flood"), len(stopped.stored("toolcall", "id"))

    begun = [agent.begin(REFUND, refund()) for _ in range(50)]
    answers = [future.result(60) for future in begun]

    kinds = Counter(answer.facts.get("kind", "held") for answer in answers)
    assert kinds["held"] == PENDING
    assert kinds["queue_full"] >= BURST - PENDING
    assert kinds["rate_limited"] > 0
    assert kinds.total() == kinds["held"] + kinds["queue_full"] + kinds["rate_limited"]
    limited = [answer.facts for answer in answers if answer.is_error]
    assert all(facts["retryable"] and facts["retry_after_seconds"] > 0 for facts in limited)
    assert len(stopped.stored("toolcall", "id")) == before + PENDING

    def next_one() -> str:
        kind = str(agent.call(REFUND, refund()).facts.get("kind"))
        return "" if kind == "rate_limited" else kind

    assert until(next_one, "the flow of submits going on") == "queue_full"


def test_too_many_requests_are_turned_away_at_the_door(stopped):
    stopped.start(REQUESTS_PER_SECOND="5")
    agent = stopped.raw("hasty")

    responses = [agent.ask("tools/list", {}) for _ in range(20)]

    turned_away = [response for response in responses if response.status_code == 429]
    assert turned_away
    assert all(int(response.headers["retry-after"]) >= 1 for response in turned_away)
    assert responses[0].status_code == 200
    assert stopped.raw("stranger").ask("tools/list", {}).status_code == 200
