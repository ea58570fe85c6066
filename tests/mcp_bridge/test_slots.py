"""The line before one upstream: so many at once, agents in turn, and no place is ever lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from mcp_bridge.upstreams.slots import Line

BUSY, QUIET = 1, 2  # agents


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await story

    asyncio.run(bounded())


class Visits:
    """Who is at the upstream, in which order they came, and how many were there at once."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.came: list[str] = []
        self.there = 0
        self.most = 0

    async def visit(self, agent: int, name: str, leave: asyncio.Event) -> None:
        async with self.line.place(agent):
            self.came.append(name)
            self.there += 1
            self.most = max(self.most, self.there)
            await leave.wait()
            self.there -= 1


async def settle() -> None:
    """Let every task that can run come to its next wait."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("places", [1, 3])
def test_no_more_are_there_than_there_are_places(places: int):
    async def story() -> None:
        visits, leave = Visits(Line(places)), asyncio.Event()
        tasks = [asyncio.create_task(visits.visit(BUSY, str(n), leave)) for n in range(10)]
        await settle()
        assert visits.there == places
        assert visits.line.length == 10 - places
        leave.set()
        await asyncio.gather(*tasks)
        assert visits.most == places
        assert visits.line.length == 0

    run(story())


def test_an_agent_with_one_call_does_not_wait_behind_another_with_many():
    async def story() -> None:
        visits, first = Visits(Line(1)), asyncio.Event()
        later = asyncio.Event()
        later.set()
        tasks = [asyncio.create_task(visits.visit(BUSY, "busy 0", first))]
        await settle()
        tasks += [asyncio.create_task(visits.visit(BUSY, f"busy {n}", later)) for n in range(1, 5)]
        await settle()
        tasks.append(asyncio.create_task(visits.visit(QUIET, "quiet", later)))
        await settle()

        first.set()
        await asyncio.gather(*tasks)

        assert visits.came == ["busy 0", "busy 1", "quiet", "busy 2", "busy 3", "busy 4"]

    run(story())


def test_who_gives_up_waiting_leaves_the_place_to_the_next():
    async def story() -> None:
        visits, leave = Visits(Line(1)), asyncio.Event()
        first = asyncio.create_task(visits.visit(BUSY, "first", leave))
        await settle()
        gives_up = asyncio.create_task(visits.visit(BUSY, "gives up", leave))
        last = asyncio.create_task(visits.visit(BUSY, "last", leave))
        await settle()

        gives_up.cancel()
        await settle()
        leave.set()
        await asyncio.gather(first, last)

        assert visits.came == ["first", "last"]

    run(story())


def test_a_place_given_in_the_moment_its_taker_gives_up_is_not_lost():
    async def story() -> None:
        line, stays = Line(1), asyncio.Event()
        first = line.place(BUSY)
        await first.__aenter__()
        gives_up = asyncio.create_task(Visits(line).visit(BUSY, "gives up", stays))
        await settle()

        await first.__aexit__(None, None, None)  # gives the place away, and lets nobody run
        gives_up.cancel()
        await asyncio.gather(gives_up, return_exceptions=True)

        async with line.place(QUIET):
            assert line.length == 0

    run(story())


def test_a_visit_that_fails_gives_its_place_back():
    async def story() -> None:
        line = Line(1)
        with pytest.raises(ValueError, match="boom"):
            async with line.place(BUSY):
                raise ValueError("boom")

        async with line.place(QUIET):
            assert line.length == 0

    run(story())


def test_what_waits_is_counted_by_agent():
    async def story() -> None:
        visits, leave = Visits(Line(1)), asyncio.Event()
        tasks = [asyncio.create_task(visits.visit(BUSY, str(n), leave)) for n in range(4)]
        await settle()
        tasks.append(asyncio.create_task(visits.visit(QUIET, "quiet", leave)))
        await settle()

        counted = {agent: visits.line.waiting_of(agent) for agent in (BUSY, QUIET, 3)}
        leave.set()
        await asyncio.gather(*tasks)

        assert counted == {BUSY: 3, QUIET: 1, 3: 0}

    run(story())
