"""Who gets which answer over MCP: each method, of each era, with each credential, own or others'.

Columns: no credential; the session of Bo, who approves in billing; the key of billing's agent; a
revoked one; the key of the agent of deploys. "of" is whose tool or call is named.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_args

import httpx2
import mcp_types as t
import pytest

from approvals.models import Agent
from mcp_bridge.agents import listing, server
from mcp_bridge.agents.parts import Parts
from tests.support import two_domains
from tests.support.agent_view import CUSTOMER, names
from tests.support.bridging import (
    LEGACY,
    MODERN,
    Running,
    Upstreams,
    answer_in,
    headers_of,
    running,
)
from tests.support.bridging import request as message
from tests.support.two_domains import Two
from tests.support.world import REFUND

COLUMNS = ("none", "bo", "key", "gone", "away")
TASKS: dict[str, Any] = {"io.modelcontextprotocol/tasks": {}}

METHODS = """
#era   method                           what            of      none bo  key       gone away
modern completion/complete              -               -       401  401 -32601    401  -32601
modern initialize                       -               -       401  401 -32601    401  -32601
modern logging/setLevel                 -               -       401  401 -32601    401  -32601
modern notifications/cancelled          -               -       401  401 202       401  202
modern notifications/initialized        -               -       401  401 202       401  202
modern notifications/progress           -               -       401  401 202       401  202
modern notifications/roots/list_changed -               -       401  401 202       401  202
modern ping                             -               -       401  401 -32601    401  -32601
modern prompts/get                      -               -       401  401 -32601    401  -32601
modern prompts/list                     -               -       401  401 -32601    401  -32601
modern resources/list                   -               -       401  401 -32601    401  -32601
modern resources/read                   -               -       401  401 -32601    401  -32601
modern resources/subscribe              -               -       401  401 -32601    401  -32601
modern resources/templates/list         -               -       401  401 -32601    401  -32601
modern resources/unsubscribe            -               -       401  401 -32601    401  -32601
modern server/discover                  -               -       401  401 complete  401  complete
modern subscriptions/listen             -               -       401  401 -32601    401  -32601
modern tasks/cancel                     -               billing 401  401 complete  401  -32602
modern tasks/cancel                     -               deploys 401  401 -32602    401  complete
modern tasks/get                        -               billing 401  401 complete  401  -32602
modern tasks/get                        -               deploys 401  401 -32602    401  complete
modern tasks/update                     -               billing 401  401 complete  401  -32602
modern tasks/update                     -               deploys 401  401 -32602    401  complete
modern tools/call                       read            billing 401  401 complete  401  not_found
modern tools/call                       read            deploys 401  401 not_found 401  complete
modern tools/call                       write           billing 401  401 task      401  not_found
modern tools/call                       write           deploys 401  401 not_found 401  task
modern tools/call                       approval_status billing 401  401 pending   401  not_found
modern tools/call                       approval_status deploys 401  401 not_found 401  pending
modern tools/call                       approval_cancel billing 401  401 cancelled 401  not_found
modern tools/call                       approval_cancel deploys 401  401 not_found 401  cancelled
modern tools/list                       -               -       401  401 complete  401  complete
legacy completion/complete              -               -       401  401 -32601    401  -32601
legacy initialize                       -               -       401  401 ok        401  ok
legacy logging/setLevel                 -               -       401  401 -32601    401  -32601
legacy notifications/cancelled          -               -       401  401 202       401  202
legacy notifications/initialized        -               -       401  401 202       401  202
legacy notifications/progress           -               -       401  401 202       401  202
legacy notifications/roots/list_changed -               -       401  401 202       401  202
legacy ping                             -               -       401  401 ok        401  ok
legacy prompts/get                      -               -       401  401 -32601    401  -32601
legacy prompts/list                     -               -       401  401 -32601    401  -32601
legacy resources/list                   -               -       401  401 -32601    401  -32601
legacy resources/read                   -               -       401  401 -32601    401  -32601
legacy resources/subscribe              -               -       401  401 -32601    401  -32601
legacy resources/templates/list         -               -       401  401 -32601    401  -32601
legacy resources/unsubscribe            -               -       401  401 -32601    401  -32601
legacy server/discover                  -               -       401  401 -32601    401  -32601
legacy subscriptions/listen             -               -       401  401 -32601    401  -32601
legacy tasks/cancel                     -               billing 401  401 -32021    401  -32021
legacy tasks/cancel                     -               deploys 401  401 -32021    401  -32021
legacy tasks/get                        -               billing 401  401 -32021    401  -32021
legacy tasks/get                        -               deploys 401  401 -32021    401  -32021
legacy tasks/update                     -               billing 401  401 -32021    401  -32021
legacy tasks/update                     -               deploys 401  401 -32021    401  -32021
legacy tools/call                       read            billing 401  401 ok        401  not_found
legacy tools/call                       read            deploys 401  401 not_found 401  ok
legacy tools/call                       write           billing 401  401 pending   401  not_found
legacy tools/call                       write           deploys 401  401 not_found 401  pending
legacy tools/call                       approval_status billing 401  401 pending   401  not_found
legacy tools/call                       approval_status deploys 401  401 not_found 401  pending
legacy tools/call                       approval_cancel billing 401  401 cancelled 401  not_found
legacy tools/call                       approval_cancel deploys 401  401 not_found 401  cancelled
legacy tools/list                       -               -       401  401 ok        401  ok
"""

# Of a bridge of its own; beside the pages, the rest is theirs.
PLACES = """
#method address                                              none  bo    key   gone  away
GET    /mcp                                                 401   401   405   401   405
POST   /mcp                                                 401   401   200   401   200
DELETE /mcp                                                 401   401   405   401   405
GET    /mcp/billing                                         401   401   405   401   404
POST   /mcp/billing                                         401   401   200   401   404
DELETE /mcp/billing                                         401   401   405   401   404
GET    /mcp/deploys                                         401   401   404   401   405
POST   /mcp/deploys                                         401   401   404   401   200
DELETE /mcp/deploys                                         401   401   404   401   405
GET    /mcp/nowhere                                         401   401   404   401   404
POST   /mcp/nowhere                                         401   401   404   401   404
DELETE /mcp/nowhere                                         401   401   404   401   404
GET    /.well-known/oauth-protected-resource                200   200   200   200   200
POST   /.well-known/oauth-protected-resource                404   404   404   404   404
DELETE /.well-known/oauth-protected-resource                404   404   404   404   404
GET    /.well-known/oauth-protected-resource/mcp/deploys    200   200   200   200   200
POST   /.well-known/oauth-protected-resource/mcp/deploys    404   404   404   404   404
DELETE /.well-known/oauth-protected-resource/mcp/deploys    404   404   404   404   404
GET    /.well-known/other                                   404   404   404   404   404
POST   /.well-known/other                                   404   404   404   404   404
DELETE /.well-known/other                                   404   404   404   404   404
GET    /healthz                                             200   200   200   200   200
POST   /healthz                                             200   200   200   200   200
DELETE /healthz                                             200   200   200   200   200
GET    /readyz                                              200   200   200   200   200
POST   /readyz                                              200   200   200   200   200
DELETE /readyz                                              200   200   200   200   200
GET    /metrics                                             401   401   401   401   401
POST   /metrics                                             401   401   401   401   401
DELETE /metrics                                             401   401   401   401   401
GET    /                                                    404   404   404   404   404
POST   /                                                    404   404   404   404   404
DELETE /                                                    404   404   404   404   404
GET    /api/v1/calls/                                       404   404   404   404   404
POST   /api/v1/calls/                                       404   404   404   404   404
DELETE /api/v1/calls/                                       404   404   404   404   404
GET    /accounts/login/                                     404   404   404   404   404
POST   /accounts/login/                                     404   404   404   404   404
DELETE /accounts/login/                                     404   404   404   404   404
"""


@pytest.fixture
def two(transactional_db: None, settings: Any) -> Two:
    settings.METRICS_TOKEN = "nobody in the table has this one"
    two = two_domains.build()
    Agent.objects.update(grace_seconds=0)
    return two


@pytest.fixture
def bridge(two: Two) -> Iterator[Running]:
    with running() as bridge:
        yield bridge


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=30) as client:
        yield client


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if line and not line.startswith("#")]


def params_of(two: Two, method: str, what: str, place: str) -> dict[str, Any]:
    """Return the parameters of a request that is valid for the owner of a place."""
    there = two.place(place)
    ticket = {"ticket": str(two_domains.pending(two, place).pk)} if "approval" in what else {}
    tools: dict[str, tuple[str, dict[str, Any]]] = {
        "read": (there.upstream.tools.get(reviewed_effect="read").exposed_name, CUSTOMER),
        "write": (there.tool.exposed_name, REFUND),
        "approval_status": ("approval_status", ticket | {"wait_seconds": 0}),
        "approval_cancel": ("approval_cancel", ticket),
    }
    if method == "tools/call":
        name, arguments = tools[what]
        return {"name": name, "arguments": arguments}
    if method.startswith("tasks/"):
        return {"taskId": str(two_domains.pending(two, place).pk)}
    return OTHERS.get(method, {})


OTHERS: dict[str, dict[str, Any]] = {
    "initialize": {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "x"},
        "argument": {"name": "a", "value": "b"},
    },
    "logging/setLevel": {"level": "info"},
    "prompts/get": {"name": "x"},
    "resources/read": {"uri": "file:///x"},
    "resources/subscribe": {"uri": "file:///x"},
    "resources/unsubscribe": {"uri": "file:///x"},
    "subscriptions/listen": {"notifications": {"toolsListChanged": True}},
    "notifications/cancelled": {"requestId": 99},
    "notifications/progress": {"progressToken": 1, "progress": 1},
}


def headers_for(two: Two, column: str) -> dict[str, str]:
    if column in two.keys:
        return {"authorization": f"Bearer {two.keys[column]}"}
    if column in two.clients:
        cookies = two.clients[column].cookies.items()
        return {"cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in cookies)}
    return {}


def ask(send: Callable[..., httpx2.Response], two: Two, row: list[str], column: str) -> str:
    """Send what a row says as one column, and return the answer as one word."""
    era, method, what, place = row
    version = {"modern": MODERN, "legacy": LEGACY}[era]
    body = message(method, params_of(two, method, what, place), era=version, extensions=TASKS)
    if method.startswith("notifications/"):
        del body["id"]
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": version,
        **headers_for(two, column),
    }
    if era == "modern":
        headers |= headers_of(body)
        headers |= {"mcp-name": body["params"]["uri"]} if "uri" in body["params"] else {}
    return in_a_word(send(json=body, headers=headers))


def in_a_word(response: httpx2.Response) -> str:
    """Return the kind of an answer or of its error, or the status of one that is no JSON-RPC."""
    if response.status_code in (202, 401):
        return str(response.status_code)
    answer = answer_in(response)
    if "error" in answer:
        data = answer["error"].get("data")
        found = data.get("error", {}) if isinstance(data, dict) else {}
        return str(found.get("kind") or answer["error"]["code"])
    result = answer["result"]
    told = result.get("structuredContent") or {}
    return str(told.get("kind") or told.get("state") or result.get("resultType") or "ok")


def methods() -> set[str]:
    """Return what a client can ask or tell: by the specification, and what our server adds."""
    kinds = (*get_args(t.ClientRequest), *get_args(t.ClientNotification))
    ours = server.build(Parts(sessions=Upstreams()))
    served = {*ours._request_handlers, *ours._notification_handlers}
    return {kind.model_fields["method"].default for kind in kinds} | served


def test_every_method_has_its_rows_in_both_eras(db: None) -> None:
    found = rows(METHODS)

    assert {(era, method) for era, method, *_ in found} == {
        (era, method) for era in ("modern", "legacy") for method in methods()
    }
    for era, method, what, _, *answers in found:
        assert len(answers) == len(COLUMNS)
        places = [row[3] for row in found if row[:3] == [era, method, what]]
        names_something = method == "tools/call" or method.startswith("tasks/")
        assert places == (["billing", "deploys"] if names_something else ["-"])
    whats = {row[2] for row in found if row[1] == "tools/call"}
    assert whats == {"read", "write", *listing.COMPANIONS}


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_every_method_answers_everybody_as_the_table_says(
    bridge: Running, two: Two, http: httpx2.Client, era: str
) -> None:
    wrong = []
    for row in rows(METHODS):
        if row[0] == era:
            send = partial(http.post, f"{bridge.url}/mcp")
            found = [ask(send, two, row[:4], column) for column in COLUMNS]
            if found != row[4:]:
                wrong.append(f"{row[:4]}: {found}, not {row[4:]}")
    assert not wrong, "\n".join(wrong)


def test_every_address_of_the_bridge_answers_everybody_as_the_table_says(
    bridge: Running, two: Two, http: httpx2.Client
) -> None:
    body = message("tools/list", {}, era=LEGACY)
    wrong = []
    for method, path, *wanted in rows(PLACES):
        found = []
        for column in COLUMNS:
            headers = {"accept": "application/json, text/event-stream", **headers_for(two, column)}
            sent = body if method == "POST" else None
            response = http.request(method, bridge.url + path, headers=headers, json=sent)
            found.append(str(response.status_code))
        if found != wanted:
            wrong.append(f"{method} {path}: {found}, not {wanted}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("column", "domain"), [("key", "billing"), ("away", "deploys")])
def test_a_list_holds_the_tools_of_ones_own_domain(
    bridge: Running, two: Two, column: str, domain: str
) -> None:
    own = {tool.exposed_name for tool in two.place(domain).upstream.tools.all()}

    assert set(names(bridge, two.keys[column])) == own | set(listing.COMPANIONS)
