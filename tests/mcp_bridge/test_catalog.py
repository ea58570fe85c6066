"""How upstream lists become the catalogue: page by page, changed, gone, back; kept on failure."""

from collections.abc import Iterator
from typing import Any

import pytest

from approvals.administration import catalog as administration
from approvals.errors import TemporarilyUnavailable
from approvals.models import Tool, ToolCall, Upstream
from mcp_bridge.upstreams import catalog
from mcp_bridge.upstreams.targets import PLAIN, WRITE
from tests.support import upstreams as servers
from tests.support import world as worlds
from tests.support.asking import Asking, asking, put
from tests.support.plain_upstream import LEGACY, MODERN
from tests.support.running import until
from tests.support.upstreams import TOOLS, HttpUpstream, StdioUpstream
from tests.support.world import ACTOR, World, definition

S = ToolCall.Status


@pytest.fixture
def bridge() -> Iterator[Asking]:
    with asking() as ours:
        yield ours


@pytest.fixture
def server() -> Iterator[HttpUpstream]:
    with servers.serving() as upstream:
        yield upstream


def refresh(asks: Asking, upstream: Upstream) -> Any:
    """Read an upstream's list, and return the differences."""

    async def work() -> Any:
        connection = await asks.sessions.connection(upstream.pk)
        return await catalog.refresh(connection, actor=ACTOR)

    return asks.run(work())


def names(upstream: Upstream) -> set[str]:
    return set(upstream.tools.filter(is_listed=True).values_list("name", flat=True))


def test_a_list_is_taken_over_and_its_broken_tools_are_told(
    world: World, bridge: Asking, server: HttpUpstream
):
    server.tools = [*TOOLS, definition("broken", inputSchema={}), definition("x" * 300)]
    upstream = put(world.billing, server)

    assert set(refresh(bridge, upstream).added) == {"refund", "get_customer"}

    upstream.refresh_from_db()
    assert names(upstream) == {"refund", "get_customer"}
    assert [told["name"][:6] for told in upstream.dropped_tools] == ["broken", "xxxxxx"]
    assert upstream.listed_at
    assert upstream.server_info["name"] == "plain"


def test_a_list_of_many_pages_is_read_to_its_end(
    world: World, bridge: Asking, server: HttpUpstream
):
    server.pages = [
        {"tools": [definition(f"t{n}")], **({"next": str(n + 1)} if n < 9 else {})}
        for n in range(10)
    ]
    upstream = put(world.billing, server)

    refresh(bridge, upstream)

    assert names(upstream) == {f"t{n}" for n in range(10)}


CIRCLE = [{"tools": [TOOLS[0]], "next": "1"}, {"tools": [TOOLS[1]], "next": "1"}]
FAILURES: dict[str, tuple[Any, str]] = {
    "a page": (servers.http(200, b"<html>"), "text/html"),
    "502": (servers.http(502), "502"),
    "an error": (servers.fails(-32603), "This is error -32603"),
    "no list": (servers.says({"tools": {"a": 1}}), "no list"),
    "nothing": (servers.says({}), "no list"),
    "a cut list": (servers.breaks_off(30), "broke off"),
    "a redirect": (servers.redirects(307, "/x"), "redirect"),
}  # fmt: skip


def test_a_list_that_fails_keeps_the_old_one_and_says_why(
    world: World, bridge: Asking, server: HttpUpstream
):
    upstream = put(world.billing, server)
    refresh(bridge, upstream)
    listed_at = Upstream.objects.get(pk=upstream.pk).listed_at

    def fails(word: str, case: str) -> None:
        with pytest.raises(TemporarilyUnavailable):
            refresh(bridge, upstream)
        upstream.refresh_from_db()
        assert word in upstream.list_error, case
        assert upstream.listed_at == listed_at
        assert names(upstream) == {"refund", "get_customer"}

    for case, (way, word) in FAILURES.items():
        server.ways["tools/list"] = way
        fails(word, case)
    server.ways.clear()
    server.pages = CIRCLE
    fails("circle", "a circle")
    server.stop()
    fails("cannot be connected to", "down")

    server.start()
    server.pages = []
    until(lambda: _is_listed(bridge, upstream), "a list when it is back")
    assert Upstream.objects.get(pk=upstream.pk).list_error == ""


