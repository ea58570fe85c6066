"""Hints: told after the commit and only then, to whom they concern, and never in anybody's way."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from django.db import transaction

from approvals import events, lifecycle, observations
from approvals.models import ToolCall
from tests.support import listening
from tests.support import world as worlds

S = ToolCall.Status


@pytest.fixture
def world(transactional_db: None) -> worlds.World:
    """Return the world of all tests, committed: hints are sent after real commits only."""
    return worlds.build()


@pytest.fixture
def hints(world):
    """Return what hears every hint of the world's calls, and releases."""
    domain, ann, bo = world.billing.pk, world.ann.pk, world.bo.pk
    groups = [events.BRIDGES, events.domain_group(domain)]
    groups += [events.person_group(ann), events.person_group(bo)]
    with listening.to(*groups, queues=["release.billing"]) as heard:
        yield heard


def _news(call: ToolCall, version: int) -> dict[str, Any]:
    return {"type": "call.changed", "call": str(call.pk), "version": version}


def test_a_held_call_is_told_to_its_domain_its_people_and_the_bridges(world, held_call, hints):
    call = held_call()

    assert hints.of("domain.") == [_news(call, 1)]
    assert hints.of(f"person.{world.ann.pk}") == [_news(call, 1)]  # once: owner and acts_for
    assert hints.of("bridges") == [{**_news(call, 1), "status": "pending"}]
    assert hints.releases == []


def test_whom_an_agent_acts_for_is_told_and_other_people_are_not(world, held_call, hints):
    world.agent.keys.update(acts_for=world.bo)

    call = held_call()

    assert hints.of(f"person.{world.bo.pk}") == [_news(call, 1)]
    world.agent.keys.update(acts_for=world.ann)
    held_call(arguments={"customer": "other", "amount": 1})
    assert hints.of(f"person.{world.bo.pk}") == [_news(call, 1)]


def test_another_domain_is_told_nothing(world, held_call):
    with listening.to(events.domain_group(world.billing.pk + 1)) as heard:
        held_call(status=S.SUCCEEDED)

        assert heard.of("domain.") == []


def test_every_version_is_told_once_with_its_own_number(world, held_call, hints):
    """An approval is two versions in one transaction: the vote, and what came of it."""
    call = held_call(status=S.APPROVED)

    assert hints.of("domain.") == [_news(call, number) for number in (1, 2, 3)]
    statuses = [message["status"] for message in hints.of("bridges")]
    assert statuses == ["pending", "pending", "approved"]


def test_a_look_is_told_in_the_words_of_any_hint_and_once(world, held_call):
    call = held_call()
    with listening.to(events.domain_group(call.domain_id)) as heard:
        for _ in range(2):  # a second tab
            observations.looked(call, world.cy)

        assert heard.all() == [_news(call, 1)]


def test_an_approval_wakes_one_release_in_the_queue_of_its_domain(world, held_call, hints):
    call = held_call(status=S.APPROVED)

    (message,) = hints.releases
    assert message.task == "mcp_bridge.release"
    assert message.arguments == [str(call.pk)]
    assert 0 < message.seconds_to_live <= 10


def test_a_parked_call_wakes_no_release(world, held_call, hints):
    call = held_call(status=S.APPROVED)
    claim = lifecycle.claim(call.pk, worker="w1")

    lifecycle.unclaim(claim, reason="Nobody listened.")

    assert len(hints.releases) == 1
    assert hints.of("bridges")[-1]["status"] == "approved"


def test_nothing_but_an_approval_wakes_a_release(world, held_call, hints):
    for status in (S.PENDING, S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID):
        held_call(status=status, arguments={"customer": status, "amount": 1})

    assert hints.releases == []


def test_a_hint_waits_for_the_commit(world, held_call, hints):
    call = held_call()
    hints.forget()

    with transaction.atomic():
        events.publish_on_commit(call)
        assert hints.all() == []

    assert hints.of("domain.") == [_news(call, 1)]


def test_a_rollback_tells_nothing(world, held_call, hints):
    call = held_call(status=S.APPROVED)
    hints.forget()

    with transaction.atomic():
        events.publish_on_commit(call)
        transaction.set_rollback(True)

    assert (hints.all(), hints.releases) == ([], [])


def test_a_hint_says_what_was_written_not_what_the_row_object_became(world, held_call, hints):
    call = held_call()
    hints.forget()

    with transaction.atomic():
        events.publish_on_commit(call)
        call.version, call.status = 99, S.APPROVED

    assert hints.of("bridges") == [{**_news(call, 1), "status": "pending"}]
    assert hints.releases == []


