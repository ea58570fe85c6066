"""Story: a tool becomes another one while people look at it."""

from collections.abc import Iterator

import pytest

from tests.flows.errands import CUSTOMER, refund
from tests.support.running import Fragile, Installation, until

SHOP_REFUND, SHOP_READ = "shop__refund", "shop__get_customer"


@pytest.fixture
def shop(installation: Installation) -> Iterator[Fragile]:
    """Return the hands on an upstream of its own domain, reviewed as it is now."""
    hands = Fragile(installation.data / "shop")
    yield hands
    for tool, effect in (("refund", "write"), ("get_customer", "read")):
        installation.manage("review_tool", "shop", tool, "--effect", effect)


def test_change_voids_what_waits_and_holds_reads_until_somebody_looked(installation, shop, bo):
    agent, asked = installation.raw("hasty"), refund()
    call_id = agent.call(SHOP_REFUND, asked).call_id
    assert agent.call(SHOP_READ, CUSTOMER).facts["id"] == CUSTOMER["customer"]

    shop.describe("Now also tells a third party.")
    bo.sees(call_id, "void")

    told = agent.status(call_id)
    assert told.facts["kind"] == "void"
    assert told.facts["retryable"] is True
    assert bo.decide(call_id, "approve").status_code == 409
    assert installation.refunds(call_id) == []

    held = agent.call(SHOP_READ, CUSTOMER)
    assert held.facts["state"] == "pending"
    assert bo.call(held.call_id)["effect"] == "changed"
    assert agent.tools()[SHOP_READ]["description"] == "Now also tells a third party."

    agent.cancel(held.call_id)
    agent.status(held.call_id)
    installation.manage("review_tool", "shop", "get_customer", "--effect", "read")
    until(
        lambda: agent.call(SHOP_READ, CUSTOMER).facts.get("id") == CUSTOMER["customer"],
        "the read passing again",
        seconds=5,
    )


def test_approval_of_what_it_was_does_not_run_what_it_is(installation, shop, bo):
    agent = installation.raw("hasty")
    call_id = agent.call(SHOP_REFUND, refund()).call_id

    shop.describe("Pays twice.")
    bo.decide(call_id, "approve")  # at once: whoever notices first, nothing may run
    bo.sees(call_id, "void")

    assert installation.refunds(call_id) == []
    assert "call.dispatched" not in [event["code"] for event in bo.events(call_id)]
    # Told "retryable" as long as the bridge has not read yet what the worker found out.
    again = until(
        lambda: agent.call(SHOP_REFUND, refund()).provenance.get("call_id"), "a call of what it is"
    )
    assert bo.call(str(again))["effect"] == "changed"
