"""Places for reads: one agent fills its own and no other's, and none is ever lost."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mcp_types as t
import pytest

from approvals.administration import agents
from approvals.errors import RateLimited
from mcp_bridge.agents import places
from mcp_bridge.agents.places import Places
from tests.support.agent_view import CUSTOMER
from tests.support.bridging import Upstreams, echoes, running
from tests.support.running import until
from tests.support.world import ACTOR, World

READ = "billing__get_customer"

BUSY, QUIET = 1, 2  # agents


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await story

    asyncio.run(bounded())


async def settle() -> None:
    """Let every task that can run come to its next wait."""
    for _ in range(20):
        await asyncio.sleep(0)


class Readers:
    """Reads in work, by agent, and the order in which they came there."""

    def __init__(self, each: int) -> None:
        self.places = Places(each)
        self.there: Counter[int] = Counter()
        self.came: list[str] = []
        self.leave = asyncio.Event()

    def start(self, agent: int, *names: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._read(agent, name)) for name in names]

    async def _read(self, agent: int, name: str) -> None:
        async with self.places.taken(agent):
            self.came.append(name)
            self.there[agent] += 1
            await self.leave.wait()
            self.there[agent] -= 1


def test_an_agent_fills_its_own_places_and_no_others():
    async def story() -> None:
        readers = Readers(2)
        tasks = readers.start(BUSY, *"abcdef")
        await settle()
        tasks += readers.start(QUIET, "quiet")
        await settle()

        assert readers.there == {BUSY: 2, QUIET: 1}
        readers.leave.set()
        await asyncio.gather(*tasks)
        assert readers.came == ["a", "b", "quiet", "c", "d", "e", "f"]
        assert len(readers.places) == 0

    run(story())


def test_who_fails_or_gives_up_leaves_its_place_to_the_next():
    async def story() -> None:
        readers = Readers(1)
        with pytest.raises(ValueError, match="boom"):
            async with readers.places.taken(BUSY):
                raise ValueError("boom")
        in_work, gives_up, last = readers.start(BUSY, "in work", "gives up", "last")
        await settle()

        gives_up.cancel()
        await settle()
        in_work.cancel()
        await settle()

        assert readers.came == ["in work", "last"]
        readers.leave.set()
        await asyncio.gather(in_work, gives_up, last, return_exceptions=True)
        assert len(readers.places) == 0

    run(story())


def test_too_many_that_wait_are_told_to_come_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "_MOST_WAITING", 3)

    async def story() -> None:
        readers = Readers(2)
        tasks = readers.start(BUSY, *"abcde")
        await settle()

        with pytest.raises(RateLimited):
            async with readers.places.taken(BUSY):
                pass
        async with readers.places.taken(QUIET):
            pass
        readers.leave.set()
        await asyncio.gather(*tasks)

    run(story())


def test_0_means_without_limit():
    async def story() -> None:
        readers = Readers(0)
        tasks = readers.start(BUSY, *map(str, range(50)))
        await settle()
        assert readers.there[BUSY] == 50
        readers.leave.set()
        await asyncio.gather(*tasks)

    run(story())


def test_at_the_bridge_a_flood_of_reads_waits_behind_itself(world: World, settings: Any):
    """Seen to fail with READS_PER_AGENT=0."""
    settings.READS_PER_AGENT = 2
    go_on = threading.Event()

    async def act(
        tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> t.CallToolResult:
        if len(upstreams.asked) <= 2:
            await asyncio.to_thread(go_on.wait, 30)
        return await echoes(tool, arguments, meta)

    upstreams = Upstreams(act)
    quiet = agents.create_agent("quiet", owner=world.ann, domains=["billing"], actor=ACTOR)
    key = agents.create_key(quiet, acts_for=world.ann, actor=ACTOR)
    with running(upstreams) as bridge, ThreadPoolExecutor(6) as threads:
        begun = [threads.submit(bridge.call, world.key, READ, CUSTOMER) for _ in range(6)]
        until(lambda: len(upstreams.asked) == 2, "two reads upstream")
        time.sleep(0.5)  # in which a third would come

        assert len(upstreams.asked) == 2
        assert not bridge.call(key, READ, CUSTOMER).get("isError")

        go_on.set()
        assert not any(read.result(30).get("isError") for read in begun)
    assert len(upstreams.asked) == 7
