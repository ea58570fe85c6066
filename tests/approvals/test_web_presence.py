"""Who looks at a call: the question is the presence, it changes nothing else, and it passes."""

from datetime import timedelta

import pytest

from approvals import observations
from approvals.models import AuditEvent, Look, ToolCall, database_now
from tests.support.visiting import page_of, queries, text_of, visitor


def look(person, call):
    return visitor(person).get(page_of(call, "presence/"))


def age(seconds):
    Look.objects.update(at=database_now() - timedelta(seconds=seconds))


def test_two_people_who_look_see_each_other_and_not_themselves(world, held_call):
    call = held_call()

    first = look(world.bo, call)
    second, again = look(world.cy, call), look(world.bo, call)

    assert "looking" not in text_of(first)
    assert "Bo Tester is looking" in text_of(second)
    assert "Cy Tester is looking" in text_of(again)


def test_three_are_counted(world, held_call):
    call = held_call()
    for person in (world.bo, world.cy, world.aud):
        look(person, call)

    assert "Bo Tester and 2 others are looking" in text_of(look(world.dee, call))


def test_after_thirty_seconds_nobody_is_there(world, held_call):
    call = held_call()
    look(world.cy, call)

    age(29)
    still = text_of(visitor(world.bo).get(page_of(call)))
    age(31)
    gone = text_of(visitor(world.bo).get(page_of(call)))

    assert "Cy Tester is looking" in still
    assert "looking" not in gone


def test_looks_that_are_over_are_deleted_by_the_next_one(world, held_call):
    call, other = held_call(), held_call(arguments={"amount": 2})
    look(world.cy, call)
    age(31)

    look(world.bo, other)

    assert list(Look.objects.values_list("person", flat=True)) == [world.bo.pk]


def test_a_second_tab_writes_nothing(world, held_call):
    call = held_call()
    look(world.bo, call)
    age(3)
    at = Look.objects.get().at

    look(world.bo, call)
    assert Look.objects.get().at == at
    age(9)
    look(world.bo, call)

    assert Look.objects.get().at > at


def test_looking_is_no_event_and_moves_nothing(world, held_call):
    call = held_call()
    events, before = AuditEvent.objects.count(), ToolCall.objects.values().get()

    look(world.bo, call)

    assert AuditEvent.objects.count() == events
    assert ToolCall.objects.values().get() == before


def test_opening_the_page_by_itself_is_no_look(world, held_call):
    call = held_call()

    visitor(world.bo).get(page_of(call))
    visitor(world.bo).get(f"/?call={call.pk}")

    assert not Look.objects.exists()


def test_nobody_looks_at_what_they_may_not_see(world, held_call):
    call = held_call()

    assert look(world.eve, call).status_code == 404
    assert look(None, call).status_code == 302
    assert not Look.objects.exists()


def test_a_row_says_who_looks_in_the_queue_and_in_its_changes(world, held_call):
    call = held_call()
    look(world.cy, call)
    client = visitor(world.bo)

    for address in ("/", f"/queue/changes/?id={call.pk}"):
        response = client.get(address)
        assert "Cy Tester is looking" in text_of(response)
        assert 'data-over="30"' in response.content.decode()


def test_more_who_look_need_no_more_queries(world, held_call):
    calls = [held_call(arguments={"amount": number}) for number in range(1, 5)]
    client = visitor(world.bo)
    few = queries(client, "/")

    for call in calls:
        look(world.cy, call)
        look(world.aud, call)

    assert queries(client, "/") == few


@pytest.mark.parametrize("since", [10, 31])
def test_pages_are_told_only_when_somebody_begins_to_look(
    world, held_call, since, django_capture_on_commit_callbacks
):
    call = held_call()
    observations.looked(call, world.bo)
    age(since)

    with django_capture_on_commit_callbacks() as told:
        observations.looked(call, world.bo)

    assert len(told) == (1 if since > 30 else 0)
