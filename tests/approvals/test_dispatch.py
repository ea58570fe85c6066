"""The point of no return: what is approved is what runs, by locked rows and today's policy."""

from datetime import timedelta

import pytest

from approvals import bindings, canonical, lifecycle, submission
from approvals.administration import agents, catalog
from approvals.administration import policy as policies
from approvals.errors import BindingBroken, CallExpired, FenceLost
from approvals.models import Dispatch, Tool, ToolCall, Upstream, database_now
from tests.support import guarding, trail
from tests.support import world as worlds

S = ToolCall.Status
OTHER = "0" * 64


@pytest.fixture
def claim(held_call):
    return lifecycle.claim(held_call(status=S.APPROVED).pk, worker="w1")


def _dispatch(claim, **changes):
    call = claim.call
    facts = (call.definition_digest, call.upstream_address, call.credential_ref)
    seen = bindings.Seen(*facts)
    return lifecycle.dispatch(claim, seen=bindings.Seen(**{**vars(seen), **changes}))


def _is_void(claim, words: str, **changes) -> None:
    """Expect a dispatch to void the call for this reason, and nothing to be dispatched."""
    with pytest.raises(BindingBroken, match=words):
        _dispatch(claim, **changes)

    call = ToolCall.objects.get(pk=claim.call_id)
    assert call.status == S.VOID
    assert words in call.status_reason
    assert not Dispatch.objects.exists()
    assert trail.last(call).actor == "worker:w1"
    with trail.nothing_changes(call), pytest.raises(FenceLost):
        _dispatch(claim)


def _load(*rules) -> None:
    policies.load_rules({"rules": list(rules)}, source="tests", actor=worlds.ACTOR)


def test_a_dispatch_is_recorded_before_anything_is_sent(claim, settings):
    call = _dispatch(claim)

    row = call.dispatch
    assert (call.status, row.fence, row.worker) == (S.DISPATCHED, 1, "w1")
    assert (row.binding, row.definition_digest) == (call.binding, call.definition_digest)
    assert row.answer_by_at - row.at == timedelta(seconds=settings.UPSTREAM_TIMEOUT_SECONDS)
    assert call.lease_until == row.answer_by_at + timedelta(seconds=settings.ANSWER_GRACE_SECONDS)
    event = trail.last(call)
    assert (event.code, event.actor) == ("call.dispatched", "worker:w1")
    facts = trail.facts(event)
    assert (facts["fence"], facts["binding"]) == (1, call.binding)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        ("definition_digest", "definition changed"),
        ("address", "address changed"),
        ("credential_ref", "credential"),
    ],
)
def test_what_a_worker_sees_differently_voids_the_call(claim, fact, words):
    _is_void(claim, words, **{fact: OTHER})


def _change_definition(world) -> None:
    Tool.objects.filter(pk=world.refund.pk).update(definition_digest=OTHER)


def _change_address(world) -> None:
    Upstream.objects.update(launch={"url": "http://127.0.0.1:10/mcp", "headers": {}})


def _change_credential(world) -> None:
    Upstream.objects.update(write_credentials={"headers": {"Authorization": "${OTHER}"}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_change_definition, "definition changed"),
        (_change_address, "address changed"),
        (_change_credential, "credential"),
    ],
)
def test_what_the_catalogue_says_otherwise_by_now_voids_the_call(world, claim, change, words):
    """The worker connected before somebody changed it, so it saw what was approved."""
    change(world)

    _is_void(claim, words)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("arguments", b'{"amount":42000000,"customer":"cus_8241"}'),
        ("rule", {"position": 1, "name": "test", "outcome": "hold", "quorum": 0}),
        ("definition_digest", OTHER),
        ("upstream_address", "http://127.0.0.1:10/mcp"),
        ("credential_ref", "billing/shared:X=${X}"),
        ("tool_name", "billing__other"),
        ("binding", OTHER),
        ("decide_by_at", timedelta(minutes=1)),
        ("run_by_at", timedelta(minutes=1)),
    ],
)
def test_a_row_that_was_tampered_with_voids_the_call(claim, column, value):
    """Past the guards, which would have refused it: the binding is computed from the bytes."""
    if isinstance(value, timedelta):
        value += getattr(claim.call, column)
    with guarding.unguarded():
        ToolCall.objects.filter(pk=claim.call_id).update(**{column: value})

    with pytest.raises(BindingBroken):
        _dispatch(claim)

    assert not Dispatch.objects.exists()
    assert ToolCall.objects.get(pk=claim.call_id).status == S.VOID


def test_arguments_with_a_digest_to_match_void_the_call_all_the_same(claim):
    body = b'{"amount":42000000,"customer":"cus_8241"}'
    with guarding.unguarded():
        digest = canonical.digest(body)
        ToolCall.objects.filter(pk=claim.call_id).update(arguments=body, arguments_digest=digest)

    _is_void(claim, "its digest does not match")


@pytest.mark.parametrize("column", ["agent", "acts_for"])
def test_another_agent_or_person_voids_the_call(world, claim, column):
    other = {
        "agent": lambda: agents.create_agent(
            "other", owner=world.ann, domains=["billing"], actor=worlds.ACTOR
        ),
        "acts_for": lambda: world.eve,
    }[column]()
    with guarding.unguarded():
        ToolCall.objects.filter(pk=claim.call_id).update(**{column: other})

    _is_void(claim, "its digest does not match")


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "no refunds", "tool": "billing__refund", "outcome": "deny"},
        {"name": "two of you", "tool": "billing__refund", "outcome": "hold", "quorum": 2},
        {"name": "three for all", "outcome": "hold", "quorum": 3},
    ],
    ids=lambda rule: rule["name"],
)
def test_a_policy_that_got_stricter_voids_the_call(claim, rule):
    _load(rule)

    _is_void(claim, f"rule “{rule['name']}” does not let it run")


