"""The queue: whose calls it shows, in which order, and what it answers to live.js."""

import uuid
from datetime import timedelta

import pytest

from approvals import lifecycle
from approvals.models import Domain, ToolCall
from approvals.web import queue
from tests.support.visiting import page_of, queries, text_of, visitor

S = ToolCall.Status


def shown_ids(response) -> list[str]:
    return [str(row.call.pk) for group in response.context["groups"] for row in group.rows]


def test_a_stranger_is_sent_to_sign_in_and_back_again(world):
    response = visitor().get("/?show=all")

    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/%3Fshow%3Dall"


def test_an_approver_sees_what_waits_and_somebody_without_rights_does_not(world, held_call):
    call = held_call()

    assert str(call.pk) in visitor(world.bo).get("/").content.decode()
    assert str(call.pk) not in visitor(world.eve).get("/?show=all").content.decode()


def test_what_expires_first_comes_first_under_its_heading(world, held_call):
    later, sooner = held_call(), held_call(age=timedelta(minutes=55), arguments={"amount": 1})

    response = visitor(world.bo).get("/")

    assert shown_ids(response) == [str(sooner.pk), str(later.pk)]
    assert [group.heading for group in response.context["groups"]] == [
        "Within 10 minutes",
        "Within the hour",
    ]


def test_an_unknown_outcome_waits_for_an_approver_above_everything_else(world, held_call):
    pending = held_call(arguments={"amount": 1})
    unknown = held_call(S.UNKNOWN)

    response = visitor(world.bo).get("/")

    assert shown_ids(response) == [str(unknown.pk), str(pending.pk)]
    assert "Outcome unknown" in text_of(response)


def test_what_i_signed_waits_for_others_and_no_longer_for_me(world, held_call):
    call = held_call(quorum=2)
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)

    assert shown_ids(visitor(world.bo).get("/?show=mine")) == []
    assert shown_ids(visitor(world.bo).get("/?show=signed")) == [str(call.pk)]
    assert shown_ids(visitor(world.cy).get("/?show=mine")) == [str(call.pk)]


@pytest.mark.parametrize("name", ["bo", "cy", "ann", "dee", "aud", "eve"])
@pytest.mark.parametrize("query", ["", "&agent=support", "&risk=low"])
def test_the_number_on_a_tab_is_that_of_the_calls_behind_it(world, held_call, name, query):
    held_call(arguments={"amount": 1})
    held_call(S.UNKNOWN, arguments={"amount": 2})
    held_call(S.SUCCEEDED, arguments={"amount": 3})
    for signer in ("bo", "cy"):
        call = held_call(arguments={"by": signer}, quorum=2)
        decider = getattr(world, signer)
        lifecycle.decide(call.pk, decider=decider, verdict="approve", binding=call.binding)
    client = visitor(getattr(world, name))

    pages = [client.get(f"/?show={view}{query}") for view in ("mine", "all", "signed")]

    for page in pages:
        assert [tab.count for tab in page.context["tabs"]] == [len(shown_ids(one)) for one in pages]


def test_the_owner_of_an_agent_sees_its_call_but_is_not_asked_to_approve_it(world, held_call):
    call = held_call()
    Domain.objects.get().approver_groups.get().people.add(world.ann)

    assert shown_ids(visitor(world.ann).get("/?show=mine")) == []
    assert shown_ids(visitor(world.ann).get("/?show=all")) == [str(call.pk)]


@pytest.mark.parametrize("name", ["aud", "dee"])
def test_who_approves_nothing_begins_with_everyones_calls(world, held_call, name):
    call = held_call()

    assert shown_ids(visitor(getattr(world, name)).get("/")) == [str(call.pk)]


def test_a_view_nobody_knows_is_the_usual_one(world, held_call):
    held_call()

    response = visitor(world.bo).get("/?show=nonsense&page=nonsense")

    assert response.context["show"] == "mine"
    assert len(shown_ids(response)) == 1


def test_an_empty_queue_says_so(world):
    response = visitor(world.bo).get("/")

    assert "Nothing is waiting for you" in text_of(response)


