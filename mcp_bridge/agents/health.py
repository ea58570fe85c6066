"""Whether a bridge can do its work: /healthz, /readyz, /metrics of one that serves agents only."""

import json
from datetime import timedelta

from celery import current_app
from django.db import DatabaseError

from approvals import guards, metrics
from approvals.models import Heartbeat, database_now
from approvals.tasks import SWEEP
from mcp_bridge.agents.bodies import Scope, Send, header
from mcp_bridge.threads import in_database

_SWEEP_MAY_BE_LATE = timedelta(seconds=30)


async def answer(scope: Scope, send: Send) -> None:
    """Answer /healthz (this process serves), /readyz (its work can be done), /metrics, or 404."""
    path = scope["path"]
    if path == "/healthz":
        await respond(send, 200, {"status": "ok"})
    elif path == "/readyz":
        problems = await in_database(_problems)
        status = "not ready" if problems else "ok"
        await respond(send, 503 if problems else 200, {"status": status, "problems": problems})
    elif path == "/metrics" and metrics.is_offered():
        await _tell_figures(scope, send)
    else:
        await respond(send, 404, {"status": "There is nothing at this address."})


async def respond(send: Send, status: int, body: object) -> None:
    """Send one JSON body."""
    await _send_text(send, status, json.dumps(body), "application/json")


async def _tell_figures(scope: Scope, send: Send) -> None:
    if not metrics.may_read(header(scope, b"authorization")):
        asked_for = (b"www-authenticate", b"Bearer")
        await _send_text(send, 401, "", "text/plain", asked_for)
        return
    try:
        page = await in_database(metrics.page)
    except DatabaseError:
        await _send_text(send, 503, "The database does not answer.\n", "text/plain")
        return
    await _send_text(send, 200, page, metrics.CONTENT_TYPE)


async def _send_text(
    send: Send, status: int, text: str, content_type: str, *more: tuple[bytes, bytes]
) -> None:
    raw = text.encode()
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(raw)).encode()),
        (b"cache-control", b"no-store"),
        *more,
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
