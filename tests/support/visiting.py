"""People with a browser's session, in process: what tests of pages and of REST go through."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals.models import AuditEvent, Person, ToolCall, database_now
from approvals.web import stamps


def visitor(person: Person | None = None, *, csrf: bool = False) -> Client:
    """Return a browser in which somebody is signed in; `csrf` makes it as strict as a real one."""
    client = Client(enforce_csrf_checks=csrf)
    if person is not None:
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def page_of(call: ToolCall, part: str = "") -> str:
    """Return the address of a call's page, or of one of its forms."""
    return f"/calls/{call.pk}/{part}"


def form_of(call: ToolCall, person: Person, verdict: str = "approve", **changes: Any) -> Any:
    """Return what the form of a decision sends that a person has had before them for a while."""
    shown_at = database_now() - timedelta(seconds=5)
    return {
        "verdict": verdict,
        "binding": call.binding,
        "stamp": stamps.stamp(call, person, shown_at),
        **changes,
    }


def text_of(response: Any) -> str:
    """Return what a page says, without its markup, white space folded."""
    body = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", body)


def elements(response: Any) -> int:
    """Return how many elements a page has."""
    return len(re.findall(r"<[a-zA-Z]", response.content.decode()))


def queries(client: Client, address: str, **query: str) -> int:
    """Return how many queries a page needs."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(f"{address}?{urlencode(query)}")
    assert response.status_code == 200, response.content
    return len(captured)


def post_json(client: Client, address: str, body: str | dict[str, Any]) -> Any:
    """Send JSON as a script would, below /api/v1/."""
    return client.post(f"/api/v1/{address}", body, content_type="application/json")


def attempts(person: Person) -> list[str]:
    """Return what was refused to a person, as their own stream of the trail tells it."""
    stream = f"person:{person.get_username()}"
    events = AuditEvent.objects.filter(stream=stream, code__endswith=".refused").order_by("seq")
    return list(events.values_list("code", flat=True))
