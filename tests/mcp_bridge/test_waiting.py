"""Waiting for people: hints, lost hints, progress, clients that go away and clients that cancel."""

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import failpoints, lifecycle
from approvals.models import Agent, ToolCall
from approvals.outcomes import Outcome
from mcp_bridge.agents import waiting
from mcp_bridge.agents.waiting import WaitingRoom
from tests.support import world as worlds
from tests.support.agent_view import BEFORE_SQL, ERAS, told
from tests.support.bridging import LEGACY, MODERN, client, headers_of, request
from tests.support.running import until
from tests.support.world import REFUND

S = ToolCall.Status


@pytest.fixture
def patient(bridge, world):
    """Let the agent's requests be held open for long."""
    Agent.objects.update(grace_seconds=25)
    return bridge


@contextmanager
def asking(bridge, key, *, era=MODERN, tool="billing__refund", arguments=REFUND, **more):
    """Ask in a thread of its own; yields a function that returns the result."""
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(bridge.call(key, tool, arguments, era=era, **more))
    )
    thread.start()

    def result():
        thread.join(20)
        assert found, "no answer came"
        return found[0]

    try:
        yield result
    finally:
        thread.join(30)


def held():
    until(ToolCall.objects.exists, "the held call")
    return ToolCall.objects.get()


def release(call, world):
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    lifecycle.finish(claim, Outcome.succeeded({"content": [{"type": "text", "text": "paid"}]}))


def is_waiting(bridge):
    parts = bridge.mount._parts
    return until(lambda: len(parts.room) > 0, "somebody to wait")


# -- requests that are held open -----------------------------------------------------------------


@ERAS
def test_a_decision_within_the_grace_brings_the_upstreams_own_result(
    patient, world, era, monkeypatch
):
    monkeypatch.setattr(waiting, "LOOK_AGAIN_SECONDS", 60.0)  # the hint alone must bring it
    with asking(patient, world.key, era=era) as result:
        call = held()
        is_waiting(patient)
        release(call, world)
        began = time.monotonic()

        answer = result()

    assert answer["content"] == [{"type": "text", "text": "paid"}]
    assert time.monotonic() - began < 20
    call.refresh_from_db()
    assert call.answer_delivered_at is not None
    assert call.joins_repeats is False


