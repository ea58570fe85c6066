"""What the tests of the examples share: one event loop, and each way to reach a server."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from mcp.client import Client

from tests.examples.driving import EXAMPLES, over_http, over_stdio

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio only; the product has no other loop."""
    return "asyncio"


@pytest.fixture(params=["stdio-modern", "stdio-legacy", "http-modern", "http-legacy"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Return how to open a client on an example: each transport in each protocol era."""
    transport, era = str(request.param).split("-")
    mode = "legacy" if era == "legacy" else "auto"

    @asynccontextmanager
    async def opened(script: str, *arguments: str | Path) -> AsyncIterator[Client]:
        if transport == "stdio":
            async with Client(over_stdio(script, *arguments), mode=mode) as client:
                yield client
        else:
            with over_http(script, *arguments) as serving:
                async with Client(serving.url, mode=mode) as client:
                    yield client

    return opened


@pytest.fixture
def example_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the examples' own modules importable, as they are when one runs as a script."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [path.stem for path in EXAMPLES.glob("*.py")]:
        sys.modules.pop(name, None)
