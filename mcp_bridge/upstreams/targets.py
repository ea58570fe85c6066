"""What it takes to reach one upstream with one set of credentials, as a value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from approvals.models import Upstream
from mcp_bridge.upstreams import credentials

PLAIN, WRITE = "plain", "write"


@dataclass(frozen=True)
class Target:
    """One upstream as a process connects to it; two equal targets may share a session."""

    upstream_id: int
    name: str
    domain: str
    transport: str  # "stdio" or "http"
    credentials: str  # PLAIN or WRITE
    address: str
    credential_ref: str
    has_write_set: bool
    launch: str  # JSON; text, so that targets compare and hash

    @property
    def settings(self) -> dict[str, Any]:
        """Return command, args, env and cwd, or url and headers; secrets still as references."""
        loaded: dict[str, Any] = json.loads(self.launch)
        return loaded

    @property
    def host(self) -> str:
        """Return the host of an HTTP upstream, as the operator wrote it."""
        return urlsplit(str(self.settings["url"])).hostname or ""

    @property
    def listed_with(self) -> str:
        """Return the credential set under which lists are recorded: one set counts as plain."""
        return self.credentials if self.has_write_set else PLAIN

    def resolved(self) -> Mapping[str, str]:
        """Return the environment or headers, with values in place of references.

        Raises:
            Misconfigured: a variable is not set here; the message names it.
        """
        return credentials.resolve(self._references, upstream=self.name)

    def redacted(self, text: str) -> str:
        """Return text of the upstream's, without the values it was given."""
        return credentials.redacted(text, credentials.names(self._references))

    @property
    def _references(self) -> dict[str, str]:
        part = "headers" if self.transport == "http" else "env"
        return {key: str(text) for key, text in self.settings.get(part, {}).items()}


def target_of(upstream: Upstream, credential_set: str) -> Target:
    """Return how to reach an upstream."""
    launch = dict(upstream.launch)
    if credential_set == WRITE and upstream.write_credentials is not None:
        for part in ("env", "headers"):
            if part in upstream.write_credentials:
                launch[part] = credentials.overlaid(
                    launch.get(part, {}), upstream.write_credentials[part]
                )
    return Target(
        upstream_id=upstream.pk,
        name=upstream.name,
        domain=upstream.domain.name,
        transport=upstream.transport,
        credentials=credential_set,
        address=upstream.address,
        credential_ref=upstream.credential_ref,
        has_write_set=upstream.write_credentials is not None,
        launch=json.dumps(launch, sort_keys=True),
    )


def load(upstream_id: int, credential_set: str) -> Target | None:
    """Return the target of an enabled upstream, or None. Synchronous."""
    found = Upstream.objects.select_related("domain").filter(pk=upstream_id, is_enabled=True)
    upstream = found.first()
    return target_of(upstream, credential_set) if upstream else None


def load_all(credential_set: str) -> dict[int, Target]:
    """Return the targets of every enabled upstream, by id. Synchronous."""
    upstreams = Upstream.objects.select_related("domain").filter(is_enabled=True)
    return {upstream.pk: target_of(upstream, credential_set) for upstream in upstreams}
