"""What changes, or is lost, between one step of a call and the next.

`tests/races/promises.py` says at which guard each test aims; `manage.py race_guards` takes it out.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from uuid import UUID

import pytest

from approvals import lifecycle, tasks
from approvals.administration import policy
from approvals.errors import ApprovalsError, BindingBroken, CallExpired
from approvals.models import Dispatch, Tool, ToolCall, Upstream, clock
from tests.support import listening, racing
from tests.support import world as worlds

S = ToolCall.Status
HOUR = timedelta(hours=1)
MOMENTS = [S.PENDING, S.APPROVED, S.CLAIMED]
OTHER = "0" * 64
CHANGES: dict[str, Callable[[], object]] = {
    "definition": lambda: Tool.objects.update(definition_digest=OTHER),
    "address": lambda: Upstream.objects.update(
        launch={"url": "http://127.0.0.1:10/mcp", "headers": {}}
    ),
    "credential": lambda: Upstream.objects.update(
        write_credentials={"headers": {"Authorization": "${OTHER}"}}
    ),
}


def _claim(call: ToolCall, world: worlds.World) -> lifecycle.Claim:
    """Take a call from wherever it is to its claim."""
    if call.status == S.PENDING:
        call = lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
    if call.status == S.APPROVED:
        return lifecycle.claim(call.pk, worker="w1")
    return lifecycle.Claim(call, call.fence, "test")


def _is_void(claim: lifecycle.Claim) -> None:
    """Let a worker that saw what was approved dispatch the call, which is refused."""
    with pytest.raises(BindingBroken):
        lifecycle.dispatch(claim, seen=worlds.seen(claim.call))
    assert ToolCall.objects.get(pk=claim.call_id).status == S.VOID
    assert not Dispatch.objects.exists()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("what", CHANGES)
def test_what_a_call_is_bound_to_may_change_at_no_moment_before_its_dispatch(
    world, held_call, what, moment
):
    call = held_call(status=moment)

    CHANGES[what]()

    _is_void(_claim(call, world))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_policy_that_gets_stricter_at_any_moment_before_a_dispatch_counts(
    world, held_call, moment
):
    call = held_call(status=moment)

    rules = {"rules": [{"name": "new", "outcome": "deny"}]}
    policy.load_rules(rules, source="tests", actor=worlds.ACTOR)

    _is_void(_claim(call, world))


@pytest.mark.usefixtures("transactional_db")
def test_whatever_was_lost_with_the_broker_is_made_up_for_in_each_state(world, held_call, settings):
    settings.CLAIM_LEASE_SECONDS = 0
    settings.UPSTREAM_TIMEOUT_SECONDS = settings.ANSWER_GRACE_SECONDS = 0
    names = [{"customer": f"c{number}", "amount": 1} for number in range(5)]
    with listening.broken_broker():
        late = held_call(age=HOUR, arguments=names[0])
        moving = [
            held_call(status=status, arguments=arguments)
            for status, arguments in zip((*MOMENTS, S.DISPATCHED), names[1:], strict=True)
        ]
        pending, approved, claimed, dispatched = moving
        listening.wait_until_sent()
        tasks.sweep()
        listening.wait_until_sent()

    ends = {late: S.EXPIRED, pending: S.PENDING, approved: S.APPROVED, claimed: S.APPROVED}
    ends[dispatched] = S.UNKNOWN
    assert {call: ToolCall.objects.get(pk=call.pk).status for call in ends} == ends
    with listening.to(queues=["release.billing"]) as heard:

        def is_woken() -> bool:
            tasks.sweep()
            return bool(heard.releases)

        listening.wait_until(is_woken)
    # One message an upstream: whoever is woken takes on what is ready there.
    ready = {approved.pk, claimed.pk}
    assert {UUID(message.arguments[0]) for message in heard.releases} <= ready
    claims = [lifecycle.claim_next(world.upstream.pk, worker="w") for _ in ready]
    assert {claim.call.pk for claim in claims if claim} == ready


@pytest.mark.postgres
def test_deadlines_are_the_databases_whatever_the_machines_clock_says(
    world, held_call, monkeypatch
):
    for race in racing.rounds("ahead", "behind", least=2):
        is_ahead = race.number % 2 == 0
        age = timedelta(0) if is_ahead else HOUR
        call = held_call(age=age, arguments={"customer": f"c{race.number}", "amount": 1})
        with monkeypatch.context() as patch:
            patch.setattr(clock, "datetime", _wrong_by(2 * HOUR if is_ahead else -2 * HOUR))
            outcome = _attempt(partial(_claim, call, world))

        assert type(outcome) is (lifecycle.Claim if is_ahead else CallExpired)
        race.went("behind" if isinstance(outcome, CallExpired) else "ahead")


def _attempt(step: Callable[[], object]) -> object:
    try:
        return step()
    except ApprovalsError as error:
        return error


def _wrong_by(much: timedelta) -> type[datetime]:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = UTC) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + much

    return Wrong
