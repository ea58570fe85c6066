"""Fifty submits at the same moment: what must be one call is one, and a limit is kept.

`tests/races/promises.py` says at which guard each test aims; `manage.py race_guards` takes it out.
"""

import threading
from collections import Counter
from functools import partial

import pytest
from django.db import connection

from approvals import lifecycle, submission
from approvals.administration import agents
from approvals.administration import policy as policies
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


@pytest.mark.parametrize("key", ["order", ""], ids=["one key", "no key"])
def test_fifty_submits_of_one_request_are_one_call(world, key):
    """Behind the agent's lock stands a unique index, which would tell the others an error."""
    for race in racing.rounds(least=2):
        own = f"{key}-{race.number}" if key else ""
        submit = _submit(world, amount=1 + race.number, idempotency_key=own)

        answers = racing.all_done(race.together(*[submit for _ in FIFTY]))

        call = ToolCall.objects.latest("created_at")
        assert ToolCall.objects.count() == race.number + 1
        assert {answer.call.pk for answer in answers} == {call.pk}
        joined = [answer.joined for answer in answers]
        assert Counter(joined) == {True: 49, False: 1}
        assert trail.codes(call) == ["held"]
        race.went(joined.index(False))


def test_one_key_with_fifty_requests_is_one_call(world):
    for race in racing.rounds(least=2):
        key = f"order-{race.number}"
        submits = [_submit(world, amount=1 + number, idempotency_key=key) for number in FIFTY]

        place, _, refused = racing.winner(race.together(*submits))

        assert {type(error) for error in refused} == {IdempotencyMismatch}
        assert ToolCall.objects.count() == race.number + 1
        race.went(place)


def test_fifty_submits_at_one_below_the_limit_are_one_more(world, held_call, settings):
    settings.PENDING_PER_AGENT = 5
    for number in range(4):
        held_call(arguments={"customer": f"c{number}", "amount": 1})
    for race in racing.rounds(least=2):
        submits = [_submit(world, amount=1 + number) for number in FIFTY]

        place, answer, refused = racing.winner(race.together(*submits))

        assert {type(error) for error in refused} == {QueueFull}
        assert ToolCall.objects.filter(status="pending").count() == 5
        _make_room(answer.call)
        race.went(place)


def test_many_agents_at_one_below_a_domains_limit_are_one_more(world, held_call, settings):
    """Each agent's own lock lets the others pass."""
    settings.PENDING_PER_DOMAIN = 5
    for number in range(4):
        held_call(arguments={"customer": f"c{number}", "amount": 1})
    others = [
        agents.create_agent(f"other{number}", owner=world.eve, domains=["billing"], actor=ACTOR)
        for number in range(10)
    ]
    for race in racing.rounds(least=2):
        submits = [_submit(world, amount=1 + race.number, agent=one) for one in others]

        place, answer, refused = racing.winner(race.together(*submits))

        assert {type(error) for error in refused} == {QueueFull}
        assert ToolCall.objects.filter(status="pending").count() == 5
        _make_room(answer.call)
        race.went(place)


def _make_room(call: ToolCall) -> None:
    """Withdraw the call, and let the agent know, so that the same may be asked again."""
    lifecycle.cancel(call.pk, actor="agent:support")
    ToolCall.objects.filter(pk=call.pk).update(joins_repeats=False)


def test_of_fifty_refunds_at_once_twenty_five_pass_a_budget_for_twenty_five(world):
    """Each agent's own lock lets the others pass, so the budget is one that they share."""
    others = [
        agents.create_agent(f"other{number}", owner=world.eve, domains=["billing"], actor=ACTOR)
        for number in range(10)
    ]
    budget = {"per": "tool", "window": "day", "limit": 500, "field": "amount", "unit": "USD:major"}
    places = threading.Semaphore(8)  # the product waits for connections in line as well
    for race in racing.rounds(least=2):
        rule = {"name": f"small {race.number}", "outcome": "allow", "tool": "billing__refund"}
        policies.load_rules({"rules": [rule | {"budget": budget}]}, source="tests", actor=ACTOR)
        submits = [
            _in_turn(
                places,
                _submit(world, 20, others[number % 10], idempotency_key=f"{race.number}-{number}"),
            )
            for number in FIFTY
        ]

        answers = racing.all_done(race.together(*submits))

        statuses = tuple(answer.call.status for answer in answers)
        assert Counter(statuses) == {"approved": 25, "pending": 25}
        race.went(statuses)


def _in_turn(places: threading.Semaphore, step: racing.Step) -> racing.Step:
    def later() -> object:
        with places:
            try:
                return step()
            finally:
                connection.close()

    return later
