"""The policy is read once a version, and which version is in force with each call."""

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings

from approvals import lifecycle, policy, ruling, submission
from approvals.administration import policy as policies
from approvals.errors import BindingBroken
from approvals.models import PolicyVersion, Revision, RuleRow, ToolCall
from mcp_bridge import snapshot
from tests.approvals.test_policy_marks import known_calls, other_calls, rules_drawn
from tests.support import world as worlds
from tests.support.world import ACTOR, World

S = ToolCall.Status
ALLOW = {"name": "small", "outcome": "allow", "tool": "billing__refund"}
HOLD = {"name": "all", "outcome": "hold", "tool": "billing__refund", "quorum": 2}


def load(*rules: dict[str, Any]) -> PolicyVersion:
    return policies.load_rules({"rules": list(rules)}, source="test", actor=ACTOR)


def load_elsewhere(*rules: dict[str, Any]) -> None:
    """Write a version as another process does: nothing in this one is told."""
    number = PolicyVersion.objects.order_by("-number")[0].number + 1
    with transaction.atomic():
        version = PolicyVersion.objects.create(number=number, source="there", loaded_by=ACTOR)
        for rule in policy.load({"rules": list(rules)}):
            body = {k: v for k, v in rule.as_dict().items() if k not in ("position", "name")}
            RuleRow.objects.create(
                version=version, position=rule.position, name=rule.name, body=body
            )


def submit(world: World, amount: int) -> ToolCall:
    key = world.agent.keys.get()
    arguments = {"customer": "cus_1", "amount": amount}
    request = submission.Request(world.agent.pk, key.pk, world.refund.pk, arguments)
    return submission.submit(request).call


def test_what_another_process_loads_decides_the_very_next_submit(world: World) -> None:
    load(ALLOW)
    assert submit(world, 1).status == S.APPROVED

    load_elsewhere(HOLD)
    held = submit(world, 2)
    assert (held.status, held.quorum, held.policy_version) == (S.PENDING, 2, 2)

    load_elsewhere(ALLOW)
    assert (submit(world, 3).status, submit(world, 4).policy_version) == (S.APPROVED, 3)


def test_what_another_process_loads_decides_the_very_next_dispatch(world: World) -> None:
    load(ALLOW)
    calls = [submit(world, amount) for amount in (1, 2)]
    first, second = (lifecycle.claim(call.pk, worker="w") for call in calls)
    assert lifecycle.dispatch(first, seen=worlds.seen(first.call)).status == S.DISPATCHED

    load_elsewhere(HOLD)

    with pytest.raises(BindingBroken, match="rule “all” does not let it run as approved"):
        lifecycle.dispatch(second, seen=worlds.seen(second.call))


def test_rules_are_read_once_a_version_and_the_version_with_each_call(world: World) -> None:
    load(ALLOW)
    ruling.in_force()

    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            found = ruling.in_force()
        assert [rule.name for rule in found.rules] == ["small", "hold by default"]
        (query,) = captured.captured_queries
        assert "approvals_policyversion" in query["sql"]


def test_a_version_that_was_never_committed_is_not_taken_for_one_with_its_number(
    world: World,
) -> None:
    with transaction.atomic():
        load(ALLOW)
        assert ruling.in_force().rules[0].name == "small"
        transaction.set_rollback(True)
    assert ruling.in_force().version == 0

    assert load(HOLD).number == 1

    assert ruling.in_force().rules[0].name == "all"


def test_few_versions_are_kept(world: World) -> None:
    for number in range(9):
        load({**ALLOW, "name": f"rule {number}"})
        assert ruling.in_force().version == number + 1

    kept = ruling._version.cache_info()
    assert kept.currsize <= kept.maxsize == 4  # type: ignore[operator]  # it has one


def test_the_bridge_does_not_read_rules_again_when_something_else_changed(world: World) -> None:
    load(ALLOW)
    known = snapshot.load_if_changed(None)
    Revision.bump()

    with CaptureQueriesContext(connection) as captured:
        fresh = snapshot.load_if_changed(known)

    assert fresh is not known
    assert fresh.policy is known.policy
    assert not any("approvals_rulerow" in query["sql"] for query in captured.captured_queries)
    load_elsewhere(HOLD)
    Revision.bump()
    assert snapshot.load_if_changed(fresh).policy.rules[0].name == "all"


@settings(max_examples=60, deadline=None)
@given(rules_drawn)
def test_the_index_finds_the_rules_that_a_look_at_each_would(rules: list[policy.Rule]) -> None:
    in_force = ruling.PolicyInForce(1, tuple(rules))

    for calls in (known_calls(), other_calls()):
        for facts in calls:
            assert in_force.candidates(facts) == policy.candidates(facts, rules)
