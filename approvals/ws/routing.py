"""The WebSocket application: origin first, then the session, then the consumer."""

from typing import Any

from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from channels.sessions import SessionMiddlewareStack
from django.urls import path, re_path

from approvals.ws.consumers import CallsConsumer
from approvals.ws.origins import OwnOrigin

# Channels routes consumers with Django's `path`, whose types know views only.
_consumer: Any = CallsConsumer.as_asgi()
_nothing: Any = WebsocketDenier.as_asgi()
# The router takes an address that it does not know for an error of ours, and that would be a 500.
_routes: Any = [path("ws/calls/", _consumer), re_path("", _nothing)]

websockets = OwnOrigin(SessionMiddlewareStack(URLRouter(_routes)))
