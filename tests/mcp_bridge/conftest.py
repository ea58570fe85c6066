"""Fixtures of the bridge's tests: a bridge that runs, and its agent's key."""

from collections.abc import Iterator

import pytest

from approvals.models import Agent
from tests.support import bridging
from tests.support import world as worlds


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
