"""Held calls as tasks, over the wire: tasks/get, tasks/update, tasks/cancel (SEP-2663)."""

import asyncio
from typing import Any, Literal
from uuid import uuid4

import mcp_types as t
import pytest
from mcp.client.extension import ClientExtension, ResultClaim
from pydantic import Field

from approvals import lifecycle
from approvals.administration import agents
from approvals.models import Person, ToolCall
from approvals.outcomes import Outcome
from tests.support import world as worlds
from tests.support.agent_view import CUSTOMER, PROVENANCE, told
from tests.support.bridging import LEGACY, MODERN, client, headers_of, request
from tests.support.running import until
from tests.support.world import ACTOR, REFUND

TASKS = "io.modelcontextprotocol/tasks"
DECLARED: dict[str, Any] = {TASKS: {}}
S = ToolCall.Status


def create(bridge, world, **arguments):
    return bridge.call(world.key, "billing__refund", {**REFUND, **arguments}, extensions=DECLARED)


def get(bridge, key, task_id, *, method="tasks/get", extensions=DECLARED, **more):
    return bridge.ask(key, method, {"taskId": task_id}, extensions=extensions, **more)


def test_a_request_that_declares_tasks_gets_one_at_once(bridge, world):
    task = create(bridge, world)

    call = ToolCall.objects.get()
    assert task["resultType"] == "task"
    assert task["taskId"] == str(call.pk)
    assert task["status"] == "working"
    assert f"/calls/{call.pk}/" in task["statusMessage"]
    assert task["pollIntervalMs"] == 5000
    assert task["ttlMs"] > (call.run_by_at - call.created_at).total_seconds() * 1000
    assert task["createdAt"].endswith("Z")
    assert task["_meta"][PROVENANCE]["call_id"] == str(call.pk)


def test_the_extension_is_announced(bridge, world):
    found = bridge.ask(world.key, "server/discover")["result"]

    assert found["capabilities"]["extensions"] == DECLARED


@pytest.mark.parametrize(
    ("era", "extensions"), [(MODERN, None), (MODERN, {"x/other": {}}), (LEGACY, DECLARED)]
)
def test_a_request_that_does_not_declare_tasks_never_gets_one(bridge, world, era, extensions):
    result = bridge.call(world.key, "billing__refund", REFUND, era=era, extensions=extensions)

    assert told(result)["state"] == "pending"


def test_a_passing_read_is_no_task(bridge, world):
    result = bridge.call(world.key, "billing__get_customer", CUSTOMER, extensions=DECLARED)

    assert result["resultType"] == "complete"


def test_a_task_works_until_its_call_is_answered(bridge, world):
    task = create(bridge, world)

    shown = get(bridge, world.key, task["taskId"])["result"]

    assert shown["resultType"] == "complete"
    assert shown["status"] == "working"
    assert "result" not in shown


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (S.REJECTED, "rejected"),
        (S.VOID, "void"),
        (S.UNKNOWN, "outcome_unknown"),
    ],
)
def test_an_unhappy_end_is_a_completed_task_with_an_error_result(bridge, world, status, kind):
    task = create(bridge, world)
    worlds.walk(ToolCall.objects.get(), world, status)

    shown = get(bridge, world.key, task["taskId"])["result"]

    assert shown["status"] == "completed"
    assert shown["result"]["isError"] is True
    assert told(shown["result"])["kind"] == kind


def test_a_happy_end_is_a_completed_task_with_the_upstreams_own_result(bridge, world):
    task = create(bridge, world)
    worlds.walk(ToolCall.objects.get(), world, S.SUCCEEDED)

    shown = get(bridge, world.key, task["taskId"])["result"]

    assert shown["status"] == "completed"
    assert shown["result"]["content"] == [{"type": "text", "text": "done"}]
    provenance = shown["result"]["_meta"][PROVENANCE]
    assert provenance["decided_by"] == "role:approver of billing"
    assert provenance["audit"]["number"] == ToolCall.objects.get().version


def test_an_error_of_the_tool_is_a_completed_task(bridge, world):
    task = create(bridge, world)
    worlds.walk(ToolCall.objects.get(), world, S.FAILED)

    shown = get(bridge, world.key, task["taskId"])["result"]

    assert shown["status"] == "completed"
    assert shown["result"]["isError"] is True


def test_a_fetched_answer_lets_the_same_request_make_a_new_call(bridge, world):
    task = create(bridge, world)
    worlds.walk(ToolCall.objects.get(), world, S.SUCCEEDED)
    assert create(bridge, world)["resultType"] == "complete"  # joined: here is its answer

    again = create(bridge, world)

    assert again["taskId"] != task["taskId"]


