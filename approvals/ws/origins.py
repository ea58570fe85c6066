"""Lets a WebSocket in only from this installation's own pages: the exact Origin, or nothing."""

from typing import Any, cast
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

_USUAL_PORTS = {"http": 80, "https": 443}


class OwnOrigin:
    """ASGI middleware; a browser sends Origin with every handshake, so a missing one is refused."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a handshake on, or deny it before it is accepted."""
        application = self.application if is_own(scope) else WebsocketDenier.as_asgi()
        await application(scope, receive, send)


def is_own(scope: Any) -> bool:
    """Tell whether a handshake comes from a page of this installation."""
    origins = _header(scope, b"origin")
    hosts = _header(scope, b"host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    return origin_of(origins[0]) in {origin_of(settings.PUBLIC_URL), _of_host(scope, hosts[0])}


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL in one spelling; empty when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _USUAL_PORTS[parts.scheme]
    except (ValueError, KeyError):
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else ""


def _of_host(scope: Any, host: str) -> str | None:
    domain, _ = split_domain_port(host)
    # A name that somebody pointed at this machine is not its own.
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return None
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    return origin_of(f"{scheme}://{host}") or None


def _header(scope: Any, name: bytes) -> list[str]:
    headers = cast(list[tuple[bytes, bytes]], scope.get("headers", []))
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]
