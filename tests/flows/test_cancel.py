"""Story: the agent or its owner withdraws a call; hanging up is no withdrawal."""

import json

import httpx2
import pytest

from tests.flows.errands import REFUND, refund
from tests.support import wire
from tests.support.running import until


def test_agent_withdraws_by_its_ticket(installation, bo):
    agent = installation.raw("hasty")
    call_id = agent.call(REFUND, refund()).call_id

    withdrawn = agent.cancel(call_id)

    assert not withdrawn.is_error
    assert bo.decide(call_id, "approve").status_code == 409
    assert bo.call(call_id)["status"] == "cancelled"
    assert agent.status(call_id).facts["kind"] == "cancelled"
    assert bo.events(call_id)[-1]["actor"] == "agent:hasty"
    assert installation.refunds(call_id) == []


def test_agent_withdraws_its_task(installation, bo):
    agent = installation.raw("hasty")
    task_id = agent.start_task(REFUND, refund())["taskId"]

    agent.cancel_task(task_id)

    assert agent.get_task(task_id)["status"] == "cancelled"
    assert bo.call(task_id)["status"] == "cancelled"
    assert installation.refunds(task_id) == []


def test_owner_withdraws_for_the_agent_that_waits(installation, ann, bo):
    asked = refund()
    begun = installation.sdk("patient").begin(REFUND, asked)
    call_id = bo.held(asked)

    refused = bo.post(f"calls/{call_id}/withdrawal/", reason="not mine to withdraw")
    done = ann.post(f"calls/{call_id}/withdrawal/", reason="Asked for by mistake.")
    answer = begun.result(30)

    assert (refused.status_code, done.status_code) == (403, 201)
    assert answer.is_error
    assert answer.facts["kind"] == "cancelled"
    assert "Asked for by mistake." in answer.text
    assert bo.events(call_id)[-1]["actor"] == "person:ann"
    assert installation.refunds(call_id) == []


def test_one_agents_ticket_does_not_exist_for_another(installation, bo):
    call_id = installation.raw("hasty").call(REFUND, refund()).call_id
    stranger = installation.raw("stranger")

    withdrawal, question = stranger.cancel(call_id), stranger.status(call_id)

    assert withdrawal.facts["kind"] == question.facts["kind"] == "not_found"
    assert bo.call(call_id)["status"] == "pending"


def test_client_that_hangs_up_has_not_withdrawn_and_finds_its_call_again(installation, bo):
    agent, asked = installation.raw("patient"), refund()
    body = wire.message(1, "tools/call", {"name": REFUND, "arguments": asked}, era="modern")
    headers = wire.headers(agent.key, body, era="modern")
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(agent.url, content=json.dumps(body).encode(), headers=headers, timeout=0.7)
    call_id = bo.held(asked)

    begun = agent.begin(REFUND, asked)
    bo.approve(call_id)
    answer = begun.result(30)

    assert answer.call_id == call_id
    assert len(installation.refunds(call_id)) == 1


def test_handshake_era_client_withdraws_by_cancelling_its_request(installation, bo):
    agent, asked = installation.raw("patient", era="legacy"), refund()
    agent.open_session()
    begun = agent.begin(REFUND, asked)
    call_id = bo.held(asked)

    agent.notify("notifications/cancelled", {"requestId": agent.last_id, "reason": "stop"})

    until(lambda: bo.call(call_id)["status"] == "cancelled", "the call being cancelled")
    assert installation.refunds(call_id) == []
    begun.exception(30)  # answered or not, as the client likes
