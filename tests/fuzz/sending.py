"""Sends what was drawn to a running installation, over real sockets, and judges each answer."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.faults.web import Answer, Broken, Web
from tests.fuzz import sockets
from tests.fuzz.inputs import Input
from tests.fuzz.sockets import Socket
from tests.fuzz.tally import Tally
from tests.support.running import Installation

LANES = 4  # requests on their way at once
_INTERNAL = -32603  # JSON-RPC's word for an exception that nobody handled


@dataclass
class Sender:
    """Everybody's connections; one of each person's in each lane."""

    installation: Installation
    tally: Tally
    _webs: dict[tuple[str, int], Web] = field(default_factory=dict)

    async def requests(self, surface: str, inputs: Iterable[Input]) -> None:
        """Send requests, a few at a time, and note what came of each."""
        waiting = iter(inputs)

        async def lane(number: int) -> None:
            for one in waiting:
                await self._request(surface, one, number)

        await asyncio.gather(*(lane(number) for number in range(LANES)))

    async def sockets(self, drawn: Iterable[Socket]) -> None:
        """Open sockets, a few at a time, and note what came of each."""
        waiting = iter(drawn)

        async def lane() -> None:
            for one in waiting:
                await self._socket(one)

        await asyncio.gather(*(lane() for _ in range(LANES)))

    async def fetch(self, who: str, path: str) -> Answer:
        """Fetch a page that is no input of the fuzz, but what it stands on."""
        return await self._web(who, 0).request("GET", path)

    def sign_in_again(self, who: str) -> None:
        """Begin a new session for somebody whose own has ended."""
        for key in [key for key in self._webs if key[0] in (who, "no token")]:
            self._webs.pop(key).close()
        self.installation.people.pop(who).http.close()

    async def close(self) -> None:
        """Hang up."""
        for web in self._webs.values():
            web.close()
        await asyncio.sleep(0)  # a connection is closed by the loop, at its next turn

    def _web(self, who: str, lane: int) -> Web:
        key = (who, lane)
        if key not in self._webs:
            web = self._webs[key] = Web(self.installation.port)
            name = "bo" if who == "no token" else who
            if name in PEOPLE:
                web.cookies = dict(self.installation.person(name).http.cookies)
        return self._webs[key]

    async def _request(self, surface: str, one: Input, lane: int) -> None:
        # An agent's connection carries no cookies, and each may have its own headers for it.
        web = self._web(one.who if surface != "mcp" else "", lane)
        headers = (
            {**self._credentials(one, web), **one.headers} if surface != "mcp" else one.headers
        )
        began = time.monotonic()
        try:
            try:
                answer = await web.request(one.method, one.path, one.body, headers)
            except Broken:  # a kept connection may end at any time; a new one may not
                began = time.monotonic()
                answer = await web.request(one.method, one.path, one.body, headers)
        except Broken as error:
            self.tally.add(surface, one, "no answer", time.monotonic() - began)
            self.tally.violation(f"{surface}: no answer ({error}) to {shown(one)}")
            return
        status = status_of(answer) if surface == "mcp" else str(answer.status)
        self.tally.add(surface, one, status, time.monotonic() - began, one.waits)
        if answer.status >= 500 or status.endswith(str(_INTERNAL)):
            self.tally.violation(f"{surface}: {status} to {shown(one)}")

    def _credentials(self, one: Input, web: Web) -> Mapping[str, str]:
        own = {}
        if one.who == "agent":
            own["authorization"] = f"Bearer {self.installation.key}"
        if one.method not in ("GET", "HEAD") and one.who in PEOPLE:
            own["x-csrftoken"] = web.cookies.get("csrftoken", "")
            own["origin"] = f"http://127.0.0.1:{self.installation.port}"
        return own

    async def _socket(self, one: Socket) -> None:
        cookies = "; ".join(f"{k}={v}" for k, v in self._web(one.who, 0).cookies.items())
        if one.who == "made up":
            cookies = f"countersign_session_{self.installation.port}=" + "x" * 32
        as_input = Input(one.kind, "GET", one.path, one.who, is_valid=one.is_valid)
        began = time.monotonic()
        try:
            status = await sockets.exchange(one, self.installation.port, cookies)
        except (OSError, TimeoutError, ValueError, EOFError) as error:
            status = f"no answer: {type(error).__name__}"
            if one.is_valid or isinstance(error, TimeoutError):
                self.tally.violation(f"websocket: {status} to {one.kind!r} of {one.who!r}")
        self.tally.add("websocket", as_input, status, time.monotonic() - began)
        if status.startswith("5"):
            self.tally.violation(f"websocket: {status} to {one.kind!r} of {one.who!r}")


PEOPLE = ("ann", "bo", "cy", "dee", "aud")


def status_of(answer: Answer) -> str:
    """Return the HTTP status of an MCP answer, and what its JSON-RPC message is."""
    text = answer.text
    if "text/event-stream" in answer.headers.get("content-type", ""):
        text = next((x[6:] for x in reversed(text.splitlines()) if x.startswith("data: {")), "")
    try:
        message = json.loads(text)
        if "error" in message:
            return f"{answer.status} error {message['error']['code']}"
        is_error = message["result"].get("isError")
    except (ValueError, LookupError, TypeError, AttributeError):
        return str(answer.status)
    return f"{answer.status} {'tool error' if is_error else 'result'}"


def shown(one: Input) -> str:
    """Return an input in one line, without its credentials."""
    headers = {name: text for name, text in one.headers.items() if name != "authorization"}
    said = f"{one.kind} by {one.who or 'nobody'}: {one.method} {one.path[:300]} {headers}"
    return f"{said[:900]} {one.body[:600]!r}"
