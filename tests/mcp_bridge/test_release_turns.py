"""Who is released when: so many at once at an upstream, for all workers together, and by turns."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from approvals.administration import agents
from approvals.models import Dispatch, ToolCall
from mcp_bridge import release
from mcp_bridge.upstreams.releasing import Releases
from tests.support import upstreams as servers
from tests.support import world as worlds
from tests.support.running import until
from tests.support.upstreams import HttpUpstream
from tests.support.world import ACTOR, REFUND, World

S = ToolCall.Status
Approved = Callable[..., ToolCall]

pytestmark = pytest.mark.usefixtures("worker")


def fresh(call: ToolCall) -> ToolCall:
    return ToolCall.objects.get(pk=call.pk)


def delivered(call: ToolCall) -> threading.Thread:
    """Deliver the message in a thread of its own."""
    thread = threading.Thread(target=release.release, args=(str(call.pk),))
    thread.start()
    return thread


def test_no_more_releases_than_allowed_are_at_one_upstream(
    approved: Approved, billing: HttpUpstream, settings: Any
):
    settings.RELEASES_PER_UPSTREAM = 2
    billing.ways["tools/call"] = servers.waits()
    calls = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(5)]

    running = [delivered(call) for call in calls]
    until(lambda: len(billing.calls) == 2, "two calls")

    # The others are not claimed, so no lease of theirs runs out while they stand in line.
    states = sorted(fresh(call).status for call in calls)
    assert states == [S.APPROVED] * 3 + [S.DISPATCHED] * 2
    billing.gate.set()
    for thread in running:
        thread.join(20)
    assert {fresh(call).status for call in calls} == {S.SUCCEEDED}
    assert len(billing.effects) == 5


def test_one_message_releases_everything_that_is_ready_in_turn(
    world: World, approved: Approved, billing: HttpUpstream, settings: Any
):
    settings.RELEASES_PER_UPSTREAM = 1
    calls = [approved(arguments=REFUND | {"memo": f"busy {n}"}) for n in range(4)]
    quiet = agents.create_agent("quiet", owner=world.ann, domains=["billing"], actor=ACTOR)
    asked = worlds.hold(replace(world, agent=quiet), arguments=REFUND | {"memo": "quiet"})
    worlds.walk(asked, world, S.APPROVED)

    release.release(str(calls[-1].pk))

    order = [effect["memo"] for effect in billing.effects]
    assert order == ["busy 0", "quiet", "busy 1", "busy 2", "busy 3"]


def test_no_more_than_allowed_are_at_one_upstream_however_many_workers_there_are(
    approved: Approved, billing: HttpUpstream, settings: Any
):
    """Seen to fail with each worker counting its own only."""
    settings.RELEASES_PER_UPSTREAM = 3
    billing.ways["tools/call"] = servers.waits()
    calls = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(6)]

    async def work(name: str) -> None:
        releases = Releases(name, lambda: True)
        await asyncio.gather(*[releases.release(call.pk) for call in calls])
        await releases.close()

    workers = [threading.Thread(target=asyncio.run, args=(work(f"w{n}"),)) for n in range(3)]
    for worker in workers:
        worker.start()
    until(lambda: len(billing.calls) == 3, "three calls")
    time.sleep(0.5)  # in which a fourth would come

    states = sorted(fresh(call).status for call in calls)
    assert states == [S.APPROVED] * 3 + [S.DISPATCHED] * 3
    billing.gate.set()
    for worker in workers:
        worker.join(20)
    assert {fresh(call).status for call in calls} == {S.SUCCEEDED}
    assert len(billing.effects) == Dispatch.objects.count() == 6
