"""WebSockets: handshakes of the right and the wrong kind, then frames that nobody asked for."""

import asyncio
import base64
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

SECONDS = 20.0
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Socket:
    """One connection: how it begins, and the bytes that follow.

    Attributes:
        kind: for people and for counting.
        answers: whether anything is owed for the bytes: a pong, or a close.
    """

    kind: str
    who: str
    path: str
    headers: Mapping[str, str]
    sent: bytes
    is_valid: bool
    answers: bool = True
    is_cut: bool = False  # hangs up one side right after it has sent


def frame(opcode: int, data: bytes, *, is_masked: bool = True, head: int = 0x80) -> bytes:
    """Return a frame; `head` has the first bit and the reserved ones."""
    size, mark = len(data), 0x80 if is_masked else 0
    if size < 126:
        long = bytes([mark | size])
    elif size < 2**16:
        long = bytes([mark | 126]) + size.to_bytes(2)
    else:
        long = bytes([mark | 127]) + size.to_bytes(8)
    return bytes([head | opcode]) + long + (b"\0\0\0\0" if is_masked else b"") + data


class Sockets:
    """Draws connections; `port` is where, `people` those who are signed in."""

    def __init__(self, begin: int, port: int, people: tuple[str, ...]) -> None:
        """Prepare; `begin` is the seed."""
        self._drawn, self._people = Random(f"{begin}:sockets"), people
        self._right = {
            "host": f"127.0.0.1:{port}", "upgrade": "websocket", "connection": "Upgrade",
            "sec-websocket-version": "13", "origin": f"http://127.0.0.1:{port}",
        }  # fmt: skip

    def __iter__(self) -> Iterator[Socket]:
        """Draw without end: half of them right."""
        while True:
            yield self._valid() if self._drawn.random() < 0.5 else self._odd()

    def _valid(self) -> Socket:
        drawn, who = self._drawn, self._drawn.choice(self._people)
        kind, sent = drawn.choice([
            ("ping", frame(_PING, drawn.randbytes(drawn.randrange(126)))),
            ("close", frame(_CLOSE, drawn.choice([b"", b"\x03\xe8", b"\x03\xe8bye"]))),
            ("pong, close", frame(_PONG, b"x") + frame(_CLOSE, b"")),
            ("text", frame(_TEXT, drawn.choice(_TEXTS))),
            ("binary", frame(_BINARY, drawn.randbytes(drawn.randrange(2_000)))),
            ("fragments", frame(_TEXT, b"{", head=0) + frame(0, b"}")),
        ])  # fmt: skip
        return Socket(kind, who, "/ws/calls/", self._right, sent, is_valid=True)

    def _odd(self) -> Socket:
        drawn = self._drawn
        who = drawn.choice([*self._people, "", "made up"])
        headers, path = dict(self._right), "/ws/calls/"
        kind, sent, is_owed = drawn.choice(_ODD_FRAMES)
        how = drawn.random()
        if how < 0.4:
            name = drawn.choice([*headers, "sec-websocket-extensions", "sec-websocket-protocol"])
            headers[name] = drawn.choice(_ODD_VALUES)
            kind, sent = f"wrong {name}", frame(_PING, b"")
        elif how < 0.5:
            path = drawn.choice(["/ws/", "/ws/calls", "/ws/calls/x", "/mcp", "/", "/ws/calls/?%00"])
            kind, sent = "wrong address", frame(_PING, b"")
        elif how < 0.6:
            kind, sent, is_owed = "garbage", drawn.randbytes(drawn.randint(2, 400)), False
        return Socket(kind, who, path, headers, sent, False, is_owed, drawn.random() < 0.2)


async def exchange(socket: Socket, port: int, cookies: str) -> str:
    """Connect, send, and return what came: the status, and the opcode or close code after it.

    Raises:
        OSError, TimeoutError, ValueError: no answer, or none of HTTP.
    """
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {"sec-websocket-key": key, **socket.headers} | (
        {"cookie": cookies} if cookies else {}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {socket.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
        async with asyncio.timeout(SECONDS):
            first = await reader.readuntil(b"\r\n\r\n")
            status = first.split(b" ", 2)[1].decode()
            if status != "101":
                return status
            writer.write(socket.sent)
            if socket.is_cut:
                writer.write_eof()
                return "101 and cut"
            return f"101 {await _frames(reader)}" if socket.answers else "101 and gone"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _frames(reader: asyncio.StreamReader) -> str:
    """Return the first frame that is an answer to ours; hints about calls may come before it."""
    while True:
        try:
            head = await reader.readexactly(2)
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
            data = await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return "end"
        opcode = head[0] & 15
        if opcode == _CLOSE:
            return f"close {int.from_bytes(data[:2]) or ''}".strip()
        if opcode == _PONG:
            return "pong"


_TEXTS = (b"", b"{}", b'{"call":1}', b"null", b"[" * 5_000, "für Zoë".encode(), b"x" * 60_000)
_ODD_VALUES = (
    "", "x", "http://evil.example", "null", "http://127.0.0.1", "evil.example", "12", "99", "é",
    "http://127.0.0.1:1", "http://[::1", "permessage-deflate", "x" * 4_000, "a, b", "Upgrade, x",
)  # fmt: skip
_ODD_FRAMES = (
    ("unmasked", frame(_TEXT, b"x", is_masked=False), True),
    ("reserved bits", frame(_TEXT, b"x", head=0xF0), True),
    ("unknown opcode", frame(5, b"x"), True),
    ("not UTF-8", frame(_TEXT, b"\xff\xfe\xed\xa0\x80"), True),
    ("long ping", frame(_PING, b"x" * 200), True),
    ("ping in pieces", frame(_PING, b"x", head=0), True),
    ("continues nothing", frame(0, b"x"), True),
    ("close of one byte", frame(_CLOSE, b"\x03"), True),
    ("close with a code that is none", frame(_CLOSE, b"\x00\x05"), True),
    ("says it is huge", bytes([0x81, 0xFF]) + (2**62).to_bytes(8) + b"\0\0\0\0x", True),
    ("half a frame", frame(_TEXT, b"x" * 50)[:20], False),
    ("oversize", frame(_TEXT, b"x" * 300_000), True),
    ("many pings", frame(_PING, b"x") * 300, True),
)  # fmt: skip
