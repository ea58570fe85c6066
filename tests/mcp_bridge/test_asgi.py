"""The bridge as an application: its life, its health, and the same server without any HTTP."""

import asyncio
import contextlib
from contextvars import copy_context
from datetime import timedelta

import httpx2
import mcp_types as t
import pytest
from mcp.client import Client
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.shared.exceptions import MCPError

from approvals import guards, lifecycle
from approvals.models import Agent, Heartbeat, ToolCall, database_now
from approvals.tasks import SWEEP
from mcp_bridge import threads
from mcp_bridge.agents import server
from mcp_bridge.agents.identity import KeyVerifier
from mcp_bridge.agents.parts import Parts
from mcp_bridge.asgi import Bridge, McpMount, transport_security
from tests.support.agent_view import CUSTOMER, PROVENANCE
from tests.support.bridging import LEGACY, MODERN, Upstreams
from tests.support.running import until
from tests.support.world import REFUND

MODES = pytest.mark.parametrize("mode", [MODERN, "legacy"])

# -- without HTTP --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def in_process(world, mode, key=None):
    """Connect the SDK's client to the server object, as the holder of a key."""
    upstreams = Upstreams()
    parts = Parts(sessions=upstreams)
    kept = [asyncio.create_task(work) for work in (upstreams.keep_fresh(), parts.room.listen())]
    token = await KeyVerifier(parts.snapshots).verify_token(key or world.key)
    reset = auth_context_var.set(AuthenticatedUser(token) if token else None)
    try:
        async with Client(server.build(parts), mode=mode, cache=None) as client:
            yield client
    finally:
        auth_context_var.reset(reset)
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
        await parts.reads.close()
        parts.snapshots.close()
        await threads.close()


@MODES
def test_the_server_lists_reads_and_holds_without_http(world, mode):
    Agent.objects.update(grace_seconds=0)

    async def converse():
        async with in_process(world, mode) as client:
            listed = await client.list_tools()
            read = await client.call_tool("billing__get_customer", CUSTOMER)
            held = await client.call_tool("billing__refund", REFUND)
            return listed, read, held

    listed, read, held = asyncio.run(converse())

    assert len(listed.tools) == 4
    assert read.structured_content == {"arguments": CUSTOMER}
    assert read.meta[PROVENANCE]["audit"]["number"] == 1
    assert held.structured_content["ticket"] == str(ToolCall.objects.get().pk)


@MODES
def test_a_decision_reaches_a_waiting_client_without_http(world, mode):
    def reject():
        until(ToolCall.objects.exists, "the held call")
        call = ToolCall.objects.get()
        lifecycle.decide(
            call.pk, decider=world.bo, verdict="reject", binding=call.binding, reason="No."
        )

    async def converse():
        async with in_process(world, mode) as client:
            asking = asyncio.create_task(client.call_tool("billing__refund", REFUND))
            await asyncio.to_thread(reject)
            return await asking

    assert asyncio.run(converse()).structured_content["kind"] == "rejected"


def test_without_a_key_the_server_tells_nothing(world):
    async def converse():
        async with in_process(world, "legacy", key="cs_nobody_secret") as client:
            with pytest.raises(MCPError, match="no valid key"):
                await client.list_tools()

    asyncio.run(converse())


def test_a_cancelled_request_without_http_cancels_its_call(world):
    async def converse():
        async with in_process(world, "legacy") as client:
            asking = asyncio.create_task(client.call_tool("billing__refund", REFUND))
            await asyncio.to_thread(until, ToolCall.objects.exists, "the held call")
            # The first request of a client after `initialize` has the id 2.
            note = t.CancelledNotification(params=t.CancelledNotificationParams(request_id=2))
            await client.session.send_notification(note)
            await asyncio.to_thread(until, is_cancelled, "the call to be cancelled")
            asking.cancel()

    def is_cancelled():
        return ToolCall.objects.get().status == "cancelled"

    asyncio.run(converse())


# -- its life ------------------------------------------------------------------------------------


