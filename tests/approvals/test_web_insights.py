"""The insights: figures of the calls one may see, that no expiry or withdrawal distorts."""

from datetime import timedelta

import pytest

from approvals import lifecycle
from approvals.models import ToolCall, database_now
from tests.support.history import unfold
from tests.support.visiting import elements, queries, text_of, visitor

S = ToolCall.Status


@pytest.fixture(autouse=True)
def _no_quarantine(settings):
    settings.SETTLE_QUARANTINE_SECONDS = 0


def kpis(response):
    return {name: (number, remark) for name, number, remark in response.context["kpis"]}


def test_expiries_and_withdrawals_never_count_as_rejections(world, held_call):
    for number, status in enumerate((S.SUCCEEDED, S.SUCCEEDED, S.FAILED, S.REJECTED), 1):
        held_call(status, arguments={"amount": number})
    before = visitor(world.aud).get("/insights/")
    for number, status in enumerate((S.EXPIRED, S.CANCELLED, S.VOID, S.EXPIRED), 10):
        held_call(status, arguments={"amount": number})

    after = visitor(world.aud).get("/insights/")

    assert (
        kpis(before)["Rejected"]
        == kpis(after)["Rejected"]
        == ("25 %", "1 of 4 that people decided")
    )
    assert kpis(before)["Expired"][0] == "0 %"
    assert kpis(after)["Expired"][0] == "33.3 %"
    assert [tool.approved for tool in after.context["tools"]] == [75.0]
    assert after.context["tools"][0].words == "3 approved, 1 rejected, 2 expired, 2 not decided"


def test_time_to_decision_is_measured_from_asking_to_the_last_signature(world, held_call):
    for minutes in (1, 2, 3):
        call = held_call(arguments={"amount": minutes}, age=timedelta(minutes=minutes))
        lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
    response = visitor(world.aud).get("/insights/")

    assert kpis(response)["Median time to decision"][0].startswith("2 min")
    assert kpis(response)["Median time to decision"][1].startswith("9 in 10 within 3 min")
    assert dict(response.context["took_rows"])["1 to 2 min"] == 1
    assert dict(response.context["took_rows"])["2 to 5 min"] == 2
    assert response.context["hasty"] == 0
    (bo,) = response.context["approvers"]
    assert (bo.decisions, bo.median.seconds // 60) == (3, 2)


def test_who_signs_within_seconds_is_seen_by_overseers_and_themselves(world, held_call):
    for number in range(1, 13):
        held_call(S.SUCCEEDED, arguments={"amount": number})

    sign = "Median 0 s, 12 of 12 in under 5 s, nothing rejected"

    for person in (world.aud, world.dee, world.bo):
        assert sign in text_of(visitor(person).get("/insights/"))
    other = text_of(visitor(world.cy).get("/insights/"))
    assert sign not in other
    assert "not shown to you" in other


def test_nobody_sees_figures_of_calls_they_may_not_see(world, held_call):
    held_call(S.SUCCEEDED)

    response = visitor(world.eve).get("/insights/")

    assert visitor().get("/insights/").status_code == 302
    assert kpis(response)["Calls held"][0] == "0"
    assert response.context["tools"] == response.context["approvers"] == []
    assert response.context["domains"] == []
    assert "No calls yet" in text_of(response)
    assert kpis(visitor(world.ann).get("/insights/"))["Calls held"][0] == "1"


@pytest.mark.parametrize(
    ("query", "held"),
    [
        ({}, "1"),
        ({"days": "7"}, "0"),
        ({"days": "90"}, "2"),
        ({"days": "31"}, "1"),  # no such period: the usual one
        ({"domain": "billing"}, "1"),
        ({"domain": "elsewhere"}, "0"),
        ({"domain": "\0", "days": "<b>"}, "1"),
    ],
)
def test_period_and_domain_choose_what_is_counted(world, held_call, query, held):
    held_call(S.EXPIRED, age=timedelta(days=10))
    held_call(S.EXPIRED, age=timedelta(days=40), arguments={"amount": 1})

    assert kpis(visitor(world.aud).get("/insights/", query))["Calls held"][0] == held


def test_a_tool_leads_to_its_calls_of_the_period(world):
    unfold(world)
    client = visitor(world.aud)

    for tool in client.get("/insights/").context["tools"]:
        assert client.get(tool.url).context["count"] == tool.calls


def test_every_chart_says_its_finding_and_has_a_table(world):
    unfold(world)
    response = visitor(world.aud).get("/insights/")
    body = response.content.decode()

    assert body.count("As a table") == 3
    assert "Time to decision. Most often under 5 s" in body
    assert "Share of calls that expired, by week: from" in body
    assert " style=" not in body
    rows = response.context["volume"].rows
    assert sum(map(sum, (row.counts for row in rows))) == ToolCall.objects.count()
    assert rows[-1].words == database_now().strftime("%-d %b")


def test_where_nobody_decided_anything_words_stand_in_place_of_empty_charts(world, held_call):
    held_call()
    body = visitor(world.aud).get("/insights/").content.decode()

    assert "Nobody decided a call in these days." in body
    assert "No call was decided or expired in these weeks." in body
    assert body.count("As a table") == 1  # of the calls by outcome


def test_more_calls_need_no_more_queries(world, held_call):
    client = visitor(world.aud)
    held_call(S.SUCCEEDED)
    few = queries(client, "/insights/")
    for number in range(1, 8):
        held_call(S.REJECTED, arguments={"amount": number})

    assert queries(client, "/insights/") == few
    assert few <= 20


def test_hostile_words_in_the_address_change_no_element(world, held_call):
    held_call()
    client = visitor(world.aud)
    hostile = client.get("/insights/", {"domain": "<script>x</script>"})

    assert elements(hostile) == elements(client.get("/insights/", {"domain": "none"}))
