"""The WebSocket application: origin first, then the session, then the consumer."""

from typing import Any

from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from django.urls import path

from approvals.ws.consumers import CallsConsumer
from approvals.ws.origins import OwnOrigin

# Channels routes consumers with Django's `path`, whose types know views only.
_consumer: Any = CallsConsumer.as_asgi()
_routes: Any = [path("ws/calls/", _consumer)]

websockets = OwnOrigin(SessionMiddlewareStack(URLRouter(_routes)))
