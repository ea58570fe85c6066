"""Reads a request's body whole and holds it to strict JSON; used by the door only.

The SDK's parsers keep the last of duplicate keys, take NaN, and turn 1e400 into infinity before a
handler sees anything; so the body is read here, checked, and replayed.

A bad body is answered with HTTP 400 and a JSON-RPC error whose `data.error` is the structured
error. Where only the arguments of a `tools/call` are bad, the request goes on without them, and the
handler answers with a tool error instead: that is what a model gets to read.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from mcp_types import INVALID_REQUEST, PARSE_ERROR

from approvals import canonical
from approvals.errors import ApprovalsError, InvalidInput

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS = 10.0  # within which a whole body has to arrive

_IN_ARGUMENTS = re.compile(r"\$\.params\.arguments(?![A-Za-z0-9_-])")


class Refused(Exception):
    """The request ends here, with this HTTP status."""

    def __init__(self, status: int, error: ApprovalsError, *, code: int = INVALID_REQUEST) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.code = code
        self.request_id: str | int | None = None


@dataclass(frozen=True)
class Body:
    """A body that may go on.

    Attributes:
        raw: what the SDK will read.
        message: the same, parsed.
        refusal: what is wrong with the arguments, which were taken out.
    """

    raw: bytes
    message: dict[str, Any]
    refusal: InvalidInput | None = None


async def read(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body.

    Raises:
        Refused: it is too large, or too slow.
    """
    declared = header(scope, b"content-length")
    if declared.isdecimal() and int(declared[:12]) > canonical.MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Refused(400, InvalidInput("The request broke off.", path="$"))
                body += message.get("body", b"")
                if len(body) > canonical.MAX_BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        late = f"The body did not arrive within {BODY_SECONDS:g} seconds."
        raise Refused(408, InvalidInput(late, path="$")) from None


def _too_large() -> Refused:
    most = f"A body has at most {canonical.MAX_BODY_BYTES} bytes; nothing was done."
    return Refused(413, InvalidInput(most, path="$"))


def strict(body: bytes) -> Body:
    """Return the body to go on with.

    Raises:
        Refused: it is not one JSON object that every reader reads alike.
    """
    try:
        message = canonical.parse(body)
    except InvalidInput as error:
        return _without_arguments(body, error)
    if not isinstance(message, dict):
        raise Refused(400, InvalidInput("The body must be one JSON-RPC message.", path="$"))
    params = message.get("params")
    arguments = params.get("arguments") if isinstance(params, dict) else None
    if arguments is not None and not isinstance(arguments, dict):
        wrong = InvalidInput("The arguments must be an object.", path="$.params.arguments")
        return _without_arguments(body, wrong)
    return Body(body, message)


def _without_arguments(body: bytes, error: InvalidInput) -> Body:
    """Take the arguments out of a tools/call where they, and nothing else, are bad."""
    read = _read_leniently(body)
    refused = Refused(400, error, code=INVALID_REQUEST if read is not None else PARSE_ERROR)
    if not isinstance(read, dict):
        raise refused
    request_id = read.get("id")
    if isinstance(request_id, str | int) and not isinstance(request_id, bool):
        refused.request_id = request_id
    params, place = read.get("params"), _IN_ARGUMENTS.match(error.path)
    if read.get("method") != "tools/call" or not isinstance(params, dict) or place is None:
        raise refused
    stripped = json.dumps({**read, "params": {**params, "arguments": {}}}).encode()
    try:
        message = canonical.parse(stripped)
    except InvalidInput:
        raise refused from None
    place_in = "$" + error.path[place.end() :]
    refusal = InvalidInput(error.message, path=place_in)
    return Body(stripped, cast("dict[str, Any]", message), refusal)


def _read_leniently(body: bytes) -> object:
    """Return what Python's own parser makes of a body; None when it makes nothing of it."""
    try:
        # Longer integers are out of range anyway, and slow to read.
        return cast(object, json.loads(body.decode(), parse_int=lambda digits: int(digits[:20])))
    except (ValueError, RecursionError):
        return None


def header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return cast(bytes, value).decode("latin-1")
    return ""
