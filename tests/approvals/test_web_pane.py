"""The call beside the queue: the same rights, one address with and without htmx, few queries."""

import pytest

from approvals import lifecycle
from approvals.models import ToolCall
from tests.support.dom import read
from tests.support.visiting import elements, form_of, page_of, queries, text_of, visitor

S = ToolCall.Status
HTMX = {"HX-Request": "true", "HX-Target": "pane"}


def test_a_direct_load_shows_the_list_and_the_call(world, held_call):
    other, call = held_call(arguments={"amount": 1}), held_call()

    body = visitor(world.bo).get(f"/?call={call.pk}").content.decode()

    assert f'data-shows="{call.pk}"' in body
    assert f'id="call-{other.pk}"' in body
    row = body.partition(f'id="call-{call.pk}"')[2].partition("</li>")[0]
    assert 'aria-current="true"' in row
    assert body.count('class="what"') == 2
    assert body.count('aria-current="true"') == 1


def test_its_head_says_where_the_call_stands_and_is_a_part_that_changes(world, held_call):
    call = held_call(quorum=2)
    client = visitor(world.bo)

    before = text_of(client.get(f"/?call={call.pk}", headers=HTMX))
    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)
    part = read(client.get(page_of(call, "parts/?pane&seen=1")).content.decode())
    of_its_page = client.get(page_of(call, "parts/?seen=1")).content.decode()

    [chip] = part.all(lambda element: element.attributes.get("id") == "chip")
    assert "Held, 2 signatures to go" in before
    assert "Held, one signature to go" in chip.text
    assert "data-part" in chip.attributes
    assert 'id="chip"' not in of_its_page


def test_htmx_is_given_the_call_alone(world, held_call):
    call = held_call()

    response = visitor(world.bo).get(f"/?call={call.pk}", headers=HTMX)

    body = response.content.decode()
    assert f'data-shows="{call.pk}"' in body
    assert "<html" not in body
    assert "inbox" not in body
    assert body.count('name="stamp"') == 2


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize("wanted", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_a_call_that_is_not_there_or_not_mine_is_not_found(world, held_call, headers, wanted):
    call = held_call()

    assert visitor(world.bo).get(f"/?call={wanted}", headers=headers).status_code == 404
    assert visitor(world.eve).get(f"/?call={call.pk}", headers=headers).status_code == 404


def test_a_decision_in_the_pane_shows_what_the_server_did(world, held_call):
    call = held_call()

    response = visitor(world.bo).post(
        page_of(call, "decide/"), form_of(call, world.bo), headers=HTMX
    )

    assert response.status_code == 200
    assert "Approved. It runs as soon as a worker takes it." in text_of(response)
    assert "Approved, waiting to run" in text_of(response)
    assert "<html" not in response.content.decode()


def test_a_refused_decision_in_the_pane_says_why_beside_the_call_as_it_is(world, held_call):
    call = held_call()
    data = form_of(call, world.bo)
    lifecycle.decide(
        call.pk, decider=world.cy, verdict="reject", binding=call.binding, reason="No."
    )

    response = visitor(world.bo).post(page_of(call, "decide/"), data, headers=HTMX)

    assert response.status_code == 409
    assert "Rejected by Cy Tester" in text_of(response)
    assert "<html" not in response.content.decode()


def test_what_was_told_is_not_told_of_a_later_state(world, held_call):
    call = held_call()
    client = visitor(world.bo)
    client.post(page_of(call, "decide/"), form_of(call, world.bo))
    lifecycle.cancel(call.pk, actor="agent:support")

    text = text_of(client.get(page_of(call)))

    assert "Withdrawn by support" in text
    assert "It runs as soon as" not in text


def test_hostile_text_makes_no_element_in_the_pane(world, held_call):
    hostile = "</div><script>alert(1)</script><img src=x>"
    plain = "some words of about the same length, no markup"
    held_call(arguments={"amount": 7})  # so that neither is the agent's first

    shown = [
        elements(
            visitor(world.bo).get(
                f"/?call={held_call(arguments={'amount': 1, 'memo': memo}).pk}", headers=HTMX
            )
        )
        for memo in (hostile, plain)
    ]

    assert shown[0] == shown[1]


def test_more_calls_need_no_more_queries_beside_an_open_one(world, held_call):
    call = held_call(quorum=2)
    few = queries(visitor(world.bo), "/", call=str(call.pk))

    for number in range(1, 8):
        held_call(arguments={"amount": number}, quorum=2)

    assert queries(visitor(world.bo), "/", call=str(call.pk)) == few


def test_who_may_not_approve_reads_why_and_who_can(world, held_call):
    call = held_call()
    world.billing.approver_groups.get().people.add(world.ann)

    text = text_of(visitor(world.ann).get(page_of(call)))

    assert "Four eyes: the agent&#x27;s owner and the person it acts for cannot approve." in text
    assert "Bo Tester, Cy Tester can." in text
