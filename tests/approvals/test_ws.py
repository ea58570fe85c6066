"""The socket: who gets one, what it says, and that it listens to nobody."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.hashers import make_password

from approvals import access, events, lifecycle
from approvals.models import ApproverGroup, Person, ToolCall
from approvals.ws import audience, consumers
from approvals.ws.origins import is_own
from approvals.ws.routing import websockets
from tests.support import two_domains
from tests.support.visiting import visitor

# Channels closes connections that are inside a transaction, so these tests commit.
pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = "http://127.0.0.1:8000"
HOST = "127.0.0.1:8000"


def headers(person: Person | None, origin: str | None = ORIGIN, **more: str) -> Any:
    sent = {"host": HOST, **more}
    if person is not None:
        cookies = visitor(person).cookies
        sent["cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
    if origin is not None:
        sent["origin"] = origin
    return [(name.encode(), value.encode()) for name, value in sent.items()]


class Socket(WebsocketCommunicator):
    """A page's socket, closed when its test ends."""

    def __init__(self, sent: Any, path: str = "/ws/calls/") -> None:
        super().__init__(websockets, path, headers=sent)

    async def __aenter__(self) -> "Socket":
        self.is_open = (await self.connect(timeout=5))[0]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()


async def tell(call: ToolCall, version: int = 0, group: str = "") -> None:
    layer: Any = get_channel_layer()
    news = {"type": "call.changed", "call": str(call.pk), "version": version or call.version}
    await layer.group_send(group or events.domain_group(call.domain_id), news)


def run(story: Callable[[], Any]) -> Any:
    """Run an async story; what it asks of the database runs in this thread."""
    return async_to_sync(story)()


def opens(sent: Any) -> bool:
    async def story() -> bool:
        async with Socket(sent) as socket:
            return socket.is_open

    return bool(run(story))


def test_a_hint_says_which_call_changed_and_nothing_else(world, held_call):
    call, sent = held_call(), headers(world.bo)

    async def story() -> Any:
        async with Socket(sent) as socket:
            await tell(call)
            return await socket.receive_json_from(timeout=5)

    assert run(story) == {"call": str(call.pk), "version": 1}


@pytest.mark.parametrize("name", ["bo", "aud", "dee", "ann"])
def test_everybody_who_may_see_a_call_hears_of_it(world, held_call, name):
    call, sent = held_call(), headers(getattr(world, name))
    group = events.person_group(world.ann.pk) if name == "ann" else ""

    async def story() -> Any:
        async with Socket(sent) as socket:
            await tell(call, group=group)
            return await socket.receive_json_from(timeout=5)

    assert run(story)["call"] == str(call.pk)


def test_somebody_without_rights_hears_nothing_of_it(world, held_call):
    call, sent = held_call(), headers(world.eve)
    own = events.person_group(world.eve.pk)

    async def story() -> Any:
        async with Socket(sent) as socket:
            await tell(call)
            # Even through her own group: what she may see is asked at each delivery.
            await tell(call, group=own)
            return await socket.receive_nothing(timeout=0.5)

    assert run(story)


def test_who_lost_their_role_hears_nothing_more(world, held_call):
    call, sent = held_call(), headers(world.bo)

    def dismiss() -> None:
        ApproverGroup.objects.get().people.remove(world.bo)

    async def story() -> Any:
        async with Socket(sent) as socket:
            await sync_to_async(dismiss)()
            await tell(call)
            return await socket.receive_nothing(timeout=0.5)

    assert run(story)


@pytest.mark.parametrize("how", ["sign out", "password", "switch off"])
def test_the_end_of_a_session_is_the_end_of_its_socket(world, held_call, how):
    call, browser = held_call(), visitor(world.bo)
    sent = headers(None, cookie="; ".join(f"{n}={m.value}" for n, m in browser.cookies.items()))
    ends = {
        "sign out": lambda: browser.post("/accounts/logout/"),
        "password": lambda: Person.objects.filter(pk=world.bo.pk).update(
            password=make_password("x")
        ),
        "switch off": lambda: Person.objects.filter(pk=world.bo.pk).update(is_active=False),
    }

    async def story() -> Any:
        async with Socket(sent) as socket:
            assert socket.is_open
            await sync_to_async(ends[how])()
            await tell(call)
            return await socket.receive_output(timeout=5)

    assert run(story) == {"type": "websocket.close", "code": consumers.SIGNED_OUT}


def test_a_new_role_is_heard_of_without_a_reload(world, held_call, monkeypatch):
    monkeypatch.setattr(consumers, "REJOIN_SECONDS", 0.05)
    call, sent = held_call(), headers(world.eve)
    approvers = ApproverGroup.objects.get().people

    async def story() -> Any:
        async with Socket(sent) as socket:
            await sync_to_async(approvers.add)(world.eve)
            for _ in range(100):
                await tell(call)
                if not await socket.receive_nothing(timeout=0.05):
                    return await socket.receive_json_from(timeout=5)
            return None

    assert run(story) == {"call": str(call.pk), "version": 1}


def test_hints_close_together_are_told_together_with_the_newest_version(world, held_call):
    call, sent = held_call(), headers(world.bo)

    async def story() -> Any:
        async with Socket(sent) as socket:
            for version in range(1, 50):
                await tell(call, version)
                await asyncio.sleep(0)
            told = [await socket.receive_json_from(timeout=5)]
            while told[-1]["version"] != 49:
                told.append(await socket.receive_json_from(timeout=5))
            return told

    assert len(run(story)) < 10


