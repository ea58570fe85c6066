"""Reads that pass, answered at the door: what the SDK's server would answer, for less.

A modern request stands alone: no handshake, no session, and for a read no stream. So where it is
certain what the SDK's server would do with one, its request, connection, dispatcher and context are
left out. What decides is not: the headers, the parameters and the result go through the SDK's own
checks, and everything else through `calling`, as at any other call. Whatever is not certain is left
to the SDK's server, untouched; `tests/mcp_bridge/test_passing.py` compares the answers of both.

Built by `McpMount`, used by the door.
"""

import json
from typing import Any, Final

from mcp.server import Server
from mcp.server.connection import Connection
from mcp.server.runner import ServerRunner, modern_error_data
from mcp.server.streamable_http import check_accept_headers
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundModernRoute,
    classify_inbound_request,
)
from mcp_types import CallToolRequestParams
from mcp_types.methods import validate_client_request
from pydantic import ValidationError
from starlette.requests import Request

from mcp_bridge.agents import calling
from mcp_bridge.agents.bodies import Scope, Send
from mcp_bridge.agents.door import Passage
from mcp_bridge.agents.identity import asked_by
from mcp_bridge.agents.parts import Ask, Parts
from mcp_bridge.snapshot import ToolFacts

# The one revision whose answers were compared; the SDK serves any other.
VERSION: Final = "2026-07-28"
_METHOD: Final = "tools/call"
_MESSAGE = frozenset({"jsonrpc", "id", "method", "params"})
_PARAMS = frozenset({"name", "arguments", "_meta"})


class Passing:
    """Answers what is certainly a well-formed modern read that a rule allows."""

    def __init__(
        self, parts: Parts, server: Server[Any], security: TransportSecuritySettings
    ) -> None:
        """Prepare.

        Args:
            server: whose results these are; its name is stamped on them.
            security: which Host and Origin headers are let in.

        Raises:
            ValueError: the server has middleware, which would be passed by.
        """
        if server.middleware:
            raise ValueError("reads may not go past what the server's middleware does")
        self._parts = parts
        self._security = TransportSecurityMiddleware(security)
        # Only shapes results: they are held to the protocol, and stamped, where all others are.
        self._runner = ServerRunner(server, Connection.from_envelope(VERSION, None, None), None)

    async def answered(self, scope: Scope, passage: Passage, send: Send) -> bool:
        """Answer a request, or return False, having done nothing."""
        ask = await self._understood(scope, passage)
        if ask is None:
            return False
        status, answer = await self._answer(ask)
        body = json.dumps(
            {"jsonrpc": "2.0", "id": passage.message["id"], **answer}, separators=(",", ":")
        ).encode()
        headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return True

    async def _understood(self, scope: Scope, passage: Passage) -> Ask | None:
        """Return the call that a request is; None where the SDK might see it otherwise."""
        caller, message = passage.caller, passage.message
        if caller is None or passage.refusal is not None or not _is_usual(message):
            return None
        params = message["params"]
        tool = caller.snapshot.visible(caller.agent, passage.surface).get(params["name"])
        if tool is None:
            return None
        judgement = caller.snapshot.judge(caller.agent, tool, asked_by(caller, params))
        if not judgement.passes:
            return None
        if not (_agrees(scope, message, tool) and await self._is_let_in(scope)):
            return None
        try:
            validate_client_request(_METHOD, VERSION, params)
            CallToolRequestParams.model_validate(params, by_name=False)
        except ValidationError:
            return None
        return Ask(caller, passage, tool, judgement, params)

    async def _is_let_in(self, scope: Scope) -> bool:
        request = Request(scope)
        takes_json, _ = check_accept_headers(request)
        return takes_json and await self._security.validate_request(request, is_post=True) is None

    async def _answer(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status, and the result or the error; nothing is sent on after this."""
        try:
            result = await calling.answer(self._parts, ask)
            shaped = self._runner._serialize(_METHOD, VERSION, result)  # noqa: SLF001 - has no public one
        except Exception as error:  # noqa: BLE001 - logged and told as the SDK does
            told = modern_error_data(error)
            status = ERROR_CODE_HTTP_STATUS.get(told.code, 200)
            return status, {"error": told.model_dump(mode="json", exclude_none=True)}
        return 200, {"result": shaped}


def _is_usual(message: dict[str, Any]) -> bool:
    """Return whether a message is a `tools/call` with a name and with nothing unexpected."""
    params = message.get("params")
    return (
        message.keys() == _MESSAGE
        and message["jsonrpc"] == "2.0"
        and message["method"] == _METHOD
        and type(message["id"]) in (int, str)
        and isinstance(params, dict)
        and params.keys() <= _PARAMS
        and isinstance(params.get("name"), str)
    )


def _agrees(scope: Scope, message: dict[str, Any], tool: ToolFacts) -> bool:
    """Return whether the headers say the same as the message, each of them once."""
    # Arguments that are told in headers as well are the SDK's to compare.
    if tool.names_headers:
        return False
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return (
        len(headers) == len(scope["headers"])
        and headers.get(MCP_PROTOCOL_VERSION_HEADER) == VERSION
        and isinstance(classify_inbound_request(message, headers=headers), InboundModernRoute)
    )
