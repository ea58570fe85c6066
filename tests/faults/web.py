"""A small HTTP/1.1 client on asyncio: thousands of requests beside what they are to test."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

_SECONDS = 60.0


class Broken(Exception):
    """No whole answer came; whether the request was carried out is not known."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, whole."""

    status: int
    headers: Mapping[str, str]  # lower-case names; of one that came twice, the last
    cookies: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode(errors="replace")


class Web:
    """One kept connection to one server, one request at a time, with cookies."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str) -> Answer:
        """Fetch a page."""
        return await self.request("GET", path)

    async def form(self, path: str, fields: Mapping[str, object]) -> Answer:
        """Send a form as a browser would."""
        own = {"content-type": "application/x-www-form-urlencoded"}
        own |= {"origin": f"http://127.0.0.1:{self.port}"}
        return await self.request("POST", path, urlencode(fields, doseq=True).encode(), own)

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request; a kept connection that turns out closed is opened anew.

        Raises:
            Broken: see there.
        """
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if self.cookies:
            lines.append("cookie: " + "; ".join(f"{k}={v}" for k, v in self.cookies.items()))
        lines += [f"content-length: {len(body)}"] if body or method == "POST" else []
        whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        async with self._lock:
            try:
                answer = await asyncio.wait_for(self._exchange(whole), _SECONDS)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
                self.close()
                raise Broken(f"{type(error).__name__}: {error}") from None
        self.cookies.update(answer.cookies)
        return answer

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _exchange(self, whole: bytes) -> Answer:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=2**22
            )
        self._writer.write(whole)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        pairs = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]
        headers = dict(pairs)
        status = int(first.split()[1])
        body = b"" if whole.startswith(b"HEAD ") else await self._body(headers, status)
        cookies: dict[str, str] = {}
        for name, value in pairs:
            if name == "set-cookie" and (found := re.match(r"([^=;]+)=([^;]*)", value)):
                cookies[found[1]] = found[2]
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, headers, cookies, body)

    async def _body(self, headers: Mapping[str, str], status: int) -> bytes:
        assert self._reader is not None
        if status in (204, 304):
            return b""
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        parts = []
        while True:
            size = int(await self._reader.readuntil(b"\n"), 16)
            parts.append((await self._reader.readexactly(size + 2))[:-2])
            if size == 0:
                return b"".join(parts)
