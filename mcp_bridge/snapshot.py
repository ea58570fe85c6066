"""What the bridge knows of agents, keys, tools and policy, as one frozen value per revision.

A snapshot is a hint: it decides what an agent is shown and which reads pass. Whatever leads to a
row is judged again from rows. Everything in mcp_bridge may use it.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from approvals import counting, freezes, ruling, submission
from approvals.models import Agent, AgentKey, Revision, Tool, ToolDefinition
from mcp_bridge.threads import DatabaseThreads

_CHECK_SECONDS = 1.0
EVERYWHERE = ""  # the surface of /mcp; any other is the name of a domain


@dataclass(frozen=True)
class KeyFacts:
    """One key that is not revoked."""

    id: int
    prefix: str
    secret_digest: str
    agent_id: int
    acts_for: str  # sign-in name
    expires_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Return whether the key has not run out."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True)
class AgentFacts:
    """One agent and what it was given."""

    id: int
    name: str
    domains: frozenset[str]
    may_read: bool
    may_write: bool
    grace_seconds: int
    is_paused: bool


@dataclass(frozen=True)
class ToolFacts:
    """One tool that is listed now, with its definition."""

    id: int
    upstream_id: int
    upstream: str
    domain: str
    name: str  # as the upstream calls it
    exposed_name: str  # as agents call it
    effect: str
    definition_digest: str
    definition: Mapping[str, Any]

    @property
    def input_schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of the arguments, as the upstream wrote it."""
        schema: Mapping[str, Any] = self.definition["inputSchema"]
        return schema

    @cached_property
    def names_headers(self) -> bool:
        """Return whether its schema may ask for arguments to be told in headers as well."""
        return "x-mcp-header" in json.dumps(self.input_schema)


@dataclass(frozen=True)
class Judgement:
    """What the policy says of one agent's calls of one tool."""

    outcome: str  # "allow", "hold" or "deny"
    rule: str  # its name; empty where only the rows can tell
    message: str  # the rule's words
    passes: bool  # straight through: a reviewed read that a rule allows


@dataclass(frozen=True)
class Asked:
    """What an agent asks of a tool, as far as rules may look at it."""

    arguments: Mapping[str, object]
    acts_for: str  # sign-in name


@dataclass(frozen=True)
class _Standing:
    """What is certain of one agent's calls of one tool, and what each of them is judged by."""

    judgement: Judgement | None  # None: it depends on the call
    rules: submission.Rules
    needs_rows: bool


# Until a call says more: nothing passes that a rule might hold.
_DEPENDS = Judgement("hold", "", "", passes=False)


@dataclass(frozen=True)
class Snapshot:
    """Everything at one revision; what is derived from it is worked out once."""

    revision: int
    keys: Mapping[str, KeyFacts]  # by prefix
    agents: Mapping[int, AgentFacts]
    tools: Mapping[str, ToolFacts]  # by exposed name, in the order of names
    policy: ruling.PolicyInForce
    frozen: tuple[freezes.Span, ...] = ()  # when reads of a domain are held too
    _visible: dict[tuple[int, str], Mapping[str, ToolFacts]] = field(
        default_factory=dict, compare=False, repr=False
    )
    _standing: dict[tuple[int, str], _Standing] = field(
        default_factory=dict, compare=False, repr=False
    )

    def visible(self, agent: AgentFacts, surface: str) -> Mapping[str, ToolFacts]:
        """Return the tools the agent may see on a surface, by exposed name, ordered."""
        known = self._visible.get((agent.id, surface))
        if known is None:
            known = {
                name: tool for name, tool in self.tools.items() if not hidden(agent, surface, tool)
            }
            self._visible[(agent.id, surface)] = known
        return known

    def judge(self, agent: AgentFacts, tool: ToolFacts, asked: Asked | None = None) -> Judgement:
        """Return what the policy says of this agent's calls of this tool, or of this very one.

        Nothing passes while a freeze holds reads too: one begins without a new revision.
        """
        found = self._judge(agent, tool, asked)
        return replace(found, passes=False) if found.passes and self._is_frozen(tool) else found

    def passes(self, agent: AgentFacts, tool: ToolFacts, asked: Asked | None = None) -> bool:
        """Return whether a call goes straight through; without what is asked, whether all do."""
        return self.judge(agent, tool, asked).passes

    def _judge(self, agent: AgentFacts, tool: ToolFacts, asked: Asked | None) -> Judgement:
        standing = self._standing.get((agent.id, tool.exposed_name))
        if standing is None:
            standing = self._stands(agent, tool)
            self._standing[(agent.id, tool.exposed_name)] = standing
        if standing.judgement is not None:
            return standing.judgement
        if asked is None or standing.needs_rows:
            return _DEPENDS
        facts = replace(
            _facts(agent, tool),
            args=asked.arguments,
            acts_for=asked.acts_for,
            now=counting.local(datetime.now(UTC)),
        )
        return _judgement(facts, standing.rules)

    def _is_frozen(self, tool: ToolFacts) -> bool:
        # By this machine's clock: whatever leads to a row is judged again by the database's.
        now = datetime.now(UTC) if self.frozen else None
        return now is not None and any(
            span.domain == tool.domain and span.begins_at <= now < span.ends_at
            for span in self.frozen
        )

    def _stands(self, agent: AgentFacts, tool: ToolFacts) -> _Standing:
        facts = _facts(agent, tool)
        rules = submission.rules_for(facts, self.policy)
        certain = _judgement(facts, rules) if len(rules) == 1 else None
        return _Standing(certain, rules, submission.needs_rows(facts, rules))


