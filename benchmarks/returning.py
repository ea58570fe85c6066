"""A restart of the server with many pages open: how soon all of them show what is true again.

Each page is a WebSocket of a signed-in person. When it is cut off it connects again within a second
of the server's return, reads its list, and after each hint what the hint is about, as the script of
a real page does. A call that is held meanwhile must be on all of them in the end.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from benchmarks.goals import Figure
from benchmarks.holding import hold
from benchmarks.places import Outcome, Size, allow_open_files, cpu_seconds, on_both, prepared
from benchmarks.raw import Connection
from tests.support.running import ROOT, Installation

SOCKETS_EACH = 10  # of one person: the product allows no more
_WITHIN_SECONDS = 1.0  # of the server's return they all come
_LONGEST_SECONDS = 300
_SPARE_FILES = 1_000
_ROW = re.compile(r'data-call="([0-9a-f-]{36})"')


def run(folder: Path, size: Size) -> Outcome:
    """Measure on both databases."""
    return on_both(_measure, folder, size)


def _measure(folder: Path, place: str, size: Size) -> tuple[list[Figure], object]:
    allow_open_files(2 * size.sockets + _SPARE_FILES)
    with prepared(folder, place, {"grace_seconds": 1}) as installation:
        cookies = sign_in(installation, -(-size.sockets // SOCKETS_EACH))
        with installation.running():
            took, cpu = asyncio.run(reconverge(installation, cookies, size.sockets))
    figures = [Figure("reconverge", place, round(max(took), 1))]
    details = {"sockets": size.sockets, "server_cpu_seconds": cpu, "seconds": sorted(took)}
    return figures, details


def sign_in(installation: Installation, people: int) -> list[str]:
    """Create that many approvers, and return a Cookie header with a session of each."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sessions", str(people)], cwd=ROOT,
        env={
            **installation.environment(), "COUNTERSIGN_DATA": str(installation.data),
            "PUBLIC_URL": installation.url,  # cookies are named after its port
        },
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return [str(cookie) for cookie in json.loads(done.stdout)]


@dataclass
class Page:
    """One open page: what it shows, and how it keeps that true."""

    installation: Installation
    cookie: str
    shown: set[str] = field(default_factory=set)
    socket: ClientConnection | None = None

    async def connect(self) -> None:
        """Open the socket, then read the list: what was said before is lost."""
        address = f"{self.installation.url.replace('http', 'ws', 1)}/ws/calls/"
        self.socket = await connect(
            address, origin=Origin(self.installation.url), proxy=None,
            additional_headers={"Cookie": self.cookie}, open_timeout=_LONGEST_SECONDS,
        )  # fmt: skip
        self.shown = await self._rows("/")

    async def listen(self) -> None:
        """Ask for whatever a hint is about, until the socket is closed."""
        assert self.socket is not None
        with suppress(ConnectionClosed):
            async for message in self.socket:
                call = json.loads(message)["call"]
                self.shown |= await self._rows(f"/queue/changes/?id={call}")

    async def until_shown(self, held: "asyncio.Future[str]", until: float) -> None:
        """Connect, and return once the call that is held meanwhile is on the page."""
        await self.connect()
        listening = asyncio.create_task(self.listen())
        try:
            call = await held
            while call not in self.shown:
                if time.monotonic() > until:
                    raise RuntimeError(f"a page does not show {call}")
                await asyncio.sleep(0.02)
        finally:
            listening.cancel()

    async def _rows(self, path: str) -> set[str]:
        connection = await Connection(self.installation.url).open()
        try:
            return set(_ROW.findall(await connection.page(path, self.cookie)))
        finally:
            connection.close()


async def reconverge(
    installation: Installation, cookies: list[str], sockets: int
) -> tuple[list[float], float]:
    """Restart the server under so many pages.

    Returns:
        The seconds after which each page showed what is true, counted from the server's return,
        and the CPU seconds the server spent on it.
    """
    pages = [Page(installation, cookies[n // SOCKETS_EACH]) for n in range(sockets)]
    before, _ = await hold(installation, 0)
    for page in pages:
        await page.connect()
        if before not in page.shown:
            raise RuntimeError("a page does not show a call that is held")
    installation.kill()
    await asyncio.gather(*(page.socket.wait_closed() for page in pages if page.socket is not None))
    await asyncio.to_thread(installation.start)
    return await _returned(installation, pages)


async def _returned(installation: Installation, pages: list[Page]) -> tuple[list[float], float]:
    chance = random.Random(3)  # noqa: S311 - the same crowd in every run
    began, used = time.monotonic(), cpu_seconds(installation)
    held: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def comes_back(page: Page, after: float) -> float:
        await asyncio.sleep(after)
        await page.until_shown(held, began + _LONGEST_SECONDS)
        return time.monotonic() - began

    # Some have read their list before the call is held and need its hint, others read it later.
    coming = [
        asyncio.create_task(comes_back(page, chance.uniform(0, _WITHIN_SECONDS))) for page in pages
    ]
    await asyncio.sleep(_WITHIN_SECONDS / 2)
    held.set_result((await hold(installation, 1))[0])
    took = await asyncio.gather(*coming)
    cpu = cpu_seconds(installation) - used
    for page in pages:
        if page.socket is not None:
            await page.socket.close()
    return list(took), round(cpu, 2)
