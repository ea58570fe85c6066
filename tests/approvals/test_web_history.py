"""The history: every call one may see, found by words and facets, paged, opened and counted."""

from datetime import timedelta
from urllib.parse import urlencode

import pytest

from approvals import lifecycle
from approvals.models import AuditEvent, HistoryRow, ToolCall, database_now
from approvals.web import history
from tests.support.history import unfold
from tests.support.visiting import elements, page_of, queries, text_of, visitor

S = ToolCall.Status


@pytest.fixture(autouse=True)
def _no_quarantine(settings):
    settings.SETTLE_QUARANTINE_SECONDS = 0


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
        ({"outcome": "rejected"}, 1),
        ({"outcome": "pending"}, 0),
        ({"domain": "billing"}, 2),
        ({"domain": "elsewhere"}, 0),
        ({"outcome": "nonsense"}, 2),
        ({"outcome": "rejected", "domain": "billing"}, 1),
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


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cus_8241", True),
        ("REFUND support", True),  # any order, any case
        ("ann tester", True),
        ("zoe tester", False),
        ("bo tester", True),
        ("not needed", True),  # the reason
        ("100%", False),
        ("cus_8_41", False),  # no pattern
        ("\0", True),
    ],
)
def test_words_are_looked_for_in_all_that_people_remember(world, held_call, words, found):
    held_call(S.REJECTED)

    assert len(shown_ids(visitor(world.bo).get("/history/", {"q": words}))) == found


def test_a_digest_is_found_by_how_it_begins_and_as_pages_show_it(world, held_call):
    call = held_call(S.SUCCEEDED)
    held_call(arguments={"amount": 1})
    client = visitor(world.bo)
    digest = call.binding
    groups = " ".join(digest[n : n + 4] for n in range(0, 20, 4))

    for query in (digest, digest[:8], digest[:24].upper(), groups, call.arguments_digest[:12]):
        assert shown_ids(client.get("/history/", {"q": query})) == [str(call.pk)], query
    assert len(shown_ids(client.get("/history/", {"q": str(call.pk)[:8]}))) == 1


def test_dates_include_both_days(world, held_call):
    held_call(age=timedelta(minutes=0))
    today = database_now().date()
    client = visitor(world.bo)

    def count(**query):
        return client.get("/history/", query).context["count"]

    assert count(**{"from": today.isoformat(), "to": today.isoformat()}) == 1
    assert count(**{"from": (today + timedelta(days=1)).isoformat()}) == 0
    assert count(to=(today - timedelta(days=1)).isoformat()) == 0
    assert count(**{"from": "nonsense", "to": "9999-99-99"}) == 1


def facets_of(response):
    return {facet.name: facet.choices for facet in response.context["facets"]}


def test_every_count_of_a_facet_is_what_a_click_on_it_shows(world):
    unfold(world)
    client = visitor(world.aud)
    seen = set()
    beginnings = ["/history/", "/history/?q=refund", "/history/?outcome=succeeded&decided=bo"]
    beginnings += ["/history/?decided=nobody:", "/history/?tool=billing__two_refund&agent=support"]

    for beginning in beginnings:
        for name, choices in facets_of(client.get(beginning)).items():
            for choice in choices:
                clicked = client.get(choice.url)
                if not choice.is_current:
                    assert clicked.context["count"] == choice.count, (beginning, choice)
                    assert len(clicked.context["rows"]) == choice.count
                seen.add(name)

    assert seen == {"outcome", "domain", "tool", "agent", "decided"}


def test_what_is_chosen_can_be_taken_back_even_where_nothing_is_left(world, held_call):
    held_call()
    response = visitor(world.bo).get("/history/?outcome=void&domain=billing")

    (chosen,) = [c for c in facets_of(response)["outcome"] if c.is_current]

    assert "No such calls" in text_of(response)
    assert (chosen.count, chosen.url) == (0, "/history/?domain=billing")


def test_a_rule_decides_and_so_does_nobody(world):
    calls = unfold(world)
    labels = {c.label: c for c in facets_of(visitor(world.aud).get("/history/"))["decided"]}

    rule = next(choice for label, choice in labels.items() if label.startswith("Rule"))

    assert shown_ids(visitor(world.aud).get(rule.url)) == [str(calls["admitted"].pk)]
    assert str(calls["expired"].pk) in shown_ids(visitor(world.aud).get(labels["Nobody"].url))


def test_the_row_of_the_history_follows_the_call_whatever_happens_to_it(world):
    unfold(world)

    for row in HistoryRow.objects.select_related("call"):
        people = row.call.decisions.values_list("approver__username", flat=True)
        assert row.status == row.call.status
        assert [name for name in row.deciders.split(",") if name] == (
            list(people) or row.deciders.split(",")[: bool(row.deciders)]
        )
        assert (row.decided_seconds is not None) == (
            row.call.status not in {S.PENDING, S.EXPIRED, S.CANCELLED, S.VOID}
            and row.call.quorum > 0
        )
    assert HistoryRow.objects.count() == ToolCall.objects.count()


