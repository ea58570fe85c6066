"""A raw HTTP/1.1 client for MCP over one kept connection, so that the client costs little."""

import asyncio
import json
from typing import Any, cast
from urllib.parse import urlsplit

VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


TASKS = "io.modelcontextprotocol/tasks"
_TASKS_DECLARED: dict[str, object] = {
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}
}


class Connection:
    """One kept connection to an MCP server; one request at a time."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._key = key
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> "Connection":
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()

    async def call(self, tool: str, arguments: dict[str, object], **meta: object) -> bytes:
        """Send one tools/call and return the body of the answer.

        Raises:
            RuntimeError: the answer is not HTTP 200.
        """
        params = {"name": tool, "arguments": arguments, "_meta": {**_META, **meta}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        body = json.dumps(message).encode()
        key = f"Authorization: Bearer {self._key}\r\n" if self._key else ""
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{key}"
            f"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"MCP-Protocol-Version: {VERSION}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        return await self._answer()

    async def task(self, tool: str, arguments: dict[str, object]) -> str:
        """Ask for a tool that is held, as a client that knows tasks; return the task's id."""
        body = await self.call(tool, arguments, **_TASKS_DECLARED)
        return str(message_of(body)["result"]["taskId"])

    async def page(self, path: str, cookie: str) -> str:
        """Return a page as a browser gets it that sends this Cookie header.

        Raises:
            RuntimeError: the answer is not HTTP 200.
        """
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Cookie: {cookie}\r\nAccept: text/html\r\n\r\n".encode()
        )
        return (await self._answer()).decode()

    async def _answer(self) -> bytes:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length:" in head:
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await self._reader.readexactly(length)
        else:
            body = await self._chunks()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:300].decode()}")
        return body

    async def _chunks(self) -> bytes:
        parts = []
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            parts.append(await self._reader.readexactly(size + 2))
            if size == 0:
                return b"".join(part[:-2] for part in parts)


def message_of(body: bytes) -> dict[str, Any]:
    """Return the JSON-RPC message of an answer, whether it is a stream of events or plain JSON."""
    events = [line[5:] for line in body.splitlines() if line.startswith(b"data:")]
    return cast("dict[str, Any]", json.loads(events[-1] if events else body))


def ticket_of(body: bytes) -> str:
    """Return the ticket that an answer brings in place of a result."""
    return str(message_of(body)["result"]["structuredContent"]["ticket"])
