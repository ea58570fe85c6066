"""The page of a try, its part, REST and the command: who sees what, in each state."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals import submission
from approvals.administration import backtests
from approvals.administration import policy as policies
from approvals.models import Backtest, Person, ToolCall, database_now
from tests.support.commands import run
from tests.support.visiting import post_json, text_of, visitor
from tests.support.world import ACTOR, World

S = Backtest.State
ALLOW: dict[str, Any] = {"name": "all of it", "outcome": "allow", "tool": "billing__*"}
HOLD: dict[str, Any] = {
    "name": "over ten", "outcome": "hold", "tool": "billing__refund", "quorum": 2,
    "condition": "args.amount > 10",
}  # fmt: skip


@pytest.fixture
def asked(world: World) -> list[ToolCall]:
    """Return three refunds, of 5, 15 and 25, that a rule let through."""
    policies.load_rules({"rules": [ALLOW]}, source="tests", actor=ACTOR)
    return [ask(world, amount) for amount in (5, 15, 25)]


def ask(world: World, amount: int) -> ToolCall:
    arguments = {"customer": "cus_<b>", "amount": amount, "memo": f"of {amount}"}
    request = submission.Request(world.agent.pk, None, world.refund.pk, arguments)
    return submission.submit(request).call


def tried(person: Person, *rules: dict[str, Any]) -> Backtest:
    backtest = backtests.begin(person, {"rules": list(rules)})
    backtests.run(backtest.pk)
    backtest.refresh_from_db()
    return backtest


def told(person: Person, backtest: Backtest, part: str = "") -> str:
    response = visitor(person).get(f"/policies/tries/{backtest.pk}/{part}")
    assert response.status_code == 200
    return text_of(response)


def test_the_page_says_what_it_means_for_people_and_leads_to_each_call(
    world: World, asked: list[ToolCall]
) -> None:
    backtest = tried(world.dee, HOLD, ALLOW)

    response = visitor(world.dee).get(f"/policies/tries/{backtest.pk}/")

    text = text_of(response)
    assert "It would ask people 0.1 more times a day. Tried on 3 calls" in text
    assert "Passed rule “all of it” · version 1" in text
    assert "Held 2 approvers · rule “over ten”" in text
    body = response.content.decode()
    assert [f'href="/calls/{call.pk}/"' in body for call in asked] == [False, True, True]
    assert "cus_<b>" not in body


def test_what_would_pass_with_nobody_asked_is_told_first(world: World) -> None:
    policies.load_rules({"rules": [HOLD]}, source="tests", actor=ACTOR)
    ask(world, 15)

    text = told(world.dee, tried(world.dee, ALLOW))

    assert "1 call that people were asked about would need fewer people, or none." in text
    assert "Would pass, nobody asked 1" in text


def test_calls_of_former_versions_are_told(world: World, asked: list[ToolCall]) -> None:
    policies.load_rules({"rules": [HOLD]}, source="tests", actor=ACTOR)

    assert "3 of them were judged by other versions" in told(world.dee, tried(world.dee, HOLD))


def test_only_the_newest_of_a_list_stand_there_until_all_are_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, asked: list[ToolCall]
) -> None:
    monkeypatch.setattr("approvals.web.tries.MOST_ROWS", 1)
    backtest = tried(world.dee, HOLD, ALLOW)

    assert "1 of 2 calls" in told(world.dee, backtest)
    assert "Show 2 calls" in told(world.dee, backtest)
    assert "2 of 2 calls" in told(world.dee, backtest, "?all")


def test_while_it_runs_the_part_asks_for_itself_and_a_link_does_without_script(
    world: World,
) -> None:
    backtest = backtests.begin(world.dee, {"rules": [HOLD]})
    address = f"/policies/tries/{backtest.pk}/"
    client = visitor(world.dee)
    assert "Waiting for a worker." in text_of(client.get(address))

    Backtest.objects.update(done=1_200, total=48_000)
    body = client.get(address).content.decode()

    assert f'hx-get="{address}state/" hx-trigger="every 1s"' in body
    assert f'href="{address}">Look now' in body
    assert "Being tried: 1,200 of 48,000 calls." in text_of(client.get(f"{address}state/"))
    backtests.run(backtest.pk)
    assert "hx-trigger" not in client.get(f"{address}state/").content.decode()


def test_one_that_failed_says_why_and_can_be_tried_again(world: World) -> None:
    backtest = Backtest.objects.create(
        asked_by=world.dee, document={"rules": [HOLD]}, based_on=0, begun_at=database_now(),
        moved_at=database_now(), taken_at=database_now() - timedelta(hours=1), state=S.FAILED,
        why="The process that ran it ended; try again.",
    )  # fmt: skip
    assert "It was not tried to the end. The process that ran it ended" in told(world.dee, backtest)

    response = visitor(world.dee).post(f"/policies/tries/{backtest.pk}/")

    again = Backtest.objects.latest("pk")
    assert (again.document, again.state) == ({"rules": [HOLD]}, S.RUNNING)
    assert response["Location"] == f"/policies/tries/{again.pk}/"


def test_without_a_call_it_says_so(world: World) -> None:
    assert "No calls yet" in told(world.dee, tried(world.dee, HOLD))


def test_over_rest_it_is_asked_for_and_looked_at(world: World, asked: list[ToolCall]) -> None:
    client = visitor(world.dee)
    begun = post_json(client, "policy/tries/", {"rules": [HOLD, ALLOW]})
    assert (begun.status_code, begun.json()["state"], begun.json()["result"]) == (
        202,
        "running",
        {},
    )

    backtests.run(begun.json()["id"])

    found = client.get(f"/api/v1/policy/tries/{begun.json()['id']}/").json()
    assert (found["state"], found["done"], found["result"]["changed"]["held"]) == ("done", 3, 2)


def test_over_rest_each_wrong_place_is_named(world: World) -> None:
    body = {"rules": [{"outcome": "hold"}, {"outcome": "maybe"}, {"colour": "red"}]}

    refused = post_json(visitor(world.dee), "policy/tries/", body)

    assert refused.status_code == 400
    places = [problem["path"] for problem in refused.json()["problems"]]
    assert places == ["$.rules[1].outcome", "$.rules[2].outcome", "$.rules[2].colour"]
    assert not Backtest.objects.exists()


def test_the_command_says_the_same_and_changes_nothing(
    world: World, asked: list[ToolCall], tmp_path: Path
) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [HOLD, ALLOW]}))

    done = run("try_rules", str(file))

    assert (done.code, done.err) == (0, "")
    assert "3 calls in the last 30 days." in done.out
    assert "It would ask people 0.1 times a day more." in done.out
    assert "2 would newly be held" in done.out
    assert "+2 requests for approvers of billing" in done.out
    assert str(asked[2].pk) in done.out
    found = json.loads(run("try_rules", str(file), "--days", "7", "--json").out)
    assert found["changed"]["held"] == 2
    assert not Backtest.objects.exists()


def test_the_command_names_every_place_that_is_wrong(world: World, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"rules": [{"outcome": "maybe"}, {"outcome": "hold", "quorum": 0}]}')
    loaded = run("load_rules", str(file))

    refused = run("try_rules", str(file))

    assert (refused.code, refused.err) == (loaded.code, loaded.err)
    assert "2 places are wrong" in refused.err


def test_the_command_says_that_there_are_no_calls(world: World, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"rules": []}')

    assert "No calls in the last 30 days" in run("try_rules", str(file)).out
