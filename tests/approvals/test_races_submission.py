"""Fifty submits at the same moment: what must be one call is one, and a limit is kept."""

from collections import Counter
from functools import partial

import pytest

from approvals import submission
from approvals.administration import agents
from approvals.errors import IdempotencyMismatch, QueueFull
from approvals.models import Agent, ToolCall
from tests.support import racing, trail
from tests.support import world as worlds
from tests.support.world import ACTOR

FIFTY = range(50)


@pytest.fixture
def world(transactional_db: None) -> worlds.World:
    """Return the world of all tests, committed, so that other threads see it."""
    return worlds.build()


def _submit(world, amount: int = 1, agent: Agent | None = None, **options):
    arguments = {"customer": "cus_8241", "amount": amount}
    agent = agent or world.agent
    request = submission.Request(agent.pk, None, world.refund.pk, arguments, **options)
    return partial(submission.submit, request)


@pytest.mark.parametrize("key", ["order-7", ""], ids=["one key", "no key"])
def test_fifty_submits_of_one_request_are_one_call(world, key):
    """The guard is the agent's lock; behind it stands a unique index."""
    submit = _submit(world, idempotency_key=key)

    answers, refused = racing.split(racing.together(*[submit for _ in FIFTY]))

    call = ToolCall.objects.get()
    assert refused == []
    assert {answer.call.pk for answer in answers} == {call.pk}
    assert Counter(answer.joined for answer in answers) == {True: 49, False: 1}
    assert trail.codes(call) == ["held"]


def test_one_key_with_fifty_requests_is_one_call(world):
    """The guard is the agent's lock; behind it stands a unique index."""
    submits = [_submit(world, amount=1 + number, idempotency_key="order-7") for number in FIFTY]

    (_,), refused = racing.split(racing.together(*submits))

    assert {type(error) for error in refused} == {IdempotencyMismatch}
    assert ToolCall.objects.count() == 1


def test_fifty_submits_at_one_below_the_limit_are_one_more(world, held_call, settings):
    """The guard is the agent's lock: nothing else makes those who count wait for each other."""
    settings.PENDING_PER_AGENT = 5
    for number in range(4):
        held_call(arguments={"customer": f"c{number}", "amount": 1})
    submits = [_submit(world, amount=1 + number) for number in FIFTY]

    answers, refused = racing.split(racing.together(*submits))

    assert (len(answers), {type(error) for error in refused}) == (1, {QueueFull})
    assert ToolCall.objects.filter(status="pending").count() == 5


def test_many_agents_at_one_below_a_domains_limit_are_one_more(world, held_call, settings):
    """The guard is the domain's lock: each agent's own lock lets the others pass."""
    settings.PENDING_PER_DOMAIN = 5
    for number in range(4):
        held_call(arguments={"customer": f"c{number}", "amount": 1})
    others = [
        agents.create_agent(f"other{number}", owner=world.eve, domains=["billing"], actor=ACTOR)
        for number in range(10)
    ]

    answers, refused = racing.split(racing.together(*[_submit(world, agent=one) for one in others]))

    assert (len(answers), {type(error) for error in refused}) == (1, {QueueFull})
    assert ToolCall.objects.filter(status="pending").count() == 5
