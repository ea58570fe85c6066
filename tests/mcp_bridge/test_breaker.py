"""The breaker of one upstream: it stops claiming, lets one probe through, and fails no call."""

from collections.abc import Callable
from typing import Any

import pytest

from approvals.models import AuditEvent, ToolCall
from mcp_bridge import release
from mcp_bridge.upstreams import breaker as breakers
from mcp_bridge.upstreams.breaker import Breaker
from tests.support.running import until
from tests.support.upstreams import HttpUpstream, fails, waits
from tests.support.world import REFUND

S = ToolCall.Status


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def tried(breaker: Breaker, ended_well: bool | None) -> bool:
    """Claim once, if that is allowed, and tell whether it was."""
    with breaker.trial() as trial:
        if trial is None:
            return False
        trial.ended_well = ended_well
    return True


def opened(clock: Clock, failures: int = 3) -> Breaker:
    breaker = Breaker(failures, clock)
    assert all(tried(breaker, False) for _ in range(failures))
    return breaker


def test_it_opens_after_so_many_failures_in_a_row():
    breaker = Breaker(3, Clock())

    for ended_well in (False, False, True, False, None, False):
        assert tried(breaker, ended_well)
    assert not breaker.is_open

    assert tried(breaker, False)
    assert not tried(breaker, True)


def test_after_the_pause_one_probe_is_let_through_and_closes_it():
    clock = Clock()
    breaker = opened(clock)
    clock.now += breaker.pause_seconds

    with breaker.trial() as probe:
        assert probe is not None
        assert not breaker.may_claim()
        probe.ended_well = True

    assert all(tried(breaker, True) for _ in range(5))


def test_each_probe_that_fails_makes_the_pause_longer_up_to_a_minute():
    clock = Clock()
    breaker = opened(clock)
    pauses = []
    for _ in range(7):
        pauses.append(breaker.pause_seconds)
        clock.now += breaker.pause_seconds
        assert tried(breaker, False)

    assert pauses == [5, 10, 20, 40, 60, 60, 60]


def test_failures_that_were_under_way_do_not_make_the_pause_longer():
    clock = Clock()
    breaker = Breaker(1, clock)
    with breaker.trial() as first, breaker.trial() as second:
        assert first is not None
        assert second is not None
        first.ended_well = second.ended_well = False

    assert breaker.pause_seconds == 5


def test_a_probe_that_says_nothing_leaves_the_next_one_its_turn():
    clock = Clock()
    breaker = opened(clock)
    clock.now += breaker.pause_seconds

    assert tried(breaker, None)
    assert breaker.is_open
    assert tried(breaker, True)
    assert not breaker.is_open


def test_a_probe_that_breaks_off_does_not_keep_it_shut():
    clock = Clock()
    breaker = opened(clock)
    clock.now += breaker.pause_seconds

    with pytest.raises(ValueError, match="boom"), breaker.trial():
        raise ValueError("boom")

    assert tried(breaker, True)


def test_0_means_never():
    breaker = Breaker(0, Clock())

    assert all(tried(breaker, False) for _ in range(50))


# -- in a worker ---------------------------------------------------------------------------------


@pytest.fixture
def quick(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fresh worker's breakers open after two failures, and pause for a moment only."""
    settings.BREAKER_FAILURES = 2
    settings.RELEASES_PER_UPSTREAM = 1  # one after the other, so that failures are in a row
    monkeypatch.setattr(breakers, "_PAUSES", (1.5,))
    monkeypatch.setattr(release._work, "_releases", None)


def released(call: ToolCall) -> ToolCall:
    release.release(str(call.pk))
    return ToolCall.objects.get(pk=call.pk)


def claims() -> int:
    return AuditEvent.objects.filter(code="call.claimed").count()


def test_an_upstream_that_is_down_is_no_longer_claimed_for_and_no_call_fails(
    approved: Callable[..., ToolCall], billing: HttpUpstream, quick: None
):
    calls = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(5)]
    billing.stop()

    after = [released(call) for call in calls]

    assert {call.status for call in after} == {S.APPROVED}
    assert claims() == 2
    assert [call.version for call in after[2:]] == [call.version for call in calls[2:]]

    billing.start()
    until(lambda: {released(call).status for call in calls} == {S.SUCCEEDED}, "all of them")
    assert len(billing.effects) == 5


def test_an_upstream_that_no_longer_answers_is_sent_no_more_calls(
    approved: Callable[..., ToolCall], billing: HttpUpstream, quick: None, settings: Any
):
    settings.UPSTREAM_TIMEOUT_SECONDS = 1
    calls = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(4)]
    billing.ways["tools/call"] = waits()

    statuses = [released(call).status for call in calls]

    assert statuses == [S.UNKNOWN, S.UNKNOWN, S.APPROVED, S.APPROVED]
    assert len(billing.calls) == 2
    billing.gate.set()


def test_an_upstream_that_says_no_is_claimed_for_all_the_same(
    approved: Callable[..., ToolCall], billing: HttpUpstream, quick: None
):
    calls = [approved(arguments=REFUND | {"memo": str(n)}) for n in range(4)]
    billing.ways["tools/call"] = fails(-32602)

    assert {released(call).status for call in calls} == {S.FAILED}
    assert claims() == 4
