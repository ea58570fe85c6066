"""One installation for all pages: filled once with everything odd, and put back when changed."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from approvals import lifecycle, observations
from approvals.administration import agents, backtests, catalog, policy
from approvals.administration.catalog import ListedTool, Listing, UpstreamSpec
from approvals.models import Agent, Backtest, Tool, database_now
from tests.browser.conftest import Site
from tests.support import history
from tests.support import world as worlds
from tests.support.world import ACTOR, PASSWORD, World, definition

LONG = "W" * 700
TELLING = {"amount": 1, "customer": "cus_" + "8241" * 100, "memo": "a\u202eb\n" * 30 + LONG}
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
    "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip
KEPT = override_settings(
    SETTLE_QUARANTINE_SECONDS=0,  # an unknown end can be settled at once
    ACCOUNT_REAUTHENTICATION_TIMEOUT=3_600,  # who signed in at the beginning still is who they are
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)


class Snapshot:
    """A copy of the whole database, kept in memory; only SQLite has such."""

    def __init__(self) -> None:
        self.copy = sqlite3.connect(":memory:", check_same_thread=False)
        connection.ensure_connection()
        connection.connection.backup(self.copy)

    def restore(self) -> None:
        """Put every row back as it was."""
        connection.ensure_connection()
        self.copy.backup(connection.connection)


@dataclass
class Stage:
    """A server, the people in their browsers, and the two states its database can be put into."""

    site: Site
    browser: Browser
    world: World
    names: Mapping[str, object]  # what an address in the table may name
    snapshots: Mapping[str, Snapshot]
    sessions: Mapping[str, str]  # by person
    state: str = ""
    contexts: dict[str, BrowserContext] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)  # of consoles, and of requests elsewhere
    refused: int = 0  # an answer that a console may tell of

    def put(self, state: str) -> None:
        """Put the database into a state, unless it is in it and nothing changed."""
        if state != self.state:
            for context in self.contexts.values():
                context.pages[0].goto("about:blank")  # an open page asks for what is new
            self.snapshots[state].restore()
            self.state = state
        cache.clear()  # no limit on attempts is met by accident

    def touched(self) -> None:
        """Note that a row may have changed."""
        self.state = ""

    def page(self, who: str) -> Page:
        """Return the page of a person's browser; whose is nobody's has no session."""
        if who not in self.contexts:
            self.contexts[who] = self._context(who)
        (page,) = self.contexts[who].pages
        return page

    def sign_in_again(self, who: str) -> None:
        """Give a browser the cookies it began with, and no more."""
        context = self.contexts[who]
        context.clear_cookies()
        if who:
            context.add_cookies([self._cookie(who)])

    def _cookie(self, who: str) -> Any:
        from django.conf import settings

        name = settings.SESSION_COOKIE_NAME
        return {"name": name, "value": self.sessions[who], "url": self.site.url}

    def _context(self, who: str) -> BrowserContext:
        context = self.browser.new_context(
            base_url=self.site.url, reduced_motion="reduce",
            viewport=ViewportSize(width=1440, height=900),
            permissions=["clipboard-read", "clipboard-write", "notifications"],
        )  # fmt: skip
        if who:
            context.add_cookies([self._cookie(who)])
        self.watch(context)
        context.set_default_timeout(15_000)
        devtools = context.new_cdp_session(context.new_page())
        devtools.send("WebAuthn.enable")
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        return context

    def watch(self, context: BrowserContext) -> None:
        """Collect what its consoles say and every request that leaves for another host."""

        def listen(message: Any) -> None:
            if not self.refused or f"status of {self.refused} " not in message.text:
                self.complaints.append(message.text)

        def leaves(address: str) -> None:
            host = address.partition("//")[2].partition("/")[0]
            if host != self.site.url.partition("//")[2] and not address.startswith("data:"):
                self.complaints.append(f"a request to {address}")

        context.on("console", listen)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: leaves(request.url))
        context.on("page", lambda page: page.on("websocket", lambda socket: leaves(socket.url)))


@contextmanager
def staged(browser: Browser) -> Iterator[Stage]:
    """Serve the installation; leave the database as it was found."""
    with KEPT:
        before = Snapshot()
        site = Site()
        site.url = f"http://localhost:{site.port}"  # a browser gives passkeys to names only
        site.start()
        world = worlds.build()
        people = ("ann", "bo", "cy", "dee", "eve", "aud")
        stage = Stage(site, browser, world, {}, {}, {who: _session(who) for who in people})
        _give_second_factor(stage)
        empty = Snapshot()
        stage.names = _fill(world)
        stage.snapshots = {"empty": empty, "full": Snapshot()}
        try:
            yield stage
        finally:
            for context in stage.contexts.values():
                context.close()
            site.stop()
            before.restore()


def _session(who: str) -> str:
    from django.conf import settings

    client = Client()
    cache.clear()
    client.post("/accounts/login/", {"login": who, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})  # what is secret is shown
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _give_second_factor(stage: Stage) -> None:
    """Let Cy set up an app, and a passkey of the browser's own making."""
    TOTP.activate(stage.world.cy, generate_totp_secret())
    page = stage.page("cy")
    page.goto("/accounts/2fa/webauthn/add/")
    page.get_by_label("Name").fill("work laptop")
    page.get_by_role("button", name="Add it").click()
    page.wait_for_url("**/recovery-codes/")


