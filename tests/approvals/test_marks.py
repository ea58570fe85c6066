"""Rules that decide nothing or ask nobody: told when they are saved, and on the policies page."""

import json
from pathlib import Path
from typing import Any

import pytest

from approvals.administration import agents, marks
from approvals.administration import policy as policies
from approvals.administration.conditions import trials
from approvals.policy import load
from tests.support import world as worlds
from tests.support.commands import run
from tests.support.groups import Staff, hire
from tests.support.visiting import queries, text_of, visitor
from tests.support.world import ACTOR, World

HOLD_ALL = {"name": "all refunds", "outcome": "hold", "tool": "billing__*"}
SHADOWED = {"name": "big ones", "outcome": "deny", "tool": "billing__refund"}
TOLD = "It never decides: rule “all refunds” above takes every call first."


@pytest.fixture
def staff(world: World) -> Staff:
    return hire(world)


def put(*rules: dict[str, Any]) -> None:
    policies.load_rules({"rules": list(rules)}, source="test", actor=ACTOR)


def marked(*rules: dict[str, Any]) -> list[str]:
    return marks.in_words(load({"rules": list(rules)}))


def test_whoever_loads_rules_is_warned_and_they_are_in_force(world: World, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [HOLD_ALL, SHADOWED]}))

    done = run("load_rules", str(file))

    assert done.code == 0
    assert f"Warning: Rule “big ones”: {TOLD}" in done.err
    assert "Policy version 1 is in force: 3 rules." in done.out


def test_the_page_marks_a_rule_in_force_and_none_of_a_former_version(world: World) -> None:
    put(HOLD_ALL, SHADOWED)

    for person in (world.dee, world.aud):
        shown = text_of(visitor(person).get("/policies/"))
        assert shown.index("Refuse billing__refund") < shown.index(TOLD) < shown.index("big ones")

    put(HOLD_ALL)
    assert TOLD not in text_of(visitor(world.dee).get("/policies/1/"))


def test_who_does_not_see_all_domains_and_agents_is_told_no_mark(world: World) -> None:
    put(HOLD_ALL, SHADOWED, {"name": "x", "outcome": "deny", "agent": "secret-agent"})

    for person in (world.bo, world.eve):
        shown = text_of(visitor(person).get("/policies/"))
        assert "big ones" in shown
        assert "never decides" not in shown
        assert "there is no agent" not in shown


def test_marks_follow_what_is_known_by_now(world: World, staff: Staff) -> None:
    asks = {"outcome": "hold", "tool": "billing__refund", "name": "asks", "deny_quorum": 1,
            "stages": [{"group": "Heads", "quorum": 1}]}  # fmt: skip
    by_agent = {"outcome": "hold", "agent": "support", "name": "by support"}
    assert marked(asks, by_agent) == []

    staff.hal.is_active = False
    staff.hal.save()
    agents.set_paused(world.agent, True, actor=ACTOR)
    assert marked(asks, by_agent) == ["Rule “asks”: Nobody is active in “Heads” of billing."]

    worlds.list_tools(world.upstream, worlds.definition("get_customer"))
    said = "Rule “asks”: It never decides: no known tool is called “billing__refund”."
    assert said in marked(asks)


def test_a_condition_that_was_never_true_is_told_as_a_guess(world: World) -> None:
    rules = load({"rules": [{**HOLD_ALL, "condition": "args.amount < -5", "name": "odd"}]})

    (told,) = marks.in_words(rules, trials(rules))

    assert told.startswith("Rule “odd”: Perhaps it never decides: its condition was false for")
    assert marks.in_words(rules) == []


def test_more_rules_and_tools_need_no_more_queries(world: World, staff: Staff) -> None:
    client = visitor(world.dee)
    put(HOLD_ALL)
    put(SHADOWED)
    few = queries(client, "/policies/")

    listed = [worlds.definition(f"tool_{number}") for number in range(30)]
    worlds.list_tools(world.upstream, *listed)
    groups = [{"group": "Finance", "quorum": 2}, {"group": "Owners", "quorum": 1}]
    put(*({**HOLD_ALL, "name": f"r{n}", "tool": f"*{n}", "stages": groups} for n in range(30)))

    assert queries(client, "/policies/") == few
