"""The sessions of a process on an event loop of their own, asked from a test's thread."""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from approvals.administration import catalog
from approvals.administration.catalog import UpstreamSpec
from approvals.models import Domain, Upstream
from mcp_bridge import threads
from mcp_bridge.upstreams.sessions import Sessions
from mcp_bridge.upstreams.targets import PLAIN, WRITE, Target
from tests.support.upstreams import HttpUpstream, StdioUpstream
from tests.support.world import ACTOR

T = TypeVar("T")
Server = HttpUpstream | StdioUpstream


class Asking:
    """Sessions with upstreams, as the bridge (plain) or a worker (write) keeps them."""

    def __init__(self, credentials: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.sessions = Sessions(credentials)
        self._keeping: Future[None] | None = None

    def keep_fresh(self) -> None:
        """Follow the database and read lists again and again, as the bridge does."""
        self._keeping = self.start(self.sessions.keep_fresh())

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin something on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 30) -> T:
        """Do something on the loop."""
        return self.start(work).result(seconds)

    def reading(
        self, upstream: Upstream, arguments: Mapping[str, Any] | None = None, **meta: Any
    ) -> "Future[Mapping[str, Any]]":
        """Begin to call `get_customer`."""
        given = {"customer": "cus_1", "amount": 1} if arguments is None else arguments
        return self.start(self.sessions.read(upstream.pk, "get_customer", given, meta))

    def read(
        self, upstream: Upstream, arguments: Mapping[str, Any] | None = None, **meta: Any
    ) -> Mapping[str, Any]:
        """Call `get_customer`, and return the raw result."""
        return self.reading(upstream, arguments, **meta).result(30)

    def close(self) -> None:
        """Leave every session."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(BaseException):
                self._keeping.result(5)
        self.run(self.sessions.close(), 60)
        self.run(threads.close())


@contextmanager
def asking(credentials: str = PLAIN) -> Iterator[Asking]:
    """Run a loop with sessions until the block ends."""
    ours = Asking(credentials)
    thread = threading.Thread(target=ours.loop.run_forever, name="asking")
    thread.start()
    try:
        yield ours
    finally:
        try:
            ours.close()
        finally:
            ours.loop.call_soon_threadsafe(ours.loop.stop)
            thread.join(10)
            ours.loop.close()


def target_of(server: Server, **launch: Any) -> Target:
    """Return how to reach a server, without a row; `launch` adds to how it starts."""
    if isinstance(server, StdioUpstream):
        transport, known = "stdio", server.launch
    else:
        transport, known = "http", {"url": server.url, "headers": {}}
    return Target(
        upstream_id=1,
        name="plain",
        domain="billing",
        transport=transport,
        credentials=WRITE,
        address="",
        credential_ref="",
        has_write_set=False,
        launch=json.dumps({**known, **launch}),
    )


def put(domain: Domain, server: Server, name: str = "plain", **options: Any) -> Upstream:
    """Make an upstream of a server, as `import_upstreams` would; `launch` adds to how it starts."""
    more = options.pop("launch", {})
    if isinstance(server, StdioUpstream):
        spec = UpstreamSpec(name, "stdio", {**server.launch, **more}, **options)
    else:
        spec = UpstreamSpec(name, "http", {"url": server.url, "headers": {}, **more}, **options)
    return catalog.put_upstream(spec, domain=domain, actor=ACTOR)
