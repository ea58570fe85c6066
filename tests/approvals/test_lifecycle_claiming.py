"""Whose call is claimed next: so many at once for an upstream, by turns, oldest approval first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from django.db import DatabaseError

from approvals import lifecycle, tasks
from approvals.administration import agents, catalog
from approvals.models import Agent, AuditStream, ToolCall, Upstream, database_now
from approvals.outcomes import Outcome
from tests.support import guarding, racing
from tests.support import world as worlds
from tests.support.world import ACTOR, World

S = ToolCall.Status
DONE = Outcome.succeeded({"content": []})


def another(world: World, name: str) -> Agent:
    return agents.create_agent(name, owner=world.ann, domains=["billing"], actor=ACTOR)


def approved(world: World, agent: Agent, count: int = 1) -> list[ToolCall]:
    """Return approved calls of an agent, in the order of their approval."""
    theirs = replace(world, agent=agent)
    number = ToolCall.objects.count()
    asked = [worlds.hold(theirs, arguments={"customer": f"c{number + n}"}) for n in range(count)]
    return [worlds.walk(call, world, S.APPROVED) for call in asked]


def next_of(world: World) -> lifecycle.Claim | None:
    return lifecycle.claim_next(world.upstream.pk, worker="w1")


def claims(world: World) -> Iterator[lifecycle.Claim]:
    """Yield what is claimed until nothing more can be."""
    while (claim := next_of(world)) is not None:
        yield claim


@pytest.fixture
def wide(settings) -> None:
    """Let everything be at the upstream at once, so that the order alone is seen."""
    settings.RELEASES_PER_UPSTREAM = 100


# -- turns


def test_an_agent_with_many_calls_keeps_anothers_waiting_for_one_turn_at_most(world, wide):
    busy, (first, *_) = world.agent, approved(world, world.agent, 6)
    claim = next_of(world)
    assert claim is not None
    assert claim.call == first

    quiet = another(world, "quiet")
    approved(world, quiet)

    served = [claim.call.agent for claim in claims(world)]
    assert served == [quiet] + [busy] * 5


def test_every_agent_has_its_turn_before_one_has_a_second(world, wide):
    others = [another(world, f"agent-{n}") for n in range(3)]
    everybody = [world.agent, *others]
    for agent in reversed(everybody):
        approved(world, agent, 2)

    served = [claim.call.agent for claim in claims(world)]

    assert [set(served[:4]), set(served[4:])] == [set(everybody)] * 2


def test_calls_of_one_agent_go_in_the_order_of_their_approval(world, wide):
    asked = [worlds.hold(world, arguments={"customer": f"c{n}"}) for n in range(5)]
    order = [asked[n] for n in (3, 0, 4, 2, 1)]
    for call in order:
        worlds.walk(call, world, S.APPROVED)

    assert [claim.call for claim in claims(world)] == order


def test_what_is_parked_late_or_of_another_upstream_is_passed_over(world, held_call, wide):
    parked, late, ready = approved(world, world.agent, 3)
    other = Upstream.objects.create(
        domain=world.billing, name="ledger", transport="http", launch={"url": "http://127.0.0.1:9/"}
    )
    worlds.list_tools(other, worlds.definition("book"))
    held_call(status=S.APPROVED, tool=catalog.get_tool("ledger", "book"))
    now = database_now()
    with guarding.unguarded():
        mine = ToolCall.objects.filter
        mine(pk=parked.pk).update(not_before=now + timedelta(minutes=1))
        mine(pk=late.pk).update(decide_by_at=now, run_by_at=now)

    assert [claim.call for claim in claims(world)] == [ready]


def test_a_call_that_cannot_be_claimed_does_not_stand_in_the_way_of_others(world, wide):
    bad, good = approved(world, world.agent, 2)
    # No event follows a stream that was set back, so no move either.
    AuditStream.objects.filter(name=f"call:{bad.pk}").update(seq=0, digest="")

    with pytest.raises((DatabaseError, ValueError), match="follows the one before"):
        next_of(world)

    assert [claim.call for claim in claims(world)] == [good]
    bad.refresh_from_db()
    assert bad.status == S.APPROVED
    assert "follows the one before" in bad.needs_attention
    assert bad.not_before is not None
    assert bad.not_before > database_now()


# -- so many at once


def test_no_more_than_allowed_are_claimed_or_dispatched_at_once(world, settings):
    settings.RELEASES_PER_UPSTREAM = 2
    approved(world, world.agent, 4)

    first, second = claims(world)
    lifecycle.dispatch(first, seen=worlds.seen(first.call))
    assert next_of(world) is None

    lifecycle.finish(first, DONE)
    (third,) = claims(world)
    lifecycle.unclaim(second, reason="Nobody listened.")
    (fourth,) = claims(world)
    assert len({claim.call_id for claim in (first, second, third, fourth)}) == 4


def test_what_nobody_knows_the_outcome_of_takes_no_place(world, settings):
    settings.RELEASES_PER_UPSTREAM = 1
    approved(world, world.agent, 2)
    (first,) = claims(world)
    lifecycle.dispatch(first, seen=worlds.seen(first.call))
    assert next_of(world) is None

    lifecycle.lose(first.call_id, reason="No answer.", only_if=lambda call: True)

    assert len(list(claims(world))) == 1


@pytest.mark.parametrize("is_sent", [False, True])
def test_places_of_a_worker_that_died_are_free_after_the_sweep(world, settings, is_sent):
    settings.RELEASES_PER_UPSTREAM = 2
    approved(world, world.agent, 4)
    for claim in claims(world):
        if is_sent:
            lifecycle.dispatch(claim, seen=worlds.seen(claim.call))
    ToolCall.objects.exclude(lease_until=None).update(lease_until=database_now())
    assert next_of(world) is None

    tasks.sweep()

    assert len(list(claims(world))) == 2


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_the_same_moment_never_exceed_it(settings):
    """Seen to fail on PostgreSQL without the upstream's lock."""
    settings.RELEASES_PER_UPSTREAM = 3
    world = worlds.build()
    for _ in range(10):
        approved(world, world.agent, 6)
        step = partial(lifecycle.claim_next, world.upstream.pk)

        claimed, raised = racing.split(
            racing.together(*[partial(step, worker=f"w{n}") for n in range(6)])
        )

        got = [claim for claim in claimed if claim is not None]
        assert (len(got), raised) == (3, [])
        assert len({claim.call_id for claim in got}) == 3
        for call_id in ToolCall.objects.filter(settled_at=None).values_list("pk", flat=True):
            lifecycle.cancel(call_id, actor="agent:support")
