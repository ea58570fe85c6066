"""Tries of a policy on past calls: the one in force says again what it said at their time."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from approvals import freezes as freezing
from approvals import lifecycle, policy, ruling, submission
from approvals.administration import agents, freezes, groups
from approvals.administration import policy as policies
from approvals.administration.past import PastCalls
from approvals.errors import BindingBroken, NotAllowed
from approvals.models import BudgetUse, ToolCall, database_now
from approvals.outcomes import Outcome
from approvals.policy.backtesting import Replay
from tests.support import guarding, racing
from tests.support import world as worlds
from tests.support.clock import Clock
from tests.support.world import ACTOR, World

S = ToolCall.Status
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

CONDITIONS = (
    "args.amount <= {}00",
    "args.amount > {}00 && args.currency == 'usd'",
    "has(args.memo) && args.memo.contains('urgent')",
    "args.memo == 'urgent'",  # cannot be judged where there is none
    "args.amount * 2 > {}000",  # nor where the amount is not whole
    "history.calls_hour < {}",
    "history.calls_day >= {} || args.amount > 4000",
    "double(history.sum_hour.amount) + double(args.amount) <= {}000.0",
    "double(history.sum_day.amount) > {}500.0",
    "now.getHours() >= 1{} && acts_for == 'ann'",
    "agent == 'support' && tool.endsWith('refund')",
)
ENDS: tuple[Callable[[ToolCall], object], ...] = (
    lambda call: None,
    lambda call: lifecycle.cancel(call.pk, actor="agent:support"),
    lambda call: lifecycle.void(call.pk, actor=ACTOR, reason="Changed."),
)
RUNS = (
    Outcome.succeeded({"content": []}), Outcome.unknown("It broke."),
    Outcome.failed("tool_error", "No.", {}), Outcome.failed("not_sent", "No."),
)  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, world: World, settings: Any) -> Clock:
    settings.RUN_WITHIN_SECONDS = 30 * 86_400
    return Clock(monkeypatch)


def budget(chance: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "per": chance.choice(("agent", "tool", "domain")),
        "window": chance.choice(("hour", "day")),
    }
    if chance.random() < 0.3:
        return found | {"limit": chance.randint(1, 4)}
    found |= {"limit": chance.randint(10, 90) * 100, "field": "amount", "unit": "USD:minor"}
    return found | ({"unit_field": "currency"} if chance.random() < 0.5 else {})


def rule(chance: random.Random, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": f"r{number}"}
    found["outcome"] = chance.choice(("allow", "allow", "allow", "hold", "hold", "deny"))
    found["tool"] = chance.choice(("billing__refund", "billing__*", "billing__get_customer"))
    if chance.random() < 0.75:
        found["condition"] = chance.choice(CONDITIONS).format(chance.randint(1, 9))
    if found["outcome"] == "allow" and chance.random() < 0.7:
        found["budget"] = budget(chance)
    if found["outcome"] == "hold" and chance.random() < 0.5:
        names = chance.sample(("Finance", "Owners"), chance.randint(1, 2))
        found["stages"] = [{"group": name, "quorum": chance.randint(1, 2)} for name in names]
        found["four_eyes"] = chance.random() < 0.3
    elif found["outcome"] == "hold":
        found["quorum"] = chance.randint(1, 3)
    if found["outcome"] == "deny":
        found["condition"] = "args.amount == 1300"
    return found


def load(chance: random.Random) -> None:
    written = [rule(chance, number) for number in range(chance.randint(2, 7))]
    policies.load_rules({"rules": written}, source="tests", actor=ACTOR)


def arguments(chance: random.Random, number: int) -> dict[str, object]:
    found: dict[str, object] = {"customer": "cus_1", "invoice": f"in_{number}"}
    found["amount"] = chance.choice((700, 1_300, 2_000, 2_000.5, 3_000.0, 0.1, 4_700))
    found["currency"] = chance.choice(("usd", "usd", "eur"))
    if chance.random() < 0.3:
        found["memo"] = chance.choice(("urgent", "as agreed"))
    return found


def end(chance: random.Random, call: ToolCall) -> None:
    """Let a call come to one of its ends, or go on waiting."""
    if call.status == S.APPROVED and chance.random() < 0.5:
        claim = lifecycle.claim(call.pk, worker="test")
        with suppress(BindingBroken):  # the policy got stricter meanwhile
            lifecycle.dispatch(claim, seen=worlds.seen(call))
            lifecycle.finish(claim, chance.choice(RUNS))
    else:
        chance.choice(ENDS)(call)


class Story:
    """Calls that agents ask for over days, under whatever policy is in force."""

    def __init__(self, world: World, clock: Clock, seed: int) -> None:
        self.clock, self.world = clock, world
        self.chance = random.Random(seed)
        for name in ("Finance", "Owners"):
            groups.create_group(world.billing, name, owner=None, actor=ACTOR)
        other = agents.create_agent("second", owner=world.ann, domains=["billing"], actor=ACTOR)
        self.agents = (world.agent, other)
        self.open: list[ToolCall] = []
        self.number = 0

    def ask(self) -> None:
        chance, world = self.chance, self.world
        self.number += 1
        request = submission.Request(
            chance.choice(self.agents).pk, None,
            chance.choice((world.refund, world.refund, world.customer)).pk,
            arguments(chance, self.number),
        )  # fmt: skip
        try:
            self.open.append(submission.submit(request).call)
        except NotAllowed:
            return

    def go_on(self, calls: int) -> None:
        for _ in range(calls):
            gap = self.chance.choice((timedelta(0), MINUTE, 20 * MINUTE, 3 * HOUR))
            self.clock.pass_by(gap * self.chance.random())
            self.ask()
            if self.open and self.chance.random() < 0.4:
                end(self.chance, self.open.pop(self.chance.randrange(len(self.open))))
            if self.chance.random() < 0.06:
                self.freeze()

    def freeze(self) -> None:
        now = self.clock.tell()
        begins = now + self.chance.choice((-HOUR, timedelta(0), HOUR))
        planned = freezes.Planned(
            begins, now + 3 * HOUR, "Quarter end", reads=self.chance.random() < 0.5
        )
        freeze = freezes.add(self.world.billing, planned, actor=ACTOR)
        if self.chance.random() < 0.5:
            self.ask()
            self.clock.pass_by(10 * MINUTE)
            freezes.end(freeze.pk, actor=ACTOR)


def recorded(version: int) -> dict[Any, object]:
    """Return how calls that were judged by a version of the policy were judged."""
    rows = ToolCall.objects.filter(policy_version=version)
    return {call.pk: (call.quorum, call.rule, call.rule_digest, call.held_because) for call in rows}


def tried(
    rules: tuple[policy.Rule, ...], now: datetime, among: dict[Any, object]
) -> dict[Any, object]:
    """Return the same of what a try says of these calls."""
    since, until = now - 30 * DAY, now + MINUTE
    replay = Replay(rules, timezone.get_default_timezone(), freezing.between(since, until).admit)
    found: dict[Any, object] = {}
    for calls in PastCalls(rules).between(since, until):
        for call in calls:
            ruled = replay.judge(call).ruling
            if call.id in among:
                rule = ruled.rule
                found[call.id] = (ruled.quorum, rule.as_dict(), rule.digest(), ruled.why[:500])
    return found


@pytest.mark.parametrize("seed", range(16))
def test_the_policy_in_force_says_again_what_it_said(world: World, clock: Clock, seed: int) -> None:
    """Outcome, quorum, stages, rule and reason; through conditions, budgets, freezes, versions."""
    story = Story(world, clock, seed)
    load(story.chance)
    story.go_on(25)
    load(story.chance)
    story.go_on(50)
    in_force = ruling.in_force()
    before = recorded(in_force.version)

    assert tried(in_force.rules, clock.now, before) == before
    assert before


def test_it_was_told_apart_who_came_first_to_what_was_left_of_a_budget(
    transactional_db: None, settings: Any
) -> None:
    """Some wait for others to take their parts, and their rows do not say for how long."""
    settings.PENDING_PER_AGENT = 1_000
    world = worlds.build()
    asking = [
        agents.create_agent(f"asking-{number}", owner=world.ann, domains=["billing"], actor=ACTOR)
        for number in range(8)
    ]
    spending = {"per": "tool", "window": "day", "limit": 33, "field": "amount", "unit": "USD:major"}
    rule = {"name": "small", "outcome": "allow", "tool": "billing__refund", "budget": spending}
    policies.load_rules({"rules": [rule]}, source="tests", actor=ACTOR)

    def asks(agent: Any, amount: int) -> Callable[[], object]:
        arguments = {"customer": "cus_1", "amount": amount}
        request = submission.Request(agent.pk, None, world.refund.pk, arguments)
        return lambda: submission.submit(request)

    for round_ in range(1, 7):
        steps = [asks(agent, (number % 3) * 10 + round_) for number, agent in enumerate(asking)]
        racing.all_done(racing.together(*steps))
        if round_ % 2:
            BudgetUse.objects.update(at=F("at") - 2 * DAY)
            with guarding.unguarded():
                ToolCall.objects.update(created_at=F("created_at") - 2 * DAY)

    before = recorded(ruling.in_force().version)
    assert {call.status for call in ToolCall.objects.all()} == {S.PENDING, S.APPROVED}
    assert tried(ruling.in_force().rules, database_now(), before) == before
