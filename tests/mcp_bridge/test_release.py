"""The release of approved calls, end to end: real rows, a real loop, a real upstream billing."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from approvals import canonical, lifecycle, submission
from approvals.administration import policy
from approvals.models import Agent, AuditEvent, Dispatch, Revision, Tool, ToolCall, Upstream
from approvals.models import database_now as now
from mcp_bridge import release
from tests.support import upstreams as servers
from tests.support import world as worlds
from tests.support.asking import put
from tests.support.running import until
from tests.support.upstreams import TOOLS, HttpUpstream, StdioUpstream
from tests.support.world import ACTOR, REFUND, World, definition

S = ToolCall.Status
Approved = Callable[..., ToolCall]


pytestmark = pytest.mark.usefixtures("worker")


def fresh(call: ToolCall) -> ToolCall:
    return ToolCall.objects.get(pk=call.pk)


def released(call: ToolCall) -> ToolCall:
    """Deliver the message once, wait for its end, and return the row."""
    release.release(str(call.pk))
    return fresh(call)


def delivered(call: ToolCall) -> threading.Thread:
    """Deliver the message in a thread of its own."""
    thread = threading.Thread(target=release.release, args=(str(call.pk),))
    thread.start()
    return thread


def story(call: ToolCall) -> list[str]:
    """Return the codes of a call's events after it was approved."""
    events = AuditEvent.objects.filter(stream=f"call:{call.pk}").order_by("seq")
    codes = [event.code.removeprefix("call.") for event in events]
    return codes[codes.index("approved") + 1 :]


def nothing_was_sent(billing: HttpUpstream | StdioUpstream) -> bool:
    return billing.calls == [] and not Dispatch.objects.exists()


def test_an_approved_call_runs_and_its_result_is_stored(approved: Approved, billing: HttpUpstream):
    call = released(approved())

    assert call.status == S.SUCCEEDED
    assert story(call) == ["claimed", "dispatched", "succeeded"]
    (sent,) = billing.calls
    assert canonical.to_bytes(sent.message["params"]["arguments"]) == bytes(call.arguments)
    assert sent.message["params"]["_meta"]["countersign/call_id"] == str(call.pk)
    assert billing.effects == [REFUND]
    assert json.loads(bytes(call.result or b""))["content"][0]["type"] == "text"
    assert Dispatch.objects.get().fence == call.fence == 1


def test_it_runs_over_stdio_in_both_eras(world: World, tmp_path: Any):
    for era in ("2026-07-28", "2025-11-25"):
        child = StdioUpstream(tmp_path / era, {"era": era})
        put(world.billing, child, "billing")
        call = worlds.walk(worlds.hold(world, arguments=REFUND | {"memo": era}), world, S.APPROVED)

        assert released(call).status == S.SUCCEEDED
        assert child.effects == [REFUND | {"memo": era}]


def test_a_message_delivered_twice_or_late_runs_it_once(approved: Approved, billing: HttpUpstream):
    call = approved()

    threads = [delivered(call) for _ in range(3)]
    for thread in threads:
        thread.join(20)
    released(call)

    assert fresh(call).status == S.SUCCEEDED
    assert billing.effects == [REFUND]


def test_a_message_for_a_call_that_is_not_approved_does_nothing(
    world: World, billing: HttpUpstream
):
    for status in (S.PENDING, S.REJECTED, S.CANCELLED, S.VOID, S.CLAIMED, S.UNKNOWN):
        call = worlds.hold(world, arguments=REFUND | {"memo": status})
        call = worlds.walk(call, world, status)

        assert released(call).version == call.version
    release.release("0190a5a0-0000-7000-8000-000000000001")
    assert billing.posts == []


def test_an_upstream_that_is_down_is_tried_again_later_and_later(
    approved: Approved, billing: HttpUpstream
):
    call = approved()
    billing.stop()
    pauses: list[float] = []
    for _ in range(2):
        tried = until(lambda: _tried_again(call, len(pauses) + 1), "another try")
        assert tried.status == S.APPROVED
        assert "cannot be reached" in tried.status_reason
        assert tried.not_before
        pauses.append((tried.not_before - tried.moved_at).total_seconds())
    assert pauses[1] > pauses[0] >= 0.9

    billing.start()
    until(lambda: released(call).status == S.SUCCEEDED, "that it runs")

    assert billing.effects == [REFUND]
    assert story(call)[:4] == ["claimed", "approved", "claimed", "approved"]


def _tried_again(call: ToolCall, times: int) -> ToolCall | None:
    found = released(call)
    return found if found.claims_failed == times else None


