"""The history: every call one may see, filtered and paged, and its rows as they change."""

import pytest

from approvals.models import ToolCall
from approvals.web import history
from tests.support.visiting import queries, text_of, visitor

S = ToolCall.Status


def shown_ids(response) -> list[str]:
    return [str(row.call.pk) for row in response.context["rows"]]


def test_the_history_begins_with_the_newest_and_keeps_what_is_settled(world, held_call):
    old, new = held_call(S.SUCCEEDED), held_call(arguments={"amount": 1})

    response = visitor(world.bo).get("/history/")

    assert shown_ids(response) == [str(new.pk), str(old.pk)]
    assert "2 calls" in text_of(response)
    assert "Done" in text_of(response)
    assert "Bo Tester" in text_of(response)


def test_nobody_sees_the_history_of_others(world, held_call):
    held_call(S.SUCCEEDED)

    assert shown_ids(visitor(world.eve).get("/history/")) == []
    assert visitor().get("/history/").status_code == 302
    assert len(shown_ids(visitor(world.aud).get("/history/"))) == 1


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"status": "rejected"}, 1),
        ({"status": "pending"}, 0),
        ({"domain": "billing"}, 2),
        ({"domain": "elsewhere"}, 0),
        ({"status": "nonsense"}, 2),
        ({"status": "rejected", "domain": "billing"}, 1),
    ],
)
def test_filters_leave_what_they_say(world, held_call, query, count):
    held_call(S.REJECTED)
    held_call(S.SUCCEEDED, arguments={"amount": 1})

    assert len(shown_ids(visitor(world.bo).get("/history/", query))) == count


def test_pages_follow_each_other_without_a_gap(world, held_call, monkeypatch):
    monkeypatch.setattr(history, "PER_PAGE", 2)
    calls = [str(held_call(arguments={"amount": n}).pk) for n in range(1, 6)]
    client = visitor(world.bo)

    found, address, newest = [], "/history/?domain=billing", []
    while address:
        response = client.get(address)
        found += shown_ids(response)
        newest.append(response.context["newest"])
        address = response.context["older"]

    assert found == calls[::-1]
    assert newest == ["", "/history/?domain=billing", "/history/?domain=billing"]


@pytest.mark.parametrize("before", ["nonsense", "%00", "00000000-0000-4000-8000-000000000000"])
def test_a_place_nobody_knows_is_the_beginning(world, held_call, before):
    held_call()

    assert len(shown_ids(visitor(world.bo).get(f"/history/?before={before}"))) == 1


def test_more_calls_need_no_more_queries(world, held_call):
    client = visitor(world.bo)
    held_call(S.SUCCEEDED)
    few = queries(client, "/history/")

    for n in range(1, 8):
        held_call(S.REJECTED, arguments={"amount": n})

    assert queries(client, "/history/") == few


def test_changes_give_the_rows_as_they_are_now(world, held_call):
    call = held_call(S.REJECTED)

    mine = visitor(world.bo).get(f"/history/changes/?id={call.pk}")
    foreign = visitor(world.eve).get(f"/history/changes/?id={call.pk}")

    assert f'data-call="{call.pk}" data-version="3"' in mine.content.decode()
    assert "Rejected" in text_of(mine)
    assert "data-call" not in foreign.content.decode()
