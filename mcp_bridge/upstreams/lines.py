"""How the SDK reaches an upstream: over HTTP, or to a child process; `connections` enters them."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp.client.streamable_http import streamable_http_client

from mcp_bridge.upstreams import outbound
from mcp_bridge.upstreams.direct import DirectReads
from mcp_bridge.upstreams.exchange import Watched
from mcp_bridge.upstreams.stdio import Child, Command
from mcp_bridge.upstreams.targets import Target

_LAST_WORDS = 300  # characters of stderr worth showing


@dataclass
class Line:
    """One way to an upstream; `streams` is a transport for the SDK's client to enter."""

    target: Target
    streams: Any
    over: outbound.UpstreamTransport | Child
    direct: DirectReads | None = None  # past the SDK, over HTTP only

    @property
    def trouble(self) -> str:
        """Return in words what went wrong last, without secrets; empty when nothing did."""
        return self.target.redacted(self.over.trouble)

    @property
    def last_words(self) -> str:
        """Return the end of what a child process wrote to stderr; nobody's but operators'."""
        said = self.over.last_words if isinstance(self.over, Child) else ""
        return self.target.redacted(" ".join(said.split()))[-_LAST_WORDS:]


@asynccontextmanager
async def line_to(
    target: Target, watched: Watched, ended: Callable[[], None]
) -> AsyncIterator[Line]:
    """Yield a line that is not entered yet; leave it after the SDK has left it.

    Args:
        ended: called when a child process can no longer be talked to.

    Raises:
        Misconfigured: a secret is missing in this process.
    """
    values = target.resolved()
    if target.transport == "http":
        transport = outbound.UpstreamTransport(watched, target.host)
        url = str(target.settings["url"])
        async with (
            outbound.client(values, transport) as http,
            aclosing(DirectReads(url, target.host, values)) as direct,
        ):
            streams = streamable_http_client(
                url,
                http_client=http,
                # A result may be larger than the SDK's megabyte: it is kept up to that, and cut.
                max_sse_event_size=outbound.MAX_ANSWER_BYTES,
            )
            yield Line(target, streams, transport, direct)
        return
    wanted = target.settings
    command = Command(
        [wanted["command"], *wanted.get("args", [])], env=values, cwd=wanted.get("cwd")
    )
    child = Child(command, watched, ended)
    yield Line(target, child, child)
