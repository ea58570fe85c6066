"""Agents for tests of running installations: blocking calls, by the SDK's client or as raw HTTP."""

import asyncio
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx2
import mcp_types as t
from mcp.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from pydantic import Field

from tests.support import wire
from tests.support.wire import Era

T = TypeVar("T")

SECONDS = 60.0  # longer than any request is held open
# Threads, not one loop: a test blocks, and what an agent waits for must go on meanwhile.
_threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="agent")


@dataclass(frozen=True)
class Answer:
    """What a `tools/call` was answered with, as JSON."""

    result: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Return the first thing a model reads."""
        return str(self.result["content"][0]["text"])

    @property
    def facts(self) -> dict[str, Any]:
        """Return the structured content."""
        return dict(self.result.get("structuredContent") or {})

    @property
    def is_error(self) -> bool:
        """Return whether the model is told that it did not work."""
        return bool(self.result.get("isError"))

    @property
    def provenance(self) -> dict[str, Any]:
        """Return where the answer says it comes from."""
        return dict(self.result["_meta"]["countersign/provenance"])

    @property
    def call_id(self) -> str:
        """Return the call this is about; a ticket is its call's id."""
        return str(self.provenance["call_id"])


class Agent(ABC):
    """Whoever holds a key; how it speaks is a subclass's."""

    def __init__(self, url: str, key: str, *, era: Era = "modern") -> None:
        """Say where and as whom.

        Args:
            url: of the installation; with `/mcp/<domain>` for one domain only.
        """
        self.url = url if "/mcp" in url else f"{url}/mcp"
        self.key = key
        self.era = era

    @abstractmethod
    def call(self, tool: str, arguments: Mapping[str, Any], **meta: str) -> Answer:
        """Call a tool and wait for the answer; `meta` goes under `countersign/`."""

    @abstractmethod
    def tools(self) -> dict[str, dict[str, Any]]:
        """Return the tools it is shown, by name, as JSON."""

    def begin(self, tool: str, arguments: Mapping[str, Any], **meta: str) -> "Future[Answer]":
        """Call a tool from a thread."""
        return _threads.submit(self.call, tool, arguments, **meta)

    def status(self, ticket: str, wait_seconds: int = 0) -> Answer:
        """Ask how a held call stands, and wait up to so long for its end."""
        return self.call("approval_status", {"ticket": ticket, "wait_seconds": wait_seconds})

    def cancel(self, ticket: str) -> Answer:
        """Withdraw a held call."""
        return self.call("approval_cancel", {"ticket": ticket})


class RawAgent(Agent):
    """Speaks HTTP itself: what goes over the wire is what the test says."""

    _numbers = itertools.count(1)

    def __init__(self, url: str, key: str, *, era: Era = "modern") -> None:
        super().__init__(url, key, era=era)
        self.last_id = 0  # of the request sent last
        self.session = ""  # handshake era: what `open_session` was given

    def open_session(self) -> None:
        """Shake hands, as clients before 2026-07-28 do."""
        client = {"name": "tests", "version": "1"}
        version = wire.VERSIONS["legacy"]
        hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
        self.session = self.ask("initialize", hello).headers["mcp-session-id"]

    def call(self, tool: str, arguments: Mapping[str, Any], **meta: str) -> Answer:
        return Answer(self._result("tools/call", _params(tool, arguments, meta)))

    def tools(self) -> dict[str, dict[str, Any]]:
        return {tool["name"]: tool for tool in self._result("tools/list", {})["tools"]}

    def start_task(self, tool: str, arguments: Mapping[str, Any], **meta: str) -> dict[str, Any]:
        """Call a tool as a client that declares the Tasks extension; return what came back."""
        return self._result("tools/call", _params(tool, arguments, meta), tasks=True)

    def get_task(self, task_id: str) -> dict[str, Any]:
        """Ask after a task."""
        return self._result("tasks/get", {"taskId": task_id}, tasks=True)

    def cancel_task(self, task_id: str) -> dict[str, Any]:
        """Withdraw a task."""
        return self._result("tasks/cancel", {"taskId": task_id}, tasks=True)

    def ask(
        self, method: str, params: Mapping[str, Any], *, tasks: bool = False
    ) -> httpx2.Response:
        """Send one JSON-RPC request and return the HTTP response."""
        self.last_id = next(self._numbers)
        return self._post(wire.message(self.last_id, method, params, era=self.era, tasks=tasks))

    def notify(self, method: str, params: Mapping[str, Any]) -> httpx2.Response:
        """Send one notification, which is answered with a status only."""
        return self._post({"jsonrpc": "2.0", "method": method, "params": dict(params)})

    def _post(self, body: Mapping[str, Any]) -> httpx2.Response:
        headers = wire.headers(self.key, body, era=self.era)
        if self.session:
            headers["mcp-session-id"] = self.session
        content = json.dumps(body).encode()
        return httpx2.post(self.url, content=content, headers=headers, timeout=SECONDS)

    def _result(
        self, method: str, params: Mapping[str, Any], *, tasks: bool = False
    ) -> dict[str, Any]:
        response = self.ask(method, params, tasks=tasks)
        answer = wire.answer_in(response)
        assert "result" in answer, (response.status_code, answer)
        result: dict[str, Any] = answer["result"]
        return result


