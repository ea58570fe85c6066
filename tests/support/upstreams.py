"""Upstream servers for tests, good and bad: real ones, over HTTP in threads and over stdio.

Each keeps on record what it was sent, byte by byte, and what it did about it. How it misbehaves is
a *way* per JSON-RPC method; without one it behaves.
"""

import gzip
import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support import plain_upstream
from tests.support.plain_upstream import LEGACY, MODERN
from tests.support.running import until
from tests.support.world import definition

Message = dict[str, Any]
HEADER_MISMATCH = -32020
TOOLS = (definition("refund"), definition("get_customer"))
_JSON, _EVENTS = "application/json", "text/event-stream"
_PROGRAM = Path(plain_upstream.__file__)


@dataclass(frozen=True)
class Post:
    """One POST as it arrived."""

    headers: Mapping[str, str]  # lower-case names
    body: bytes

    @property
    def message(self) -> Message:
        """Return the JSON-RPC message in it."""
        message: Message = json.loads(self.body)
        return message

    @property
    def method(self) -> str:
        """Return its JSON-RPC method."""
        return str(self.message["method"])


Way = Callable[["Handler", Post], None]


@dataclass
class HttpUpstream:
    """An MCP server over Streamable HTTP on a port of its own."""

    era: str = MODERN
    tools: Iterable[Mapping[str, Any]] = TOOLS
    pages: list[Message] = field(default_factory=list)
    ways: dict[str, Way] = field(default_factory=dict)  # by JSON-RPC method; "GET", "DELETE"
    posts: list[Post] = field(default_factory=list)
    effects: list[Any] = field(default_factory=list)  # the arguments of calls that did something
    gate: threading.Event = field(default_factory=threading.Event)  # `waits` answers when it is set
    port: int = 0

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def calls(self) -> list[Post]:
        """Return what was sent to call a tool."""
        return [post for post in list(self.posts) if post.method == "tools/call"]

    @property
    def script(self) -> Message:
        """Return what `plain_upstream.answer` wants to know."""
        return {"era": self.era, "tools": list(self.tools), "pages": self.pages}

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._connections: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", self.port), Handler)
        self._server.upstream = self
        self.port = self._server.server_port
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.01,), name="upstream")
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, and break every connection."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 100
    upstream: HttpUpstream

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of bad servers hang up."""


class Handler(BaseHTTPRequestHandler):
    """One connection; ways write their answer through it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def upstream(self) -> HttpUpstream:
        """Return the server as tests know it."""
        return self.server.upstream

    def setup(self) -> None:
        super().setup()
        self.upstream._connections.add(self.connection)

    def do_POST(self) -> None:
        """Record it, then answer in the way that was chosen for its method."""
        size = int(self.headers["content-length"])
        body = self.rfile.read(size)
        if len(body) < size:
            self.hang_up()
            return
        post = Post({key.lower(): value for key, value in self.headers.items()}, body)
        self.upstream.posts.append(post)
        self.upstream.ways.get(post.method, answers)(self, post)

    def do_GET(self) -> None:
        """Offer no stream, unless a way does."""
        post = Post({key.lower(): value for key, value in self.headers.items()}, b"")
        self.upstream.ways.get("GET", http(405))(self, post)

    def do_DELETE(self) -> None:
        """Let a session go."""
        self.upstream.ways.get("DELETE", http(200))(self, Post({}, b""))

    def good_answer(self, post: Post) -> Message | None:
        """Do what was asked, and return what a good server says."""
        if post.method == "tools/call":
            self.upstream.effects.append(post.message["params"]["arguments"])
        return plain_upstream.answer(post.message, self.upstream.script)

    def send(
        self, status: int, body: bytes, content_type: str = _JSON, *, head: str = "", cut: int = -1
    ) -> None:
        """Write a whole answer, or break off after some bytes of its body."""
        session = "mcp-session-id: s1\r\n" if self.upstream.era == LEGACY else ""
        lines = f"HTTP/1.1 {status} x\r\ncontent-type: {content_type}\r\n{session}{head}"
        if "content-length" not in head:
            lines += f"content-length: {len(body)}\r\n"
        self.wfile.write(lines.encode() + b"\r\n" + (body if cut < 0 else body[:cut]))
        if cut >= 0:
            self.hang_up()

    def hang_up(self) -> None:
        """Break the connection."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def answers(handler: Handler, post: Post) -> None:
    """Behave."""
    said = handler.good_answer(post)
    if said is None:
        handler.send(202, b"")
    else:
        status = 404 if said.get("error") and handler.upstream.era == MODERN else 200
        handler.send(status, json.dumps(said).encode())


def answers_in_events(handler: Handler, post: Post) -> None:
    """Behave, with a stream of events."""
    handler.send(200, events(handler.good_answer(post)), _EVENTS)


def says(result: object, *, in_events: bool = False) -> Way:
    """Return a way: the effect happens, and this is the result, whatever it is worth."""

    def way(handler: Handler, post: Post) -> None:
        handler.good_answer(post)
        said = {"jsonrpc": "2.0", "id": post.message["id"], "result": result}
        body = events(said) if in_events else json.dumps(said).encode()
        handler.send(200, body, _EVENTS if in_events else _JSON)

    return way


def fails(code: int, *, status: int = 200, in_events: bool = False) -> Way:
    """Return a way: nothing happens, and a JSON-RPC error says so."""

    def way(handler: Handler, post: Post) -> None:
        error = {"code": code, "message": f"This is error {code}."}
        said = {"jsonrpc": "2.0", "id": post.message["id"], "error": error}
        body = events(said) if in_events else json.dumps(said).encode()
        handler.send(status, body, _EVENTS if in_events else _JSON)

    return way


def http(status: int, body: bytes = b"", content_type: str = "text/html", *, head: str = "") -> Way:
    """Return a way: this HTTP answer, and nothing happens."""
    return lambda handler, post: handler.send(status, body, content_type, head=head)


def redirects(status: int, to: str) -> Way:
    """Return a way: the request is to be sent elsewhere."""
    return http(status, head=f"location: {to}\r\n")


def hangs_up(*, before_effect: bool = False) -> Way:
    """Return a way: no answer, the connection breaks."""

    def way(handler: Handler, post: Post) -> None:
        if not before_effect:
            handler.good_answer(post)
        handler.hang_up()

    return way


def breaks_off(after: int, *, in_events: bool = False) -> Way:
    """Return a way: the effect happens, and the answer breaks off after some bytes."""

    def way(handler: Handler, post: Post) -> None:
        said = handler.good_answer(post)
        body = events(said) if in_events else json.dumps(said).encode()
        handler.send(200, body, _EVENTS if in_events else _JSON, cut=after)

    return way


def waits(then: Way = answers) -> Way:
    """Return a way: no answer until the gate opens."""

    def way(handler: Handler, post: Post) -> None:
        handler.upstream.gate.wait(60)
        then(handler, post)

    return way


def is_huge(size: int, *, in_events: bool = False) -> Way:
    """Return a way: the effect happens, and the result has a text of this many bytes."""
    result = {"content": [{"type": "text", "text": "x" * size}], "resultType": "complete"}
    return says(result, in_events=in_events)


def packs(handler: Handler, post: Post) -> None:
    """Compress the answer though nobody asked for it."""
    body = gzip.compress(json.dumps(handler.good_answer(post)).encode())
    handler.send(200, body, head="content-encoding: gzip\r\n")


def streams(*messages: Message) -> Way:
    """Return a way to answer GET: these messages, and then the stream stays open."""

    def way(handler: Handler, post: Post) -> None:
        body = b"".join(events(message) for message in messages)
        handler.send(200, body, _EVENTS, head="content-length: 100000\r\n")
        handler.upstream.gate.wait(60)

    return way


def events(*messages: Message | None) -> bytes:
    """Return JSON-RPC messages as a stream of events."""
    lines = (f"event: message\ndata: {json.dumps(message)}\n\n" for message in messages)
    return "".join(lines).encode()


@contextmanager
def serving(**options: Any) -> Iterator[HttpUpstream]:
    """Serve over HTTP until the block ends."""
    upstream = HttpUpstream(**options)
    upstream.start()
    try:
        yield upstream
    finally:
        upstream.gate.set()
        upstream.stop()


@dataclass
class StdioUpstream:
    """An MCP server that is started as a child process, once per session."""

    folder: Path
    script: Message = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write the script of a good server."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.script = {"era": MODERN, "tools": list(TOOLS), **self.script}
        self.behave()

    @property
    def launch(self) -> Message:
        """Return how to start it, as an upstream's row says it."""
        return {"command": sys.executable, "args": [str(_PROGRAM), str(self.folder)], "env": {}}

    def behave(self, **ways: Message) -> None:
        """Choose a way per JSON-RPC method, written with `_` for `/`; without any it is good."""
        self.script["ways"] = {name.replace("_", "/", 1): way for name, way in ways.items()}
        self.write()

    def write(self) -> None:
        """Hand the script over."""
        draft = self.folder / "draft"
        draft.write_text(json.dumps(self.script), encoding="utf-8")
        draft.replace(self.folder / "script.json")

    def open_gate(self) -> None:
        """Let what waits for {"until": "gate"} answer."""
        (self.folder / "gate").touch()

    def lines(self, name: str) -> list[str]:
        """Return what is on record under a name: started, received or effects."""
        path = self.folder / name
        # Not splitlines(): arguments may hold characters that end a line elsewhere.
        return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []

    @property
    def calls(self) -> list[bytes]:
        """Return the lines that called a tool, as they were received."""
        received = self.lines("received")
        return [line.encode() for line in received if json.loads(line)["method"] == "tools/call"]

    @property
    def effects(self) -> list[Any]:
        """Return the arguments of calls that did something."""
        return [json.loads(line) for line in self.lines("effects")]

    def started(self, times: int) -> bool:
        """Return whether it has been started this often, within some seconds."""
        return until(lambda: len(self.lines("started")) == times, f"{times} starts")

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder)
