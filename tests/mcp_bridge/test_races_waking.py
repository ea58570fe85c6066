"""Wake-ups and clocks at the wrong moment: too early, days late, or leaping in between.

`tests/races/promises.py` says at which guard each test aims; `manage.py race_guards` takes it out.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from approvals import lifecycle
from approvals.models import ToolCall, database_now
from mcp_bridge import release
from tests.support import deadlines, listening, racing
from tests.support import world as worlds
from tests.support.upstreams import HttpUpstream
from tests.support.world import REFUND, World

S = ToolCall.Status
Approved = Callable[..., ToolCall]
DAY_SECONDS = 86_400

pytestmark = pytest.mark.usefixtures("worker")


def released(call: ToolCall) -> str:
    """Deliver the message once, wait for its end, and return the state."""
    release.release(str(call.pk))
    return ToolCall.objects.get(pk=call.pk).status


def arguments(number: int) -> dict[str, object]:
    return REFUND | {"memo": str(number)}


class Commits:
    """Stops a thread just before it commits, until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reached, self._go_on = threading.Event(), threading.Event()
        self._stops: threading.Thread | None = None
        wrapper: Any = BaseDatabaseWrapper
        commit = wrapper._commit

        def stopping(it: Any) -> None:
            if threading.current_thread() is self._stops:
                self._reached.set()
                assert self._go_on.wait(racing.PATIENCE_SECONDS)
            commit(it)

        monkeypatch.setattr(wrapper, "_commit", stopping)

    @contextmanager
    def stopped(self, step: racing.Step) -> Iterator[racing.Racer]:
        """Start a step; the block begins just before its commit, which follows the block."""
        self._reached.clear()
        self._go_on.clear()
        racer = self._stops = racing.Racer(step)
        racer.start()
        try:
            assert self._reached.wait(racing.PATIENCE_SECONDS), f"no commit: {racer.result}"
            yield racer
        finally:
            self._go_on.set()
        racer.outcome()


def test_a_wake_up_before_its_commit_is_visible_does_nothing_and_another_comes_after_it(
    world: World, billing: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    commits = Commits(monkeypatch)
    with listening.to(queues=["release.billing"]) as heard:
        for race in racing.rounds("wake-up first", "commit first", least=4):
            call = worlds.hold(world, arguments=arguments(race.number))
            is_early, sent = race.number % 2 == 0, len(billing.calls)
            vote = partial(
                lifecycle.decide, call.pk, decider=world.bo, verdict="approve",
                binding=call.binding,
            )  # fmt: skip

            with commits.stopped(vote) as racer:
                assert heard.releases == []
                if is_early:
                    assert released(call) == S.PENDING
            assert type(racer.result) is ToolCall
            assert [message.arguments for message in heard.releases] == [[str(call.pk)]]

            assert len(billing.calls) == sent
            assert released(call) == S.SUCCEEDED
            heard.forget()
            race.went("wake-up first" if is_early else "commit first")


def test_a_wake_up_that_comes_days_late_sends_nothing(approved: Approved, billing: HttpUpstream):
    for race in racing.rounds("late", "in time", least=2):
        call, is_late = approved(arguments=arguments(race.number)), race.number % 2 == 0
        if is_late:
            deadlines.ending_at(call, database_now() - timedelta(days=2))

        end = released(call)

        memos = [effect["memo"] for effect in billing.effects]
        assert end == (S.APPROVED if is_late else S.SUCCEEDED)  # the sweep will say expired
        assert memos.count(str(race.number)) == (0 if is_late else 1)
        race.went("late" if end == S.APPROVED else "in time")


def test_a_machines_clock_that_leaps_during_a_release_changes_nothing(
    approved: Approved, billing: HttpUpstream, monkeypatch: pytest.MonkeyPatch
):
    real = time.time
    for race in racing.rounds("forwards", "backwards", least=2):
        call, way = approved(arguments=arguments(race.number)), 1 - 2 * (race.number % 2)
        looks = itertools.count()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", partial(leaping, real, looks, way))

            end = released(call)

        assert end == S.SUCCEEDED
        race.went("forwards" if way > 0 else "backwards")
    assert len(billing.effects) == 2


def leaping(real: Callable[[], float], looks: Iterator[int], way: int) -> float:
    """Return a time a day further off at every look."""
    return real() + way * DAY_SECONDS * next(looks)
