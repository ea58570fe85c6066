"""The filters of the queue: in the address, kept by every link, honest about what they know."""

import pytest

from approvals.models import Tool, ToolCall
from approvals.web import filters
from tests.support import world as worlds
from tests.support.visiting import queries, text_of, visitor

S = ToolCall.Status
ODD = {"amount": 1, "memo": "a\u200bb"}


def shown_ids(response) -> set[str]:
    return {str(row.call.pk) for group in response.context["groups"] for row in group.rows}


@pytest.fixture
def destructive(world, held_call):
    worlds.list_tools(world.upstream, worlds.definition("refund"), worlds.definition("wipe"))
    worlds.reviewed("wipe", "destructive")
    return lambda **options: held_call(tool=Tool.objects.get(name="wipe"), **options)


def test_each_risk_leaves_the_calls_whose_row_says_so(world, held_call, destructive):
    calls = {"low": held_call(), "raised": held_call(arguments=ODD), "high": destructive()}

    for risk, call in calls.items():
        response = visitor(world.bo).get(f"/?risk={risk}")
        assert shown_ids(response) == {str(call.pk)}
        assert f"Queue {1} for you" in text_of(response)


def test_domain_and_agent_leave_theirs(world, held_call):
    call = held_call()

    for query in ("domain=billing", "agent=support", "domain=billing&agent=support&risk=low"):
        assert shown_ids(visitor(world.bo).get(f"/?{query}")) == {str(call.pk)}
    for query in ("domain=other", "agent=nobody", "domain=billing&agent=nobody"):
        response = visitor(world.bo).get(f"/?{query}")
        assert shown_ids(response) == set()
        assert "Nothing like that is waiting" in text_of(response)


def test_a_filter_is_shown_as_chosen_even_if_nobody_knows_its_name(world, held_call):
    body = visitor(world.bo).get("/?agent=<b>who</b>").content.decode()

    assert "<option selected>&lt;b&gt;who&lt;/b&gt;</option>" in body


@pytest.mark.parametrize("query", ["risk=nonsense", "domain=a%00b", f"agent={'x' * 65}"])
def test_what_cannot_be_meant_means_any(world, held_call, query):
    call = held_call()

    assert shown_ids(visitor(world.bo).get(f"/?{query}")) == {str(call.pk)}


def test_tabs_pages_and_changes_keep_the_filters(world, held_call, monkeypatch):
    from approvals.web import queue

    monkeypatch.setattr(queue, "PER_PAGE", 1)
    calls = [held_call(arguments={"amount": number}) for number in (1, 2)]

    body = visitor(world.bo).get("/?domain=billing&risk=low&agent=support").content.decode()

    kept = "domain=billing&amp;risk=low&amp;agent=support"
    for link in (f"/?show=all&amp;{kept}", f"?show=mine&amp;{kept}&amp;page=2"):
        assert f'href="{link}"' in body
    assert f'data-changes="/queue/changes/?show=mine&amp;{kept}"' in body
    assert len(calls) == 2


def test_a_changed_row_belongs_only_where_the_filters_leave_it(world, held_call, destructive):
    low, high = held_call(), destructive()
    ids = f"id={low.pk}&id={high.pk}"

    body = visitor(world.bo).get(f"/queue/changes/?show=mine&risk=high&{ids}").content.decode()

    assert body.count("data-belongs") == 1
    row = body.partition(f'id="call-{high.pk}"')[2].partition(">")[0]
    assert "data-belongs" in row


def test_what_was_not_weighed_is_said(world, held_call, monkeypatch):
    monkeypatch.setattr(filters, "MOST_WEIGHED", 1)
    held_call()
    whole = visitor(world.bo).get("/?risk=low")
    held_call(arguments={"amount": 2})

    part = visitor(world.bo).get("/?risk=low")

    assert "Others may be missing here." not in text_of(whole)
    assert "the 1 write that expires first. Others may be missing here." in text_of(part)


def test_the_choices_are_what_i_may_see(world, held_call):
    held_call()

    for person, names in ((world.bo, ["billing"]), (world.aud, ["billing"]), (world.eve, [])):
        response = visitor(person).get("/")
        assert response.context["domains"] == names
        assert response.context["agents"] == (["support"] if names else [])


def test_weighing_more_calls_needs_no_more_queries(world, held_call):
    held_call()
    few = queries(visitor(world.bo), "/", risk="low")

    for number in range(1, 6):
        held_call(arguments={"amount": number})

    assert queries(visitor(world.bo), "/", risk="low") == few
