"""HTTP towards upstream servers: checked addresses, no redirects, bounded answers, all on record.

The SDK's transport shares one task group among all requests of a session, so an exception of one
would end the others. This transport therefore raises nothing: what goes wrong becomes an answer
with status 502, and the request's exchange says what it was.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import httpx2

from mcp_bridge.upstreams.addresses import Addresses, Forbidden
from mcp_bridge.upstreams.exchange import Exchange, Refused, Watched

MAX_ANSWER_BYTES = 8 * 1024 * 1024
LONGEST_SECONDS = 1_300.0  # the longest time-out of a call, and as long again for a late answer
_CONNECT_SECONDS = 5.0
_GET_PAUSE_SECONDS = 1.0  # between two tries to follow a stream; the server has no say in it
_ENDLESS = "subscriptions/listen"  # the one request whose answer is to stay open
_CANCELLED = b"notifications/cancelled"
_NEVER_OPENED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class UpstreamTransport(httpx2.AsyncBaseTransport):
    """Sends the requests of one session with one upstream."""

    def __init__(self, watched: Watched, listed: str) -> None:
        """Prepare; nothing is connected yet.

        Args:
            listed: the host that an operator named, which may therefore be a private one.
        """
        self.trouble = ""  # of the newest request: in words, what went wrong
        self._watched = watched
        self._addresses = Addresses({listed})
        # The environment decides which authorities are trusted, and nothing else: see `client`.
        self._inner = httpx2.AsyncHTTPTransport(
            retries=0, limits=httpx2.Limits(max_connections=200, max_keepalive_connections=50)
        )
        self._next_get_at = 0.0
        self._aside: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; see the module for what comes back when that goes wrong."""
        exchange = Exchange()
        try:
            exchange = self._watched.take(request.headers)
            if request.method == "POST":
                exchange.begin(request.content)
                if _CANCELLED in request.content and _is_cancellation(request.content):
                    return self._send_aside(request)
            elif request.method == "GET":
                await self._pause()
            response = await self._send(request, exchange)
        except Refused:
            return _refusal(request)
        failed = f"it answered HTTP {exchange.status}" if exchange.status >= 400 else ""
        self.trouble = exchange.trouble or failed
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        for sending in self._aside:
            sending.cancel()
        await self._inner.aclose()

    def _send_aside(self, request: httpx2.Request) -> httpx2.Response:
        """Send what nobody waits for; the SDK would keep every later message waiting for it."""

        async def send() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    response = await self._send(request, Exchange())
                    await response.aclose()

        sending = asyncio.create_task(send())
        self._aside.add(sending)
        sending.add_done_callback(self._aside.discard)
        return httpx2.Response(202, request=request, stream=httpx2.ByteStream(b""))

    async def _pause(self) -> None:
        clock = asyncio.get_running_loop().time
        wait, self._next_get_at = self._next_get_at - clock(), clock() + _GET_PAUSE_SECONDS
        await asyncio.sleep(max(0.0, wait))

    async def _send(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        is_endless = request.method == "GET" or request.headers.get("mcp-method") == _ENDLESS
        seconds = _CONNECT_SECONDS if request.method == "DELETE" else LONGEST_SECONDS
        end = asyncio.get_running_loop().time() + seconds
        deadline = None if is_endless else end
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._connected(request, exchange)
        except Forbidden as error:
            exchange.broke(f"no connection: {error}")
        except TimeoutError:
            exchange.broke("no answer came")
        except OSError as error:
            exchange.broke(f"no connection: {error.strerror}")
        except httpx2.HTTPError as error:
            exchange.broke(f"the connection broke ({_words(error)})")
        else:
            return await self._checked(
                response, request, exchange, None if is_endless else deadline
            )
        return _refusal(request)

    async def _connected(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        """Send to the first address that lets us connect; nothing left for the others."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        failure: httpx2.HTTPError = httpx2.ConnectError("no address")
        for address in list(await self._addresses.of(url.host, port)):
            exchange.has_left = True
            try:
                response = await self._inner.handle_async_request(_to(request, address, exchange))
            except _NEVER_OPENED as error:
                exchange.has_left = False
                failure = error
                continue
            self._addresses.prefer(url.host, port, address)
            return response
        raise OSError(None, f"{url.host}:{port} cannot be connected to ({_words(failure)})")

    async def _checked(
        self,
        response: httpx2.Response,
        request: httpx2.Request,
        exchange: Exchange,
        deadline: float | None,
    ) -> httpx2.Response:
        exchange.status = response.status_code
        exchange.content_type = response.headers.get("content-type", "").strip().lower()
        encoding = response.headers.get("content-encoding", "identity")
        if 300 <= response.status_code < 400:
            exchange.trouble = f"it answered with a redirect (HTTP {response.status_code})"
        elif encoding != "identity":
            # Unpacked, a few bytes may be gigabytes; it was told to send none.
            exchange.trouble = f"its answer is encoded as {encoding[:20]!r}"
        else:
            assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - async client
            response.stream = _Body(response.stream, exchange, deadline)
            return response
        await response.aclose()
        return _refusal(request)


class _Leaving(httpx2.AsyncByteStream):
    """A request's body on its way out: read when the headers have left."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield it; who asks for more has written what it had."""
        self._exchange.passes("first-byte")
        async for part in self._inner:
            yield part
        self._exchange.passes("last-byte")


class _Body(httpx2.AsyncByteStream):
    """An answer's body: bounded in size and time, kept as evidence, and ended instead of broken."""

    def __init__(
        self, inner: httpx2.AsyncByteStream, exchange: Exchange, deadline: float | None
    ) -> None:
        """Wrap a body.

        Args:
            deadline: by the loop's clock; None for a stream that is to stay open.
        """
        self._inner = inner
        self._exchange = exchange
        self._deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        size, exchange = 0, self._exchange
        parts = aiter(self._inner)
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    part = await anext(parts)
            except StopAsyncIteration:
                if exchange.content_type.startswith("application/json"):
                    exchange.ended()
                return
            except (httpx2.HTTPError, TimeoutError) as error:
                exchange.broke(f"the answer broke off ({_words(error)})")
                return
            size += len(part) if self._deadline is not None else 0
            if size > MAX_ANSWER_BYTES:
                exchange.trouble = f"its answer has more than {MAX_ANSWER_BYTES} bytes"
                return
            if exchange.keeps_body:
                exchange.body += part
            yield part

    async def aclose(self) -> None:
        """Close the connection's side of it."""
        await self._inner.aclose()


def client(headers: Mapping[str, str], transport: UpstreamTransport) -> httpx2.AsyncClient:
    """Return the one kind of HTTP client that talks to upstreams."""
    return httpx2.AsyncClient(
        headers={**headers, "accept-encoding": "identity"},
        transport=transport,
        timeout=httpx2.Timeout(connect=_CONNECT_SECONDS, read=None, write=30, pool=10),
        follow_redirects=False,
        max_redirects=0,
        auth=None,
        # A proxy of the environment would connect to addresses that nobody here has checked.
        trust_env=False,
    )


def _to(request: httpx2.Request, address: str, exchange: Exchange) -> httpx2.Request:
    """Return the same request to one address; Host and the certificate's name stay the host's."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=_Leaving(request.stream, exchange),
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def _is_cancellation(message: bytes) -> bool:
    return bool(json.loads(message).get("method") == _CANCELLED.decode())


def _refusal(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(502, request=request, stream=httpx2.ByteStream(b""))


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
