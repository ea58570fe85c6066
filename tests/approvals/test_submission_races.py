"""Submits of one agent at the same moment, on the database that really runs them at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from approvals import submission
from approvals.administration import agents
from approvals.errors import QueueFull
from approvals.models import AuditEvent, ToolCall
from tests.support.world import ACTOR, REFUND, World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

AT_ONCE = 10  # of the 50; the connection pool has 16
TIMES = 5


def all_at_once(work: Callable[[int], object]) -> list[object]:
    """Do it 50 times, ten at a time; return what came of each, also what was raised."""
    start = Barrier(AT_ONCE)

    def one(number: int) -> object:
        try:
            start.wait(10)
            return work(number)
        except QueueFull as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, range(AT_ONCE * TIMES)))


def request(world: World, **changes: Any) -> submission.Request:
    wanted = {"key_id": None, "tool_id": world.refund.pk, "arguments": REFUND}
    return submission.Request(world.agent.pk, **{**wanted, **changes})


@pytest.mark.parametrize("key", ["", "order-7"])
def test_fifty_submits_of_one_request_are_one_call(world: World, key: str) -> None:
    answers = all_at_once(lambda _: submission.submit(request(world, idempotency_key=key)))

    call = ToolCall.objects.get()
    assert {answer.call.pk for answer in answers if isinstance(answer, submission.Submitted)} == {
        call.pk
    }
    assert len(answers) == 50
    assert sum(not answer.joined for answer in answers) == 1  # type: ignore[attr-defined]
    assert AuditEvent.objects.filter(stream=f"call:{call.pk}").count() == 1


@pytest.mark.parametrize("limit", ["PENDING_PER_AGENT", "PENDING_PER_DOMAIN"])
def test_fifty_submits_at_one_short_of_the_limit_are_one_call_more(
    world: World, settings: Any, limit: str
) -> None:
    setattr(settings, limit, 5)
    for number in range(4):
        submission.submit(request(world, arguments={"customer": f"held {number}"}))
    others = [
        agents.create_agent(f"other{n}", owner=world.eve, domains=["billing"], actor=ACTOR).pk
        for n in range(AT_ONCE)
    ]

    def submit(number: int) -> object:
        # The domain's limit is met by many agents, each of which queues up for itself only.
        agent = others[number % AT_ONCE] if limit == "PENDING_PER_DOMAIN" else world.agent.pk
        arguments = {"customer": f"cus_{number}"}
        return submission.submit(submission.Request(agent, None, world.refund.pk, arguments))

    answers = all_at_once(submit)

    assert sum(isinstance(answer, submission.Submitted) for answer in answers) == 1
    assert sum(isinstance(answer, QueueFull) for answer in answers) == 49
    assert ToolCall.objects.filter(status="pending").count() == 5
