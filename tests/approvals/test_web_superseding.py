"""A call that took another's place: each links to the other and says what differs."""

import pytest

from approvals import submission
from approvals.models import ToolCall
from tests.support import world as worlds
from tests.support.visiting import page_of, queries, text_of, visitor

FIRST = {"amount": 50000, "customer": "cus_8241", "memo": "Sorry."}
SECOND = {"amount": 5000, "customer": "cus_8241", "invoice": "in_1"}


def submitted(world, arguments, supersedes=None):
    request = submission.Request(
        agent_id=world.agent.pk,
        key_id=world.agent.keys.get().pk,
        tool_id=world.refund.pk,
        arguments=arguments,
        supersedes=supersedes,
    )
    return submission.submit(request).call


@pytest.fixture
def pair(world):
    first = submitted(world, FIRST)
    second = submitted(world, SECOND, supersedes=first.pk)
    return ToolCall.objects.get(pk=first.pk), second


def test_the_old_page_cannot_be_approved_and_leads_to_the_new_one(world, pair):
    old, new = pair

    response = visitor(world.bo).get(page_of(old))

    assert "Superseded" in text_of(response)
    assert "This call cannot be approved any more." in text_of(response)
    assert f'href="{page_of(new)}"' in response.content.decode()
    assert 'name="verdict"' not in response.content.decode()


def test_the_new_page_says_what_it_replaces(world, pair):
    old, new = pair

    response = visitor(world.bo).get(page_of(new))

    assert "It replaces an earlier call" in text_of(response)
    assert f'href="{page_of(old)}"' in response.content.decode()
    assert 'name="verdict"' in response.content.decode()


@pytest.mark.parametrize("which", [0, 1])
def test_both_show_what_differs_and_only_that(world, pair, which):
    body = text_of_differences(visitor(world.bo).get(page_of(pair[which])))

    assert "Amount amount 50000 5000" in body
    assert "Invoice invoice nothing in_1" in body
    assert "Memo memo Sorry. nothing" in body
    assert "cus_8241" not in body


def text_of_differences(response):
    table = response.content.decode().partition('class="table differs"')[2].partition("</table>")[0]
    response.content = table.encode()
    return text_of(response)


def test_a_difference_in_what_a_long_text_leaves_out_is_one(world):
    first = submitted(world, {"amount": 1, "memo": "x" * 2_000})
    second = submitted(world, {"amount": 1, "memo": "x" * 450 + "y" + "x" * 1549}, first.pk)

    text = text_of(visitor(world.bo).get(page_of(second)))

    assert "Its arguments are the same." not in text


def test_very_many_differences_are_cut_and_counted(world):
    worlds.list_tools(
        world.upstream,
        worlds.definition("refund", inputSchema={"type": "object"}),
        worlds.definition("get_customer"),
    )
    first = submitted(world, {"a": 1})
    second = submitted(world, {f"x{number}": number for number in range(30)}, first.pk)

    assert "And 11 more." in text_of(visitor(world.bo).get(page_of(second)))


def test_a_neighbour_costs_a_bounded_number_of_queries(world, pair):
    lone = submitted(world, {"amount": 7, "customer": "cus_1"})
    client = visitor(world.bo)

    assert queries(client, page_of(pair[0])) <= queries(client, page_of(lone)) + 2
