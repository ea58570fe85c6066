"""What the handlers of one bridge share; made and ended by `McpMount`, handed to every path."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from django.conf import settings
from mcp.server import ServerRequestContext
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST

from mcp_bridge.agents.door import Passage, passage_of
from mcp_bridge.agents.identity import AgentToken, Caller
from mcp_bridge.agents.limits import Buckets
from mcp_bridge.agents.reads import ReadLog
from mcp_bridge.agents.requests import OpenRequests
from mcp_bridge.agents.schemas import Schemas
from mcp_bridge.agents.waiting import WaitingRoom
from mcp_bridge.snapshot import Judgement, Snapshots, ToolFacts

log = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]


class Reader(Protocol):
    """What the bridge needs of its sessions with upstream servers."""

    async def read(
        self, upstream_id: int, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the upstream's CallToolResult as a JSON object.

        Raises:
            UpstreamError, TemporarilyUnavailable.
        """


def _submits() -> Buckets:
    return Buckets(settings.SUBMITS_PER_SECOND, settings.SUBMITS_BURST)


def _prepared() -> Buckets:
    return Buckets(1 / settings.CATALOG_REFRESH_SECONDS, 1)


@dataclass
class Parts:
    """One of each, for one process."""

    sessions: Reader
    snapshots: Snapshots = field(default_factory=Snapshots)
    room: WaitingRoom = field(default_factory=WaitingRoom)
    reads: ReadLog = field(default_factory=ReadLog)
    schemas: Schemas = field(default_factory=Schemas)
    requests: OpenRequests = field(default_factory=OpenRequests)
    submits: Buckets = field(default_factory=_submits)
    prepared: Buckets = field(default_factory=_prepared)  # by upstream, that a worker is ready

    async def caller(self, ctx: Context) -> Caller:
        """Return who is calling, as the door recognised them or as their token says.

        Raises:
            MCPError: nobody we know; only without a door in front.
        """
        known = passage_of(ctx.request).caller
        if known is not None:
            return known
        token, snapshot = get_access_token(), await self.snapshots.current()
        if isinstance(token, AgentToken):
            agent, key = snapshot.agents.get(token.agent_id), snapshot.keys.get(token.token)
            if agent is not None and key is not None:
                return Caller(agent, key, snapshot)
        raise MCPError(INVALID_REQUEST, "There is no valid key with this request.")


@dataclass(frozen=True)
class Ask:
    """One call of a tool that the agent may see."""

    caller: Caller
    passage: Passage
    tool: ToolFacts
    judgement: Judgement
    params: Mapping[str, Any]  # as they were sent
    ctx: Context | None = None  # of the SDK's server; None where the door answers by itself

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Return the arguments; empty when there are none."""
        arguments: Mapping[str, Any] = self.params.get("arguments") or {}
        return arguments

    @property
    def meta(self) -> Mapping[str, Any]:
        """Return the request's `_meta` as it was sent; empty when it is absent or no object."""
        meta = self.params.get("_meta")
        return meta if isinstance(meta, Mapping) else {}


def now() -> datetime:
    """Return the time an answer is stamped with, UTC."""
    return datetime.now(UTC)


def log_failure(error: Exception) -> None:
    """Log that the database failed a request; the agent is told only that it may try again."""
    log.error("The database failed a request: %s", error, exc_info=error)