async def asked(app, path, **more):
    """Return the answer to one GET, without a server and so without a lifespan."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        return await http.request(more.pop("method", "GET"), path, **more)


def test_a_server_without_lifespan_starts_it_at_the_first_request(world):
    async def converse():
        mount = McpMount(Upstreams)
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        headers = {
            "authorization": f"Bearer {world.key}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": LEGACY,
        }
        try:
            return await asked(Bridge(mount), "/mcp", method="POST", json=body, headers=headers)
        finally:
            await mount.stop()

    assert asyncio.run(converse()).status_code == 200


def test_it_can_be_started_again_after_a_stop(world):
    async def converse():
        mount = McpMount(Upstreams)
        for _ in range(2):
            await mount.start()
            await mount.start()
            await mount.stop()
            await mount.stop()

    asyncio.run(converse())


def test_a_start_that_fails_is_told_to_the_server():
    def broken():
        raise RuntimeError("no upstreams today")

    async def converse():
        sent = []
        messages = iter([{"type": "lifespan.startup"}])

        async def receive():
            return next(messages)

        async def send(message):
            sent.append(message)

        await Bridge(McpMount(broken))({"type": "lifespan"}, receive, send)
        return sent

    (message,) = asyncio.run(converse())

    assert message == {"type": "lifespan.startup.failed", "message": "no upstreams today"}


def test_background_work_that_breaks_does_not_take_the_bridge_with_it(world):
    class Broken(Upstreams):
        async def keep_fresh(self):
            raise RuntimeError("broken")

    async def converse():
        mount = McpMount(Broken)
        try:
            answer = await asked(Bridge(mount), "/mcp", method="POST")
            return answer.status_code
        finally:
            await mount.stop()

    assert asyncio.run(converse()) == 401


# -- its health ----------------------------------------------------------------------------------


def health(path, **more):
    async def converse():
        try:
            return await asked(Bridge(McpMount(Upstreams)), path, **more)
        finally:
            await threads.close()

    return copy_context().run(asyncio.run, converse())


def beat(age=timedelta(0)):
    Heartbeat.objects.create(name=SWEEP, at=database_now() - age)


def test_a_bridge_that_serves_is_healthy():
    assert health("/healthz").status_code == 200


def test_a_bridge_is_ready_when_its_surroundings_are(transactional_db):
    beat()

    assert health("/readyz").json() == {"status": "ok", "problems": []}


def test_a_bridge_is_not_ready_when_the_sweep_is_late(transactional_db):
    beat(age=timedelta(minutes=1))

    answer = health("/readyz")

    assert answer.status_code == 503
    assert "sweep" in answer.json()["problems"][0]


def test_a_bridge_is_not_ready_without_its_guards(transactional_db):
    beat()
    guards.drop()
    try:
        answer = health("/readyz")
    finally:
        guards.install()

    assert answer.status_code == 503
    assert "guard" in answer.json()["problems"][0]


@pytest.mark.parametrize(
    ("token", "given", "status"),
    [("", "", 404), ("", "Bearer ", 404), ("long", "", 401), ("long", "Bearer short", 401)],
)
def test_a_bridge_tells_its_figures_to_nobody_without_the_token(settings, token, given, status):
    settings.METRICS_TOKEN = token

    assert health("/metrics", headers={"authorization": given}).status_code == status


def test_a_bridge_tells_the_same_figures_and_who_waits_at_it(transactional_db, settings):
    settings.METRICS_TOKEN = "long"

    async def converse():
        mount = McpMount(Upstreams)
        try:
            await mount.start()
            return await asked(Bridge(mount), "/metrics", headers={"authorization": "Bearer long"})
        finally:
            await mount.stop()

    answer = asyncio.run(converse())

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "countersign_waiting_requests 0\n" in answer.text
    assert "countersign_sweep_lag_seconds +Inf\n" in answer.text


def test_a_bridge_of_its_own_has_no_pages():
    assert health("/accounts/login/").status_code == 404


def test_what_is_not_the_bridges_goes_to_the_others():
    async def others(scope, receive, send):
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def converse():
        app = Bridge(McpMount(Upstreams), others)
        return [(await asked(app, path)).status_code for path in ("/", "/mcpx", "/healthz")]

    assert asyncio.run(converse()) == [418, 418, 418]


# -- hosts ---------------------------------------------------------------------------------------


def test_hosts_and_origins_come_from_settings(settings):
    settings.PUBLIC_URL = "https://countersign.example"
    settings.ALLOWED_HOSTS = ["countersign.example", "10.0.0.7"]

    found = transport_security()

    assert found.allowed_origins == ["https://countersign.example"]
    assert {"countersign.example", "10.0.0.7", "10.0.0.7:*"} <= set(found.allowed_hosts)
    assert found.enable_dns_rebinding_protection is True