def test_the_title_carries_the_count(world, held_call):
    held_call()

    assert (
        "<title>Queue, 1 waiting · Countersign</title>"
        in visitor(world.bo).get("/").content.decode()
    )


def test_a_long_queue_comes_in_pages(world, held_call, monkeypatch):
    monkeypatch.setattr(queue, "PER_PAGE", 2)
    calls = [held_call(arguments={"amount": n}, age=timedelta(minutes=30 - n)) for n in range(1, 4)]

    first, second = (visitor(world.bo).get(f"/?page={n}") for n in (1, 2))

    assert shown_ids(first) == [str(call.pk) for call in calls[:2]]
    assert shown_ids(second) == [str(calls[2].pk)]
    assert "1 to 2 of 3" in text_of(first)


def test_more_calls_need_no_more_queries(world, held_call):
    client = visitor(world.bo)
    held_call(quorum=2)
    few = queries(client, "/")

    for n in range(1, 8):
        call = held_call(arguments={"amount": n}, quorum=2)
        lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)

    assert queries(client, "/") == few


def test_changes_give_the_rows_that_are_asked_for_and_say_which_belong(world, held_call):
    waiting, settled = held_call(arguments={"amount": 1}), held_call(S.SUCCEEDED)

    response = visitor(world.bo).get(f"/queue/changes/?show=mine&id={waiting.pk}&id={settled.pk}")

    body = response.content.decode()
    assert f'id="call-{waiting.pk}"' in body
    assert f'id="call-{settled.pk}"' in body
    assert body.count("data-belongs") == 1
    assert "Done" in text_of(response)


def test_changes_of_calls_that_are_not_mine_to_see_are_empty(world, held_call):
    call = held_call()

    response = visitor(world.eve).get(f"/queue/changes/?show=all&id={call.pk}")

    assert response.status_code == 200
    assert str(call.pk) not in response.content.decode()


def test_changes_bear_nonsense(world):
    response = visitor(world.bo).get(f"/queue/changes/?show=x&id=1&id=%00&id={uuid.uuid4()}")

    assert response.status_code == 200
    assert "data-call" not in response.content.decode()


def test_changes_give_at_most_as_many_rows_as_one_request_may_ask_for(
    world, held_call, monkeypatch
):
    monkeypatch.setattr(queue, "MOST_CHANGES", 2)
    ids = "".join(f"&id={held_call(arguments={'amount': n}).pk}" for n in range(1, 4))

    body = visitor(world.bo).get(f"/queue/changes/?show=mine{ids}").content.decode()

    assert body.count("data-call") == 2


def test_a_row_says_what_who_where_how_risky_and_how_long(world, held_call):
    held_call(quorum=2)

    text = text_of(visitor(world.bo).get("/"))

    for words in ("Refund", "cus_8241", "support for Ann Tester", "billing", "Low", "59m"):
        assert words in text


def test_an_odd_value_raises_the_risk_of_a_write(world, held_call):
    held_call(arguments={"amount": 1, "memo": "all\u200bgood"})

    assert "Raised" in text_of(visitor(world.bo).get("/"))


def test_a_pending_call_whose_time_is_over_shows_as_expired(world, held_call):
    call = held_call(age=timedelta(hours=2))

    row = visitor(world.bo).get("/").content.decode().partition(f'id="call-{call.pk}"')[2]

    assert "Expired" in row
    assert "data-seconds" not in row


def test_a_domain_without_four_eyes_says_so_in_its_rows(world, held_call):
    Domain.objects.update(four_eyes=False)
    held_call()

    assert "four eyes off" in text_of(visitor(world.bo).get("/"))


def test_the_last_decisions_stand_beside_the_queue_with_their_reasons(world, held_call):
    call = held_call(S.REJECTED)

    response = visitor(world.cy).get("/")

    assert "Bo Tester rejected" in text_of(response)
    assert "Not needed." in text_of(response)
    assert page_of(call) in response.content.decode()
