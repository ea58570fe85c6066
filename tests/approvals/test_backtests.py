"""Tries of a policy: asked for, run once, given up, looked after, and what they find."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from approvals import lifecycle, submission, tasks
from approvals.administration import backtests, catalog, groups
from approvals.administration import policy as policies
from approvals.errors import InvalidInput, NotAllowed
from approvals.models import Backtest, PolicyVersion, Tool, ToolCall, database_now
from tests.support import guarding, listening
from tests.support.world import ACTOR, World

S = Backtest.State
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
Ask = Callable[..., ToolCall]
SMALL: dict[str, Any] = {
    "name": "small", "outcome": "allow", "tool": "billing__refund",
    "condition": "args.amount <= 5000",
}  # fmt: skip
BIG: dict[str, Any] = {
    "name": "big", "outcome": "hold", "tool": "billing__refund", "condition": "args.amount > 5000",
    "stages": [{"group": "Finance", "quorum": 2}],
}  # fmt: skip


@pytest.fixture
def ask(world: World) -> Ask:
    """Return what asks for a refund, each for another invoice."""
    groups.create_group(world.billing, "Finance", owner=None, actor=ACTOR)
    number = iter(range(10_000))

    def send(amount: int = 2_000, **more: Any) -> ToolCall:
        arguments = {"customer": "cus_1", "memo": f"in_{next(number)}", "amount": amount, **more}
        request = submission.Request(world.agent.pk, None, world.refund.pk, arguments)
        return submission.submit(request).call

    return send


def load(*rules: dict[str, Any]) -> None:
    policies.load_rules({"rules": list(rules)}, source="tests", actor=ACTOR)


def tried(world: World, *rules: dict[str, Any]) -> dict[str, Any]:
    """Try rules to the end; return what was found."""
    backtest = backtests.begin(world.dee, {"rules": list(rules)})
    backtests.run(backtest.pk)
    backtest.refresh_from_db()
    assert (backtest.state, backtest.why) == (S.DONE, "")
    found: dict[str, Any] = backtest.result
    return found


def aged(call: ToolCall, age: timedelta) -> ToolCall:
    """Let a call have been asked some time ago."""
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(created_at=database_now() - age)
    return call


# -- what it finds -------------------------------------------------------------------------------


def test_it_says_per_outcome_what_was_and_would_have_been_and_lists_what_changes(
    world: World, ask: Ask
) -> None:
    load(SMALL)
    passed, held = ask(3_000), ask(6_000)

    found = tried(world, BIG, SMALL | {"condition": "args.amount <= 2000"})

    assert (found["before"], found["after"]) == (
        {"allow": 1, "hold": 1, "deny": 0},
        {"allow": 0, "hold": 2, "deny": 0},
    )
    assert found["changed"] | {"held": 1, "more": 1} == found["changed"]
    listed = {one["call"]: one for one in found["others"]}
    assert listed[str(passed.pk)]["before"]["rule"] == "small"
    assert listed[str(passed.pk)]["after"] == {
        "outcome": "hold", "rule": "hold by default", "position": 3, "quorum": 1, "stages": [],
    }  # fmt: skip
    assert listed[str(held.pk)]["after"]["stages"] == [["Finance", 2]]
    assert found["looser"] == []
    assert {(one["position"], one["name"]): one["calls"] for one in found["rules"]} == {
        (1, "big"): 1, (3, "hold by default"): 1,
    }  # fmt: skip


def test_what_would_newly_pass_stands_by_itself(world: World, ask: Ask) -> None:
    load(BIG)
    for_finance, for_anybody = ask(6_000), ask(10)

    found = tried(world, {"outcome": "hold", "condition": "args.amount > 5000"}, SMALL)

    assert [(one["call"], one["change"]) for one in found["looser"]] == [
        (str(for_anybody.pk), "passes"), (str(for_finance.pk), "fewer"),
    ]  # fmt: skip
    assert backtests.brief(found)["looser"] == 2


def test_it_counts_the_requests_of_each_group_by_the_hour_of_day(
    world: World, ask: Ask, settings: Any
) -> None:
    settings.TIME_ZONE = "Asia/Kathmandu"  # where hours begin at a quarter past
    load(SMALL)
    call = ask(3_000)
    hour = timezone.localtime(call.created_at, timezone.get_default_timezone()).hour

    found = tried(world, BIG | {"condition": "args.amount > 2000"})

    (group,) = found["groups"]
    assert (group["domain"], group["group"]) == ("billing", "Finance")
    assert (sum(group["before"]), sum(group["after"])) == (0, 1)
    assert group["after"][hour] == 1


def test_calls_that_no_rule_can_judge_are_counted_with_a_reason(world: World, ask: Ask) -> None:
    load(SMALL)
    call = ask(3_000)

    found = tried(world, SMALL | {"condition": "args.currency == 'usd'"})

    (one,) = found["unjudged"]
    assert (one["position"], one["name"], one["calls"]) == (1, "small", 1)
    assert one["call"] == str(call.pk)
    assert "args.currency is missing" in one["why"]
    assert found["after"]["hold"] == 1


def test_a_condition_behind_a_budget_that_nobody_can_judge_is_counted_too(
    world: World, ask: Ask
) -> None:
    load(SMALL)
    ask(3_000)
    budget = {"per": "agent", "window": "day", "limit": 1, "field": "amount", "unit": "USD:minor"}
    unclear = BIG | {"name": "unclear", "condition": "args.currency == 'usd'"}

    found = tried(world, SMALL | {"budget": budget}, unclear)

    (one,) = found["unjudged"]
    assert (one["name"], one["calls"]) == ("unclear", 1)
    assert one["why"].startswith("Rule “unclear” has a condition")


def test_a_call_whose_tool_is_gone_is_tried_like_any_other(world: World, ask: Ask) -> None:
    load(SMALL)
    ask(3_000)
    catalog.record_listing(world.upstream.pk, catalog.Listing([]), actor=ACTOR)
    assert not Tool.objects.filter(is_listed=True).exists()

    assert tried(world, {"outcome": "deny", "tool": "billing__refund"})["changed"]["refused"] == 1


def test_a_budget_is_spent_by_what_the_tried_rules_let_through(world: World, ask: Ask) -> None:
    """People were asked about all of them, two were taken back; each is taken to have run."""
    load({"outcome": "hold", "tool": "billing__refund"})
    calls = [ask(2_000) for _ in range(4)]
    for call in calls[:2]:
        lifecycle.cancel(call.pk, actor="agent:support")
    budget = {"per": "agent", "window": "day", "limit": 5_000, "field": "amount", "unit": "x"}

    found = tried(world, SMALL | {"budget": budget})

    assert found["after"] == {"allow": 2, "hold": 2, "deny": 0}


def test_what_was_asked_before_the_period_counts_and_is_not_shown(world: World, ask: Ask) -> None:
    load(SMALL)
    aged(ask(1), 30 * DAY + MINUTE)
    aged(ask(2), 30 * DAY - MINUTE)

    found = tried(world, SMALL | {"condition": "history.calls_hour < 1"})

    assert (found["calls"], found["after"]["hold"]) == (1, 1)


def test_the_lists_are_cut_and_the_counts_are_not(
    world: World, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("approvals.policy.comparing.MOST_LISTED", 2)
    load(SMALL)
    calls = [ask(amount) for amount in (1, 2, 3)]

    found = tried(world, BIG | {"condition": "args.amount > 0"})

    assert [one["call"] for one in found["others"]] == [
        str(call.pk) for call in reversed(calls[1:])
    ]
    assert found["changed"]["held"] == 3


def test_without_a_call_it_is_done_at_once(world: World) -> None:
    found = tried(world)

    assert (found["calls"], found["others"], found["groups"]) == (0, [], [])


# -- asking for one ------------------------------------------------------------------------------


def test_only_an_administrator_can_ask_for_one(world: World) -> None:
    for person in (world.ann, world.bo, world.aud):
        with pytest.raises(NotAllowed):
            backtests.begin(person, {"rules": []})
    assert not Backtest.objects.exists()


def test_a_document_that_could_not_live_is_refused_with_every_place(world: World) -> None:
    wrong = [
        {"outcome": "hold", "tool": "billing__refund", "condition": "args.amonut > 5"},
        {"outcome": "hold", "tool": "billing__refund", "condition": "args.amount > 'x'"},
    ]

    with pytest.raises(InvalidInput) as caught:
        backtests.begin(world.dee, {"rules": wrong})

    places = [problem["path"] for problem in caught.value.problems]
    assert places == ["$.rules[0].condition", "$.rules[1].condition"]
    assert not Backtest.objects.exists()


def test_the_largest_policy_can_be_tried(world: World) -> None:
    rule = {
        "outcome": "hold", "message": "m" * 500, "comment": "ß" * 1_000, "tool": "billing__*",
        "stages": [{"group": "approvers"}],
    }  # fmt: skip
    rules = [rule | {"name": f"{number:0100}"} for number in range(1_000)]

    assert tried(world, *rules)["calls"] == 0
    with pytest.raises(InvalidInput, match="at most 1000"):
        backtests.begin(world.dee, {"rules": [*rules, rule]})


def test_it_changes_no_policy_and_no_call(world: World, ask: Ask) -> None:
    load(SMALL)
    ask()
    before = list(ToolCall.objects.values()), PolicyVersion.objects.count()

    tried(world, BIG)

    assert (list(ToolCall.objects.values()), PolicyVersion.objects.count()) == before


def test_another_policy_of_the_same_person_takes_the_place_of_the_first(world: World) -> None:
    first = backtests.begin(world.dee, {"rules": []})
    second = backtests.begin(world.dee, {"rules": [SMALL]})

    backtests.run(first.pk)
    first.refresh_from_db()
    assert (first.state, first.taken_at) == (S.CANCELLED, None)
    assert second.state == S.RUNNING
    assert backtests.begin(world.dee, {"rules": [SMALL]}) == second


def test_the_newest_try_of_a_policy_is_found_and_old_ones_are_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtests, "MOST_KEPT", 2)
    for _ in range(3):
        backtests.run(backtests.begin(world.dee, {"rules": [SMALL]}).pk)
    other = backtests.begin(world.dee, {"rules": []})

    assert world.dee.backtests.count() == 2
    found = backtests.latest_for(world.dee, {"rules": [SMALL]})
    assert found is not None
    assert found.state == S.DONE
    assert backtests.summary(found)["calls"] == 0
    assert backtests.summary(other) == {}
    assert backtests.latest_for(world.dee, {"rules": [BIG]}) is None


# -- running it ----------------------------------------------------------------------------------


def test_a_worker_of_the_core_queue_is_asked_once_it_is_committed(
    world: World, django_capture_on_commit_callbacks: Any
) -> None:
    with listening.to(queues=["core"]) as heard:
        with django_capture_on_commit_callbacks(execute=True):
            backtest = backtests.begin(world.dee, {"rules": []})
        sent = [(message.task, message.arguments) for message in heard.releases]

    assert sent == [("approvals.backtest", [backtest.pk])]


def test_a_message_that_comes_twice_does_nothing_more(world: World, ask: Ask) -> None:
    load(SMALL)
    backtest = backtests.begin(world.dee, {"rules": []})
    tasks.backtest(backtest.pk)
    ask()

    tasks.backtest(backtest.pk)

    backtest.refresh_from_db()
    assert (backtest.state, backtest.result["calls"]) == (S.DONE, 0)


def test_one_that_is_given_up_while_it_runs_stops_and_says_nothing(world: World, ask: Ask) -> None:
    load(SMALL)
    ask()
    backtest = backtests.begin(world.dee, {"rules": []})
    others, begun = list[Backtest](), iter([False])

    def meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
        """Ask for another try while this one reads calls."""
        if '"arguments"' in sql and not next(begun, True):
            others.append(backtests.begin(world.dee, {"rules": [SMALL]}))
        return execute(sql, *rest)

    with connection.execute_wrapper(meanwhile):
        backtests.run(backtest.pk)

    backtest.refresh_from_db()
    assert (backtest.state, backtest.result) == (S.CANCELLED, {})
    assert others[0].state == S.RUNNING


def test_one_that_fails_says_why_and_the_log_has_the_rest(
    world: World, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    load(SMALL)
    call = ask()
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(rule={"nobody": "reads this"})
    backtest = backtests.begin(world.dee, {"rules": [SMALL]})

    backtests.run(backtest.pk)

    backtest.refresh_from_db()
    assert (backtest.state, backtest.result) == (S.FAILED, {})
    assert "the log has it" in backtest.why
    assert "TypeError" in caplog.text


def test_the_sweep_sends_a_lost_message_again_and_ends_what_a_worker_left_behind(
    world: World,
) -> None:
    lost = backtests.begin(world.dee, {"rules": []})
    left = Backtest.objects.create(
        asked_by=world.dee, document={"rules": []}, based_on=0, begun_at=database_now(),
        taken_at=database_now(), moved_at=database_now() - 2 * MINUTE,
    )  # fmt: skip
    Backtest.objects.filter(pk=lost.pk).update(moved_at=database_now() - MINUTE)

    with listening.to(queues=["core"]) as heard:
        tasks.sweep()
        sent = [(message.task, message.arguments) for message in heard.releases]

    assert sent == [("approvals.backtest", [lost.pk])]
    left.refresh_from_db()
    assert (left.state, left.why) == (S.FAILED, "The process that ran it ended; try again.")


def test_what_is_far_along_is_left_alone_by_the_sweep(world: World) -> None:
    running = Backtest.objects.create(
        asked_by=world.dee, document={"rules": []}, based_on=0, begun_at=database_now() - DAY,
        taken_at=database_now() - DAY, moved_at=database_now() - MINUTE / 2,
    )  # fmt: skip

    tasks.sweep()

    running.refresh_from_db()
    assert running.state == S.RUNNING
