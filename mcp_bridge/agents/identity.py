"""Who is calling: keys `cs_<prefix>_<secret>` as bearer tokens; used by the door and the server.

A key is never logged, kept or passed on; what travels with a request is its public prefix.
"""

import hmac
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from approvals.administration.agents import secret_digest
from approvals.models import AgentKey, database_now
from mcp_bridge.snapshot import AgentFacts, Asked, KeyFacts, Snapshot, Snapshots
from mcp_bridge.threads import in_background

_LONGEST = 200  # characters of a key; nobody should make us digest megabytes
_NOTE_SECONDS = 60.0
_NO_SUCH = secret_digest("no such key")


class AgentToken(AccessToken):
    """A verified key as the SDK carries it through a request; `token` is its prefix only."""

    key_id: int
    agent_id: int


@dataclass(frozen=True)
class Caller:
    """The agent behind a request, as one snapshot knows it."""

    agent: AgentFacts
    key: KeyFacts
    snapshot: Snapshot


def asked_by(caller: Caller, params: Mapping[str, Any] | None) -> Asked | None:
    """Return what rules may look at in a call as it was sent; None where it is no call at all."""
    arguments = (params or {}).get("arguments") or {}
    if not isinstance(arguments, Mapping):
        return None
    return Asked(arguments, caller.key.acts_for)


class KeyVerifier(TokenVerifier):
    """Recognises keys; unknown, revoked, expired and those of a paused agent look the same."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._noted: dict[int, float] = {}

    async def verify_token(self, token: str) -> AgentToken | None:
        """Return who holds the key; None for one that is not valid."""
        caller = await self.recognise(token)
        return None if caller is None else _token(caller)

    async def recognise(self, token: str) -> Caller | None:
        """Return the caller with the snapshot they were recognised in."""
        parts = token.split("_", 2) if len(token) <= _LONGEST else []
        if len(parts) != 3 or parts[0] != "cs":
            return None
        snapshot = await self._snapshots.current()
        key = snapshot.keys.get(parts[1])
        # Compared for unknown prefixes too, so that the time tells nothing.
        is_same = hmac.compare_digest(
            secret_digest(parts[2]), key.secret_digest if key else _NO_SUCH
        )
        if key is None or not is_same or not key.is_valid(datetime.now(UTC)):
            return None
        agent = snapshot.agents.get(key.agent_id)
        if agent is None or agent.is_paused:
            return None
        self._note_use(key.id)
        return Caller(agent, key, snapshot)

    def _note_use(self, key_id: int) -> None:
        """Keep when the key was last used, to the minute and without holding up the request."""
        now = time.monotonic()
        if now - self._noted.get(key_id, float("-inf")) < _NOTE_SECONDS:
            return
        self._noted[key_id] = now
        in_background(_note_use, key_id)


@contextmanager
def signed_in(caller: Caller) -> Iterator[None]:
    """Let the SDK's `get_access_token` know a caller who was recognised already."""
    reset = auth_context_var.set(AuthenticatedUser(_token(caller)))
    try:
        yield
    finally:
        auth_context_var.reset(reset)


def _token(caller: Caller) -> AgentToken:
    expires_at = caller.key.expires_at
    return AgentToken(
        token=caller.key.prefix,
        client_id=caller.agent.name,
        scopes=[],
        expires_at=int(expires_at.timestamp()) if expires_at else None,
        resource=resource(),
        subject=caller.key.acts_for,
        key_id=caller.key.id,
        agent_id=caller.agent.id,
    )


def _note_use(key_id: int) -> None:
    AgentKey.objects.filter(pk=key_id).update(last_used_at=database_now())


def resource() -> str:
    """Return the resource that keys are for, as OAuth names it."""
    return f"{settings.PUBLIC_URL}/mcp"


def auth_settings() -> AuthSettings:
    """Return how the SDK checks bearer tokens and describes this resource."""
    return AuthSettings(
        # Keys come from an operator, not from an authorization server; the metadata has to name one
        # nevertheless, and a client that looks there finds nothing and says so.
        issuer_url=AnyHttpUrl(settings.PUBLIC_URL),
        resource_server_url=AnyHttpUrl(resource()),
        validate_token_resource=True,
    )
