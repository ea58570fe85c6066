"""The ASGI door before the MCP SDK: who, where, how often; then the body, whole and strict.

Owned by `McpMount`; handlers read what it noted through `passage_of`.
"""

import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

from django.conf import settings
from django.db import Error

from approvals.errors import InvalidInput, NotFound, RateLimited, TemporarilyUnavailable
from mcp_bridge.agents import bodies
from mcp_bridge.agents.bodies import App, Message, Receive, Refused, Scope, Send
from mcp_bridge.agents.identity import Caller, KeyVerifier, asked_by, signed_in
from mcp_bridge.agents.limits import Buckets
from mcp_bridge.agents.places import Places
from mcp_bridge.snapshot import EVERYWHERE

log = logging.getLogger(__name__)

PASSAGE = "countersign.passage"  # the scope key that holds a `Passage`

_DOMAIN = re.compile(r"/mcp/([a-z][a-z0-9-]{1,30})/?")
_SESSION = b"mcp-session-id"
_LONGEST_SESSION = 100


@dataclass
class Passage:
    """What the door found out about a request; handlers read it from the scope."""

    surface: str = EVERYWHERE
    caller: Caller | None = None
    session: str = ""  # the client's own, handshake era: request ids are unique within it
    refusal: InvalidInput | None = None  # what is wrong with the arguments, which were taken out
    message: dict[str, Any] = field(default_factory=dict)


# Answers a read that passes, or returns False and has done nothing.
AtTheDoor = Callable[[Scope, Passage, Send], Awaitable[bool]]


@dataclass(frozen=True)
class Ways:
    """Where a request may go from the door.

    Attributes:
        stranger: tells whoever has no valid key how to get in.
        streaming: may hold a request open and report progress.
        plain: answers with one JSON body; cheaper, for reads that pass straight through.
        at_the_door: answers most of those itself; cheaper still.
    """

    stranger: App
    streaming: App
    plain: App
    at_the_door: AtTheDoor


class Door:
    """Lets requests through to one of two MCP applications, answers them, or says why not."""

    def __init__(self, verifier: KeyVerifier, ways: Ways) -> None:
        self._verifier = verifier
        self._ways = ways
        self._requests = Buckets(settings.REQUESTS_PER_SECOND, settings.REQUESTS_PER_SECOND)
        self._reads = Places(settings.READS_PER_AGENT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request whose path begins with /mcp."""
        surface = surface_of(scope["path"])
        try:
            caller = await self._caller(scope)
        except Error as error:
            log.error("Keys cannot be looked up: %s", error)  # noqa: TRY400 - every request says so
            await _answer(send, Refused(503, TemporarilyUnavailable(retry_after_seconds=5)))
            return
        if caller is None:
            # No body is read: the SDK answers 401.
            await self._ways.stranger(_at_mcp(scope), receive, _naming_surface(send, surface))
            return
        try:
            passage = self._admit(scope, caller, surface)
            body = bodies.strict(await bodies.read(scope, receive))
        except Refused as refused:
            await _answer(send, refused)
            return
        passage.message, passage.refusal = body.message, body.refusal
        receive = _replaying(body.raw, receive)
        if not _is_passing_read(passage):
            await _hand_on(self._ways.streaming, scope, passage, caller, receive, send)
            return
        try:
            async with self._reads.taken(caller.agent.id):
                if not await self._ways.at_the_door(scope, passage, send):
                    await _hand_on(self._ways.plain, scope, passage, caller, receive, send)
        except RateLimited as error:
            await _answer(send, Refused(429, error))

    async def _caller(self, scope: Scope) -> Caller | None:
        authorization = bodies.header(scope, b"authorization")
        if not authorization.lower().startswith("bearer "):
            return None
        return await self._verifier.recognise(authorization[7:])

    def _admit(self, scope: Scope, caller: Caller, surface: str | None) -> Passage:
        wait = self._requests.take(caller.key.id)
        if wait:
            raise Refused(429, RateLimited(retry_after_seconds=max(1, round(wait))))
        # A domain that is not the agent's looks like one that does not exist.
        if surface is None or (surface != EVERYWHERE and surface not in caller.agent.domains):
            raise Refused(404, NotFound("There is no MCP server at this address."))
        if scope["method"] != "POST":
            raise Refused(405, InvalidInput("Only POST is served here.", path="$"))
        session = bodies.header(scope, _SESSION)[:_LONGEST_SESSION]
        return Passage(surface=surface, caller=caller, session=session)


def passage_of(request: Any) -> Passage:
    """Return what the door noted; in process there is no door, and nothing to note."""
    if request is None:
        return Passage()
    return cast("Passage", request.scope.get(PASSAGE) or Passage())


def surface_of(path: str) -> str | None:
    """Return the surface of a path: "" for /mcp, a domain's name for /mcp/<domain>, else None."""
    if path in ("/mcp", "/mcp/"):
        return EVERYWHERE
    match = _DOMAIN.fullmatch(path)
    return match[1] if match else None


async def _hand_on(
    app: App, scope: Scope, passage: Passage, caller: Caller, receive: Receive, send: Send
) -> None:
    if passage.message.get("method") == "initialize":
        send = _opening_session(send)
    with signed_in(caller):
        await app({**_at_mcp(scope), PASSAGE: passage}, receive, send)


def _at_mcp(scope: Scope) -> Scope:
    """Return the scope as the SDK's applications know it, whatever surface was asked for."""
    return {**scope, "path": "/mcp", "raw_path": b"/mcp"}


def _is_passing_read(passage: Passage) -> bool:
    """Return whether the answer will come without waiting for people."""
    message, caller = passage.message, passage.caller
    params = message.get("params")
    if message.get("method") != "tools/call" or caller is None or not isinstance(params, dict):
        return False
    name = params.get("name")
    tool = caller.snapshot.tools.get(name) if isinstance(name, str) else None
    if tool is None:
        return False
    return caller.snapshot.passes(caller.agent, tool, asked_by(caller, params))


def _replaying(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _opening_session(send: Send) -> Send:
    """Give a handshake-era client a session id, so that it can cancel its own requests.

    Nothing is kept under it: request ids are the client's, and two clients with one key count
    theirs alike.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            session = (_SESSION, uuid4().hex.encode())
            message = {**message, "headers": [*message["headers"], session]}
        await send(message)

    return sending


def _naming_surface(send: Send, surface: str | None) -> Send:
    """Let a 401 point at the metadata of the surface that was asked for."""
    if not surface:
        return send
    general, own = b'/oauth-protected-resource/mcp"', f'/oauth-protected-resource/mcp/{surface}"'

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(k, v.replace(general, own.encode())) for k, v in message["headers"]]
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _answer(send: Send, refused: Refused) -> None:
    error = refused.error
    body = {
        "jsonrpc": "2.0",
        "id": refused.request_id,
        "error": {
            "code": refused.code,
            "message": error.message,
            "data": {"error": error.as_dict()},
        },
    }
    raw = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(raw)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", str(round(error.retry_after_seconds)).encode()))
    if refused.status == 405:
        headers.append((b"allow", b"POST"))
    if refused.status != 400:
        # The body was not read, or not whole, and what is left of it is not wanted any more.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
