"""Sends one approved call, once, and says what became of it; `releasing` is its only caller.

After bytes have left, few things are definite: a tool result, or a JSON-RPC error that the upstream
itself wrote and that means nothing ran. Everything else is unknown. The SDK invents codes for
trouble on the way, so over HTTP an error counts only when it stands in what was received.
"""

import asyncio
import json
import math
from typing import Any
from uuid import UUID

from django.conf import settings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    JSONRPCRequest,
)

from approvals import canonical, failpoints, wording
from approvals.errors import TemporarilyUnavailable
from approvals.models import ToolCall
from approvals.outcomes import Outcome
from mcp_bridge.upstreams.connections import Connection
from mcp_bridge.upstreams.exchange import Exchange
from mcp_bridge.upstreams.opened import Open
from mcp_bridge.upstreams.sessions import explained, is_json, without_stamp
from mcp_bridge.upstreams.targets import Target

CALL_ID = "countersign/call_id"
_NOTHING_RAN = frozenset({METHOD_NOT_FOUND, INVALID_PARAMS, HEADER_MISMATCH})
# Statuses with which servers of the newest revision write a JSON-RPC error; a 5xx may be a proxy's.
_OF_THE_SERVER = frozenset({200, 400, 404})


def parameters(call_id: UUID, tool: str, arguments: bytes) -> dict[str, Any]:
    """Return the parameters of the request, built from the stored bytes.

    Raises:
        ValueError: written as the SDK writes it, the arguments would not be what was approved.
    """
    value = json.loads(arguments)
    params = {"name": tool, "arguments": value, "_meta": {CALL_ID: str(call_id)}}
    message = JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params=params)
    over_http = json.dumps(message.model_dump(by_alias=True, mode="json", exclude_unset=True))
    over_stdio = message.model_dump_json(by_alias=True, exclude_unset=True)
    for written in (over_http, over_stdio):
        if canonical.to_bytes(json.loads(written)["params"]["arguments"]) != arguments:
            raise ValueError("The arguments do not survive being written as JSON.")
    return params


class Sending:
    """One call on its way; `outcome` may be asked twice, when the answer came late."""

    def __init__(
        self,
        connection: Connection,
        params: dict[str, Any],
        arguments: bytes,
        within: Open | None = None,
        leaves_before: float = math.inf,
    ) -> None:
        """Send now; the request runs from here on whatever becomes of who waits.

        Args:
            arguments: canonical bytes, as approved; nothing else is let out.
            within: the session in which the tool was looked at; a new one may be another server.
            leaves_before: by the monotonic clock; who was held up for so long sends nothing.
        """
        self._target = connection.target
        self._exchange = Exchange(arguments=arguments, keeps_body=True, leaves_before=leaves_before)
        self._request = asyncio.create_task(
            connection.request("tools/call", params, self._exchange, within)
        )
        self._request.add_done_callback(_retrieved)

    async def outcome(self, seconds: float) -> Outcome:
        """Return what became of it, unknown when there is no answer in time."""
        await asyncio.wait([self._request], timeout=seconds)
        if not self._request.done():
            limit = settings.UPSTREAM_TIMEOUT_SECONDS
            return _unknown(f"The upstream did not answer within {limit} s.")
        try:
            failpoints.hit("answer-read")
            result = self._request.result()
        except TemporarilyUnavailable as error:
            return Outcome.failed(ToolCall.Failure.NOT_SENT, error.message)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - bytes may have left
            return of_error(error, self._exchange, self._target)
        return of_result(result)


def of_result(result: dict[str, Any]) -> Outcome:
    """Return what a raw answer means."""
    kind = result.get("resultType", "complete")
    if kind == "input_required":
        return Outcome.unknown(
            "After approval the upstream asked for more input, which would widen what was"
            " approved; it was refused, and what it had done by then is not known."
        )
    if kind != "complete" or not isinstance(result.get("content"), list) or not is_json(result):
        return _unknown("The upstream answered with something that is no tool result.")
    result = without_stamp(result)
    if result.get("isError"):
        return Outcome.failed(ToolCall.Failure.TOOL_ERROR, _first_text(result), result)
    return Outcome.succeeded(result)


def of_error(error: BaseException, exchange: Exchange, target: Target) -> Outcome:
    """Return what it means that there was no answer, or one that is an error."""
    words = explained(target, exchange, error if isinstance(error, Exception) else Exception())
    if not exchange.has_left:
        return Outcome.failed(ToolCall.Failure.NOT_SENT, f"Nothing was sent: {words}.")
    if not isinstance(error, MCPError):
        return _unknown(f"The answer could not be read ({type(error).__name__}).")
    if not _is_its_own(error, exchange, target):
        return _unknown(f"No answer came that can be trusted: {words} ({error.code}).")
    if error.code in _NOTHING_RAN:
        return Outcome.failed(
            ToolCall.Failure.UPSTREAM_ERROR, f"The upstream refused it ({error.code}): {words}."
        )
    return _unknown(f"The upstream answered with an error ({error.code}): {words}.")


def _is_its_own(error: MCPError, exchange: Exchange, target: Target) -> bool:
    """Return whether the upstream itself wrote this error; the SDK makes up the same codes."""
    if target.transport == "stdio":
        return not exchange.has_broken and error.code != PARSE_ERROR  # all that is made up there
    if exchange.status not in _OF_THE_SERVER:
        return False
    errors = (message.get("error") for message in exchange.messages())
    return any(isinstance(found, dict) and found.get("code") == error.code for found in errors)


def _unknown(why: str) -> Outcome:
    return Outcome.unknown(f"{why} It may have happened.")


def _first_text(result: dict[str, Any]) -> str:
    texts = (part.get("text") for part in result["content"] if isinstance(part, dict))
    return wording.clean(next((text for text in texts if isinstance(text, str)), ""), 500)


def _retrieved(request: "asyncio.Task[dict[str, Any]]") -> None:
    if not request.cancelled():
        request.exception()  # it may have come after everybody left