def test_a_definition_that_changed_upstream_voids_the_call_and_marks_the_tool(
    approved: Approved, billing: HttpUpstream
):
    call = approved()
    billing.tools = [definition("refund", description="Sends money anywhere."), TOOLS[1]]

    call = released(call)

    assert call.status == S.VOID
    assert "definition changed" in call.status_reason
    assert Tool.objects.get(name="refund").effect == Tool.CHANGED
    assert nothing_was_sent(billing)


def test_a_tool_that_is_gone_upstream_voids_the_call(approved: Approved, billing: HttpUpstream):
    call = approved()
    billing.tools = [TOOLS[1]]

    assert released(call).status == S.VOID
    assert not Tool.objects.get(name="refund").is_listed
    assert nothing_was_sent(billing)


def test_another_address_voids_the_call(world: World, approved: Approved, billing: HttpUpstream):
    call = approved()
    with servers.serving() as other:
        put(world.billing, other, "billing")

        call = released(call)

        assert call.status == S.VOID
        assert "address" in call.status_reason
        assert other.calls == []
        assert nothing_was_sent(billing)


def test_another_credential_voids_the_call(
    world: World, approved: Approved, billing: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTHER_TOKEN", "x")
    call = approved()
    headers = {"headers": {"authorization": "Bearer ${OTHER_TOKEN}"}}
    put(world.billing, billing, "billing", write_credentials=headers)

    call = released(call)

    assert call.status == S.VOID
    assert "credential" in call.status_reason
    assert nothing_was_sent(billing)


@pytest.mark.parametrize("rule", [{"outcome": "deny"}, {"outcome": "hold", "quorum": 2}])
def test_a_stricter_policy_voids_the_call(
    approved: Approved, billing: HttpUpstream, rule: dict[str, Any]
):
    call = approved()
    policy.load_rules({"rules": [{"name": "new", **rule}]}, source="test", actor=ACTOR)

    call = released(call)

    assert call.status == S.VOID
    assert "policy got stricter" in call.status_reason
    assert nothing_was_sent(billing)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("args.amount > 50000", S.SUCCEEDED),
        ("args.amount > 41999", S.VOID),
        ("args.memo == 'x'", S.SUCCEEDED),  # nobody can say: one approver, and there was one
        ("history.calls_day == 0", S.VOID),  # as it was when the call was made
        ("acts_for == 'ann' && now > timestamp('2026-01-01T00:00:00Z')", S.VOID),
    ],
)
def test_a_condition_of_today_is_asked_of_what_would_be_sent(
    approved: Approved, billing: HttpUpstream, condition: str, status: S
):
    call = approved()
    rules = [{"outcome": "deny", "condition": condition}, {"outcome": "allow", "tool": "*"}]
    policy.load_rules({"rules": rules}, source="test", actor=ACTOR)

    call = released(call)

    assert call.status == status
    assert ("policy got stricter: rule “rule 1”" in call.status_reason) is (status == S.VOID)
    assert nothing_was_sent(billing) is (status == S.VOID)


def test_what_a_rule_let_through_does_not_run_once_nobody_can_judge_it(
    approved: Approved, billing: HttpUpstream, world: World
):
    policy.load_rules({"rules": [{"outcome": "allow", "tool": "*"}]}, source="test", actor=ACTOR)
    key = world.agent.keys.get()
    call = submission.submit(
        submission.Request(world.agent.pk, key.pk, world.refund.pk, REFUND)
    ).call
    unsure = {"outcome": "allow", "tool": "*", "condition": "args.memo == 'x'"}
    policy.load_rules({"rules": [unsure]}, source="test", actor=ACTOR)

    call = released(call)

    assert call.status == S.VOID
    assert "args.memo is missing" in call.status_reason
    assert nothing_was_sent(billing)


def test_an_agent_paused_after_the_approval_sends_nothing(
    approved: Approved, billing: HttpUpstream
):
    call = approved()
    Agent.objects.update(is_paused=True)

    assert released(call).status == S.VOID
    assert nothing_was_sent(billing)


def test_an_upstream_switched_off_after_the_approval_gets_nothing(
    approved: Approved, billing: HttpUpstream
):
    call = approved()
    Upstream.objects.update(is_enabled=False)
    Revision.bump()

    call = released(call)

    assert call.status == S.VOID
    assert billing.posts == []


def test_a_call_whose_time_runs_out_while_connecting_expires(
    approved: Approved, billing: HttpUpstream, settings: Any
):
    settings.RUN_WITHIN_SECONDS = 0
    call = approved(age=timedelta(hours=1) - timedelta(seconds=2))
    billing.ways["tools/list"] = servers.waits()

    running = delivered(call)
    until(lambda: fresh(call).status == S.CLAIMED, "the claim")
    until(lambda: now() > call.run_by_at, "the deadline")
    billing.gate.set()
    running.join(20)

    assert fresh(call).status == S.EXPIRED
    assert nothing_was_sent(billing)