def _is_listed(bridge: Asking, upstream: Upstream) -> bool:
    try:
        refresh(bridge, upstream)
    except TemporarilyUnavailable:
        return False
    return True


def test_operators_read_the_last_words_of_a_child_without_secrets_and_agents_do_not(
    world: World, bridge: Asking, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("READ_TOKEN", "very-secret")
    child = StdioUpstream(tmp_path / "child")
    child.script |= {"exit": 1, "last_words": "cannot sign in with very-secret"}
    child.write()
    upstream = put(world.billing, child, launch={"env": {"T": "${READ_TOKEN}"}})

    with pytest.raises(TemporarilyUnavailable) as caught:
        refresh(bridge, upstream)

    upstream.refresh_from_db()
    assert "cannot sign in with ${READ_TOKEN}" in upstream.list_error
    assert "sign in" not in caught.value.message


def test_a_changed_definition_changes_the_tool_and_voids_what_waits(
    world: World, bridge: Asking, server: HttpUpstream
):
    upstream = put(world.billing, server, "billing")
    refresh(bridge, upstream)
    pending = worlds.hold(world)
    approved = worlds.hold(world, arguments=worlds.REFUND | {"memo": "2"})
    worlds.walk(approved, world, S.APPROVED)
    server.tools = [definition("refund", title="Refund everything"), TOOLS[1]]

    found = refresh(bridge, upstream)

    assert list(found.changed) == ["refund"]
    assert Tool.objects.get(name="refund").effect == Tool.CHANGED
    assert {ToolCall.objects.get(pk=call.pk).status for call in (pending, approved)} == {S.VOID}
    assert not refresh(bridge, upstream)


def test_a_tool_that_goes_and_comes_back_the_same_is_trusted_as_before(
    world: World, bridge: Asking, server: HttpUpstream
):
    upstream = put(world.billing, server, "billing")
    refresh(bridge, upstream)
    server.tools = [TOOLS[0]]
    assert list(refresh(bridge, upstream).gone) == ["get_customer"]

    server.tools = TOOLS
    assert list(refresh(bridge, upstream).back) == ["get_customer"]

    assert Tool.objects.get(name="get_customer").effect == "read"


def test_two_credential_sets_make_a_union_and_two_definitions_of_one_name_are_not_trusted(
    world: World, bridge: Asking, server: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WRITE_TOKEN", "w")
    write = {"headers": {"authorization": "Bearer ${WRITE_TOKEN}"}}
    upstream = put(world.billing, server, "two", write_credentials=write)
    read_only, everything = [definition("look")], [definition("look"), definition("act")]
    with asking(WRITE) as worker:
        server.tools = read_only
        refresh(bridge, upstream)
        server.tools = everything
        refresh(worker, upstream)

        assert names(upstream) == {"look", "act"}
        act, look = (Tool.objects.get(upstream=upstream, name=name) for name in ("act", "look"))
        assert (set(act.listed_digests), set(look.listed_digests)) == ({WRITE}, {PLAIN, WRITE})
        administration.review_tool(look, effect="read", actor=ACTOR)

        # What only writers see does not vanish because readers do not see it.
        server.tools = read_only
        refresh(bridge, upstream)
        assert names(upstream) == {"look", "act"}

        server.tools = [definition("look", description="Another."), definition("act")]
        refresh(worker, upstream)

    look.refresh_from_db()
    assert look.is_ambiguous
    assert look.effect == Tool.CHANGED


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_a_server_that_says_its_list_changed_is_asked_at_once(
    world: World, bridge: Asking, tmp_path: Any, settings: Any, era: str
):
    """Old servers say so unasked; new ones are told every CATALOG_REFRESH_SECONDS at the latest."""
    settings.CATALOG_REFRESH_SECONDS = 600 if era == LEGACY else 1
    child = StdioUpstream(tmp_path / "child", {"era": era})
    upstream = put(world.billing, child)
    bridge.keep_fresh()
    until(lambda: len(names(upstream)) == 2, "the first list")

    child.script["tools"] = [*TOOLS, definition("more")]
    changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    child.behave(tools_call={"first": [changed]})
    bridge.read(upstream)

    until(lambda: "more" in names(upstream), "the new tool", 8)
