"""Conditions held to the tools they will judge when a policy is loaded, and tried on calls."""

import json
from typing import Any

import pytest
from django.core.management import call_command

from approvals import ruling, submission
from approvals.administration import conditions, policy
from approvals.errors import InvalidInput
from approvals.models import AuditEvent, PolicyVersion, RuleRow
from approvals.policy import load
from tests.support.world import ACTOR, REFUND, World, definition, hold, list_tools, reviewed


def rule(condition: str, **changes: Any) -> dict[str, Any]:
    stated = {"outcome": "hold", "tool": "billing__refund", "condition": condition, **changes}
    return {key: value for key, value in stated.items() if value}


def put(*rules: dict[str, Any]) -> PolicyVersion:
    return policy.load_rules({"rules": list(rules)}, source="test", actor=ACTOR)


def stored() -> list[Any]:
    """Return all that is stored of policies, byte for byte."""
    rows = RuleRow.objects.order_by("pk").values_list()
    return [*PolicyVersion.objects.order_by("pk").values_list(), *map(repr, rows)]


def refused(*rules: dict[str, Any]) -> dict[str, str]:
    """Load rules that are wrong: message by place. Nothing may be changed by it."""
    before, events = stored(), AuditEvent.objects.count()
    with pytest.raises(InvalidInput) as caught:
        put(*rules)
    assert (stored(), AuditEvent.objects.count()) == (before, events)
    problems: dict[str, str] = {}
    for problem in caught.value.problems:
        problems[problem["path"]] = f"{problems.get(problem['path'], '')} {problem['message']}"
    return problems


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("args.amonut > 5", "billing__refund has no args.amonut"),
        ("args.amount > 5 || args.reason == 'x'", "billing__refund has no args.reason"),
        ("args.amount.cents > 5", "has no args.amount.cents"),
        ("args.amount > 'x'", "args.amount as a number, and the condition uses it as a text"),
        ("args.customer >= 5", "args.customer as a text, and the condition uses it as a number"),
        ("args.currency == 5", "args.currency as a text, and the condition uses it as a number"),
        ("args.amount in ['a']", "as a number, and the condition uses it as a text"),
        ("args.memo.exists(m, m == 'x')", "as a text, and the condition uses it as a list"),
        ("args.amount", "as a number, and the condition uses it as true or false"),
        ("args.amount * 1.5 > 2.0", "could be judged of no arguments"),
        ("history.sum_day.customer > 5", "args.customer as a text"),
        ("history.sum_day.total > 5", "has no args.total"),
    ],
)
def test_what_does_not_fit_the_tools_schema_is_refused_whole_with_its_place(
    world: World, condition: str, words: str
) -> None:
    put(rule("args.amount > 1"))

    wrong = refused(rule("args.amount > 2"), rule(condition))

    assert list(wrong) == ["$.rules[1].condition"]
    assert words in wrong["$.rules[1].condition"]
    assert ruling.in_force().rules[0].condition == "args.amount > 1"


def test_every_tool_that_a_rule_can_match_is_asked(world: World) -> None:
    other = {"type": "object", "properties": {"note": {"type": "string"}}}
    list_tools(
        world.upstream, definition("refund"), definition("get_customer"),
        definition("note", inputSchema=other),
    )  # fmt: skip
    reviewed("note", "write")

    assert "billing__note has no args.amount" in str(refused(rule("args.amount > 1", tool="")))
    assert "billing__note" in str(refused(rule("args.amount > 1", tool="", effect="write")))
    put(rule("args.amount > 1", tool="", effect="read"))
    put(rule("args.amount > 1", tool="billing__r*"))
    put(rule("args.amount > 1", tool="", domain="elsewhere"))


def test_a_schema_that_says_nothing_of_a_kind_holds_nothing_against_a_condition(
    world: World,
) -> None:
    several = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    schema = {
        "type": "object",
        "properties": {
            "any": {}, "both": several, "deep": {"$ref": "#/$defs/line"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        },
        "$defs": {"line": {"type": "object", "properties": {"price": {"type": "number"}}}},
    }  # fmt: skip
    list_tools(world.upstream, definition("refund", inputSchema=schema), definition("get_customer"))
    reviewed("refund", "write")

    for condition in (
        "args.any == 5", "args.both == 5", "args.both == 'x'", "args.deep.price > 1",
        "args.lines.exists(i, i.price > 1)", "args.lines[0].price > 1.5",
    ):  # fmt: skip
        put(rule(condition))
    assert "args.lines[*].cost" in str(refused(rule("args.lines.exists(i, i.cost > 1)")))


def test_a_condition_is_tried_on_made_up_and_on_real_calls_and_told_so(
    world: World, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for amount in (100, 6_000, 7_000):
        hold(world, arguments={**REFUND, "amount": amount, "memo": "x"})
    hold(world, arguments={**REFUND, "amount": 50})
    file = tmp_path / "rules.json"
    big = rule("args.amount > 5000 && args.memo == 'x'", name="big")
    nowhere = rule("args.a > 1", name="nowhere", tool="deploys__*")
    file.write_text(json.dumps({"rules": [big, nowhere]}))

    call_command("load_rules", str(file))

    out, err = capsys.readouterr()
    assert (
        "of the last 4 calls true for 2, false for 1, no answer possible for 1"
        " (such as: args.memo is missing)" in out
    )
    assert "of 24 generated calls true for " in out
    assert "“nowhere” has a condition, and no tool that it can match is known" in err


def test_made_up_arguments_show_both_answers_and_what_is_left_out(world: World) -> None:
    texts = ("args.amount > 123456", "args.currency == 'eur'", "args.memo == 'exactly this'")
    for text in texts:
        (trial,) = conditions.trials(load({"rules": [rule(text)]}))

        assert trial.examples.count == 24
        assert trial.examples.yes > 0
        assert trial.examples.no > 0
        assert bool(trial.examples.unjudged) is ("amount" not in text)


def test_real_calls_are_judged_by_what_came_before_them_and_who_asked(world: World) -> None:
    for amount in (10, 20, 30):
        hold(world, arguments={**REFUND, "amount": amount})
    sums = rule("history.sum_day.amount >= 10 && acts_for == 'ann'")

    (trial,) = conditions.trials(load({"rules": [sums]}))
    (other,) = conditions.trials(load({"rules": [{**sums, "agent": "other"}]}))

    assert (trial.calls.yes, trial.calls.no, trial.calls.unjudged.total()) == (2, 1, 0)
    assert other.calls.count == 0


def test_a_held_calls_page_and_history_say_why(world: World, client: Any) -> None:
    put(rule("args.memo == 'x'", outcome="allow", name="memos"))
    key = world.agent.keys.get()
    request = submission.Request(world.agent.pk, key.pk, world.refund.pk, REFUND)
    call = submission.submit(request).call
    client.force_login(world.bo)

    page = client.get(f"/calls/{call.pk}/").content.decode()

    why = "Rule “memos” has a condition that could not be judged: args.memo is missing."
    assert page.count(why) >= 2  # why it is held, and the trail
    assert "Allow billing__refund where args.memo == " in page
    pane = client.get(f"/?call={call.pk}").content.decode()
    assert why in pane
    found = client.get("/history/", {"q": "could not be judged"}).content.decode()
    assert str(call.pk) in found