@pytest.mark.parametrize(
    "rule",
    [
        {"tool": "billing__refund", "outcome": "allow"},
        {"outcome": "hold", "quorum": 1, "expires_seconds": 60},
        {"tool": "billing__other*", "outcome": "deny"},
    ],
    ids=str,
)
def test_a_policy_that_changed_and_is_no_stricter_lets_the_call_run(claim, rule):
    """Also one that gives people less time: theirs was set when the call was held."""
    _load(rule)

    assert _dispatch(claim).status == S.DISPATCHED


def test_approvals_beyond_the_old_quorum_count_for_a_stricter_one(world, held_call):
    call = held_call(status=S.APPROVED, quorum=2)
    _load({"outcome": "hold", "quorum": 2})

    claim = lifecycle.claim(call.pk, worker="w1")

    assert _dispatch(claim).status == S.DISPATCHED


def test_a_call_that_a_rule_admitted_does_not_survive_a_hold(world):
    _load({"name": "allow it", "tool": "billing__refund", "outcome": "allow"})
    key = world.agent.keys.get()
    call = submission.submit(
        submission.Request(world.agent.pk, key.pk, world.refund.pk, worlds.REFUND)
    ).call
    claim = lifecycle.claim(call.pk, worker="w1")

    _load({"name": "hold it", "outcome": "hold"})

    _is_void(claim, "rule “hold it”")


def test_a_tool_reviewed_anew_as_more_dangerous_is_judged_so(world, claim):
    _load({"name": "no destruction", "effect": "destructive", "outcome": "deny"})
    worlds.reviewed("refund", "destructive")

    _is_void(claim, "no destruction")


def test_a_paused_agent_has_nothing_sent(world, claim):
    agents.set_paused(world.agent, True, actor=worlds.ACTOR)

    _is_void(claim, "paused")


def test_an_upstream_that_was_switched_off_is_sent_nothing(claim):
    Upstream.objects.update(is_enabled=False)

    _is_void(claim, "taken away")


def test_a_tool_that_is_gone_is_not_called(world, claim):
    Tool.objects.filter(pk=world.refund.pk).update(is_listed=False)

    _is_void(claim, "taken away")


def test_a_listing_without_the_tool_voids_the_claimed_call_itself(world, claim):
    worlds.list_tools(world.upstream, worlds.definition("get_customer"))

    call = ToolCall.objects.get(pk=claim.call_id)
    assert call.status == S.VOID
    with trail.nothing_changes(call), pytest.raises(FenceLost):
        _dispatch(claim)


def test_a_call_past_its_time_to_run_expires_instead(claim):
    """Looked at before the binding: a late call is expired, not void, whatever else changed."""
    with guarding.unguarded():
        now = database_now()
        ToolCall.objects.filter(pk=claim.call_id).update(decide_by_at=now, run_by_at=now)

    with pytest.raises(CallExpired):
        _dispatch(claim, definition_digest=OTHER)

    call = ToolCall.objects.get(pk=claim.call_id)
    assert (call.status, call.status_reason) == (S.EXPIRED, "It did not run in time.")
    assert not Dispatch.objects.exists()


def test_a_lease_that_is_over_but_not_taken_still_dispatches(claim):
    """The fence decides, not the clock: nobody else has claimed the call since."""
    ToolCall.objects.filter(pk=claim.call_id).update(lease_until=database_now())

    assert _dispatch(claim).status == S.DISPATCHED


@pytest.mark.parametrize("fence", [0, 2])
def test_another_fence_dispatches_nothing(claim, fence):
    with trail.nothing_changes(claim.call), pytest.raises(FenceLost):
        _dispatch(lifecycle.Claim(claim.call, fence, "w2"))


def test_a_worker_that_was_overtaken_dispatches_nothing(claim):
    lifecycle.unclaim(claim, reason="Nobody listened.")
    ToolCall.objects.update(not_before=None)
    newer = lifecycle.claim(claim.call_id, worker="w2")

    with trail.nothing_changes(claim.call), pytest.raises(FenceLost):
        _dispatch(claim)

    assert _dispatch(newer).dispatch.worker == "w2"


def test_a_claim_dispatches_once(claim):
    _dispatch(claim)

    with trail.nothing_changes(claim.call), pytest.raises(FenceLost):
        _dispatch(claim)


def test_only_a_claimed_call_is_dispatched(held_call):
    for status in S:
        if status == S.CLAIMED:
            continue
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        with trail.nothing_changes(call), pytest.raises(FenceLost):
            _dispatch(lifecycle.Claim(call, call.fence, "test"))


@pytest.mark.postgres
def test_a_dispatch_is_on_disk_before_it_is_told_whatever_the_server_is_set_to(claim):
    """An acknowledged dispatch that a crash forgets would be sent a second time."""
    guarding.execute("SET LOCAL synchronous_commit = 'off'")

    _dispatch(claim)

    assert guarding.fetch("SHOW synchronous_commit") == ("on",)


def test_a_changed_definition_is_found_by_the_listing_and_by_the_dispatch(world, held_call):
    call = held_call(status=S.APPROVED)
    worlds.list_tools(
        world.upstream,
        worlds.definition("refund", description="Now it refunds twice."),
        worlds.definition("get_customer"),
    )

    call.refresh_from_db()
    assert (call.status, catalog.get_tool("billing", "refund").effect) == (S.VOID, "changed")