def test_a_lost_hint_is_found_by_looking_again(patient, world, monkeypatch):
    async def lost(room, message):
        pass

    monkeypatch.setattr(waiting, "LOOK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(WaitingRoom, "_handle", lost)
    with asking(patient, world.key) as result:
        call = held()
        is_waiting(patient)
        lifecycle.cancel(call.pk, actor="person:ann")

        answer = result()

    assert told(answer)["kind"] == "cancelled"


def test_the_grace_is_the_agents_own(bridge, world):
    Agent.objects.update(grace_seconds=1)
    began = time.monotonic()

    result = bridge.call(world.key, "billing__refund", REFUND)

    assert told(result)["state"] == "pending"
    assert 0.9 < time.monotonic() - began < 20  # 25 seconds are what others get


@ERAS
def test_progress_comes_every_few_seconds_where_it_was_asked_for(patient, world, era, monkeypatch):
    monkeypatch.setattr(waiting, "TICK_SECONDS", 0.1)
    heard: list[tuple[float, str | None]] = []
    enough = threading.Event()

    async def progress(value, total, message):
        heard.append((value, message))
        if len(heard) == 3:
            enough.set()

    def decide():
        assert enough.wait(20)
        lifecycle.cancel(held().pk, actor="person:ann")

    async def converse():
        async with client(patient.url, world.key, era=era) as agent:
            ask = agent.call_tool("billing__refund", REFUND, progress_callback=progress)
            return (await asyncio.gather(ask, asyncio.to_thread(decide)))[0]

    result = asyncio.run(converse())

    assert result.structured_content["kind"] == "cancelled"
    values = [value for value, _ in heard]
    assert values == sorted(set(values))
    assert str(heard[0][1]).startswith("Waiting for a person")


def send(bridge, key, body, era, *headers):
    """Open a socket, send a request and return the socket."""
    host, _, port = bridge.url.removeprefix("http://").partition(":")
    peer = socket.create_connection((host, int(port)), timeout=20)
    raw = json.dumps(body).encode()
    lines = [
        "POST /mcp HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {key}",
        "Content-Type: application/json", "Accept: application/json, text/event-stream",
        f"MCP-Protocol-Version: {era}", f"Content-Length: {len(raw)}", *headers,
    ]  # fmt: skip
    peer.sendall("\r\n".join([*lines, "", ""]).encode() + raw)
    return peer


@ERAS
def test_a_client_that_goes_away_leaves_its_call_and_finds_it_again(patient, world, era):
    body = request("tools/call", {"name": "billing__refund", "arguments": REFUND}, era=era)
    lines = [f"{k}: {v}" for k, v in headers_of(body).items()] if era == MODERN else []
    with send(patient, world.key, body, era, *lines):
        call = held()
        is_waiting(patient)

    until(lambda: ToolCall.objects.get().agent_left_at, "the row to say so")
    assert ToolCall.objects.get().status == S.PENDING
    with asking(patient, world.key, era=era) as result:
        until(lambda: ToolCall.objects.get().agent_left_at is None, "the row to say it is back")
        release(call, world)
        answer = result()

    assert answer["content"] == [{"type": "text", "text": "paid"}]
    assert ToolCall.objects.count() == 1


def test_a_client_that_goes_away_before_its_ticket_is_made_finds_its_call_again(patient, world):
    body = request("tools/call", {"name": "billing__refund", "arguments": REFUND}, era=MODERN)
    lines = [f"{k}: {v}" for k, v in headers_of(body).items()]
    failpoints.arm("audit-insert=hang")  # the call is written, and not committed
    try:
        with send(patient, world.key, body, MODERN, *lines):
            until(lambda: not failpoints.left(), "the call being written")
        until(lambda: not patient.mount._parts.requests.count("support"), "that it is noticed")
        assert not ToolCall.objects.exists()
    finally:
        failpoints.arm("")

    call = held()
    until(lambda: ToolCall.objects.get().agent_left_at, "the row to say so")
    with asking(patient, world.key) as result:
        until(lambda: ToolCall.objects.get().agent_left_at is None, "the row to say it is back")
        release(call, world)
        answer = result()

    assert answer["content"] == [{"type": "text", "text": "paid"}]
    assert ToolCall.objects.count() == 1


def test_an_answer_nobody_was_there_for_is_given_to_the_same_request_again(patient, world):
    body = request("tools/call", {"name": "billing__refund", "arguments": REFUND}, era=MODERN)
    lines = [f"{k}: {v}" for k, v in headers_of(body).items()]
    with send(patient, world.key, body, MODERN, *lines):
        call = held()
        is_waiting(patient)
    until(lambda: ToolCall.objects.get().agent_left_at, "the row to say so")
    release(call, world)

    again = patient.call(world.key, "billing__refund", REFUND)

    assert again["content"] == [{"type": "text", "text": "paid"}]
    assert ToolCall.objects.count() == 1


def test_a_stopping_bridge_hands_out_tickets(patient, world):
    with asking(patient, world.key) as result:
        held()
        is_waiting(patient)

        patient.loop.call_soon_threadsafe(patient.mount.drain)

        assert told(result())["state"] == "pending"


def test_too_many_open_requests_get_their_tickets_at_once(patient, world, settings):
    settings.PENDING_PER_AGENT = 1
    with asking(patient, world.key) as first, asking(patient, world.key) as second:
        held()
        until(lambda: patient.mount._parts.requests.count("support") == 2, "two to wait")

        began = time.monotonic()
        third = patient.call(world.key, "billing__refund", REFUND)

        assert told(third)["state"] == "pending"
        assert time.monotonic() - began < 20
        lifecycle.cancel(held().pk, actor="person:ann")
        assert told(first())["kind"] == told(second())["kind"] == "cancelled"


# -- cancelling ----------------------------------------------------------------------------------


def cancel(bridge, key, request_id, session=""):
    note = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": request_id},
    }
    headers = {"mcp-session-id": session} if session else {}
    return bridge.post(key, note, era=LEGACY, headers=headers)


def test_a_handshake_era_client_cancels_its_request_and_the_call_with_it(patient, world):
    async def converse():
        async with client(patient.url, world.key, era=LEGACY) as agent:
            asking = asyncio.create_task(agent.call_tool("billing__refund", REFUND))
            await asyncio.to_thread(is_waiting, patient)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await asyncio.to_thread(until, is_cancelled, "the call to be cancelled")

    def is_cancelled():
        return ToolCall.objects.get().status == S.CANCELLED

    asyncio.run(converse())


def test_a_cancellation_reaches_only_its_own_session(patient, world):
    sessions = [{"mcp-session-id": name} for name in ("one", "two")]
    with (
        asking(patient, world.key, era=LEGACY, headers=sessions[0]) as first,
        asking(patient, world.key, era=LEGACY, headers=sessions[1],
               arguments={**REFUND, "amount": 1}) as second,
    ):  # fmt: skip
        until(lambda: len(patient.mount._parts.room) == 2, "two to wait")

        assert cancel(patient, world.key, 1, "two").status_code == 202

        assert told(second())["kind"] == "cancelled"
        assert ToolCall.objects.filter(status=S.PENDING).count() == 1
        cancel(patient, world.key, "1", "one")
        assert told(first())["kind"] == "cancelled"


def test_a_cancellation_that_could_mean_two_requests_cancels_neither(patient, world):
    with (
        asking(patient, world.key, era=LEGACY) as first,
        asking(patient, world.key, era=LEGACY, arguments={**REFUND, "amount": 1}) as second,
    ):
        until(lambda: len(patient.mount._parts.room) == 2, "two to wait")

        cancel(patient, world.key, 1)
        cancel(patient, world.key, "nothing")

        patient.loop.call_soon_threadsafe(patient.mount.drain)
        assert told(first())["state"] == told(second())["state"] == "pending"
    assert ToolCall.objects.filter(status=S.PENDING).count() == 2


