"""Reads from modern HTTP upstreams, in one POST each: what passes thousands of times, done leanly.

The SDK's client sends through queues, tasks and a transport made for everything MCP can do; a read
needs none of it. Sessions are still opened by the SDK: it finds out who the server is and which era
it speaks. Releases never come this way.
"""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, PARSE_ERROR

from mcp_bridge.upstreams.addresses import Addresses, Forbidden
from mcp_bridge.upstreams.exchange import Exchange
from mcp_bridge.upstreams.outbound import MAX_ANSWER_BYTES

_CONNECT_SECONDS = 5.0
_AT_ONCE = 200
# Many servers close what is idle for five seconds, and a request that meets that is lost.
_KEPT_SECONDS = 4.0


class DirectReads:
    """The kept HTTP connections to one upstream that reads go through."""

    def __init__(self, url: str, host: str, headers: Mapping[str, str]) -> None:
        """Prepare, on the loop that will use it.

        Args:
            host: of the url, which an operator named, so it may be a private one.
            headers: the credentials, resolved.
        """
        self._url = url
        self._numbers = count(1)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Checked({host}), limit=_AT_ONCE, keepalive_timeout=_KEPT_SECONDS
            ),
            headers={
                **headers,
                "accept": "application/json, text/event-stream",
                "accept-encoding": "identity",
                "content-type": "application/json",
            },
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def request(
        self,
        session: ClientSession,
        data: dict[str, Any],
        headers: Mapping[str, str],
        exchange: Exchange,
    ) -> dict[str, Any]:
        """Send one request and return its raw result.

        Args:
            session: an open modern session with the same server; stamps what it negotiated.
            data: {"method", "params"}.

        Raises:
            MCPError: the upstream's error, or one that says what went wrong on the way.
        """
        options: Any = {"headers": dict(headers)}
        session._stamp(data, options)  # noqa: SLF001 - the SDK has no public raw request
        message = {"jsonrpc": "2.0", "id": next(self._numbers), **data}
        body = json.dumps(message, separators=(",", ":")).encode()
        exchange.has_left = True
        try:
            async with self._http.post(
                self._url, data=body, headers=options["headers"], allow_redirects=False
            ) as response:
                return await _answer(response, message["id"], exchange)
        except (aiohttp.ClientConnectorError, Forbidden) as error:
            exchange.has_left = False
            exchange.broke(f"no connection: {_words(error)}")
        except aiohttp.ClientPayloadError:
            exchange.broke("the answer broke off")
        except (aiohttp.ClientError, ConnectionError) as error:
            exchange.broke(f"the connection broke ({_words(error)})")
        raise MCPError(INTERNAL_ERROR, exchange.trouble)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.close()


class _Checked(AbstractResolver):
    """Resolves a host to addresses that were checked, and to nothing else."""

    def __init__(self, listed: set[str]) -> None:
        self._addresses = Addresses(listed)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return what may be connected to, in the order to try."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._addresses.of(host, port)
        ]

    async def close(self) -> None:
        """There is nothing to close."""


async def _answer(
    response: aiohttp.ClientResponse, number: object, exchange: Exchange
) -> dict[str, Any]:
    exchange.status = response.status
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if 300 <= response.status < 400:
        exchange.trouble = f"it answered with a redirect (HTTP {response.status})"
    elif (encoding := response.headers.get("content-encoding", "identity")) != "identity":
        # Unpacked, a few bytes may be gigabytes; it was told to send none.
        exchange.trouble = f"its answer is encoded as {encoding[:20]!r}"
    elif kind == "text/event-stream":
        return _result(await _event(response, number, exchange), exchange)
    elif kind == "application/json":
        return _result(_parsed(await _whole(response, exchange)), exchange)
    elif response.status == 200:
        exchange.trouble = f"it answered with {kind[:50] or 'no type'} in place of JSON"
    else:
        exchange.trouble = f"it answered HTTP {response.status}"
    raise MCPError(INTERNAL_ERROR, exchange.trouble)


def _result(message: object, exchange: Exchange) -> dict[str, Any]:
    if isinstance(message, dict) and isinstance(message.get("result"), dict):
        result: dict[str, Any] = message["result"]
        return result
    error = message.get("error") if isinstance(message, dict) else None
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        raise MCPError(error["code"], str(error.get("message", "")))
    if exchange.status >= 400:
        exchange.trouble = f"it answered HTTP {exchange.status}"
    raise MCPError(PARSE_ERROR, exchange.trouble or "its answer cannot be read")


async def _whole(response: aiohttp.ClientResponse, exchange: Exchange) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        _hold_to_size(len(body), exchange)
    return bytes(body)


async def _event(response: aiohttp.ClientResponse, number: object, exchange: Exchange) -> object:
    """Return the message that answers; progress and notices before it are not for us."""
    size, data = 0, list[bytes]()
    async for line in _lines(response):
        size += len(line)
        _hold_to_size(size, exchange)
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif not line.strip() and data:
            message = _parsed(b"\n".join(data))
            if isinstance(message, dict) and message.get("id") == number:
                return message
            data = []
    exchange.trouble = "its stream ended without a response"
    raise MCPError(INTERNAL_ERROR, exchange.trouble)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield lines of any length; the library's own reader refuses long ones."""
    begun, size = list[bytes](), 0  # of the line that is not complete; joined once, not per part
    async for part in response.content.iter_any():
        *lines, rest = part.split(b"\n")
        for line in lines:
            yield b"".join([*begun, line]).rstrip(b"\r")
            begun, size = [], 0
        begun.append(rest)
        size += len(rest)
        if size > MAX_ANSWER_BYTES:
            break
    yield b"".join(begun)


def _hold_to_size(size: int, exchange: Exchange) -> None:
    if size > MAX_ANSWER_BYTES:
        exchange.trouble = f"its answer has more than {MAX_ANSWER_BYTES} bytes"
        raise MCPError(INTERNAL_ERROR, exchange.trouble)


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