def test_the_chart_counts_what_was_found(world):
    unfold(world)
    volume = visitor(world.aud).get("/history/?tool=billing__refund").context["volume"]

    assert sum(map(sum, (row.counts for row in volume.rows))) == (
        ToolCall.objects.filter(tool_name="billing__refund").count()
    )
    assert volume.chart.finding.startswith("Calls a day by outcome")


def test_searching_needs_as_many_queries_however_much_there_is(world, held_call):
    client = visitor(world.bo)
    held_call(S.SUCCEEDED)
    few = queries(client, "/history/", q="refund", outcome="succeeded")

    for n in range(1, 12):
        held_call(S.SUCCEEDED, arguments={"amount": n})

    assert queries(client, "/history/", q="refund", outcome="succeeded") == few
    assert few <= 20


def test_a_row_opens_in_the_drawer_and_the_drawer_has_an_address(world, held_call):
    call = held_call(S.SUCCEEDED)
    client = visitor(world.bo)

    whole = client.get("/history/", {"open": call.pk})
    part = client.get(
        "/history/", {"open": call.pk}, headers={"HX-Request": "true", "HX-Target": "drawer"}
    )

    for response in (whole, part):
        text = text_of(response)
        assert "same digest as approved" in text
        assert "Bo Tester approved" in text
        assert "#1 support asked" in text
        assert "cus_8241" in text
    assert "<h1>" not in part.content.decode()
    for foreign in (
        visitor(world.eve).get("/history/", {"open": call.pk}),
        client.get("/history/?open=x"),
    ):
        assert foreign.context["opened"] is None


HOSTILE = "<script>alert(1)</script>\u202e\"'><b>{{ 7 }}"


def test_hostile_words_change_no_element(world, held_call):
    client = visitor(world.bo)
    call = held_call()
    lifecycle.decide(
        call.pk, decider=world.bo, verdict="reject", binding=call.binding, reason=HOSTILE[:200]
    )

    def page(**query):
        return elements(client.get("/history/", {"open": call.pk, **query}))

    assert page(q=f"x{HOSTILE}") == page(q="nothing at all")
    assert page(agent=HOSTILE, decided=HOSTILE) == page(agent="a", decided="b")
    body = client.get("/history/", {"open": call.pk}).content.decode()
    assert "<script>alert" not in body
    assert "\u202e" not in body


def test_the_drawer_says_ended_only_of_what_has_and_leads_to_the_rules(world, held_call):
    client = visitor(world.aud)
    calls = held_call(arguments={"amount": 1}), held_call(S.REJECTED, arguments={"amount": 2})

    waits, ended = (client.get("/history/", {"open": call.pk}) for call in calls)

    assert " Stands Held, " in text_of(waits)
    assert " Ended Rejected, " in text_of(ended)
    assert 'href="/policies/0/"' in ended.content.decode()


def test_an_auditors_reading_is_itself_recorded_once_for_each_request(world, held_call):
    call = held_call()
    client = visitor(world.aud)

    def reads():
        return AuditEvent.objects.filter(stream="person:aud", code="call.read").count()

    client.get("/history/")
    assert reads() == 0
    client.get(page_of(call))
    assert reads() == 1
    client.get("/history/", {"open": call.pk})
    assert reads() == 2
    client.get(f"/api/v1/calls/{call.pk}/")
    client.get("/api/v1/calls/")
    assert reads() == 4
    for person in (world.bo, world.ann, world.dee):
        visitor(person).get(page_of(call))
    assert AuditEvent.objects.filter(code="call.read").count() == 4

    own = client.get("/history/reads/")
    assert text_of(own).count("You read a call:") == 4
    assert "Refund" in text_of(own)
    assert "You read" not in text_of(visitor(world.eve).get("/history/reads/"))


def test_an_auditor_decides_nothing(world, held_call):
    call = held_call()
    client = visitor(world.aud)

    for part, form in (
        ("decide/", {"verdict": "approve", "binding": call.binding}),
        ("withdraw/", {}),
    ):
        assert client.post(page_of(call, part), form).status_code == 403
    call.refresh_from_db()
    assert call.status == S.PENDING


def test_an_address_gives_everybody_the_same_question(world, held_call):
    held_call(S.REJECTED)
    query = {"q": "refund", "from": "2020-01-01", "outcome": "rejected", "decided": "bo"}
    client = visitor(world.aud)

    response = client.get("/history/", query)

    assert response.context["filter"].url() == f"/history/?{urlencode(query)}"
    assert shown_ids(response) == shown_ids(visitor(world.bo).get("/history/", query))