def test_no_answer_in_time_is_unknown_and_a_late_answer_settles_it(
    approved: Approved, billing: HttpUpstream, settings: Any
):
    settings.UPSTREAM_TIMEOUT_SECONDS = 1
    billing.ways["tools/call"] = servers.waits()
    call = approved()

    unknown = released(call)

    assert unknown.status == S.UNKNOWN
    assert "may have happened" in unknown.status_reason
    billing.gate.set()
    until(lambda: fresh(call).status == S.SUCCEEDED, "the late answer")
    assert fresh(call).fence == unknown.fence
    assert story(call) == ["claimed", "dispatched", "unknown", "succeeded"]
    assert len(billing.calls) == 1


def test_a_late_refusal_settles_it_too(approved: Approved, billing: HttpUpstream, settings: Any):
    settings.UPSTREAM_TIMEOUT_SECONDS = 1
    billing.ways["tools/call"] = servers.waits(servers.fails(-32602))
    call = released(approved())

    billing.gate.set()

    until(lambda: fresh(call).status == S.FAILED, "the late answer")
    assert fresh(call).failure_kind == ToolCall.Failure.UPSTREAM_ERROR


def test_a_late_answer_does_not_overrule_a_person(
    world: World, approved: Approved, billing: HttpUpstream, settings: Any
):
    settings.UPSTREAM_TIMEOUT_SECONDS = 1
    settings.SETTLE_QUARANTINE_SECONDS = 0
    billing.ways["tools/call"] = servers.waits()
    call = released(approved())
    lifecycle.settle(call.pk, person=world.bo, outcome="not-ran", evidence="Looked.")
    settled = fresh(call)

    billing.gate.set()
    until(lambda: billing.effects, "the late effect")
    release.stop_claiming()
    release.wait_idle(5)

    assert fresh(call).version == settled.version


def test_the_worker_stops_claiming_and_waits_for_what_runs(
    approved: Approved, billing: HttpUpstream
):
    billing.ways["tools/call"] = servers.waits()
    first = approved()
    running = delivered(first)
    until(lambda: billing.calls, "the call")

    release.stop_claiming()
    second = approved(arguments=REFUND | {"memo": "second"})

    assert released(second).status == S.APPROVED
    billing.gate.set()
    assert release.wait_idle(10) == 0
    running.join(10)
    assert fresh(first).status == S.SUCCEEDED
    assert billing.effects == [REFUND]


def test_what_still_runs_when_the_worker_has_to_go_is_counted(
    approved: Approved, billing: HttpUpstream
):
    billing.ways["tools/call"] = servers.waits()
    running = delivered(approved())
    until(lambda: billing.calls, "the call")

    release.stop_claiming()

    assert release.wait_idle(0.1) == 1
    billing.gate.set()
    running.join(20)


def test_a_worker_that_stops_while_connecting_gives_the_call_back(
    approved: Approved, billing: HttpUpstream
):
    billing.ways["tools/list"] = servers.waits()
    call = approved()
    running = delivered(call)
    until(lambda: fresh(call).status == S.CLAIMED, "the claim")

    release.stop_claiming()
    billing.gate.set()
    running.join(10)

    assert fresh(call).status == S.APPROVED
    assert nothing_was_sent(billing)


def test_a_lease_does_not_run_out_while_a_slow_upstream_lists(
    approved: Approved, billing: HttpUpstream, settings: Any
):
    settings.CLAIM_LEASE_SECONDS = 1
    billing.ways["tools/list"] = servers.waits()
    call = approved()
    running = delivered(call)
    until(lambda: fresh(call).status == S.CLAIMED, "the claim")
    end = time.monotonic() + 3

    def lapses() -> bool:
        found = fresh(call)
        assert found.lease_until
        assert found.lease_until > now(), "a sweep would give it to another worker now"
        return time.monotonic() > end

    until(lapses, "three leases' time")
    billing.gate.set()
    running.join(20)

    assert fresh(call).status == S.SUCCEEDED
    assert fresh(call).fence == 1


def test_refresh_reads_the_list_with_the_write_credentials(
    world: World, billing: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WRITE_TOKEN", "secret")
    headers = {"headers": {"authorization": "Bearer ${WRITE_TOKEN}"}}
    upstream = put(world.billing, billing, "billing", write_credentials=headers)
    billing.tools = [*TOOLS, definition("close_account")]

    release.refresh(upstream.pk)

    assert set(Tool.objects.get(name="close_account").listed_digests) == {"write"}
    assert {post.headers.get("authorization") for post in billing.posts} == {"Bearer secret"}


def test_refresh_of_an_upstream_that_is_gone_or_down_ends_quietly(
    world: World, billing: HttpUpstream
):
    billing.stop()

    release.refresh(world.upstream.pk)
    release.refresh(10_000)

    assert "cannot be reached" in Upstream.objects.get(name="billing").list_error
    billing.start()