class SdkAgent(Agent):
    """The SDK's own client, in either protocol era, a new one for each request."""

    def __init__(self, url: str, key: str, *, era: Era = "modern", tasks: bool = False) -> None:
        """Say where and as whom.

        Args:
            tasks: declare the Tasks extension, and follow a task to its end.
        """
        super().__init__(url, key, era=era)
        self.tasks = tasks

    def call(self, tool: str, arguments: Mapping[str, Any], **meta: str) -> Answer:
        async def act(client: Client) -> t.CallToolResult:
            given: Any = _meta(meta) or None
            return await client.call_tool(tool, dict(arguments), meta=given)

        return Answer(_as_json(self.using(act)))

    def tools(self) -> dict[str, dict[str, Any]]:
        async def act(client: Client) -> list[t.Tool]:
            return (await client.list_tools()).tools

        return {tool.name: _as_json(tool) for tool in self.using(act)}

    def using(self, act: Callable[[Client], Awaitable[T]]) -> T:
        """Connect, do something with the SDK's client, disconnect."""

        async def run() -> T:
            headers = {"Authorization": f"Bearer {self.key}"}
            timeout = httpx2.Timeout(SECONDS)
            async with (
                httpx2.AsyncClient(headers=headers, timeout=timeout) as http,
                Client(
                    streamable_http_client(self.url, http_client=http),
                    mode="auto" if self.era == "modern" else "legacy",
                    extensions=[_Tasks()] if self.tasks else None,
                    cache=None,
                ) as client,
            ):
                return await act(client)

        return asyncio.run(run())


class _Task(t.Result):
    """A call that goes on without its request (SEP-2663)."""

    result_type: Literal["task"] = Field(default="task", alias="resultType")
    task_id: str = Field(alias="taskId")


class _TaskState(t.Result):
    """What tasks/get answers."""

    status: str
    status_message: str = Field(default="", alias="statusMessage")
    result: dict[str, Any] | None = None


class _TaskParams(t.RequestParams):
    task_id: str = Field(alias="taskId")


class _TaskGet(t.Request[_TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: _TaskParams
    name_param = "taskId"


class _Tasks(ClientExtension):
    """Follows tasks as a host would, only more impatiently."""

    identifier = wire.TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=_Task, resolve=_to_its_end)]


async def _to_its_end(task: _Task, context: ClaimContext) -> t.CallToolResult:
    async with asyncio.timeout(SECONDS):
        while True:
            question = _TaskGet(params=_TaskParams(taskId=task.task_id))
            state = await context.session.send_request(question, _TaskState)
            if state.status == "completed":
                return t.CallToolResult.model_validate(state.result)
            assert state.status == "working", state
            await asyncio.sleep(0.1)


def _params(tool: str, arguments: Mapping[str, Any], meta: Mapping[str, str]) -> dict[str, Any]:
    return {"name": tool, "arguments": dict(arguments), "_meta": _meta(meta)}


def _meta(meta: Mapping[str, str]) -> dict[str, str]:
    return {f"countersign/{name}": value for name, value in meta.items()}


def _as_json(model: t.Result | t.Tool) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)
