"""The one entry for the bridge: what is held, admitted, joined, superseded or refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from approvals import bindings, canonical, lifecycle, observations, policy, ruling, submission
from approvals.administration import agents, catalog
from approvals.administration import policy as policies
from approvals.errors import IdempotencyMismatch, InvalidInput, NotAllowed, NotFound, QueueFull
from approvals.models import Agent, AgentKey, AuditEvent, Tool, ToolCall, Upstream
from approvals.outcomes import Outcome
from tests.support import world as worlds
from tests.support.world import ACTOR, REFUND, World, definition, list_tools, reviewed

S = ToolCall.Status


@pytest.fixture
def submit(world: World) -> Callable[..., submission.Submitted]:
    """Return a submitter of requests of the agent `support`: `submit(arguments=…, …)`."""

    def send(**changes: Any) -> submission.Submitted:
        wanted = {
            "agent_id": world.agent.pk, "key_id": world.agent.keys.order_by("pk")[0].pk,
            "tool_id": world.refund.pk, "arguments": REFUND,
        }  # fmt: skip
        return submission.submit(submission.Request(**{**wanted, **changes}))

    return send


def load(*rules: dict[str, object]) -> None:
    policies.load_rules({"rules": list(rules)}, source="tests", actor=ACTOR)


def newest(stream: str) -> tuple[str, dict[str, Any]]:
    event = AuditEvent.objects.filter(stream=stream).order_by("-seq")[0]
    facts = canonical.parse(bytes(event.data))
    assert isinstance(facts, dict)
    return event.code, facts


# -- holding -------------------------------------------------------------------------------------


def test_a_reviewed_write_is_held_by_default_and_bound_to_everything_that_would_run(
    world: World, submit: Any
) -> None:
    submitted = submit(claimed_acts_for="Ann\n(she said)\u202e")

    call = ToolCall.objects.get(pk=submitted.call.pk)
    assert not submitted.joined
    assert (call.status, call.version, call.quorum, call.effect) == (S.PENDING, 1, 1, "write")
    assert (call.agent, call.owner, call.acts_for) == (world.agent, world.ann, world.ann)
    assert call.claimed_acts_for == "Ann (she said)‹U+202E›"
    assert bytes(call.arguments) == canonical.to_bytes(REFUND)
    assert call.arguments_digest == canonical.digest(bytes(call.arguments))
    assert call.rule["name"] == "hold by default"
    assert call.binding == bindings.of(call).digest()
    assert call.decide_by_at - call.created_at == timedelta(minutes=60)
    assert call.run_by_at - call.decide_by_at == timedelta(minutes=10)
    assert newest(f"call:{call.pk}")[0] == "call.held"


def test_a_tool_whose_call_is_held_was_called(
    world: World, submit: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        submit()

    assert Tool.objects.get(pk=world.refund.pk).last_called_at is not None
    assert Tool.objects.get(pk=world.customer.pk).last_called_at is None


def test_a_call_acts_for_whom_its_key_was_made_for(world: World, submit: Any) -> None:
    agents.create_key(world.agent, acts_for=world.eve, actor=ACTOR)
    key = AgentKey.objects.get(acts_for=world.eve)

    call = submit(key_id=key.pk).call

    assert (call.key, call.acts_for, call.owner) == (key, world.eve, world.ann)


def test_a_rule_sets_quorum_and_time_and_is_kept_as_it_read(world: World, submit: Any) -> None:
    load({"name": "two", "tool": "billing__*", "outcome": "hold", "quorum": 2,
          "expires_seconds": 90})  # fmt: skip

    call = submit().call
    load()

    call.refresh_from_db()
    assert (call.quorum, call.policy_version, call.rule["name"]) == (2, 1, "two")
    assert call.decide_by_at - call.created_at == timedelta(seconds=90)
    assert call.rule_digest == policy.Rule(**call.rule).digest()


@pytest.mark.parametrize("rule", [{}, {"tool": "billing__*"}, {"tool": "*", "agent": "support"}])
def test_a_tool_nobody_reviewed_is_held_whatever_a_rule_allows(
    world: World, submit: Any, rule: dict[str, object]
) -> None:
    list_tools(world.upstream, definition("refund"), definition("get_customer"), definition("new"))
    load({**rule, "outcome": "allow"})

    call = submit(tool_id=Tool.objects.get(name="new").pk).call

    assert (call.status, call.effect, call.rule["name"]) == (
        S.PENDING, "unreviewed", "hold by default"
    )  # fmt: skip


@pytest.mark.parametrize("name", ["refund", "get_customer"])
def test_a_changed_tool_is_held_even_if_it_was_a_read(world: World, submit: Any, name: str) -> None:
    load({"outcome": "allow", "tool": "billing__*"})
    changed = (definition(n, **({"title": "Other"} if n == name else {}))
               for n in ("refund", "get_customer"))  # fmt: skip
    list_tools(world.upstream, *changed)

    call = submit(tool_id=Tool.objects.get(name=name).pk).call

    assert (call.status, call.effect) == (S.PENDING, "changed")


def test_a_read_that_a_rule_holds_is_held(world: World, submit: Any) -> None:
    load({"outcome": "hold", "effect": "read"})

    call = submit(tool_id=world.customer.pk).call

    assert (call.status, call.effect) == (S.PENDING, "read")


# -- admitting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", ["write", "destructive"])
def test_an_allow_rule_that_names_the_tool_or_its_effect_admits_it_as_its_decision(
    world: World, submit: Any, effect: str
) -> None:
    reviewed("refund", effect)
    load({"name": "small ones", "outcome": "allow", "tool": "billing__refund"})
    by_name = submit().call
    load({"name": "those", "outcome": "allow", "effect": effect})
    by_effect = submit(arguments={"customer": "cus_1"}).call

    for call, name in ((by_name, "small ones"), (by_effect, "those")):
        call.refresh_from_db()
        assert (call.status, call.quorum, call.rule["name"]) == (S.APPROVED, 0, name)
        assert not call.decisions.exists()
        assert newest(f"call:{call.pk}")[0] == "call.admitted"


def test_a_bare_allow_lets_no_write_through(world: World, submit: Any) -> None:
    load({"outcome": "allow"}, {"outcome": "allow", "domain": "billing", "agent": "support"})

    assert submit().call.status == S.PENDING


def test_an_admitted_call_can_be_released(world: World, submit: Any) -> None:
    load({"outcome": "allow", "tool": "billing__refund"})
    call = submit().call

    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))

    assert lifecycle.finish(claim, Outcome.succeeded({"content": []})).status == S.SUCCEEDED


# -- refusing ------------------------------------------------------------------------------------


def test_a_deny_rule_makes_no_call_but_an_event_and_gives_its_words(
    world: World, submit: Any
) -> None:
    load({"name": "freeze", "outcome": "deny", "tool": "billing__*", "message": "Frozen today."})

    with pytest.raises(NotAllowed) as refused:
        submit(supersedes=worlds.hold(world, arguments={"customer": "cus_1"}).pk)

    assert str(refused.value) == "Frozen today."
    assert [call.status for call in ToolCall.objects.all()] == [S.PENDING]  # not superseded
    code, facts = newest("agent:support")
    assert code == "call.refused"
    assert (facts["tool"], facts["domain"]) == ("billing__refund", "billing")
    assert (facts["rule"]["name"], facts["message"]) == ("freeze", "Frozen today.")


def test_a_deny_rule_reaches_a_tool_nobody_reviewed(world: World, submit: Any) -> None:
    Tool.objects.filter(pk=world.refund.pk).update(reviewed_effect="")
    load({"outcome": "deny", "effect": "write"})

    with pytest.raises(NotAllowed, match="The policy does not allow this call"):
        submit()


def test_a_paused_agent_gets_nothing_done(world: World, submit: Any) -> None:
    agents.set_paused(world.agent, True, actor=ACTOR)

    with pytest.raises(NotAllowed, match="paused"):
        submit()

    assert not ToolCall.objects.exists()


def take_domain(world: World) -> None:
    world.agent.domains.clear()


def take_write(world: World) -> None:
    Agent.objects.update(may_write=False)


def take_upstream(world: World) -> None:
    Upstream.objects.update(is_enabled=False)


def take_tool(world: World) -> None:
    list_tools(world.upstream, definition("get_customer"))


@pytest.mark.parametrize("take", [take_domain, take_write, take_upstream, take_tool])
def test_a_tool_that_is_not_the_agents_looks_like_one_that_is_not_there(
    world: World, submit: Any, take: Callable[[World], None]
) -> None:
    take(world)
    with pytest.raises(NotFound) as hidden:
        submit()
    with pytest.raises(NotFound) as absent:
        submit(tool_id=10**6)

    assert hidden.value.as_dict() == absent.value.as_dict()
    assert not ToolCall.objects.exists()


def test_an_agent_of_reads_may_have_reads_only_and_unknown_means_write(
    world: World, submit: Any
) -> None:
    Agent.objects.update(may_write=False)
    load({"outcome": "hold"})
    assert submit(tool_id=world.customer.pk).call.status == S.PENDING

    Tool.objects.filter(pk=world.customer.pk).update(reviewed_effect="")
    with pytest.raises(NotFound):
        submit(tool_id=world.customer.pk, arguments={"customer": "cus_1"})

    Agent.objects.update(may_write=True, may_read=False)
    assert submit().call.status == S.PENDING


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"amount": 10**16}, "$.amount"),
        ({"memo": "a\0b"}, "$.memo"),
        ({"memo": ["\ud800"]}, "$.memo[0]"),
        ({"amount": float("nan")}, "$.amount"),
        ({"memo": "x" * 40_000}, "$.memo"),
        ({"rows": ["x" * 30_000] * 3}, "$"),
    ],
)
def test_arguments_that_have_no_one_spelling_are_refused_with_the_place(
    submit: Any, arguments: dict[str, object], path: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        submit(arguments=arguments)

    assert refused.value.path == path
    assert not ToolCall.objects.exists()


# -- joining -------------------------------------------------------------------------------------


def test_a_repeat_joins_the_call_that_stands_however_its_arguments_are_ordered(
    submit: Any,
) -> None:
    first = submit().call

    again = submit(arguments=dict(reversed(REFUND.items())))

    assert again.joined
    assert again.call == first
    assert not submit(arguments={**REFUND, "amount": 42001}).joined


@pytest.mark.parametrize("status", [status for status in S if status != S.EXPIRED])
def test_a_repeat_joins_until_the_answer_was_delivered_and_only_then_is_a_new_call(
    world: World, submit: Any, settings: Any, status: S
) -> None:
    settings.COOL_DOWN_SECONDS = 0
    call = worlds.walk(submit().call, world, status)
    assert submit().call == call

    observations.answer_delivered(call.pk)

    assert submit().joined is (status not in lifecycle.SETTLED)


def test_an_unknown_outcome_is_given_again_until_a_person_settled_it(
    world: World, submit: Any, settings: Any
) -> None:
    settings.SETTLE_QUARANTINE_SECONDS = 0
    call = worlds.walk(submit().call, world, S.UNKNOWN)
    observations.answer_delivered(call.pk)
    lifecycle.settle(call.pk, person=world.bo, outcome="not-ran", evidence="The ledger.")

    # It heard "unknown"; what came of it is still to be told.
    assert submit().call == call
    observations.answer_delivered(call.pk)
    assert not submit().joined


def test_another_agents_call_is_never_joined(world: World, submit: Any) -> None:
    other = agents.create_agent("other", owner=world.eve, domains=["billing"], actor=ACTOR)
    first = submit(idempotency_key="k").call

    second = submit(agent_id=other.pk, key_id=None, idempotency_key="k")

    assert not second.joined
    assert second.call != first


def test_an_own_key_joins_what_it_was_used_for_even_after_the_answer(
    world: World, submit: Any
) -> None:
    call = worlds.walk(submit(idempotency_key="order-7").call, world, S.SUCCEEDED)
    observations.answer_delivered(call.pk)

    again = submit(idempotency_key="order-7")

    assert again.joined
    assert again.call == call


def test_two_own_keys_make_two_calls_of_the_same_arguments(submit: Any) -> None:
    assert submit(idempotency_key="a").call != submit(idempotency_key="b").call


def test_an_own_key_for_something_else_is_a_mismatch_that_names_the_call(
    world: World, submit: Any
) -> None:
    list_tools(world.upstream, definition("refund"), definition("get_customer"),
               definition("credit"))  # fmt: skip
    call = submit(idempotency_key="order-7").call
    others = ({"arguments": {"customer": "cus_1"}}, {"tool_id": Tool.objects.get(name="credit").pk})

    for other in others:
        with pytest.raises(IdempotencyMismatch) as refused:
            submit(idempotency_key="order-7", **other)
        assert refused.value.call_id == str(call.pk)

    assert ToolCall.objects.count() == 1


def test_a_repeat_is_joined_before_policy_and_limits_are_asked(
    world: World, submit: Any, settings: Any
) -> None:
    call = submit().call
    settings.PENDING_PER_AGENT = 0
    load({"outcome": "deny"})

    assert submit().call == call


# -- superseding ---------------------------------------------------------------------------------


def test_an_agent_supersedes_its_own_pending_call_and_the_two_are_linked(submit: Any) -> None:
    old = submit().call

    new = submit(arguments={"customer": "cus_1"}, supersedes=old.pk).call

    old.refresh_from_db()
    assert (old.status, old.status_reason) == (S.VOID, f"Superseded by {new.pk}.")
    assert (new.status, new.supersedes) == (S.PENDING, old)
    assert newest(f"call:{old.pk}")[1]["superseded_by"] == str(new.pk)
    assert newest(f"call:{new.pk}")[1]["supersedes"] == str(old.pk)


def test_superseding_makes_room_for_itself(submit: Any, settings: Any) -> None:
    settings.PENDING_PER_AGENT = 1
    old = submit().call

    assert submit(arguments={"customer": "cus_1"}, supersedes=old.pk).call.status == S.PENDING


def test_a_foreign_call_and_none_at_all_are_equally_not_there_to_supersede(
    world: World, submit: Any
) -> None:
    other = agents.create_agent("other", owner=world.eve, domains=["billing"], actor=ACTOR)
    foreign = submit(agent_id=other.pk, key_id=None).call
    answers = []

    for ticket in (foreign.pk, uuid4()):
        with pytest.raises(NotFound) as refused:
            submit(arguments={"customer": "cus_1"}, supersedes=ticket)
        answers.append(refused.value.as_dict())

    assert answers[0] == answers[1]
    foreign.refresh_from_db()
    assert foreign.status == S.PENDING
    assert ToolCall.objects.count() == 1


@pytest.mark.parametrize("status", sorted(set(S) - {S.PENDING, S.EXPIRED}))
def test_only_a_pending_call_can_be_superseded(world: World, submit: Any, status: S) -> None:
    old = worlds.walk(submit().call, world, status)

    with pytest.raises(InvalidInput, match=f"is {status}") as refused:
        submit(arguments={"customer": "cus_1"}, supersedes=old.pk)

    assert refused.value.path == "$._meta['countersign/supersedes']"
    old.refresh_from_db()
    assert old.status == status
    assert ToolCall.objects.count() == 1


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["PENDING_PER_AGENT", "PENDING_PER_DOMAIN", "PENDING_IN_ALL"])
def test_a_full_queue_takes_no_more_until_somebody_decides(
    world: World, submit: Any, settings: Any, limit: str
) -> None:
    setattr(settings, limit, 2)
    first, _ = (submit(arguments={"customer": f"cus_{n}"}).call for n in range(2))

    with pytest.raises(QueueFull) as refused:
        submit()
    assert refused.value.retry_after_seconds == 60
    assert ToolCall.objects.count() == 2

    lifecycle.cancel(first.pk, actor="agent:support")
    assert submit().call.status == S.PENDING


def test_limits_of_an_agent_and_a_domain_are_their_own(
    world: World, submit: Any, settings: Any
) -> None:
    settings.PENDING_PER_AGENT = 1
    submit()
    other = agents.create_agent("other", owner=world.eve, domains=["billing"], actor=ACTOR)

    assert submit(agent_id=other.pk, key_id=None).call.status == S.PENDING


def test_what_a_rule_admits_waits_for_nobody_and_is_not_limited(
    world: World, submit: Any, settings: Any
) -> None:
    settings.PENDING_PER_AGENT = 0
    load({"outcome": "allow", "tool": "billing__refund"})

    assert submit().call.status == S.APPROVED


# -- what the bridge asks from its cache ---------------------------------------------------------


def test_the_bridge_judges_by_the_same_rules_and_facts(world: World) -> None:
    load({"name": "no reads by night", "outcome": "hold", "effect": "read"})
    in_force = ruling.in_force()

    def judged(tool: Tool) -> policy.Ruling:
        facts = submission.facts_of(world.agent, tool)
        return submission.judge(facts, submission.rules_for(facts, in_force))

    read, write = judged(world.customer), judged(world.refund)

    assert (read.rule.name, write.rule.name) == ("no reads by night", "hold by default")
    assert submission.facts_of(world.agent, world.refund) == submission.Facts(
        domain="billing", tool="billing__refund", effect="write", agent="support"
    )


def test_a_submission_sees_what_was_changed_a_moment_ago(world: World, submit: Any) -> None:
    catalog.put_upstream(
        catalog.UpstreamSpec("billing", "http", {"url": "http://127.0.0.1:10/mcp"}),
        domain=world.billing, actor=ACTOR,
    )  # fmt: skip

    assert submit().call.upstream_address == "http://127.0.0.1:10/mcp"