def test_a_session_id_is_given_to_handshake_era_clients(bridge, world):
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }

    one, two = (bridge.post(world.key, body, era=LEGACY) for _ in range(2))

    assert one.headers["mcp-session-id"] != two.headers["mcp-session-id"]


# -- the companion tools -------------------------------------------------------------------------


def ticket(bridge, world):
    return told(bridge.call(world.key, "billing__refund", REFUND))["ticket"]


@ERAS
def test_approval_status_tells_how_it_stands_and_then_the_result(bridge, world, era):
    held_ticket = ticket(bridge, world)
    arguments = {"ticket": held_ticket, "wait_seconds": 0}

    before = bridge.call(world.key, "approval_status", arguments, era=era)
    release(held(), world)
    after = bridge.call(world.key, "approval_status", arguments, era=era)

    assert told(before)["ticket"] == held_ticket
    assert after["content"] == [{"type": "text", "text": "paid"}]


def test_approval_status_waits_for_the_decision(bridge, world):
    arguments = {"ticket": ticket(bridge, world), "wait_seconds": 25}
    with asking(bridge, world.key, tool="approval_status", arguments=arguments) as result:
        is_waiting(bridge)
        release(held(), world)

        assert result()["content"] == [{"type": "text", "text": "paid"}]


def test_approval_cancel_withdraws_a_held_call(bridge, world):
    arguments = {"ticket": ticket(bridge, world)}

    first = bridge.call(world.key, "approval_cancel", arguments)
    second = bridge.call(world.key, "approval_cancel", arguments)

    assert first["isError"] is second["isError"] is False
    assert "Nothing was done" in first["content"][0]["text"]
    assert held().status == S.CANCELLED


def test_approval_cancel_comes_too_late_for_what_was_sent(bridge, world):
    arguments = {"ticket": ticket(bridge, world)}
    worlds.walk(held(), world, S.DISPATCHED)

    result = bridge.call(world.key, "approval_cancel", arguments)

    assert result["isError"] is True
    assert "Too late" in told(result)["message"]
    assert held().status == S.DISPATCHED


@BEFORE_SQL
@pytest.mark.parametrize("tool", ["approval_status", "approval_cancel"])
@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"ticket": 7}, {"ticket": "x" * 65}, {"ticket": "a", "more": 1},
        {"ticket": "a", "wait_seconds": 26}, {"ticket": "a", "wait_seconds": -1},
    ],
)  # fmt: skip
def test_a_companions_arguments_are_checked_like_any_tools(bridge, world, tool, arguments):
    result = bridge.call(world.key, tool, arguments)

    assert told(result)["kind"] == "invalid_input"


@pytest.mark.parametrize("tool", ["approval_status", "approval_cancel"])
@pytest.mark.parametrize("wanted", [str(UUID(int=7)), "seven", "", "../calls"])
def test_a_ticket_that_is_not_there_is_not_found(bridge, world, tool, wanted):
    result = bridge.call(world.key, tool, {"ticket": wanted})

    assert told(result)["kind"] == "not_found"


# -- the room itself -----------------------------------------------------------------------------


def test_ten_thousand_waiters_are_looked_at_in_one_query(world, monkeypatch, settings):
    calls = [worlds.hold(world, arguments=REFUND | {"memo": str(n)}) for n in range(2)]
    monkeypatch.setattr(waiting, "LOOK_AGAIN_SECONDS", 0.01)
    waiters = 10_000
    ids = [*(call.pk for call in calls), *(uuid4() for _ in range(waiters - len(calls)))]
    queries: list[int] = []

    async def fill():
        room = WaitingRoom()
        events = [asyncio.Event() for _ in ids]
        for call_id, event in zip(ids, events, strict=True):
            room._waiting.setdefault(call_id, set()).add(event)
        looking = asyncio.create_task(room.look_again())
        try:
            async with asyncio.timeout(60):
                # The first look asks for every id, those after it for what was answered since.
                for call, event in zip(calls, events, strict=False):
                    await asyncio.to_thread(cancelled, call)
                    await event.wait()
        finally:
            looking.cancel()
        return sum(event.is_set() for event in events), len(room)

    def cancelled(call):
        lifecycle.cancel(call.pk, actor="person:ann")
        connection.close()

    original = waiting.answered_among

    def counted(call_ids, since):
        with CaptureQueriesContext(connection) as captured:
            found = original(call_ids, since)
        queries.append(len(captured))
        return found

    monkeypatch.setattr(waiting, "answered_among", counted)

    woken, in_room = asyncio.run(fill())

    assert (woken, in_room) == (len(calls), waiters)
    assert set(queries) == {1}
