"""A page that no longer reads its socket: what that costs the process, and that others hear on."""

import asyncio
import gc
import tracemalloc
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from approvals import events
from approvals.ws import consumers
from approvals.ws.routing import websockets
from tests.support.visiting import visitor

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS, HINTS = 8, 3_000
# 512 KiB in all; the server's own buffer before it blocks (64 KiB) and half as much again are kept.
MOST_BYTES = (512 - 96) * 1024


class Stuck:
    """A connection as a server hands it over when its client reads nothing: sending blocks."""

    def __init__(self, cookie):
        headers = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000", "cookie": cookie}
        self.scope = {
            "type": "websocket", "path": "/ws/calls/", "scheme": "ws", "query_string": b"",
            "subprotocols": [], "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        self.accepted, self.blocked = asyncio.Event(), asyncio.Event()
        self.tried = []
        self.gone = asyncio.Event()
        self._messages = iter([{"type": "websocket.connect"}])

    async def receive(self):
        for message in self._messages:
            return message
        await self.gone.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(self, message):
        if message["type"] == "websocket.accept":
            self.accepted.set()
            return
        self.tried.append((message["type"], message.get("code")))
        self.blocked.set()
        await self.gone.wait()


def cookie_of(person):
    cookies = visitor(person).cookies
    return "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())


@asynccontextmanager
async def stuck(cookies):
    """Yield connections that are open and have a hint they could not get rid of."""
    clients = [Stuck(cookie) for cookie in cookies]
    tasks = [asyncio.create_task(websockets(c.scope, c.receive, c.send)) for c in clients]
    try:
        async with asyncio.timeout(60):
            for client in clients:
                await client.accepted.wait()
        yield clients
    finally:
        for client in clients:
            client.gone.set()
        await asyncio.wait(tasks, timeout=30)


async def flood(group, count):
    """Tell a group of so many calls, no faster than listeners that can take them up do so."""
    for _ in range(count):
        await tell(group, str(uuid4()))
        for _ in range(60):
            if not any(queue.qsize() for queue in layer().channels.values()):
                break
            await asyncio.sleep(0)


def layer() -> Any:
    return get_channel_layer()


async def tell(group, call_id):
    await layer().group_send(group, {"type": "call.changed", "call": call_id, "version": 1})


def test_a_client_that_reads_nothing_costs_less_than_half_a_mebibyte(world, held_call):
    call, group = held_call(), events.domain_group(world.billing.pk)
    cookies = [cookie_of(person) for person in (world.bo, world.cy)] * (CLIENTS // 2)

    async def story():
        async with stuck(cookies) as clients:
            await tell(group, str(call.pk))
            async with asyncio.timeout(60):
                for client in clients:
                    await client.blocked.wait()
            gc.collect()
            tracemalloc.start()
            try:
                await flood(group, HINTS)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            return peak / CLIENTS, [client.tried[-1] for client in clients]

    cost, last = async_to_sync(story)()

    assert cost < MOST_BYTES
    assert last == [("websocket.close", consumers.TOO_FAR_BEHIND)] * CLIENTS
