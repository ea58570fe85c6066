"""The socket of an open page: says which call changed, nothing else, and accepts nothing."""

import asyncio
import contextlib
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from approvals.models import Person
from approvals.ws import audience

# Hints that come closer together are told together.
PAUSE_SECONDS = 0.1
# Calls; a page that is so far behind reads its list again. As many again may be on their way to it,
# and both together, with what the server keeps unsent, stay below 512 KiB.
MOST_WAITING = 500
REJOIN_SECONDS = 15  # how soon a page hears of a domain its person was just given

SIGNED_OUT, TOO_FAR_BEHIND, NOTHING_IS_ACCEPTED = 4401, 1013, 1008


class CallsConsumer(AsyncJsonWebsocketConsumer):
    """Tells one person's open page which calls changed; the page asks for them by itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._person_id: int | None = None
        self._joined: set[str] = set()
        self._waiting: dict[str, int] = {}  # call → newest version heard of
        self._delivery: asyncio.Task[None] | None = None
        self._rejoining: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Let in whoever is signed in; subscribe first, so that nothing falls between."""
        person = await self._person()
        if person is None or not audience.enter(person):
            await self.close()
            return
        self._person_id = person.pk
        await self._join(await audience.groups_of(person))
        await self.accept()
        self._rejoining = asyncio.create_task(self._rejoin())

    async def disconnect(self, code: int) -> None:
        """Leave everything."""
        self._stop(self._delivery, self._rejoining, self._leaving)
        await self._join(set())
        if self._person_id is not None:
            audience.leave(self._person_id)
            self._person_id = None

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Close: there is nothing a page could tell this socket."""
        await self.close(code=NOTHING_IS_ACCEPTED)

    async def call_changed(self, message: dict[str, Any]) -> None:
        """Note a hint, and deliver it at once unless the last one was a moment ago."""
        if self._leaving is not None:
            return
        call, version = str(message["call"]), int(message["version"])
        self._waiting[call] = max(version, self._waiting.get(call, 0))
        if len(self._waiting) > MOST_WAITING:
            self._waiting = {}
            self._stop(self._delivery, self._rejoining)
            self._leaving = asyncio.create_task(self._give_up())
        elif self._delivery is None or self._delivery.done():
            self._delivery = asyncio.create_task(self._deliver())

    async def _deliver(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the page went away meanwhile
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                person = await self._person()
                if person is None:
                    await self.close(code=SIGNED_OUT)
                    return
                seen = await audience.visible(person, waiting)
                for call in [call for call in waiting if call in seen]:
                    await self.send_json({"call": call, "version": waiting[call]})
                await asyncio.sleep(PAUSE_SECONDS)

    async def _give_up(self) -> None:
        """Hear nothing more, then close: where nobody reads, that waits for as long as it is so."""
        with contextlib.suppress(OSError, RuntimeError):
            await self._join(set())
            await self.close(code=TOO_FAR_BEHIND)

    def _stop(self, *tasks: asyncio.Task[None] | None) -> None:
        for task in tasks:
            if task is not None:
                task.cancel()

    async def _rejoin(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while True:
                await asyncio.sleep(REJOIN_SECONDS)
                person = await self._person()
                if person is None:
                    await self.close(code=SIGNED_OUT)
                    return
                await self._join(await audience.groups_of(person))

    async def _join(self, groups: set[str]) -> None:
        for group in groups - self._joined:
            await self.channel_layer.group_add(group, self.channel_name)
        for group in self._joined - groups:
            await self.channel_layer.group_discard(group, self.channel_name)
        self._joined = groups

    async def _person(self) -> Person | None:
        # Asked anew each time: a page may outlive its session, a role, a password.
        return await audience.person_of(self.scope["session"].session_key)
