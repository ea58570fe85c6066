"""The ledger upstream of the fault machine: an MCP server that writes down what it did, and fails.

`python ledger.py --folder DIR --seed N [--port P]`: over HTTP with a port, else over stdio;
standard library only, so that it starts at once and can do what no SDK lets a server do. Each call
carries a number, and which fault it meets follows from the seed and that number alone.

DIR/ledger/<pid>-<time>.jsonl gets a line, with fsync, when a call is received, when its effect
happens, and when its answer is about to leave; DIR/definition is part of a tool's description.
"""

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

MODERN, LEGACY = "2026-07-28", "2025-11-25"
CALL_ID = "countersign/call_id"
TOOLS = {
    "pay": "Pays one bill.",
    "pay_twice_signed": "Pays a bill that two people signed.",
    "stamp": "Stamps a bill; a rule allows it.",
    "hurry": "Pays a bill that nobody waits for long.",
    "fickle": "Pays a bill by terms that change:",
    "look": "Reads a bill.",
}
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}, "memo": {"type": "string"}},
    "required": ["number"],
}
LATE_SECONDS = 8.0  # longer than the time-out of a fault run
# What happens instead of an effect and its answer, and how often in a hundred calls; the last ones
# only exist over HTTP.
FAULTS = {
    "drop": 3, "error": 3, "tool_error": 2, "slow": 2, "lost": 4, "reset": 3, "garbage": 2,
    "input_required": 2, "redirect": 1, "unauthorized": 1, "header_mismatch": 1,
}  # fmt: skip
HTTP_ONLY = {"redirect", "unauthorized", "header_mismatch"}
BEFORE_EFFECT = {
    "drop", "error", "tool_error", "input_required", "redirect", "unauthorized", "header_mismatch",
}  # fmt: skip

Message = dict[str, Any]


def fault_of(seed: int, number: int, *, over_http: bool) -> str:
    """Return which fault a call meets; empty: none."""
    drawn = Random(f"{seed}:fault:{number}").randrange(100)
    for name, share in FAULTS.items():
        if drawn < share:
            return name if over_http or name not in HTTP_ONLY else ""
        drawn -= share
    return ""


def canonical(value: object) -> str:
    """Return RFC 8785 text of what agents of a fault run send: texts and whole numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Book:
    """The file of one process; a line is on the disk before its writer goes on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}-{time.time_ns()}.jsonl"
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)

    def write(self, **facts: object) -> None:
        """Append one line with the time."""
        os.write(self._file, json.dumps({"at": time.time(), **facts}).encode() + b"\n")
        os.fsync(self._file)


@dataclass(frozen=True)
class Reply:
    """What leaves: a message, or bytes that are none; `cut` bytes of it, and then the line breaks.

    Attributes:
        note: called just before it leaves.
    """

    message: Message | None = None
    raw: bytes = b""
    status: int = 200
    head: str = ""
    cut: int = -1
    note: Callable[[], None] = lambda: None

    def body(self) -> bytes:
        """Return its bytes."""
        return self.raw if self.message is None else json.dumps(self.message).encode()


