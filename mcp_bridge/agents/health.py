"""Whether a bridge can do its work: /healthz and /readyz of a process that serves agents only."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import DatabaseError

from approvals import guards
from approvals.models import Heartbeat, database_now
from approvals.tasks import SWEEP
from mcp_bridge.threads import in_database

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SWEEP_MAY_BE_LATE = timedelta(seconds=30)


async def answer(path: str, send: Send) -> None:
    """Answer /healthz (this process serves), /readyz (its work can be done), or 404."""
    if path == "/healthz":
        await respond(send, 200, {"status": "ok"})
    elif path == "/readyz":
        problems = await in_database(_problems)
        status = "not ready" if problems else "ok"
        await respond(send, 503 if problems else 200, {"status": status, "problems": problems})
    else:
        await respond(send, 404, {"status": "There is nothing at this address."})


async def respond(send: Send, status: int, body: object) -> None:
    """Send one JSON body."""
    raw = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(raw)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


def _problems() -> list[str]:
    try:
        found = guards.problems()
        heartbeat = Heartbeat.objects.filter(name=SWEEP).first()
        if heartbeat is None or database_now() - heartbeat.at > _SWEEP_MAY_BE_LATE:
            found.append("The sweep is late: no worker or no beat is running.")
    except DatabaseError:
        return ["The database does not answer."]
    return found + _broker_problems()


def _broker_problems() -> list[str]:
    with current_app.connection_for_read() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=1)
        except connection.connection_errors:
            return ["The broker does not answer."]
    return []