def _facts(agent: AgentFacts, tool: ToolFacts) -> submission.Facts:
    return submission.Facts(
        domain=tool.domain, tool=tool.exposed_name, effect=tool.effect, agent=agent.name
    )


def _judgement(facts: submission.Facts, rules: submission.Rules) -> Judgement:
    ruled = submission.judge(facts, rules)
    outcome = ruled.outcome.value
    # What is spent of a budget only rows can tell.
    is_sure = outcome == "allow" and ruled.rule.budget is None
    passes = facts.effect == Tool.Effect.READ and is_sure
    return Judgement(outcome, ruled.rule.name, ruled.message, passes)


def hidden(agent: AgentFacts, surface: str, tool: ToolFacts) -> str:
    """Return why the agent may not see a tool on a surface, for the audit; empty when it may."""
    if tool.domain not in agent.domains:
        return f"it belongs to {tool.domain}, a domain the agent was not given"
    if surface not in (EVERYWHERE, tool.domain):
        return f"it belongs to {tool.domain}, and the agent called it at /mcp/{surface}"
    # Unknown means write: only a tool reviewed as a read is one.
    if tool.effect == Tool.Effect.READ:
        return "" if agent.may_read else "the agent was not given reads"
    return "" if agent.may_write else f"the tool is {tool.effect}, and the agent may only read"


class Snapshots:
    """Loads the snapshot again when the revision changed; asks at most once a second."""

    def __init__(self) -> None:
        self._threads = DatabaseThreads(1, "bridge-snapshot")
        self._snapshot: Snapshot | None = None
        self._checked_at = float("-inf")
        self._checking: asyncio.Task[Snapshot] | None = None

    async def current(self) -> Snapshot:
        """Return the snapshot of a second ago at the oldest."""
        if self._snapshot is not None and time.monotonic() - self._checked_at < _CHECK_SECONDS:
            return self._snapshot
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())
            self._checking.add_done_callback(self._checked)
        # A request that goes away must not take the look with it that others wait for.
        return await asyncio.shield(self._checking)

    def latest(self) -> Snapshot | None:
        """Return what was loaded last, however old, without asking."""
        return self._snapshot

    def close(self) -> None:
        """End the thread that asks."""
        self._threads.close()

    async def _check(self) -> Snapshot:
        began = time.monotonic()
        snapshot = await self._threads.run(load_if_changed, self._snapshot)
        self._snapshot, self._checked_at = snapshot, began
        return snapshot

    def _checked(self, task: asyncio.Task[Snapshot]) -> None:
        self._checking = None
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may be waiting any more


def load_if_changed(known: Snapshot | None) -> Snapshot:
    """Return the snapshot given when nothing changed since, else a new one. Synchronous."""
    if known is not None and Revision.current() == known.revision:
        return known
    # Read before what it counts: a change in between then makes the next look load again.
    revision = Revision.current()
    return Snapshot(
        revision=revision,
        keys=_keys(),
        agents=_agents(),
        tools=_tools(known),
        policy=ruling.in_force(),
        frozen=freezes.of_reads(),
    )


def _keys() -> Mapping[str, KeyFacts]:
    keys = AgentKey.objects.filter(revoked_at=None).select_related("acts_for")
    return {
        key.prefix: KeyFacts(
            id=key.pk,
            prefix=key.prefix,
            secret_digest=key.secret_digest,
            agent_id=key.agent_id,
            acts_for=key.acts_for.get_username(),
            expires_at=key.expires_at and key.expires_at.astimezone(UTC),
        )
        for key in keys
    }


def _agents() -> Mapping[int, AgentFacts]:
    domains: dict[int, set[str]] = defaultdict(set)
    given = Agent.domains.through.objects.values_list("agent_id", "domain__name")
    for agent_id, name in given:
        domains[agent_id].add(name)
    return {
        agent.pk: AgentFacts(
            id=agent.pk,
            name=agent.name,
            domains=frozenset(domains[agent.pk]),
            may_read=agent.may_read,
            may_write=agent.may_write,
            grace_seconds=agent.grace_seconds,
            is_paused=agent.is_paused,
        )
        for agent in Agent.objects.all()
    }


def _tools(known: Snapshot | None) -> Mapping[str, ToolFacts]:
    tools = Tool.objects.filter(is_listed=True, upstream__is_enabled=True)
    # Sorted here: databases order text by their own rules, and cursors compare names.
    listed = sorted(tools.select_related("upstream__domain"), key=lambda tool: tool.exposed_name)
    bodies = _definitions({tool.definition_digest for tool in listed}, known)
    return {
        tool.exposed_name: ToolFacts(
            id=tool.pk,
            upstream_id=tool.upstream_id,
            upstream=tool.upstream.name,
            domain=tool.upstream.domain.name,
            name=tool.name,
            exposed_name=tool.exposed_name,
            effect=tool.effect,
            definition_digest=tool.definition_digest,
            definition=bodies[tool.definition_digest],
        )
        for tool in listed
        if tool.definition_digest in bodies
    }


def _definitions(digests: set[str], known: Snapshot | None) -> dict[str, Mapping[str, Any]]:
    """Return definitions by digest; what is known already is not parsed again."""
    found: dict[str, Mapping[str, Any]] = {}
    if known is not None:
        found = {tool.definition_digest: tool.definition for tool in known.tools.values()}
    missing = sorted(digests - found.keys())
    for start in range(0, len(missing), 500):
        rows = ToolDefinition.objects.filter(pk__in=missing[start : start + 500])
        found |= {row.digest: json.loads(bytes(row.body)) for row in rows}
    return found
