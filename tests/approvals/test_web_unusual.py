"""What is unusual, on the page of a call: whose history it is compared with, and where it links."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.administration import agents
from approvals.models import Tool, ToolCall, database_now
from approvals.web import unusual
from tests.support import world as worlds
from tests.support.dom import Element, read
from tests.support.visiting import page_of, queries, visitor

S = ToolCall.Status


@pytest.fixture
def past(world, held_call):
    """Return a maker of earlier calls, one a day, each with another invoice."""

    def make(number=12, status=S.PENDING, start=1, **arguments):
        return [
            held_call(
                status,
                age=timedelta(days=day),
                arguments={**worlds.REFUND, "amount": 100, "invoice": f"in_{day}", **arguments},
            )
            for day in range(start, start + number)
        ]

    return make


def checks(person, call) -> list[Element]:
    page = read(visitor(person).get(page_of(call)).content.decode())
    return [line for shown in page.having("checks") for line in shown.elements]


def said(person, call) -> list[str]:
    lines = [" ".join(line.text.split()) for line in checks(person, call)]
    return [line.replace("\u2068", "").replace("\u2069", "") for line in lines]


def test_a_line_says_what_it_compares_with_and_links_there(world, held_call, past):
    past()

    [line] = checks(world.bo, held_call())

    [link] = line.all(lambda element: element.tag == "a")
    address = urlsplit(link.attributes["href"])
    assert "Amount 42000 is 420× this agent’s median of 100 over 12 calls" in line.text.replace(
        "\u2068", ""
    ).replace("\u2069", "")
    assert link.text == "Its earlier calls"
    assert (address.path, parse_qs(address.query)) == (
        "/history/",
        {"tool": ["billing__refund"], "agent": ["support"]},
    )
    assert visitor(world.bo).get(link.attributes["href"]).status_code == 200


def test_amounts_read_as_the_template_of_that_definition_says(world, held_call, past):
    past()
    call = held_call()
    tool = Tool.objects.filter(pk=call.tool_id)
    told = {"template": "Refund {amount|money:USD:minor}"}

    tool.update(**told, template_digest=call.definition_digest)
    [now] = said(world.bo, call)
    tool.update(template_digest="0" * 64)
    [later] = said(world.bo, call)

    assert "Amount $420.00 is 420× this agent’s median of $1.00 over 12 calls" in now
    assert "Amount 42000 is 420× this agent’s median of 100 over 12 calls" in later


def test_the_value_itself_carries_the_same_reason(world, held_call, past):
    past()

    page = read(visitor(world.bo).get(page_of(held_call())).content.decode())

    [why] = page.having("why")
    assert "bad" in why.classes
    assert "420× this agent’s median (100 over 12 calls)" in why.text


def test_a_hidden_character_links_to_its_row(world, held_call, past):
    past(memo="m")
    memo = {**worlds.REFUND, "amount": 100, "memo": "a\u202eb"}

    page = read(visitor(world.bo).get(page_of(held_call(arguments=memo))).content.decode())

    [line] = [line for shown in page.having("checks") for line in shown.elements][:1]
    [link] = line.all(lambda element: element.tag == "a")
    target = link.attributes["href"].removeprefix("#")
    [row] = page.all(lambda element: element.attributes.get("id") == target)
    assert row.having("hid")


def test_a_look_alike_links_to_the_calls_with_the_value_it_looks_like(world, held_call, past):
    past()
    arguments = {**worlds.REFUND, "amount": 100, "customer": "сus_8241"}  # Cyrillic

    [line] = checks(world.bo, held_call(arguments=arguments))

    [link] = line.all(lambda element: element.tag == "a")
    assert parse_qs(urlsplit(link.attributes["href"]).query)["q"] == ["cus_8241"]


@pytest.mark.parametrize("status", [S.REJECTED, S.CANCELLED, S.VOID])
def test_calls_that_nobody_let_run_make_nothing_usual(world, held_call, past, status):
    past()
    for number in range(20):
        arguments = {**worlds.REFUND, "invoice": f"in_{number}"}
        held_call(status, age=timedelta(minutes=number + 1), arguments=arguments)

    assert any("420× this agent’s median of 100" in line for line in said(world.bo, held_call()))


def test_calls_older_than_the_period_and_younger_than_the_call_play_no_part(world, held_call, past):
    past(12, start=91)
    call = held_call(age=timedelta(hours=1))
    for number in range(12):
        held_call(arguments={"customer": "x", "amount": number + 1})

    assert said(world.bo, call) == []


def test_history_that_a_person_may_not_see_is_not_told_to_them(world, held_call, past):
    past(12, customer="cus_secret")
    other = agents.create_agent("other", owner=world.eve, domains=["billing"], actor=worlds.ACTOR)
    key = agents.create_key(other, acts_for=world.eve, actor=worlds.ACTOR)
    assert key
    theirs = worlds.World(**{**vars(world), "agent": other})
    call = worlds.hold(theirs, arguments={**worlds.REFUND, "customer": "cus_sеcret"})

    approver, owner = said(world.bo, call), said(world.eve, call)

    assert any("looks like “cus_secret”" in line for line in approver)
    assert not any("secret" in line for line in owner)


def test_a_first_call_is_told_once_and_never_again(world, held_call):
    first, second = held_call(age=timedelta(minutes=2)), held_call(arguments={"amount": 1})

    assert any("support’s first call of this tool" in line for line in said(world.bo, first))
    assert not any("first call" in line for line in said(world.bo, second))


def test_a_definition_that_changed_lately_is_told_after_its_review(world, held_call):
    held_call(age=timedelta(days=1))
    Tool.objects.filter(pk=world.refund.pk).update(changed_at=database_now() - timedelta(days=2))

    [line] = said(world.bo, held_call(arguments={"amount": 1}))

    assert line.startswith("The tool’s definition changed lately. That was 2 d")


def test_an_unusual_value_raises_the_risk_on_the_page(world, held_call, past):
    past()

    usual = held_call(arguments={**worlds.REFUND, "amount": 100, "invoice": "in_0"})
    odd = held_call()

    assert "Low<" in visitor(world.bo).get(page_of(usual)).content.decode()
    assert "Raised<" in visitor(world.bo).get(page_of(odd)).content.decode()


def test_a_longer_history_needs_no_more_queries_and_no_more_rows(
    world, held_call, past, monkeypatch
):
    monkeypatch.setattr(unusual, "_MOST_LOOKED_AT", 30)
    monkeypatch.setattr(unusual, "_MOST_CALLS", 15)
    client = visitor(world.bo)
    past(12)
    short = queries(client, page_of(held_call(arguments={"amount": 1})))
    past(30, start=20)
    call = held_call()

    with CaptureQueriesContext(connection) as captured:
        assert client.get(page_of(call)).status_code == 200

    assert len(captured) == short
    for bound in ("LIMIT 1 OFFSET 29", "LIMIT 16"):
        assert len([query for query in captured if bound in query["sql"]]) == 1
    [line] = said(world.bo, call)
    assert "over 15 calls, and its largest in 21 days" in line


def test_calls_with_documents_in_them_are_not_read_again(world, held_call, past, monkeypatch):
    monkeypatch.setattr(unusual, "_MOST_BYTES", 200)
    past(12, memo="x" * 300)

    assert said(world.bo, held_call()) == []