def test_cancelling_a_task_cancels_its_call(bridge, world):
    task = create(bridge, world)

    answer = get(bridge, world.key, task["taskId"], method="tasks/cancel")

    shown = get(bridge, world.key, task["taskId"])["result"]
    assert answer["result"]["resultType"] == "complete"
    assert ToolCall.objects.get().status == S.CANCELLED
    assert shown["status"] == "cancelled"
    assert "result" not in shown


def test_a_task_that_was_sent_is_not_cancelled(bridge, world):
    task = create(bridge, world)
    worlds.walk(ToolCall.objects.get(), world, S.DISPATCHED)

    answer = get(bridge, world.key, task["taskId"], method="tasks/cancel")

    assert "error" not in answer
    assert ToolCall.objects.get().status == S.DISPATCHED


def test_updating_a_task_changes_nothing(bridge, world):
    task = create(bridge, world)

    answer = bridge.ask(
        world.key,
        "tasks/update",
        {"taskId": task["taskId"], "inputResponses": {"decision": {"action": "accept"}}},
        extensions=DECLARED,
    )

    assert "error" not in answer
    assert ToolCall.objects.get().status == S.PENDING


METHODS = pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])


@METHODS
def test_another_agents_task_looks_like_one_that_does_not_exist(bridge, world, method):
    task = create(bridge, world)
    other = agents.create_agent("other", owner=world.ann, domains=["billing"], actor=ACTOR)
    key = agents.create_key(other, acts_for=world.ann, actor=ACTOR)
    until(lambda: bridge.post(key, {}, era=LEGACY).status_code != 401, "the key to work", 2)

    foreign = get(bridge, key, task["taskId"], method=method)
    unknown = get(bridge, key, str(uuid4()), method=method)
    odd = get(bridge, key, "seven", method=method)

    assert foreign == unknown == odd
    assert foreign["error"]["code"] == -32602
    assert ToolCall.objects.get().status == S.PENDING


@METHODS
def test_the_name_header_must_be_the_tasks(bridge, world, method):
    task = create(bridge, world)

    wrong = get(
        bridge, world.key, task["taskId"], method=method, headers={"mcp-name": str(uuid4())}
    )
    body = request(method, {"taskId": task["taskId"]}, era=MODERN, extensions=DECLARED)
    headers = {k: v for k, v in headers_of(body).items() if k != "mcp-name"}
    absent = bridge.post(world.key, body, headers=headers)

    assert wrong["error"]["code"] == -32020
    assert absent.status_code == 400
    assert absent.json()["error"]["code"] == -32020
    assert ToolCall.objects.get().status == S.PENDING


@METHODS
def test_the_extension_must_be_declared_by_this_very_request(bridge, world, method):
    task = create(bridge, world)

    answer = get(bridge, world.key, task["taskId"], method=method, extensions=None)

    assert answer["error"]["code"] == -32021
    assert answer["error"]["data"] == {"requiredCapabilities": {"extensions": DECLARED}}
    assert ToolCall.objects.get().status == S.PENDING


@METHODS
def test_the_handshake_era_has_no_tasks(bridge, world, method):
    task = create(bridge, world)

    answer = get(bridge, world.key, task["taskId"], method=method, era=LEGACY)

    assert answer["error"]["code"] in (-32021, -32601)
    assert ToolCall.objects.get().status == S.PENDING


class Task(t.Result):
    result_type: Literal["task"] = Field(default="task", alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str


class Params(t.RequestParams):
    task_id: str = Field(alias="taskId")


class Get(t.Request[Params, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: Params
    name_param = "taskId"


class State(t.Result):
    status: str
    result: dict[str, Any] | None = None


class Declares(ClientExtension):
    identifier = TASKS

    def claims(self):
        async def resolve(task, context):
            state = State(status="working")
            while state.status == "working":
                await asyncio.to_thread(approve_and_release, task.task_id)
                ask = Get(params=Params(taskId=task.task_id))
                state = await context.session.send_request(ask, State)
            return t.CallToolResult.model_validate(state.result)

        return [ResultClaim(result_type="task", model=Task, resolve=resolve)]


def approve_and_release(call_id):
    call = ToolCall.objects.get(pk=call_id)
    decider = Person.objects.get(username="bo")
    lifecycle.decide(call.pk, decider=decider, verdict="approve", binding=call.binding)
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    lifecycle.finish(claim, Outcome.succeeded({"content": [{"type": "text", "text": "paid"}]}))


def test_the_sdks_client_follows_a_task_to_the_upstreams_result(bridge, world):
    async def converse():
        options = {"extensions": [Declares()]}
        async with client(bridge.url, world.key, era=MODERN, **options) as agent:
            return await agent.call_tool("billing__refund", REFUND)

    result = asyncio.run(converse())

    assert result.content[0].text == "paid"
