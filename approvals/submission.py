"""The one entry for the bridge: policy and limits say if a call is joined, held or refused."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, transaction

from approvals import (
    access,
    bindings,
    budgets,
    canonical,
    counting,
    freezes,
    lifecycle,
    loops,
    observations,
    policy,
    ruling,
    wording,
)
from approvals.audit import record as audit
from approvals.errors import (
    Conflict,
    DefinitionChanged,
    IdempotencyMismatch,
    InvalidInput,
    NotAllowed,
    NotFound,
    QueueFull,
    TemporarilyUnavailable,
)
from approvals.models import (
    Agent,
    AgentKey,
    Domain,
    Tool,
    ToolCall,
    bound_waiting,
    database_now,
    is_lock_wait,
)

S = ToolCall.Status
Facts = policy.Facts
Rules = Sequence[policy.Rule]

_FROZEN_SECONDS = 10  # a process that stands still in a submit loses its locks; nothing was made
_WAIT_SECONDS = 20  # for such a lock: longer, so that those who wait outlast one who stands still


@dataclass(frozen=True)
class Request:
    """What an agent asks for, with its arguments already validated against the tool's schema.

    Attributes:
        tool_id: a tool the agent may see; looked at again here.
        idempotency_key: the caller's own; empty when it sent none.
        supersedes: the agent's own pending call that this one replaces.
        claimed_acts_for: whom the agent says it acts for; shown as a claim, binds nothing.
        definition_digest: of the definition that the arguments were validated against; empty
            when nobody did.
    """

    agent_id: int
    key_id: int | None
    tool_id: int
    arguments: Mapping[str, object]
    idempotency_key: str = ""
    supersedes: UUID | None = None
    claimed_acts_for: str = ""
    definition_digest: str = ""


@dataclass(frozen=True)
class Submitted:
    """The call that stands for a request; `joined` when it stood there already."""

    call: ToolCall
    joined: bool


def submit(request: Request) -> Submitted:
    """Hold or admit a call, or return the one this request repeats.

    Raises:
        NotAllowed: the agent is paused or a rule denies; the message is the rule's.
        NotFound: no such tool for this agent, or nothing of its own to supersede.
        DefinitionChanged: the arguments were validated against another definition.
        QueueFull, IdempotencyMismatch, InvalidInput.
        TemporarilyUnavailable: another submit holds what this one needs, for too long.
    """
    try:
        answer = _submit(request)
    except OperationalError as error:
        if is_lock_wait(error):
            raise TemporarilyUnavailable(retry_after_seconds=1) from error
        raise
    if isinstance(answer, NotAllowed):
        raise answer
    return answer


@transaction.atomic(durable=True)
def _submit(request: Request) -> Submitted | NotAllowed:
    bound_waiting(still_seconds=_FROZEN_SECONDS, lock_seconds=_WAIT_SECONDS)
    # Submits of one agent queue up here, so that limits and repeats are counted right.
    agent = Agent.objects.select_for_update(no_key=True).get(pk=request.agent_id)
    tool = _tool(agent, request.tool_id)
    body = canonical.to_bytes(dict(request.arguments))
    # Judged as stored, where 2.0 is 2: whoever judges it again has nothing else.
    request = replace(request, arguments=json.loads(body))
    digest = canonical.digest(body)
    earlier = _earlier(agent, tool, digest, request.idempotency_key)
    rejected = loops.rejected_lately(agent, tool, digest, database_now())
    if rejected and (earlier is None or (earlier == rejected and loops.is_known(earlier))):
        loops.count(rejected)
        return Submitted(rejected, joined=True)
    if earlier is not None:
        return Submitted(earlier, joined=True)
    if request.definition_digest not in ("", tool.definition_digest):
        raise DefinitionChanged
    in_force = ruling.in_force()
    now = database_now()
    ruled, part = _ruled(request, agent, tool, in_force, now)
    if ruled.outcome == policy.Outcome.DENY:
        return _denied(agent, tool, ruled)
    call = draft(request, agent, tool, body, ruled, now)
    call.policy_version = in_force.version
    if request.supersedes is not None:
        call.supersedes = _supersede(agent, request.supersedes, by=call.pk)
    if call.status == S.PENDING:
        _refuse_when_full(agent, tool.upstream.domain)
    # Once it is committed: in here, other agents' calls of the tool would wait for its row.
    transaction.on_commit(lambda: observations.tools_called([tool.exposed_name]), robust=True)
    if part is None:
        return Submitted(lifecycle.begin(call), joined=False)
    lifecycle.begin(call, budget=part.as_dict())
    budgets.take(call, part)
    return Submitted(call, joined=False)


def judge(facts: policy.Facts, rules: Rules) -> policy.Ruling:
    """Return what rules say of a call: how the bridge learns, from its cache, what passes."""
    return policy.evaluate(facts, rules)


def rules_for(facts: policy.Facts, in_force: ruling.PolicyInForce) -> tuple[policy.Rule, ...]:
    """Return the rules that may govern an agent's calls of a tool, whatever the arguments.

    Where it is one, it governs them all. Facts need no arguments here.
    """
    return in_force.candidates(facts)


def needs_rows(facts: policy.Facts, rules: Rules) -> bool:
    """Tell whether judging by these rules takes more than the call itself: what came before it."""
    return bool(policy.history_wanted(facts, rules))


def _ruled(
    request: Request, agent: Agent, tool: Tool, in_force: ruling.PolicyInForce, now: datetime
) -> tuple[policy.Ruling, budgets.Part | None]:
    """Return what the policy says of a request, and what the call is to take of a budget.

    It is judged by its arguments and by what came before it, then by what is left of the rule's
    budget, then by freezes: what these hold takes nothing.
    """
    facts = facts_of(agent, tool)
    rules = rules_for(facts, in_force)
    if len(rules) > 1:
        key = _key(request)
        wanted = policy.history_wanted(facts, rules)
        facts = replace(
            facts,
            args=request.arguments,
            acts_for=(key.acts_for if key else agent.owner).get_username(),
            now=counting.local(now),
            history=counting.history(agent.pk, tool.pk, at=now, wanted=wanted),
        )
    ruled, part = budgets.admit(policy.evaluate(facts, rules), facts, rules, request.arguments)
    ruled = freezes.admit(ruled, facts)
    return ruled, part if ruled.outcome == policy.Outcome.ALLOW else None


def facts_of(agent: Agent, tool: Tool) -> policy.Facts:
    """Return what policy judges a call by, without what conditions read."""
    return policy.Facts(
        domain=tool.upstream.domain.name,
        tool=tool.exposed_name,
        effect=tool.effect,
        agent=agent.name,
    )


def draft(
    request: Request,
    agent: Agent,
    tool: Tool,
    body: bytes,
    ruled: policy.Ruling,
    now: datetime,
) -> ToolCall:
    """Return the unsaved row of a new call, bound and dated.

    Args:
        body: canonical bytes of the arguments.
        now: the database's time, UTC.
    """
    upstream = tool.upstream
    is_held = ruled.outcome == policy.Outcome.HOLD
    key = _key(request)
    decide_by_at = now + timedelta(seconds=ruled.expires_seconds if is_held else 0)
    call = ToolCall(
        id=uuid.uuid4(), agent=agent, key=key, owner=agent.owner,
        acts_for=key.acts_for if key else agent.owner,
        claimed_acts_for=wording.clean(request.claimed_acts_for, 200),
        domain=upstream.domain, upstream=upstream, upstream_address=upstream.address,
        credential_ref=upstream.credential_ref, tool=tool, tool_name=tool.exposed_name,
        effect=tool.effect, definition_digest=tool.definition_digest,
        arguments=body, arguments_digest=canonical.digest(body),
        sentence=_sentence(tool, request.arguments),
        rule=ruled.rule.as_dict(), rule_digest=ruled.rule.digest(), quorum=ruled.quorum,
        held_because=ruled.why[:500],
        policy_version=0, four_eyes=upstream.domain.four_eyes or ruled.rule.four_eyes,
        stage=min(1, len(ruled.rule.stages)), asked_group=_first_asked(ruled.rule),
        decide_by_at=decide_by_at,
        run_by_at=decide_by_at + timedelta(seconds=settings.RUN_WITHIN_SECONDS),
        created_at=now, moved_at=now, agent_seen_at=now,
        idempotency_key=request.idempotency_key,
        status=S.PENDING if is_held else S.APPROVED,
    )  # fmt: skip
    call.binding = bindings.of(call).digest()
    return call


def _key(request: Request) -> AgentKey | None:
    if not request.key_id:
        return None
    return AgentKey.objects.select_related("acts_for").filter(pk=request.key_id).first()


def _first_asked(rule: policy.Rule) -> str:
    return rule.stages[0].group if rule.stages else ""


def _sentence(tool: Tool, arguments: Mapping[str, object]) -> str:
    # Written for another definition, a template could call things what they no longer are.
    if tool.template and tool.template_digest == tool.definition_digest:
        return wording.tell(tool.template, tool.title, tool.name, arguments).sentence
    return wording.sentence(tool.title, tool.name, arguments)


def _tool(agent: Agent, tool_id: int) -> Tool:
    tool = (
        Tool.objects.select_related("upstream__domain")
        .filter(pk=tool_id, is_listed=True, upstream__is_enabled=True)
        .first()
    )
    if agent.is_paused:
        raise NotAllowed("This agent is paused.")
    if tool is None or not agent.domains.filter(pk=tool.upstream.domain_id).exists():
        raise NotFound("There is no such tool.")
    # Unknown means write: only a tool reviewed as a read is one.
    needed = agent.may_read if tool.effect == Tool.Effect.READ else agent.may_write
    if not needed:
        raise NotFound("There is no such tool.")
    return tool


def _earlier(agent: Agent, tool: Tool, digest: str, key: str) -> ToolCall | None:
    """Return the agent's call that this one repeats.

    Raises:
        IdempotencyMismatch: its key was used for something else.
    """
    mine = ToolCall.objects.select_related("agent", "domain", "upstream", "tool").filter(
        agent=agent
    )
    if not key:
        same = mine.filter(tool=tool, arguments_digest=digest, joins_repeats=True)
        return same.order_by("-created_at").first()
    found = mine.filter(idempotency_key=key).first()
    if found and (found.tool_id, found.arguments_digest) != (tool.pk, digest):
        raise IdempotencyMismatch(call_id=found.pk)
    return found


def _denied(agent: Agent, tool: Tool, ruled: policy.Ruling) -> NotAllowed:
    data = {
        "tool": tool.exposed_name,
        "domain": tool.upstream.domain.name,
        "rule": ruled.rule.as_dict(),
        "message": ruled.message,
    }
    entry = audit.Entry("call.refused", f"agent:{agent.name}", database_now(), data)
    audit.record(f"agent:{agent.name}", entry)
    return NotAllowed(ruled.message)


def _supersede(agent: Agent, old_id: UUID, *, by: UUID) -> ToolCall:
    old = access.get_agent_call(agent.pk, old_id)
    try:
        return lifecycle.supersede(old, actor=f"agent:{agent.name}", by=by)
    except Conflict as error:
        place = "$._meta['countersign/supersedes']"
        raise InvalidInput(error.message, path=place, call_id=old_id) from None


def _refuse_when_full(agent: Agent, domain: Domain) -> None:
    pending = ToolCall.objects.filter(status=S.PENDING)
    if pending.filter(agent=agent).count() >= settings.PENDING_PER_AGENT:
        raise QueueFull(
            f"This agent has {settings.PENDING_PER_AGENT} calls waiting for people already.",
            retry_after_seconds=60,
        )
    # Makes submits of one domain queue up; agents are locked first everywhere, so no deadlock.
    Domain.objects.select_for_update(no_key=True).get(pk=domain.pk)
    if pending.filter(domain=domain).count() >= settings.PENDING_PER_DOMAIN:
        raise QueueFull(f"The queue of {domain.name} is full.", retry_after_seconds=60)
    # Not locked: this bound protects the machine, and a few more do no harm.
    if pending.count() >= settings.PENDING_IN_ALL:
        raise QueueFull("The queue is full.", retry_after_seconds=60)
