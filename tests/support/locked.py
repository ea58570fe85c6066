"""The upstream of `fragile` over HTTP, behind two tokens: READ_TOKEN may not write.

Run as a script with --http. It is what production wants of an upstream: the process that parses
what agents send can look, and only the domain's worker can act.
"""

import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from mcp.server import Server

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support import fragile

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Any]

READ, WRITE = (f"Bearer {os.environ[name]}".encode() for name in ("READ_TOKEN", "WRITE_TOKEN"))
READS = {b"get_customer", b"list_invoices", None}
unlocked = Server.streamable_http_app


def is_allowed(headers: dict[bytes, bytes]) -> bool:
    """Tell whether the token of a request covers what it asks for."""
    token = headers.get(b"authorization")
    return token == WRITE or (token == READ and headers.get(b"mcp-name") in READS)


def locked(self: Server[Any], **options: Any) -> App:
    """Return the server's application behind the lock."""
    app: App = unlocked(self, **options)

    async def serve(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not is_allowed(dict(scope["headers"])):
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return serve


if __name__ == "__main__":
    Server.streamable_http_app = locked  # type: ignore[assignment,method-assign]
    fragile.main()
