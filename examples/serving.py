"""Serves an example's tools over stdio or Streamable HTTP; shared by billing, deploys and echo."""

from project_venv import ROOT  # isort: skip  # first: the imports below need the project's .venv

import argparse
import json
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar

import anyio
import mcp_types as t
import uvicorn
from jsonschema import Draft202012Validator
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

__all__ = [
    "ROOT",
    "Answer",
    "Arguments",
    "Offer",
    "Refused",
    "make_server",
    "reason",
    "serve",
    "stop",
    "transport_arguments",
]

CALL_ID = "countersign/call_id"  # the key under `_meta` that a release through Countersign carries
CALL_ID_FORM = re.compile(r"[A-Za-z0-9_-]{1,128}")
Arguments = Mapping[str, Any]
Store = TypeVar("Store")
CallTool = Callable[[ServerRequestContext, t.CallToolRequestParams], Awaitable[t.CallToolResult]]


class Refused(Exception):
    """The tool will not do this; the message is one the model can read and act on."""


@dataclass(frozen=True)
class Answer:
    """What a tool says: a sentence for the model, and the same facts per its output schema."""

    sentence: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Offer:
    """One tool: its published definition, and the function behind it.

    `act` gets the validated arguments and the call id (None outside a Countersign release). It may
    block, since it runs in a thread, and raises `Refused` for what its own rules forbid.
    """

    tool: t.Tool
    act: Callable[[Arguments, str | None], Answer]

    @classmethod
    def over(
        cls, store: Store, act: Callable[[Store, Arguments, str | None], Answer], tool: t.Tool
    ) -> "Offer":
        """Return the tool with its function bound to what it works on."""
        return cls(tool, partial(act, store))


def make_server(name: str, *, title: str, instructions: str, offers: Sequence[Offer]) -> Server:
    """Return an MCP server that offers these tools and checks arguments before acting."""
    by_name = {offer.tool.name: offer for offer in offers}

    async def list_tools(
        ctx: ServerRequestContext, params: t.PaginatedRequestParams | None
    ) -> t.ListToolsResult:
        return t.ListToolsResult(tools=[offer.tool for offer in offers])

    return Server(
        name,
        version="1.0.0",
        title=title,
        instructions=instructions,
        on_list_tools=list_tools,
        on_call_tool=_call_tool(by_name),
        get_tool_input_schema={
            name: offer.tool.input_schema for name, offer in by_name.items()
        }.get,
    )


def _call_tool(by_name: Mapping[str, Offer]) -> CallTool:
    validators = {
        name: Draft202012Validator(offer.tool.input_schema) for name, offer in by_name.items()
    }

    async def call_tool(
        ctx: ServerRequestContext, params: t.CallToolRequestParams
    ) -> t.CallToolResult:
        offer = by_name.get(params.name)
        if offer is None:
            raise MCPError(t.INVALID_PARAMS, f"Unknown tool: {params.name}")
        arguments = params.arguments or {}
        try:
            _check(validators[params.name], arguments)
            # A thread is not interrupted by a client that hangs up: what was begun is finished.
            answer = await anyio.to_thread.run_sync(offer.act, arguments, _call_id(ctx))
        except Refused as refusal:
            return t.CallToolResult(content=[t.TextContent(text=str(refusal))], is_error=True)
        return _result(answer)

    return call_tool


def _check(validator: Draft202012Validator, arguments: Arguments) -> None:
    errors = sorted(validator.iter_errors(arguments), key=lambda error: list(error.path))
    if errors:
        lines = [f"{'.'.join(map(str, e.path)) or 'arguments'}: {e.message}" for e in errors[:5]]
        raise Refused("Nothing was done; the arguments are not valid. " + "; ".join(lines))


def _call_id(ctx: ServerRequestContext) -> str | None:
    call_id: object = (ctx.meta or {}).get(CALL_ID)
    if call_id is None:
        return None
    if not isinstance(call_id, str) or not CALL_ID_FORM.fullmatch(call_id):
        raise Refused(f"Nothing was done; {CALL_ID} must be 1 to 128 letters, digits, - or _.")
    return call_id


def _result(answer: Answer) -> t.CallToolResult:
    # The specification wants the structured facts as text too, for clients that know only text.
    facts = json.dumps(answer.facts, ensure_ascii=False)
    content: list[t.ContentBlock] = [t.TextContent(text=answer.sentence), t.TextContent(text=facts)]
    return t.CallToolResult(content=content, structured_content=answer.facts)


def transport_arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser that knows --http, --host and --port."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--http", action="store_true", help="serve Streamable HTTP, not stdio")
    parser.add_argument("--host", default="127.0.0.1", help="for --http; default 127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="for --http; default: a free one")
    return parser


def serve(server: Server, options: argparse.Namespace) -> None:
    """Serve until stdin closes (stdio) or a signal comes (HTTP)."""
    try:
        if options.http:
            _serve_http(server, options.host, options.port)
        else:
            anyio.run(_serve_stdio, server)
    except KeyboardInterrupt:
        # uvicorn raises SIGINT again after its clean stop; on stdio it is how a person stops us.
        sys.exit(130)


async def _serve_stdio(server: Server) -> None:
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())


def _serve_http(server: Server, host: str, port: int) -> None:
    listener = _listen(host, port)
    address, bound = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(f"{server.name} serves MCP at http://{shown}:{bound}/mcp", flush=True)
    # JSON answers do not notice a hang-up, which is right here: a write begun is finished.
    app = server.streamable_http_app(stateless_http=True, json_response=True, host=host)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: only then does asyncio turn Nagle's algorithm off, which would add 40 ms to each
    # answer that leaves in two parts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # whoever reads our address may connect at once
        return listener
    except (OSError, OverflowError) as error:
        listener.close()
        stop(f"Cannot listen on {host}:{port}: {reason(error)}. Choose another --port.")


def reason(error: Exception) -> str:
    """Return an error's own words, without number or full stop."""
    words = getattr(error, "strerror", None) or str(error)
    return str(words).partition(" (while attempting")[0].rstrip(".")


def stop(sentence: str) -> NoReturn:
    """End the program with one sentence on stderr and exit code 2."""
    print(sentence, file=sys.stderr)
    raise SystemExit(2)