def _fill(world: World) -> dict[str, object]:
    """Let everything happen; return what addresses name."""
    calls = history.unfold(world)
    key = world.agent.keys.get()
    changing = _trouble(world)
    calls |= {
        "telling": worlds.hold(world, arguments=TELLING, quorum=2),
        "plain": worlds.hold(world, arguments={"customer": "cus_1", "amount": 7}),
        "deep": worlds.hold(world, arguments={"amount": 3, "memo": {"to": [LONG, {"a": []}]}}),
        "alone": worlds.hold(world, tool=changing, arguments={"amount": 9}),
    }
    telling, signed = calls["telling"], worlds.hold(world, arguments={"amount": 4}, quorum=2)
    for call in (telling, signed):
        lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)
    lifecycle.decide(
        signed.pk, decider=world.bo, verdict="reject", binding=signed.binding, reason=LONG
    )
    observations.looked(telling, world.cy)
    ended = agents.create_key(world.agent, acts_for=world.ann, actor=ACTOR, label=LONG[:60])
    agents.revoke_key(ended.split("_")[1], actor=ACTOR)
    Agent.objects.create(name="a" * 64, owner=world.ann, is_paused=True)
    tools = {"tool": world.refund.pk, "changed_tool": Tool.objects.get(name="credit").pk}
    named = {name.replace(" ", "_"): call.pk for name, call in calls.items()}
    return named | tools | _tries(world) | {
        "key": key.prefix, "passkey": _passkey(world)
    }  # fmt: skip


def _tries(world: World) -> dict[str, object]:
    """Let Dee try a policy: to the end, not to the end, on nothing, and still."""
    now = database_now()
    rules = [
        {"outcome": "hold", "tool": "billing__refund", "condition": "args.currency == 'usd'"},
        {"name": LONG[:100], "outcome": "allow", "tool": "billing__*"},
    ]

    def begun(**columns: Any) -> int:
        columns = {"begun_at": now, "moved_at": now, "taken_at": now, **columns}
        return Backtest.objects.create(
            asked_by=world.dee, document={"rules": rules}, based_on=1, **columns
        ).pk

    done, failed = begun(taken_at=None), begun(state="failed", why=LONG[:500], ended_at=now)
    backtests.run(done)
    empty = begun(days=0, taken_at=None)
    backtests.run(empty)
    running = begun(done=12_000, total=48_211, moved_at=now + timedelta(days=1))
    return {"try": done, "failed_try": failed, "empty_try": empty, "running_try": running}


def _passkey(world: World) -> int:
    from allauth.mfa.models import Authenticator

    return int(Authenticator.objects.get(user=world.cy, type="webauthn").pk)


def _trouble(world: World) -> Tool:
    """Let a server be odd in every way; return a tool in a domain without four eyes."""
    rules = [
        {"outcome": "deny", "domain": "billing", "name": "freeze", "message": LONG[:500]},
        {"outcome": "hold", "tool": "billing__refund", "quorum": 2},
        {"outcome": "allow", "effect": "read"},
    ]
    for _ in range(2):
        policy.load_rules({"rules": rules}, source="/etc/" + LONG[:190], actor=ACTOR)
    deploys = catalog.create_domain("deploys", purpose="", owner=None, four_eyes=False, actor=ACTOR)
    catalog.add_approvers(deploys, [world.bo], actor=ACTOR)
    spec = UpstreamSpec("deploys", "http", {"url": "http://127.0.0.1:9/d", "headers": {}})
    upstream = catalog.put_upstream(spec, domain=deploys, actor=ACTOR)
    member = {"type": "string", "description": LONG + "\u202e", "enum": [LONG]}
    schema = {"type": "object", "properties": {"customer": member, LONG: {"items": {}}}}
    for changes in (
        {}, {"description": "No\u200b\n" + LONG, "inputSchema": schema, "annotations": {}}
    ):  # fmt: skip
        named = [definition("restart"), definition("credit", **changes)]
        tools = [ListedTool(str(d["name"]), f"deploys__{d['name']}", d) for d in named]
        said = {"name": LONG, "version": LONG[:90], "instructions": LONG}
        dropped = [{"name": LONG, "why": "its name is too long"}]
        listing = Listing(tools, dropped=dropped, server_info=said)
        catalog.record_listing(upstream.pk, listing, actor=ACTOR)
        if not changes:
            credit = catalog.get_tool("deploys", "credit")
            catalog.review_tool(credit, effect="destructive", actor=ACTOR)
    catalog.record_list_failure(upstream.pk, f"Connection refused: {LONG}")
    return Tool.objects.select_related("upstream__domain").get(name="restart")
