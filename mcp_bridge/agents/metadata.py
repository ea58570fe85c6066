"""Protected-resource metadata (RFC 9728) of /mcp and of each /mcp/<domain>; served by `McpMount`.

Served for every name a domain could have, so that it does not tell which ones there are.
"""

from django.conf import settings

from mcp_bridge.agents.bodies import Scope, Send
from mcp_bridge.agents.door import surface_of
from mcp_bridge.agents.health import respond

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


def is_here(path: str) -> bool:
    """Return whether a path is that of metadata."""
    return path == _WELL_KNOWN or path.startswith(f"{_WELL_KNOWN}/")


async def answer(scope: Scope, send: Send) -> None:
    """Answer one request for metadata."""
    place = scope["path"].removeprefix(_WELL_KNOWN)
    surface = surface_of(place or "/mcp")
    if surface is None or scope["method"] not in ("GET", "HEAD"):
        await respond(send, 404, {"error": "not_found"})
        return
    await respond(send, 200, describe(surface))


def describe(surface: str) -> dict[str, object]:
    """Return the metadata of one surface."""
    return {
        "resource": f"{settings.PUBLIC_URL}/mcp" + (f"/{surface}" if surface else ""),
        # MCP requires one; ours gives out no tokens yet, as keys come from an operator.
        "authorization_servers": [settings.PUBLIC_URL],
        "bearer_methods_supported": ["header"],
        "resource_name": "Countersign",
    }
