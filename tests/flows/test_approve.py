"""Story: a refund is held, a person approves it, it runs once, and the agent has its result."""

from collections.abc import Callable

import httpx2
import pytest

from tests.flows.errands import REFUND, refund
from tests.support.agents import Agent
from tests.support.running import Installation, until

PATH = ["held", "approve_signed", "approved", "claimed", "dispatched", "succeeded"]

# How a client can wait: for its own request, in either era, or by following a task.
WAITING: dict[str, Callable[[Installation], Agent]] = {
    "modern": lambda installation: installation.sdk("patient"),
    "legacy": lambda installation: installation.sdk("patient", era="legacy"),
    "task": lambda installation: installation.sdk("hasty", tasks=True),
    "raw": lambda installation: installation.raw("patient"),
}


@pytest.mark.parametrize("client", WAITING)
def test_approved_refund_runs_once_and_its_waiting_agent_has_the_result(installation, bo, client):
    agent, asked = WAITING[client](installation), refund()
    begun = agent.begin(REFUND, asked)
    call_id = bo.held(asked)
    assert installation.refunds(call_id) == []

    bo.approve(call_id)
    answer = begun.result(30)

    (row,) = installation.refunds(call_id)
    assert {key: row[key] for key in asked} == asked
    assert not answer.is_error
    assert answer.facts["id"] == row["id"]
    assert answer.facts["amount"] == asked["amount"]


def test_answer_says_where_it_comes_from(installation, bo):
    asked = refund()
    begun = installation.sdk("patient").begin(REFUND, asked)
    call_id = bo.held(asked)

    bo.approve(call_id)
    provenance = begun.result(30).provenance

    call = bo.call(call_id)
    assert provenance.pop("at") >= call["created_at"]
    assert provenance == {
        "call_id": call_id,
        "upstream": "billing",
        "tool": REFUND,
        "definition_digest": call["definition_digest"],
        "domain": "billing",
        "decided_by": "role:approver of billing",
        "audit": {"stream": f"call:{call_id}", "number": len(PATH)},
    }


def test_each_move_has_its_event_and_the_chain_holds(installation, bo):
    asked = refund()
    begun = installation.sdk("patient").begin(REFUND, asked)
    call_id = bo.held(asked)
    bo.approve(call_id)
    begun.result(30)

    events = bo.events(call_id)

    assert [event["code"] for event in events] == [f"call.{step}" for step in PATH]
    assert [event["seq"] for event in events] == list(range(1, len(PATH) + 1))
    assert bo.call(call_id)["version"] == len(PATH)
    previous = ["", *(event["digest"] for event in events)]
    assert [event["previous"] for event in events] == previous[:-1]
    assert events[1]["actor"] == "person:bo"
    assert "The audit trail is whole" in installation.manage("verify_audit")


def test_hasty_client_gets_a_ticket_and_later_the_result_by_it(installation, bo):
    agent, asked = installation.raw("hasty"), refund()

    held = agent.call(REFUND, asked)

    assert not held.is_error
    assert held.text.startswith("HELD")
    assert held.facts["state"] == "pending"
    assert held.facts["approval_url"].endswith(f"/calls/{held.facts['ticket']}/")
    assert installation.refunds(held.call_id) == []

    bo.approve(held.facts["ticket"])
    answer = agent.status(held.facts["ticket"], wait_seconds=25)

    (row,) = installation.refunds(held.call_id)
    assert answer.facts["id"] == row["id"]


def test_task_is_followed_over_the_wire(installation, bo):
    agent, asked = installation.raw("hasty"), refund()

    task = agent.start_task(REFUND, asked)

    assert task["resultType"] == "task"
    assert task["status"] == "working"
    assert f"/calls/{task['taskId']}/" in task["statusMessage"]
    assert agent.get_task(task["taskId"])["status"] == "working"

    bo.approve(task["taskId"])
    ended = until(
        lambda: state if (state := agent.get_task(task["taskId"]))["status"] != "working" else None,
        "the task's end",
    )

    (row,) = installation.refunds(task["taskId"])
    assert ended["status"] == "completed"
    assert ended["result"]["structuredContent"]["id"] == row["id"]


def test_nobody_without_a_right_can_approve(installation, ann, bo):
    call_id = installation.raw("hasty").call(REFUND, refund()).call_id
    binding = bo.call(call_id)["binding"]
    eve = installation.person("eve")
    body = {"verdict": "approve", "binding": binding, "reason": ""}

    owner = ann.post(f"calls/{call_id}/decisions/", **body)
    unseen = eve.post(f"calls/{call_id}/decisions/", **body)
    keyed = httpx2.post(
        f"{installation.url}/api/v1/calls/{call_id}/decisions/",
        json=body,
        headers={"Authorization": f"Bearer {installation.key_of('hasty')}"},
    )

    assert (owner.status_code, unseen.status_code, keyed.status_code) == (403, 404, 401)
    assert bo.call(call_id)["status"] == "pending"
    assert installation.refunds(call_id) == []


def test_stale_binding_is_refused(installation, bo):
    call_id = installation.raw("hasty").call(REFUND, refund()).call_id

    answer = bo.post(f"calls/{call_id}/decisions/", verdict="approve", binding="0" * 64, reason="")

    assert answer.status_code == 409
    assert bo.call(call_id)["status"] == "pending"
