"""ASGI applications from the same parts: `web` for people, `bridge` for agents, `all` for both."""

import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# Only after Django is set up may anything import models.
from approvals.ws.routing import websockets  # noqa: E402
from mcp_bridge.asgi import Bridge, McpMount  # noqa: E402

_people = ProtocolTypeRouter({"http": django_application, "websocket": websockets})

web = _people
# The bridge answers /mcp, the protected-resource metadata and its own health; nothing else.
bridge = Bridge(McpMount(), others=None)
all = Bridge(McpMount(), others=_people)  # noqa: A001 - the name operators know: config.asgi:all

# Code and settings live as long as the process. Without this the collector goes through all of them
# every few requests, which costs the request it happens in 50 to 100 ms.
gc.collect()
gc.freeze()
