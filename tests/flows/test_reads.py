"""Story: an agent reads; each answer it has is in the trail, also when the server is killed."""

import asyncio
import json
from typing import Any

import httpx2

from tests.flows.errands import CUSTOMER, READ, refund
from tests.support import wire
from tests.support.agents import RawAgent
from tests.support.running import Installation

PARALLEL = 200


def test_read_passes_at_once_and_says_which_rule_let_it(installation):
    answer = installation.sdk("hasty").call(READ, CUSTOMER)

    assert answer.facts["id"] == CUSTOMER["customer"]
    assert answer.provenance["decided_by"] == "rule:reads pass"
    assert answer.provenance["audit"]["stream"].startswith("reads:")
    assert answer.provenance["audit"]["number"] >= 1
    assert "call_id" not in answer.provenance


def test_arguments_are_checked_before_anything_is_asked(installation, bo):
    before = bo.get("calls/")["results"][:1]

    wrong = installation.raw("hasty").call("billing__refund", refund() | {"amount": "much"})

    assert wrong.facts["kind"] == "invalid_input"
    assert wrong.facts["path"] == "$.amount"
    assert bo.get("calls/")["results"][:1] == before


def test_each_answered_read_has_its_event_after_a_kill(stopped):
    stopped.start()
    agent = stopped.raw("hasty")
    agent.call(READ, CUSTOMER)

    answers = asyncio.run(read_and_kill(stopped, agent))

    assert len(answers) == PARALLEL
    recorded = stopped.read_events(answers[0]["audit"]["stream"])
    assert {answer["read_id"] for answer in answers} <= set(recorded.values())
    for answer in answers:
        assert recorded[answer["audit"]["number"]] == answer["read_id"]
    assert "The audit trail is whole" in stopped.manage("verify_audit")


async def read_and_kill(installation: Installation, agent: RawAgent) -> list[dict[str, Any]]:
    """Send all reads at once, kill everything at the last answer; return all provenances."""
    answers: list[dict[str, Any]] = []
    body = wire.message(1, "tools/call", {"name": READ, "arguments": CUSTOMER}, era="modern")
    headers = wire.headers(agent.key, body, era="modern")
    limits = httpx2.Limits(max_connections=PARALLEL)

    async def read(http: httpx2.AsyncClient) -> None:
        response = await http.post(agent.url, content=json.dumps(body), headers=headers)
        answers.append(wire.answer_in(response)["result"]["_meta"]["countersign/provenance"])
        if len(answers) == PARALLEL:
            installation.kill()

    async with httpx2.AsyncClient(limits=limits, timeout=60) as http:
        await asyncio.gather(*[read(http) for _ in range(PARALLEL)])
    return answers