class Ledger:
    """Answers messages, whichever way they come."""

    def __init__(self, folder: Path, seed: int, *, over_http: bool) -> None:
        self._folder = folder
        self._seed = seed
        self._over_http = over_http
        self._book = Book(folder / "ledger")
        self._pace = Random(f"{seed}:pace:{time.time_ns()}")  # no fault depends on it

    async def answer(self, asked: Message, size: int) -> Reply | None:
        """Return what to say; None to a notification."""
        if "id" not in asked:
            return None
        method, params = asked.get("method"), asked.get("params") or {}
        if method == "tools/call":
            return await self._called(asked["id"], params, size)
        if method == "tools/list":
            # Long enough, now and then, to be stopped or killed in.
            await asyncio.sleep(self._pace.choice([0.0] * 12 + [0.3, 0.8, 1.5]))
            return _said(asked["id"], {"tools": self._tools(), "ttlMs": 0, "cacheScope": "private"})
        if method == "server/discover":
            return _said(asked["id"], _ABOUT | {"supportedVersions": [MODERN]})
        if method == "initialize" and self._over_http:
            return _said(asked["id"], _ABOUT | {"protocolVersion": LEGACY, "serverInfo": _NAME})
        return _error(asked["id"], -32601, f"Method not found: {method}")

    def _tools(self) -> list[Message]:
        terms = self._folder / "definition"
        said = terms.read_text() if terms.exists() else "1"
        return [
            {
                "name": name,
                "title": name,
                "description": f"{words} {said}" if name == "fickle" else words,
                "inputSchema": SCHEMA,
            }
            for name, words in TOOLS.items()
        ]

    async def _called(self, number: object, params: Message, size: int) -> Reply:
        arguments = params.get("arguments") or {}
        if params.get("name") == "look":
            return _said(number, _content(f"Bill {arguments.get('number')} is there."))
        call = str((params.get("_meta") or {}).get(CALL_ID, ""))
        text = canonical(arguments)
        fault = fault_of(self._seed, int(arguments["number"]), over_http=self._over_http)
        facts = {
            "call": call, "tool": params.get("name"), "arguments": text, "fault": fault,
            "digest": hashlib.sha256(text.encode()).hexdigest(), "bytes": size,
        }  # fmt: skip
        self._book.write(what="received", **facts)
        await asyncio.sleep(self._pace.random() * 0.08)
        if fault not in BEFORE_EFFECT:
            self._book.write(what="effect", **facts)
        if fault == "slow":
            await asyncio.sleep(LATE_SECONDS)
        return self._reply(number, fault, call)

    def _reply(self, number: object, fault: str, call: str) -> Reply:
        good = json.dumps({"jsonrpc": "2.0", "id": number, "result": _content(f"Done: {call}.")})
        replies = {
            "drop": Reply(cut=0),
            "lost": Reply(cut=0),
            "reset": Reply(raw=good.encode(), cut=1 + len(call) % 7 * 9),
            "garbage": Reply(raw=b'{"jsonrpc": "2.0", "id": oops\xff]\n'),
            "error": _error(number, -32602, "No such bill; nothing was done."),
            "tool_error": _said(number, _content("Refused; nothing was done.") | {"isError": True}),
            "input_required": _said(
                number, {"resultType": "input_required", "inputRequests": {}, "requestState": "x"}
            ),
            # To where we listen ourselves: whoever follows is seen to have sent twice.
            "redirect": Reply(raw=b"", status=307, head="location: /mcp\r\n"),
            "unauthorized": Reply(
                raw=b"", status=401, head='www-authenticate: Bearer realm="ledger"\r\n'
            ),
            "header_mismatch": _error(number, -32020, "Header mismatch.", status=400),
        }
        found = replies.get(fault) or Reply(raw=good.encode())
        facts = {"what": "answered", "call": call, "fault": fault}
        return Reply(**(vars(found) | {"note": lambda: self._book.write(**facts)}))


_NAME = {"name": "ledger", "version": "1"}
_ABOUT: Message = {
    "capabilities": {"tools": {"listChanged": True}},
    "ttlMs": 0,
    "cacheScope": "private",
    "_meta": {"io.modelcontextprotocol/serverInfo": _NAME},
}


def _content(text: str) -> Message:
    return {"content": [{"type": "text", "text": text}], "resultType": "complete"}


def _said(number: object, result: Message) -> Reply:
    return Reply({"jsonrpc": "2.0", "id": number, "result": {"resultType": "complete", **result}})


def _error(number: object, code: int, words: str, status: int = 200) -> Reply:
    error = {"code": code, "message": words}
    return Reply({"jsonrpc": "2.0", "id": number, "error": error}, status=status)


async def serve_http(ledger: Ledger, port: int) -> None:
    """Serve one address until killed; a request that was begun is finished whoever hangs up."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _one(ledger, reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=200)
    print(f"ledger serves MCP at http://127.0.0.1:{port}/mcp", flush=True)
    await server.serve_forever()


async def _one(ledger: Ledger, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; return whether the connection lasts."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    sizes = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    body = await reader.readexactly(int(sizes[0].split(":")[1])) if sizes else b""
    if not head.startswith("POST"):
        writer.write(b"HTTP/1.1 405 x\r\ncontent-length: 0\r\n\r\n")
        return True
    reply = await ledger.answer(json.loads(body), len(body))
    if reply is None:
        writer.write(b"HTTP/1.1 202 x\r\ncontent-length: 0\r\n\r\n")
        return True
    reply.note()
    sent = reply.body()
    lines = f"HTTP/1.1 {reply.status} x\r\ncontent-type: application/json\r\n{reply.head}"
    whole = f"{lines}content-length: {len(sent)}\r\n\r\n".encode() + sent
    if reply.cut == 0:
        writer.transport.abort()
    elif reply.cut > 0:
        writer.write(whole[: -len(sent)] + sent[: reply.cut])
        await writer.drain()
        writer.transport.abort()
    else:
        writer.write(whole)
        await writer.drain()
    return reply.cut < 0


async def serve_stdio(ledger: Ledger) -> None:
    """Answer the lines of stdin; where HTTP would break the connection, end."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()

    async def one(line: str) -> None:
        reply = await ledger.answer(json.loads(line), len(line))
        if reply is None:
            return
        reply.note()
        sent = reply.body()
        sent = sent if reply.cut < 0 else sent[: reply.cut]
        sys.stdout.buffer.write(sent + b"\n" * (reply.cut < 0))
        sys.stdout.buffer.flush()
        if reply.cut >= 0:
            os._exit(1)

    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = asyncio.create_task(one(line))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    ledger = Ledger(options.folder, options.seed, over_http=bool(options.port))
    work = serve_http(ledger, options.port) if options.port else serve_stdio(ledger)
    asyncio.run(work)


if __name__ == "__main__":
    main()
