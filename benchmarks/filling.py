"""A database as it is after half a year: many pending calls, many more settled ones.

Verbs would take an hour for it. The rows are what the verbs would have written, put in at once with
the guards taken away and put back; the audit events carry digests that follow nothing.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from approvals import canonical, guards, searching
from approvals.administration import agents, catalog
from approvals.models import (
    Agent,
    AuditEvent,
    Decision,
    Dispatch,
    HistoryRow,
    Person,
    Tool,
    ToolCall,
    database_now,
)
from tests.support import world as worlds

S = ToolCall.Status

DAYS = 180
_DOMAINS = ("payments", "code", "orders-db", "production", "outbound-mail")
_TOOLS = ("create_refund", "deploy_service", "delete_rows", "send_campaign", "push_commits")
_ENDS = {
    S.SUCCEEDED: 78, S.FAILED: 4, S.UNKNOWN: 1, S.REJECTED: 9, S.EXPIRED: 5, S.CANCELLED: 2,
    S.VOID: 1,
}  # fmt: skip
_REASONS = ("Duplicate charge.", "Wrong customer.", "Not before the release.", "Ask me first.")
_BATCH = 2_000


@dataclass(frozen=True)
class Cast:
    """Who asks, with what, and who decides."""

    auditor: Person
    approvers: list[Person]
    agents: list[Agent]
    tools: list[Tool]
    pattern: ToolCall  # every call is a copy of this one, with another content
    days: int  # over which calls are spread


def fill(pending: int, settled: int, *, days: int = DAYS) -> Cast:
    """Fill an empty database, and return who is in it."""
    chance = random.Random(7)  # noqa: S311 - figures should not change by luck
    cast = _cast(days)
    guards.drop()
    for begin in range(0, pending + settled, _BATCH):
        numbers = range(begin, min(begin + _BATCH, pending + settled))
        _insert(cast, chance, [number < pending for number in numbers])
    guards.install()
    return cast


def _cast(days: int) -> Cast:
    world = worlds.build()
    approvers = [world.bo, world.cy]
    for name in _DOMAINS:
        domain = catalog.create_domain(name, purpose=f"For {name}.", owner=None, actor=worlds.ACTOR)
        approvers += [
            worlds.person(f"{name}.{number}", role="approver", domain=name) for number in (1, 2, 3)
        ]
        catalog.add_approvers(domain, [world.bo], actor=worlds.ACTOR)
        upstream = catalog.put_upstream(
            catalog.UpstreamSpec(name, "http", {"url": "http://127.0.0.1:9/mcp", "headers": {}}),
            domain=domain,
            actor=worlds.ACTOR,
        )
        worlds.list_tools(upstream, *map(worlds.definition, _TOOLS))
    made = [
        agents.create_agent(
            f"agent-{number}", owner=world.ann, domains=_DOMAINS, actor=worlds.ACTOR
        )
        for number in range(20)
    ]
    tools = Tool.objects.filter(upstream__domain__name__in=_DOMAINS)
    tools = tools.select_related("upstream__domain")
    return Cast(world.aud, approvers, made, list(tools), worlds.hold(world), days)


def _insert(cast: Cast, chance: random.Random, pending: list[bool]) -> None:
    calls = [_call(cast, chance, is_pending=is_pending) for is_pending in pending]
    decisions = {call.pk: _decisions(cast, chance, call) for call in calls}
    ToolCall.objects.bulk_create(calls)
    Decision.objects.bulk_create([one for found in decisions.values() for one in found])
    sent = [call for call in calls if call.status in (S.SUCCEEDED, S.FAILED, S.UNKNOWN)]
    Dispatch.objects.bulk_create(
        Dispatch(
            call=call, fence=1, worker="worker", binding=call.binding, at=call.moved_at,
            definition_digest=call.definition_digest, answer_by_at=call.moved_at,
        )
        for call in sent
    )  # fmt: skip
    HistoryRow.objects.bulk_create(searching.row_of(call, decisions[call.pk]) for call in calls)
    AuditEvent.objects.bulk_create(event for call in calls for event in _events(chance, call))


def _call(cast: Cast, chance: random.Random, *, is_pending: bool) -> ToolCall:
    tool, agent = chance.choice(cast.tools), chance.choice(cast.agents)
    customer, amount = f"cus_{chance.randrange(50_000):05}", chance.randrange(100, 100_000)
    arguments: dict[str, Any] = {"customer": customer, "amount": amount, "memo": "words " * 60}
    body = canonical.to_bytes(arguments)
    ago = timedelta(minutes=chance.uniform(0, 20))
    if not is_pending:
        ago = timedelta(minutes=chance.uniform(60, cast.days * 1440))
    asked = database_now() - ago
    status = S.PENDING if is_pending else chance.choices(list(_ENDS), list(_ENDS.values()))[0]
    ended = asked + timedelta(seconds=min(1_700, chance.lognormvariate(4.3, 1.4)))
    columns = {
        field.attname: getattr(cast.pattern, field.attname)
        for field in ToolCall._meta.concrete_fields  # noqa: SLF001 - all columns
    } | {
        "id": UUID(int=chance.getrandbits(128), version=4),
        "agent_id": agent.pk, "owner_id": agent.owner_id, "acts_for_id": agent.owner_id,
        "tool_id": tool.pk, "tool_name": tool.exposed_name, "upstream_id": tool.upstream_id,
        "domain_id": tool.upstream.domain_id, "definition_digest": tool.definition_digest,
        "arguments": body, "arguments_digest": canonical.digest(body),
        "sentence": f"{tool.title} · customer {customer} · amount {amount}",
        "binding": f"{chance.getrandbits(256):064x}", "created_at": asked,
        "decide_by_at": asked + timedelta(hours=chance.uniform(1, 48)),
        "run_by_at": asked + timedelta(hours=49), "joins_repeats": is_pending,
        "status": status, "version": 1 if is_pending else 6,
        "moved_at": asked if is_pending else ended, "settled_at": None if is_pending else ended,
        "status_reason": chance.choice(_REASONS) if status == S.REJECTED else "",
        "result": b'{"content":[]}' if status == S.SUCCEEDED else None,
    }  # fmt: skip
    call = ToolCall(**columns)
    # What the history's row is made of, without asking for it again.
    call.agent, call.tool, call.domain = agent, tool, tool.upstream.domain
    call.owner = call.acts_for = agent.owner
    return call


def _decisions(cast: Cast, chance: random.Random, call: ToolCall) -> list[Decision]:
    if call.status in (S.PENDING, S.EXPIRED, S.CANCELLED, S.VOID):
        return []
    is_no = call.status == S.REJECTED
    return [
        Decision(
            call=call, approver=chance.choice(cast.approvers), at=call.moved_at,
            verdict="reject" if is_no else "approve", binding=call.binding, four_eyes=True,
            reason=call.status_reason, owner_id=call.owner_id, acts_for_id=call.acts_for_id,
        )
    ]  # fmt: skip


def _events(chance: random.Random, call: ToolCall) -> Iterator[AuditEvent]:
    codes = ["call.held"]
    if call.status != S.PENDING:
        codes += ["call.approve_signed", "call.approved", f"call.{call.status}"]
    for seq, code in enumerate(codes, 1):
        yield AuditEvent(
            stream=f"call:{call.pk}", seq=seq, code=code, actor="clock", at=call.moved_at,
            data=b'{"reason":"","version":1}', digest=f"{chance.getrandbits(256):064x}",
            previous="",
        )  # fmt: skip
