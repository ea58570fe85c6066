"""Two domains that must not see each other, and everybody who may try: for the access matrix."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client

from approvals import canonical, lifecycle, policy, ruling, submission
from approvals.administration import agents, backtests, catalog
from approvals.administration.catalog import UpstreamSpec
from approvals.models import (
    Agent,
    AgentKey,
    Backtest,
    Domain,
    Heartbeat,
    Person,
    Tool,
    ToolCall,
    Upstream,
    database_now,
)
from approvals.tasks import SWEEP
from tests.support import world as worlds
from tests.support.second_factor import key_of
from tests.support.visiting import form_of, visitor
from tests.support.world import ACTOR, PASSWORD, REFUND, World

S = ToolCall.Status
PEOPLE = ("bo", "ann", "aud", "dee", "eve")
KEYS = ("key", "gone", "away")
COLUMNS = ("none", *PEOPLE, *KEYS)
Row = tuple[str, str, str]  # the method, the address by its name, whose thing it names


@dataclass(frozen=True)
class Place:
    """What one domain holds: one of everything an address can name."""

    domain: Domain
    upstream: Upstream
    tool: Tool
    agent: Agent
    key: AgentKey
    calls: Mapping[str, ToolCall]  # a pending one and an unknown one
    device: Authenticator  # of the domain's approver


@dataclass(frozen=True)
class Two:
    """Billing, where Bo approves and which Ann owns, and deploys, where Eve approves."""

    world: World
    billing: Place
    deploys: Place
    keys: Mapping[str, str]  # valid for billing, revoked, valid for deploys
    clients: Mapping[str, Client]

    def place(self, name: str) -> Place:
        """Return a domain's things by its name; billing's where an address names nothing."""
        return self.deploys if name == "deploys" else self.billing

    def client(self, column: str) -> Client:
        """Return a browser or script of whoever stands in a column, fresh for one request."""
        if column in self.keys:
            return Client(headers={"authorization": f"Bearer {self.keys[column]}"})
        client = Client()
        if column in self.clients:
            client.cookies.load(self.clients[column].cookies.output(header="", sep=";"))
        return client


def build() -> Two:
    """Create both domains, and sign everybody in."""
    world = worlds.build()
    fay = worlds.person("fay", role="approver")  # owns what is in deploys, and tries nothing
    deploys = catalog.create_domain("deploys", purpose="What runs.", owner=fay, actor=ACTOR)
    catalog.add_approvers(deploys, [world.eve], actor=ACTOR)
    spec = UpstreamSpec("deploys", "http", {"url": "http://127.0.0.1:9/mcp", "headers": {}})
    upstream = catalog.put_upstream(spec, domain=deploys, actor=ACTOR)
    worlds.list_tools(upstream, worlds.definition("ship"), worlds.definition("get_release"))
    catalog.review_tool(catalog.get_tool("deploys", "get_release"), effect="read", actor=ACTOR)
    ship = catalog.review_tool(catalog.get_tool("deploys", "ship"), effect="write", actor=ACTOR)
    deployer = agents.create_agent("deployer", owner=fay, domains=["deploys"], actor=ACTOR)
    away = agents.create_key(deployer, acts_for=fay, actor=ACTOR)
    clients = {name: _signed_in(getattr(world, name)) for name in PEOPLE}
    here = _place(world.billing, world.upstream, world.refund, world.agent, world.bo)
    there = _place(deploys, upstream, ship, deployer, world.eve)
    TOTP.activate(world.bo, generate_totp_secret())
    RecoveryCodes.activate(world.bo)
    gone = agents.create_key(world.agent, acts_for=world.ann, actor=ACTOR)
    agents.revoke_key(gone.split("_")[1], actor=ACTOR)
    backtests.run(backtests.begin(world.dee, {"rules": []}).pk)
    Heartbeat.objects.create(name=SWEEP, at=database_now() + timedelta(minutes=5))
    return Two(world, here, there, dict(zip(KEYS, (world.key, gone, away), strict=True)), clients)


def _place(domain: Domain, upstream: Upstream, tool: Tool, agent: Agent, approver: Person) -> Place:
    key = agent.keys.get()
    calls = {
        str(status): _call(agent, key, tool, status, approver) for status in (S.PENDING, S.UNKNOWN)
    }
    return Place(domain, upstream, tool, agent, key, calls, key_of(approver))


def _call(agent: Agent, key: AgentKey, tool: Tool, status: str, approver: Person) -> ToolCall:
    arguments = {**REFUND, "memo": f"{status} {ToolCall.objects.count()}"}
    request = submission.Request(
        agent_id=agent.pk, key_id=key.pk, tool_id=tool.pk, arguments=arguments
    )
    rule = policy.Rule(position=1, name="test", outcome=policy.Outcome.HOLD)
    ruled = policy.Ruling(rule, rule.outcome, 1, rule.expires_seconds, "")
    row = Tool.objects.select_related("upstream__domain").get(pk=tool.pk)
    call = submission.draft(
        request, agent, row, canonical.to_bytes(arguments), ruled, database_now()
    )
    call.policy_version = ruling.in_force().version
    call = lifecycle.begin(call)
    if status == S.PENDING:
        return call
    lifecycle.decide(call.pk, decider=approver, verdict="approve", binding=call.binding)
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    return lifecycle.finish(claim, worlds._ENDS[S.UNKNOWN])


def _signed_in(person: Person) -> Client:
    """Return a browser whose password was given just now, as pages about passwords ask."""
    client = visitor()
    client.post("/accounts/login/", {"login": person.get_username(), "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


Form = Callable[[Place, Person], Mapping[str, Any]]

# What each address is sent by POST: what its own form or a script would send. The person is who
# tries, or the domain's approver for those who are nobody there.
FORMS: Mapping[str, Form] = {
    "api_decisions": lambda place, person: {
        "verdict": "approve",
        "binding": place.calls[S.PENDING].binding,
    },
    "api_settlement": lambda place, person: {"outcome": "ran", "evidence": "Seen in the books."},
    "api_withdrawal": lambda place, person: {"reason": "Not needed."},
    "account_login": lambda place, person: {"login": "bo", "password": PASSWORD},
    "account_change_password": lambda place, person: {
        "oldpassword": PASSWORD,
        "password1": "another-horse-battery",
        "password2": "another-horse-battery",
    },
    "account_reauthenticate": lambda place, person: {"password": PASSWORD},
    "mfa_edit_webauthn": lambda place, person: {"name": "Other"},
    "api_tries": lambda place, person: {"rules": []},
    "call_decide": lambda place, person: form_of(place.calls[S.PENDING], person),
    "call_settle": lambda place, person: {"outcome": "ran", "evidence": "Seen in the books."},
    "call_withdraw": lambda place, person: {"reason": "Not needed."},
    "tool_review": lambda place, person: {
        "effect": "read",
        "digest": place.tool.definition_digest,
    },
    "tool_template": lambda place, person: {
        "template": "Refund {customer}",
        "digest": place.tool.definition_digest,
    },
    "tool_preview": lambda place, person: {"template": "Refund {customer}"},
    "agent_new": lambda place, person: {
        "name": "another", "owner": "ann", "domain": "billing", "effect": "read", "grace": "25",
    },
    "agents_stop": lambda place, person: {"reason": "A test."},
    "agents_resume": lambda place, person: {"agent": "support"},
    "agent_pause": lambda place, person: {"paused": "yes"},
    "agent_keys": lambda place, person: {
        "label": "Another",
        "after": str(agents.newest_key(place.agent)),
    },
    "settings": lambda place, person: {"time_zone": "UTC", "theme": "dark"},
    "theme": lambda place, person: {"theme": "dark", "next": "/"},
}  # fmt: skip


def names_something(name: str, route: str) -> bool:
    """Return whether an address names a thing of a domain or of a person."""
    return name == "api_events" or bool(re.search(r"<(?!int:number|int:try_id)", route))


def address(name: str, route: str, place: Place) -> str:
    """Return a path for a pattern of an address, with what a place has in each of its gaps."""
    status = S.UNKNOWN if name in ("call_settle", "api_settlement") else S.PENDING
    gaps: dict[str, Any] = {
        "<uuid:call_id>": place.calls[status].pk,
        "<int:upstream_id>": place.upstream.pk,
        "<int:tool_id>": place.tool.pk,
        "<int:number>": 0,
        "<int:try_id>": Backtest.objects.values_list("pk", flat=True).first(),
        "<int:pk>": place.device.pk,
        "<str:name>": place.agent.name,
        "<str:prefix>": place.key.prefix,
    }
    for gap, value in gaps.items():
        route = route.replace(gap, str(value))
    assert "<" not in route, f"no test knows what to put into {route}"
    query = {"api_events": f"?call={place.calls[S.PENDING].pk}"}
    return f"/{route}{query.get(name, '')}"


def ask(two: Two, row: Row, route: str, column: str) -> Any:
    """Send what a row of the table says as one column's person or key, and return the answer."""
    method, name, where = row
    place = two.place(where)
    fallback = two.world.eve if where == "deploys" else two.world.bo
    person = getattr(two.world, column) if column in PEOPLE else fallback
    client, path = two.client(column), address(name, route, place)
    if method != "POST":
        return client.generic(method, path)
    form = FORMS[name](place, person) if name in FORMS else {}
    if name.startswith("api_"):
        return client.post(path, dict(form), content_type="application/json")
    return client.post(path, dict(form))


def pending(two: Two, name: str) -> ToolCall:
    """Return a call of a place that is pending; a new one once the last was cancelled."""
    place = two.place(name)
    found = ToolCall.objects.filter(agent=place.agent, status=S.PENDING).first()
    approver = two.world.eve if name == "deploys" else two.world.bo
    return found or _call(place.agent, place.key, place.tool, S.PENDING, approver)
