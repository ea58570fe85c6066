"""When a kept session is left: retired or idle, and never under somebody who waits."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from mcp_bridge.upstreams import opened
from mcp_bridge.upstreams.opened import Open


def bounded(story: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a story on a loop of its own; one that hangs is a failure."""

    @wraps(story)
    def run(**fixtures: Any) -> None:
        asyncio.run(asyncio.wait_for(story(**fixtures), 30))

    return run


def kept() -> tuple[Open, "asyncio.Task[None]"]:
    """Return a session, and the waiting of whoever leaves it."""
    nothing: Any = None
    session = Open(nothing, nothing)
    return session, asyncio.create_task(session.unused())


async def turns(number: int = 20) -> None:
    """Let every task run that can."""
    for _ in range(number):
        await asyncio.sleep(0)


@bounded
async def test_a_retired_session_is_left_when_the_last_answer_has_come():
    session, leaving = kept()
    with session.used():
        with session.used():
            session.retire()
            await turns()
        await turns()
        assert not leaving.done()

    await leaving


@bounded
async def test_a_session_retired_while_nobody_uses_it_is_left_at_once():
    session, leaving = kept()
    await turns()
    session.retire()

    await leaving


@bounded
async def test_an_idle_session_is_left_and_one_in_use_is_not_idle(monkeypatch):
    session, leaving = kept()
    with session.used():
        monkeypatch.setattr(opened, "IDLE_SECONDS", 0.0)
        leaving.cancel()
        leaving = asyncio.create_task(session.unused())
        await turns()
        assert not leaving.done()

    await leaving
    assert session.is_retired


@bounded
async def test_reads_that_come_and_go_do_not_wake_whoever_would_leave(monkeypatch):
    session, leaving = kept()
    await turns()
    looks: list[str] = []

    def idle_in() -> float:
        looks.append("woken")
        return 900.0

    monkeypatch.setattr(session, "_idle_in", idle_in)
    for _ in range(5):
        with session.used():
            await turns()
    await turns()
    leaving.cancel()

    assert not looks
