"""Fixtures of the bridge's tests: a bridge that runs, a worker, and an upstream to release to."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from approvals.models import Agent, ToolCall
from mcp_bridge import release, threads
from tests.support import bridging, upstreams
from tests.support import world as worlds
from tests.support.asking import put


@pytest.fixture
def world(transactional_db: None) -> worlds.World:
    """Return the world of all tests, committed, so that other threads see it."""
    return worlds.build()


@pytest.fixture
def bridge(world: worlds.World) -> Iterator[bridging.Running]:
    """Return a running bridge over an upstream that echoes; agents get their ticket at once."""
    Agent.objects.update(grace_seconds=0)
    with bridging.running() as running:
        yield running


@pytest.fixture
def worker(world: worlds.World) -> Iterator[None]:
    """Leave no session, no late answer and no database connection to the next test."""
    yield
    release.stop_claiming()
    release.wait_idle(10)
    release._work.is_stopping = False
    asyncio.run(threads.close())


@pytest.fixture
def billing(world: worlds.World, worker: None) -> Iterator[upstreams.HttpUpstream]:
    """Return the billing upstream; it lists what the world's catalogue says."""
    with upstreams.serving() as server:
        put(world.billing, server, "billing")
        yield server


@pytest.fixture
def approved(world: worlds.World, billing: upstreams.HttpUpstream) -> Callable[..., ToolCall]:
    """Return a maker of approved calls."""

    def make(**options: Any) -> ToolCall:
        return worlds.walk(worlds.hold(world, **options), world, ToolCall.Status.APPROVED)

    return make
