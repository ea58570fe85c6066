"""A small bridge as the agent sees one: a real MCP server that holds refunds until a test decides.

For the tests of the scripted agent only. It knows nothing of rules or people; what it copies is how
a held call is shown: progress, ticket, companion tools, and the Tasks extension.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as t
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import AnyHttpUrl, Field

KEY = "cs_k7f3_sec_ret-with_underscores"
TASKS = "io.modelcontextprotocol/tasks"
TICKET = "0199aaaa-0000-7000-8000-000000000001"
APPROVAL_URL = f"http://127.0.0.1:8000/calls/{TICKET}/"
GRACE_SECONDS = 0.3
LOOK_SECONDS = 0.02


class TaskParams(t.RequestParams):
    task_id: str = Field(alias="taskId")


@dataclass
class Call:
    """The one call that is held, and its answer once a test gave one."""

    arguments: dict[str, Any]
    answer: t.CallToolResult | None = None
    state: str = "pending"


@dataclass
class FakeBridge:
    """What the bridge remembers, apart from any connection."""

    calls: list[Call] = field(default_factory=list)
    keys: set[str] = field(default_factory=lambda: {KEY})
    asked: list[str] = field(default_factory=list)  # names of tools and methods, as they came

    def decide(self, answer: t.CallToolResult) -> None:
        """Give the held call its end, as a person and an upstream would together."""
        self.calls[0].answer = answer
        self.calls[0].state = "answered"

    def hold(self, arguments: dict[str, Any]) -> Call:
        """Return the held call; one that is asked again joins it."""
        if not self.calls:
            self.calls.append(Call(arguments))
        return self.calls[0]


def text_result(text: str, facts: dict[str, Any] | None = None) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(text=text)], structured_content=facts)


def error_result(text: str, facts: dict[str, Any] | None = None) -> t.CallToolResult:
    content: list[t.ContentBlock] = [t.TextContent(text=text)]
    return t.CallToolResult(content=content, structured_content=facts, is_error=True)


def held_result(call: Call) -> t.CallToolResult:
    facts = {
        "ticket": TICKET,
        "state": call.state,
        "approval_url": APPROVAL_URL,
        "expires_at": "2026-11-21T12:40:00+00:00",
        "retry_after_seconds": 1,
    }
    return text_result("HELD for approval: nothing has been done. Call approval_status.", facts)


def task_dict(call: Call, result_type: str) -> dict[str, Any]:
    task: dict[str, Any] = {
        "resultType": result_type,
        "taskId": TICKET,
        "createdAt": "2026-11-21T12:00:00Z",
        "lastUpdatedAt": "2026-11-21T12:00:00Z",
        "ttlMs": 3_600_000,
        "pollIntervalMs": 50,
    }
    if call.state == "cancelled":
        return task | {"status": "cancelled"}
    if call.answer is None:
        return task | {"status": "working", "statusMessage": f"A person decides at {APPROVAL_URL}"}
    result = call.answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    return task | {"status": "completed", "result": result}


def make_server(bridge: FakeBridge) -> Server:
    """Return a fresh MCP server over what the bridge remembers."""

    async def list_tools(ctx: ServerRequestContext, params: Any) -> t.ListToolsResult:
        return t.ListToolsResult(tools=TOOLS)

    async def call_tool(ctx: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
        bridge.asked.append(params.name)
        given = params.arguments or {}
        if params.name == "billing__get_customer":
            return text_result(f"{given['customer']} is Dana Whitfield.", {"name": "Dana"})
        if params.name == "billing__refund":
            return await _refund(bridge, ctx, given)
        if params.name == "approval_status":
            return await _status(bridge, given)
        if params.name == "approval_cancel":
            bridge.calls[0].state = "cancelled"
            return text_result("Cancelled; nothing was done.")
        raise MCPError(t.INVALID_PARAMS, f"Unknown tool: {params.name}")

    server = Server(
        "countersign", title="Countersign", on_list_tools=list_tools, on_call_tool=call_tool
    )
    server.extensions[TASKS] = {}
    _add_task_methods(server, bridge)
    return server


def _add_task_methods(server: Server, bridge: FakeBridge) -> None:
    async def tasks_get(ctx: ServerRequestContext, params: TaskParams) -> Any:
        bridge.asked.append("tasks/get")
        return task_dict(_task(bridge, ctx, params), "complete")

    async def tasks_cancel(ctx: ServerRequestContext, params: TaskParams) -> Any:
        bridge.asked.append("tasks/cancel")
        _task(bridge, ctx, params).state = "cancelled"
        return {}

    server.add_request_handler("tasks/get", TaskParams, tasks_get)
    server.add_request_handler("tasks/cancel", TaskParams, tasks_cancel)


def _task(bridge: FakeBridge, ctx: ServerRequestContext, params: TaskParams) -> Call:
    assert ctx.request is not None
    if ctx.request.headers.get("mcp-name") != params.task_id:
        raise MCPError(-32020, "Mcp-Name does not match params.taskId")
    if params.task_id != TICKET or not bridge.calls:
        raise MCPError(t.INVALID_PARAMS, "Task not found")
    return bridge.calls[0]


async def _refund(bridge: FakeBridge, ctx: ServerRequestContext, given: dict[str, Any]) -> Any:
    call = bridge.hold(given)
    if _declares_tasks(ctx):
        return task_dict(call, "task")
    await ctx.session.report_progress(0.1, None, "waiting for approval")
    return await _answer_within(call, GRACE_SECONDS) or held_result(call)


def _declares_tasks(ctx: ServerRequestContext) -> bool:
    capabilities = ctx.session.client_capabilities
    declared = TASKS in ((capabilities.extensions if capabilities else None) or {})
    return declared and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


async def _status(bridge: FakeBridge, given: dict[str, Any]) -> t.CallToolResult:
    if given["ticket"] != TICKET or not bridge.calls:
        return error_result("There is no such ticket.", {"kind": "not_found"})
    call = bridge.calls[0]
    return await _answer_within(call, given["wait_seconds"]) or held_result(call)


async def _answer_within(call: Call, seconds: float) -> t.CallToolResult | None:
    deadline = time.monotonic() + seconds
    while call.answer is None and time.monotonic() < deadline:  # noqa: ASYNC110 - set by a thread
        await anyio.sleep(LOOK_SECONDS)
    return call.answer


ANYTHING: dict[str, Any] = {"type": "object"}
TOOLS = [
    t.Tool(
        name="billing__get_customer",
        title="Look up a customer",
        input_schema=ANYTHING,
        annotations=t.ToolAnnotations(read_only_hint=True),
    ),
    t.Tool(
        name="billing__refund",
        title="Refund a customer",
        input_schema=ANYTHING,
        annotations=t.ToolAnnotations(read_only_hint=False, destructive_hint=True),
    ),
    t.Tool(name="approval_status", input_schema=ANYTHING),
    t.Tool(name="approval_cancel", input_schema=ANYTHING),
]


class Keys(TokenVerifier):
    def __init__(self, bridge: FakeBridge) -> None:
        self._bridge = bridge

    async def verify_token(self, token: str) -> AccessToken | None:
        if token not in self._bridge.keys:
            return None
        return AccessToken(token=token, client_id="support-triage", scopes=[])


@contextmanager
def serving(bridge: FakeBridge, port: int = 0) -> Iterator[str]:
    """Serve the bridge over HTTP from a thread of this process; yield its address."""
    listener = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    auth = AuthSettings(
        issuer_url=AnyHttpUrl(url), resource_server_url=None, validate_token_resource=False
    )
    app = make_server(bridge).streamable_http_app(auth=auth, token_verifier=Keys(bridge))
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(10)
        with contextlib.suppress(OSError):
            listener.close()
