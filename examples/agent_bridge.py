"""The scripted agent's connection to the bridge; used by agent.py and agent_errand.py only.

Signs in with a key, speaks either protocol era, declares the Tasks extension when asked to, and
turns everything that can go wrong with a connection into one sentence.
"""

from project_venv import ROOT  # isort: skip  # first: the imports below need the project's .venv

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import mcp_types as t
from mcp.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

__all__ = ["ROOT", "Lost", "Place", "Refused", "TaskCancel", "TaskGet", "Unreachable", "converse"]

TASKS = "io.modelcontextprotocol/tasks"
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 120.0  # longer than any single request is held


class Unreachable(Exception):
    """There is no working connection; the message says why and what to do."""


class Lost(Exception):
    """The connection stood and broke; what was asked may go on without us."""


class Refused(Exception):
    """The bridge answered with a protocol error; `is_definite` when surely nothing was done."""

    def __init__(self, message: str, *, is_definite: bool) -> None:
        super().__init__(message)
        self.is_definite = is_definite


class Task(t.Result):
    """A call that goes on without its request, as the Tasks extension shows it (SEP-2663)."""

    result_type: Literal["task"] = Field(default="task", alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str
    status_message: str = Field(default="", alias="statusMessage")
    poll_interval_ms: int = Field(default=5000, alias="pollIntervalMs")


class TaskState(t.Result):
    """What tasks/get answers: the same, and the result once there is one."""

    task_id: str = Field(alias="taskId")
    status: str
    status_message: str = Field(default="", alias="statusMessage")
    poll_interval_ms: int = Field(default=5000, alias="pollIntervalMs")
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class TaskParams(t.RequestParams):
    """The parameters of tasks/get and tasks/cancel."""

    task_id: str = Field(alias="taskId")


class TaskGet(t.Request[TaskParams, Literal["tasks/get"]]):
    """Asks how a task is."""

    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"


class TaskCancel(t.Request[TaskParams, Literal["tasks/cancel"]]):
    """Withdraws a task."""

    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams
    name_param = "taskId"


class Tasks(ClientExtension):
    """Declares that this client understands tasks; it follows them itself."""

    identifier = TASKS

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """Return the one result shape the extension adds to tools/call."""
        return [ResultClaim(result_type="task", model=Task, resolve=_unused)]


async def _unused(task: Task, context: ClaimContext) -> t.CallToolResult:
    raise NotImplementedError("the agent calls with allow_claimed and follows the task itself")


@dataclass(frozen=True)
class Place:
    """Where the bridge is and how to talk to it."""

    url: str
    key: str
    era: Literal["modern", "legacy"]
    view: Literal["task", "ticket"]
    patience_seconds: float  # how long to try again after a connection broke

    @property
    def key_name(self) -> str:
        """The public part of the key, which may be shown."""
        # From the left: the secret itself may hold underscores.
        kind, _, rest = self.key.partition("_")
        prefix, _, secret = rest.partition("_")
        return f"cs_{prefix}_…" if kind == "cs" and secret else "it was given"


@dataclass
class _Heard:
    """What HTTP said last; the SDK's errors do not carry it."""

    status: int = 0
    retry_after: str = ""
    is_json: bool = False
    stood: bool = False

    async def note(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.retry_after = response.headers.get("retry-after", "")
        self.is_json = response.headers.get("content-type", "").startswith("application/json")


async def converse(place: Place, step: Callable[[Client], Awaitable[int]]) -> int:
    """Connect, run the step and return what it returned.

    Raises:
        Unreachable: no connection, or the key is not accepted.
        Lost: the connection broke while the step was under way.
        Refused: the bridge answered a request of the step with a protocol error.
    """
    heard = _Heard()
    try:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(_http_client(place, heard))
            client = await stack.enter_async_context(_mcp_client(place, http))
            _check_era(place, client)
            heard.stood = True
            return await step(client)
    except Exception as error:
        raise _in_plain_words(place, heard, error) from error


def _http_client(place: Place, heard: _Heard) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {place.key}"},
        timeout=httpx2.Timeout(CONNECT_SECONDS, read=ANSWER_SECONDS),
        event_hooks={"response": [heard.note]},
    )


def _mcp_client(place: Place, http: httpx2.AsyncClient) -> Client:
    return Client(
        streamable_http_client(place.url, http_client=http),
        mode="auto" if place.era == "modern" else "legacy",
        client_info=t.Implementation(name="countersign-example-agent", version="1.0.0"),
        extensions=[Tasks()] if place.view == "task" else None,
        cache=None,
    )


def _check_era(place: Place, client: Client) -> None:
    if place.era == "modern" and client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise Unreachable(f"{place.url} speaks only {client.protocol_version}; use --era legacy.")


def _in_plain_words(place: Place, heard: _Heard, error: Exception) -> Exception:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Unreachable):
            return cause
    if (sentence := _said_by_http(place, heard)) is not None:
        return Unreachable(sentence)
    for cause in causes:
        if isinstance(cause, MCPError):
            return _mcp_error(place, heard, cause)
    for cause in causes:
        if isinstance(cause, httpx2.HTTPError | httpx2.InvalidURL | OSError):
            return _network_error(place, heard, cause)
    return error


def _said_by_http(place: Place, heard: _Heard) -> str | None:
    # A web page may answer 403 to any POST; that says nothing about the key.
    is_about_the_key = heard.status == 401 or (heard.status == 403 and heard.is_json)
    if is_about_the_key:
        return f"{place.url} does not accept the key {place.key_name}; it may be wrong or revoked."
    if heard.status in (403, 404, 405) and not heard.stood:
        return f"There is no MCP server at {place.url}."
    if heard.status == 429:
        return f"{place.url} asks to slow down; try again in {heard.retry_after or 'a few'} s."
    return None


def _mcp_error(place: Place, heard: _Heard, error: MCPError) -> Exception:
    if heard.status >= 500 or error.code in (t.CONNECTION_CLOSED, t.REQUEST_TIMEOUT):
        status = f"HTTP {heard.status}: " if heard.status >= 400 else ""
        return _broken(place, heard, status + error.message)
    if not heard.stood:
        return Unreachable(f"What answers at {place.url} is no MCP server: {error.message}.")
    return Refused(error.message, is_definite=error.code != t.INTERNAL_ERROR)


def _network_error(place: Place, heard: _Heard, error: Exception) -> Exception:
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return Unreachable(f"{place.url!r} is not an address like http://127.0.0.1:8000/mcp.")
    if not heard.stood and isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Unreachable(f"Nothing answers at {place.url}. Is `python3 manage.py up` running?")
    return _broken(place, heard, str(error) or type(error).__name__)


def _broken(place: Place, heard: _Heard, why: str) -> Exception:
    if heard.stood:
        return Lost(why)
    return Unreachable(f"{place.url} does not work at the moment ({why}).")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the leaves of nested exception groups, which is how the SDK reports a broken start."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error
