"""The same people, domain and tools everywhere: Ann asks, Bo and Cy approve, Dee administers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from approvals import bindings, canonical, lifecycle, policy, ruling, submission
from approvals.administration import agents, catalog, people
from approvals.administration.catalog import ListedTool, Listing, UpstreamSpec
from approvals.models import Agent, Domain, Person, Tool, ToolCall, Upstream, database_now
from approvals.outcomes import Outcome

S = ToolCall.Status

PASSWORD = "correct-horse-battery"
ACTOR = "command"
REFUND = {"customer": "cus_8241", "invoice": "in_2201", "amount": 42000, "currency": "usd"}

_SCHEMA = {
    "type": "object",
    "properties": {
        "customer": {"type": "string"},
        "invoice": {"type": "string"},
        "amount": {"type": "integer", "exclusiveMinimum": 0},
        "currency": {"enum": ["usd", "eur"]},
        "memo": {"type": "string"},
    },
    "required": ["customer", "amount"],
    "additionalProperties": False,
}


def definition(name: str, **changes: object) -> dict[str, object]:
    """Return a tool's definition as an upstream would list it."""
    return {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "description": f"What {name} does.",
        "inputSchema": _SCHEMA,
        "annotations": {"readOnlyHint": name.startswith("get_")},
        **changes,
    }


@dataclass(frozen=True)
class World:
    """Rows that most tests stand on; `refund` is a reviewed write, `customer` a reviewed read."""

    ann: Person  # owns the agent, and it acts for her
    bo: Person
    cy: Person
    dee: Person  # administers
    eve: Person  # signs in, has no rights
    aud: Person  # reads everything, decides nothing
    billing: Domain
    upstream: Upstream
    refund: Tool
    customer: Tool
    agent: Agent
    key: str  # cs_<prefix>_<secret>


def build() -> World:
    """Create the world through the ordinary verbs."""
    ann, eve = (person(name, role="approver") for name in ("ann", "eve"))
    billing = catalog.create_domain("billing", purpose="Refunds.", owner=ann, actor=ACTOR)
    bo, cy = (person(name, role="approver", domain="billing") for name in ("bo", "cy"))
    upstream = catalog.put_upstream(
        UpstreamSpec("billing", "http", {"url": "http://127.0.0.1:9/mcp", "headers": {}}),
        domain=billing,
        actor=ACTOR,
    )
    list_tools(upstream, definition("refund"), definition("get_customer"))
    agent = agents.create_agent("support", owner=ann, domains=["billing"], actor=ACTOR)
    return World(
        ann=ann,
        bo=bo,
        cy=cy,
        dee=person("dee", role="admin"),
        eve=eve,
        aud=person("aud", role="auditor"),
        billing=billing,
        upstream=upstream,
        refund=reviewed("refund", "write"),
        customer=reviewed("get_customer", "read"),
        agent=agent,
        key=agents.create_key(agent, acts_for=ann, actor=ACTOR),
    )


def person(name: str, *, role: str, domain: str = "") -> Person:
    """Create somebody who signs in with PASSWORD."""
    return people.create_person(
        name,
        role=role,
        password=PASSWORD,
        domains=[domain] if domain else [],
        full_name=f"{name.capitalize()} Tester",
        actor=ACTOR,
    )


def list_tools(upstream: Upstream, *definitions: Mapping[str, object]) -> None:
    """Let an upstream list these tools now."""
    tools = [
        ListedTool(str(d["name"]), f"{upstream.name}__{d['name']}", dict(d)) for d in definitions
    ]
    catalog.record_listing(upstream.pk, Listing(tools), actor=ACTOR)


def reviewed(name: str, effect: str) -> Tool:
    """Review a tool of the billing upstream, and return it."""
    tool = catalog.get_tool("billing", name)
    return catalog.review_tool(tool, effect=effect, actor=ACTOR)


def hold(
    world: World,
    *,
    arguments: Mapping[str, object] = REFUND,
    age: timedelta = timedelta(0),
    quorum: int = 1,
    tool: Tool | None = None,
    **refined: Any,
) -> ToolCall:
    """Hold a call through the life cycle; `age` is how long ago it was made.

    Whatever else is named refines its rule: stages, deny_quorum, four_eyes and so on.
    """
    key = world.agent.keys.first()
    request = submission.Request(
        agent_id=world.agent.pk,
        key_id=key.pk if key else None,
        tool_id=(tool or world.refund).pk,
        arguments=arguments,
    )
    hold = policy.Outcome.HOLD
    rule = policy.Rule(position=1, name="test", outcome=hold, quorum=quorum, **refined)
    ruled = policy.Ruling(rule, rule.outcome, rule.quorum, rule.expires_seconds, "")
    row = Tool.objects.select_related("upstream__domain").get(pk=request.tool_id)
    body, now = canonical.to_bytes(dict(arguments)), database_now() - age
    call = submission.draft(request, world.agent, row, body, ruled, now)
    call.policy_version = ruling.in_force().version
    return lifecycle.begin(call)


def seen(call: ToolCall) -> bindings.Seen:
    """Return what a worker sees upstream when nothing changed."""
    return bindings.Seen(call.definition_digest, call.upstream_address, call.credential_ref)


def walk(call: ToolCall, world: World, to: str) -> ToolCall:
    """Take a pending call along legal arrows to a state, and return the fresh row."""
    if to == S.PENDING:
        return call
    if to in _FROM_PENDING:
        return _FROM_PENDING[S(to)](call, world)
    _approve(call, world)
    if to == S.APPROVED:
        return _fresh(call)
    claim = lifecycle.claim(call.pk, worker="test")
    if to != S.CLAIMED:
        lifecycle.dispatch(claim, seen=seen(call))
    if to in _ENDS:
        lifecycle.finish(claim, _ENDS[S(to)])
    return _fresh(call)


def _approve(call: ToolCall, world: World) -> None:
    for decider in (world.bo, world.cy)[: call.quorum]:
        lifecycle.decide(call.pk, decider=decider, verdict="approve", binding=call.binding)


def _fresh(call: ToolCall) -> ToolCall:
    return ToolCall.objects.get(pk=call.pk)


def _reject(call: ToolCall, world: World) -> ToolCall:
    return lifecycle.decide(
        call.pk, decider=world.bo, verdict="reject", binding=call.binding, reason="Not needed."
    )


def _expire(call: ToolCall, world: World) -> ToolCall:
    return lifecycle.expire(call.pk)  # held long enough ago; see conftest


_FROM_PENDING = {
    S.REJECTED: _reject,
    S.EXPIRED: _expire,
    S.CANCELLED: lambda call, world: lifecycle.cancel(call.pk, actor="agent:support"),
    S.VOID: lambda call, world: lifecycle.void(call.pk, actor=ACTOR, reason="Changed."),
}
_ENDS = {
    S.SUCCEEDED: Outcome.succeeded({"content": [{"type": "text", "text": "done"}]}),
    S.FAILED: Outcome.failed("tool_error", "No such invoice.", {"content": [], "isError": True}),
    S.UNKNOWN: Outcome.unknown("The connection broke."),
}