def test_a_refresh_goes_to_the_queue_of_its_domain(world, hints):
    events.start_refresh(7, "billing")

    (message,) = hints.releases
    assert (message.task, message.arguments) == ("mcp_bridge.refresh", [7])


# -- broken brokers


@pytest.fixture
def broken_pages(settings):
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": backend, "CONFIG": {"hosts": [listening.NOBODY]}}
    }


@pytest.fixture
def broken_broker():
    with listening.broken_broker():
        yield


@pytest.mark.usefixtures("broken_pages")
def test_a_broken_channel_layer_costs_a_line_in_the_log(world, held_call, caplog):
    call = held_call(status=S.APPROVED)

    listening.wait_until_sent()
    assert call.status == S.APPROVED
    lines = [record for record in caplog.records if record.name == "approvals.events"]
    assert lines
    assert all(line.levelno == logging.WARNING for line in lines)
    assert all("sweeps will find it" in line.getMessage() for line in lines)


@pytest.mark.usefixtures("broken_broker")
def test_a_broken_broker_costs_a_line_in_the_log_and_pages_still_hear(world, held_call, caplog):
    with listening.to(events.domain_group(world.billing.pk)) as heard:
        call = held_call(status=S.APPROVED)

        assert heard.of("domain.")[-1] == _news(call, 3)
    lines = [record for record in caplog.records if record.name == "approvals.events"]
    assert len(lines) == 1
    assert "sweeps will find it" in lines[0].getMessage()


@pytest.mark.usefixtures("broken_pages", "broken_broker")
def test_who_publishes_does_none_of_the_sending_itself(world, held_call, caplog):
    """Whatever a client does when its broker hangs, it does it in a thread of its own."""
    held_call(status=S.APPROVED)

    listening.wait_until_sent()
    senders = {record.threadName for record in caplog.records if record.name == "approvals.events"}
    assert senders == {"hints"}


def test_an_error_after_the_commit_does_not_reach_whoever_committed(world, held_call, monkeypatch):
    """Not even one before the sending: no more threads, an interpreter that goes down."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    call = held_call()
    monkeypatch.setattr(events, "_hints", events._Hints())
    monkeypatch.setattr(threading.Thread, "start", start)

    lifecycle.cancel(call.pk, actor="agent:support")

    assert ToolCall.objects.get(pk=call.pk).status == S.CANCELLED


def test_hints_beyond_what_may_wait_are_dropped(monkeypatch):
    """A broker that hangs must not fill the memory; what is dropped, the sweep finds."""
    sent: list[int] = []
    done = threading.Event()
    monkeypatch.setattr(events, "_AT_MOST_WAITING", 3)
    hints = events._Hints()

    async def hang(number: int) -> None:
        sent.append(number)
        await asyncio.to_thread(done.wait, 20)

    for number in range(10):
        hints.send(hang(number))
    done.set()
    listening.wait_until(lambda: hints._waiting == 0)

    assert sent == [0, 1, 2]
    hints.send(hang(10))
    listening.wait_until(lambda: sent[-1] == 10)


def test_a_hint_that_hangs_is_given_up(monkeypatch):
    """One that a broker never answers is of no use after its time; the next ones need the room."""
    monkeypatch.setattr(events, "_SECONDS_TO_LIVE", 0.05)
    hints = events._Hints()

    async def hang() -> None:
        await asyncio.Event().wait()

    hints.send(hang())

    listening.wait_until(lambda: hints._waiting == 0)


def test_what_waits_is_counted_right_by_many_threads():
    hints = events._Hints()

    async def nothing() -> None:
        return

    def send() -> None:
        for _ in range(200):
            hints.send(nothing())

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    listening.wait_until(lambda: hints._waiting == 0)


# -- where messages go


@pytest.mark.parametrize("start", ["import django; django.setup()", "import config.asgi"])
def test_every_process_sends_to_the_broker_that_is_configured(tmp_path, start):
    """Also one that never starts a worker: the web application, the bridge, a command."""
    code = f"""{start}
import threading
from celery import current_app
say = lambda: print(current_app.main, current_app.conf.broker_url)
thread = threading.Thread(target=say); thread.start(); thread.join()
"""
    own = {"REDIS_URL": listening.NOBODY, "DATABASE_URL": "", "COUNTERSIGN_DATA": str(tmp_path)}
    own["DJANGO_SETTINGS_MODULE"] = "config.settings"

    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **own}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert said.stdout.split() == ["countersign", listening.NOBODY]


def test_the_names_of_groups_and_queues_are_those_the_others_know():
    assert events.domain_group(3) == "domain.3"
    assert events.person_group(4) == "person.4"
    assert events.release_queue("billing") == "release.billing"