@pytest.mark.parametrize("frame", ["{}", '{"type": "call.changed"}', "x" * 10_000])
def test_anything_a_page_sends_closes_its_socket(world, frame):
    sent = headers(world.bo)

    async def story() -> Any:
        async with Socket(sent) as socket:
            await socket.send_to(text_data=frame)
            return await socket.receive_output(timeout=5)

    assert run(story) == {"type": "websocket.close", "code": consumers.NOTHING_IS_ACCEPTED}


def test_a_page_too_far_behind_is_closed_to_read_its_list_again(world, held_call, monkeypatch):
    monkeypatch.setattr(consumers, "MOST_WAITING", 3)
    monkeypatch.setattr(consumers, "PAUSE_SECONDS", 60)
    calls = [held_call(arguments={"amount": n}) for n in range(1, 7)]
    sent = headers(world.bo)

    async def story() -> Any:
        async with Socket(sent) as socket:
            await tell(calls[0])
            await socket.receive_json_from(timeout=5)
            for call in calls[1:]:
                await tell(call)
            return await socket.receive_output(timeout=5)

    assert run(story) == {"type": "websocket.close", "code": consumers.TOO_FAR_BEHIND}


# Whether it opens, and whether the others hear of a call in billing, and of one in deploys.
SOCKETS = {
    "none": (False, False, False), "bo": (True, True, False), "ann": (True, True, False),
    "aud": (True, True, True), "dee": (True, True, True), "eve": (True, False, True),
    "key": (False, False, False), "gone": (False, False, False), "away": (False, False, False),
}  # fmt: skip


@pytest.mark.parametrize("column", two_domains.COLUMNS)
def test_everybody_gets_the_socket_and_the_hints_that_the_table_says(transactional_db, column):
    two = two_domains.build()
    calls = [place.calls["pending"] for place in (two.billing, two.deploys)]
    more = {"authorization": f"Bearer {two.keys[column]}"} if column in two.keys else {}
    person = getattr(two.world, column) if column in two_domains.PEOPLE else None
    sent = headers(person, **more)
    own = events.person_group(person.pk if person else two.world.bo.pk)

    async def story() -> Any:
        heard = set()
        async with Socket(sent) as socket:
            for call in calls if socket.is_open else ():
                await tell(call, group=own)  # reaches every socket of theirs, rights or not
            while socket.is_open and not await socket.receive_nothing(timeout=0.5):
                heard.add((await socket.receive_json_from(timeout=5))["call"])
            return (socket.is_open, *(str(call.pk) in heard for call in calls))

    assert run(story) == SOCKETS[column]


def test_nobody_gets_a_socket_with_a_session_that_is_none(world):
    assert not opens(headers(None, cookie="countersign_session_8000=nonsense"))


@pytest.mark.parametrize(
    "origin",
    [
        None, "null", "", "http://evil.example", "http://127.0.0.1:8001", "https://127.0.0.1:8000",
        "http://127.0.0.1:8000.evil.example", "http://127.0.0.1", "http://localhost:8000",
        "file://", "http://[", "127.0.0.1:8000",
    ],
)  # fmt: skip
def test_nobody_gets_a_socket_from_another_page(world, origin):
    assert not opens(headers(world.bo, origin))


@pytest.mark.parametrize("path", ["/", "/ws/", "/ws/calls", "/ws/calls/x", "/mcp"])
def test_an_address_without_a_socket_is_denied_and_is_no_error_of_ours(world, path):
    sent = headers(world.bo)

    async def story():
        async with Socket(sent, path) as socket:
            assert not socket.is_open

    run(story)


def test_the_host_asked_for_is_an_origin_only_when_it_is_ours(world):
    def comes_in(origin: str, host: str, scheme: str = "ws") -> bool:
        sent = [(b"origin", origin.encode()), (b"host", host.encode())]
        return is_own({"scheme": scheme, "headers": sent})

    assert comes_in("http://localhost:8000", "localhost:8000")
    assert comes_in("https://localhost", "localhost", "wss")
    assert not comes_in("http://evil.example", "evil.example")
    assert comes_in(ORIGIN, "evil.example")  # PUBLIC_URL, whatever a proxy calls the host
    assert not is_own({"scheme": "ws", "headers": [(b"origin", ORIGIN.encode())] * 2})


def test_a_person_has_ten_sockets_and_gets_one_back_when_one_closes(world):
    sent = headers(world.bo)

    async def story() -> Any:
        sockets = [Socket(sent) for _ in range(audience.MOST_SOCKETS)]
        opened = [(await socket.connect(timeout=5))[0] for socket in sockets]
        async with Socket(sent) as one_more:
            refused = not one_more.is_open
        await sockets.pop().disconnect()
        async with Socket(sent) as in_its_place:
            opened.append(in_its_place.is_open)
        for socket in sockets:
            await socket.disconnect()
        return opened, refused

    opened, refused = run(story)
    assert all(opened)
    assert refused


def test_a_decision_reaches_the_pages_of_the_others(world, held_call):
    call, sent = held_call(quorum=2), headers(world.cy)

    def sign() -> None:
        lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)

    async def story() -> Any:
        async with Socket(sent) as socket:
            await sync_to_async(sign)()
            news = await socket.receive_json_from(timeout=5)
            while news["version"] < 2:
                news = await socket.receive_json_from(timeout=5)
            return news

    assert run(story) == {"call": str(call.pk), "version": 2}
    assert access.visible_to(world.cy).get().version == 2
