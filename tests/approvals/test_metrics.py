"""What Prometheus reads at /metrics of the web: the figures are those of the rows, and no more."""

import re
from datetime import timedelta

import pytest
from django.db import OperationalError

from approvals import events
from approvals.metrics.exposition import Metric, rendered
from approvals.models import Dispatch, Heartbeat, ToolCall, database_now
from tests.support import listening
from tests.support.visiting import visitor

S = ToolCall.Status
TOKEN = "a-token-that-is-long-enough-to-be-one"
_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)+)\})? (\S+)')


@pytest.fixture(autouse=True)
def _token(settings):
    settings.METRICS_TOKEN = TOKEN


def asked(token=TOKEN):
    return visitor().get("/metrics", headers={"authorization": f"Bearer {token}"})


def figures():
    """Return the samples of the page as {(name, frozenset of labels): value}."""
    answer = asked()
    assert answer.status_code == 200
    return parsed(answer.content.decode())


def parsed(page):
    found, told = {}, set()
    for line in page.splitlines():
        if line.startswith("#"):
            told.add(line.split()[2])
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        name, labels, value = sample.groups()
        assert name in told, f"{name} has no HELP and TYPE before it"
        pairs = frozenset(re.findall(r'([a-z]+)="((?:[^"\\]|\\.)*)"', labels or ""))
        assert (name, pairs) not in found, line
        found[name, pairs] = float(value)
    return found


def of(found, name, **labels):
    return found[f"countersign_{name}", frozenset(labels.items())]


def test_without_a_token_in_the_settings_there_is_no_such_address(settings, db):
    settings.METRICS_TOKEN = ""

    assert [asked(token).status_code for token in ("", TOKEN)] == [404, 404]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ü"])
def test_another_token_reads_nothing(token):
    answer = asked(token)

    assert (answer.status_code, answer.content) == (401, b"")


def test_a_password_of_basic_authentication_is_no_token():
    answer = visitor().get("/metrics", headers={"authorization": f"Basic {TOKEN}"})

    assert answer.status_code == 401


def test_calls_are_counted_by_domain_and_state(held_call):
    for status in (S.PENDING, S.PENDING, S.REJECTED, S.SUCCEEDED):
        held_call(status, arguments={"customer": f"cus_{database_now()}", "amount": 1})

    found = figures()

    counted = {status: of(found, "calls", domain="billing", status=str(status)) for status in S}
    expected = {S.PENDING: 2, S.REJECTED: 1, S.SUCCEEDED: 1}
    assert counted == {status: expected.get(status, 0) for status in S}


def test_decisions_are_counted_by_verdict(held_call):
    held_call(S.REJECTED)
    held_call(S.APPROVED, quorum=2, arguments={"customer": "c", "amount": 1})

    found = figures()

    assert of(found, "decisions_total", domain="billing", verdict="approve") == 2
    assert of(found, "decisions_total", domain="billing", verdict="reject") == 1


def test_the_longest_wait_is_that_of_the_oldest_call(held_call):
    held_call(age=timedelta(minutes=7))
    held_call(arguments={"customer": "c", "amount": 1})

    age = of(figures(), "oldest_call_seconds", domain="billing", status="pending")

    assert 420 <= age < 480


def test_release_latency_runs_from_the_last_vote_to_the_dispatch(held_call):
    call = held_call(S.DISPATCHED, quorum=2)
    voted_at = call.decisions.latest("at").at
    found = figures()

    latency = of(found, "release_latency_seconds", domain="billing", quantile="0.95")

    waited = Dispatch.objects.get(call=call).at - voted_at
    assert latency == pytest.approx(waited.total_seconds(), abs=0.001)
    assert of(found, "release_latency_calls", domain="billing") == 1
    assert of(found, "dispatches_total", domain="billing") == 1


def test_what_was_sent_long_ago_says_nothing_of_the_latency_now(held_call, monkeypatch):
    held_call(S.DISPATCHED)
    later = database_now() + timedelta(minutes=6)
    monkeypatch.setattr("approvals.metrics.measured.database_now", lambda: later)

    found = figures()

    assert not [name for name, _ in found if "latency" in name]
    assert of(found, "dispatches_total", domain="billing") == 1


@pytest.mark.parametrize(("age", "least"), [(None, float("inf")), (90, 90), (0, 0)])
def test_sweep_lag_grows_until_a_sweep_has_run(db, age, least):
    if age is not None:
        Heartbeat.objects.create(name="sweep", at=database_now() - timedelta(seconds=age))

    lag = of(figures(), "sweep_lag_seconds")

    assert lag == least or least <= lag < least + 60


def test_queue_depth_counts_the_messages_that_wait_for_a_domains_workers(world):
    with listening.to(queues=["release.billing"]):
        call = ToolCall(pk="00000000-0000-4000-8000-000000000000")
        for _ in range(3):
            events.wake_release(call.pk, "billing")
        listening.wait_until_sent()

        found = figures()

    assert of(found, "queue_depth", domain="billing") == 3
    assert of(found, "broker_up") == 1


def test_a_broker_that_is_down_costs_the_queues_and_no_other_figure(held_call):
    held_call()

    with listening.broken_broker():
        found = figures()

    assert of(found, "broker_up") == 0
    assert not [name for name, _ in found if name == "countersign_queue_depth"]
    assert of(found, "calls", domain="billing", status="pending") == 1


def test_labels_are_bounded_and_nothing_of_a_call_is_told(world, held_call):
    for status in S:
        held_call(status, arguments={"customer": f"canary-{status}", "amount": 1})

    page = asked().content.decode()

    labels = {(name, value) for _, pairs in parsed(page) for name, value in pairs}
    allowed = {"approve", "reject", "0.5", "0.95", "0.99", "billing", "core", *map(str, S)}
    assert {name for name, _ in labels} == {"domain", "status", "verdict", "quantile"}
    assert {value for _, value in labels} <= allowed
    for secret in ("canary", world.agent.name, "refund", world.key.split("_")[1], "ann"):
        assert secret not in page


def test_a_database_that_does_not_answer_is_told_in_a_line(db, monkeypatch):
    def gone():
        raise OperationalError("the connection is lost")

    monkeypatch.setattr("approvals.metrics.measured.database_now", gone)

    answer = asked()

    assert (answer.status_code, answer.content) == (503, b"The database does not answer.\n")


def test_text_of_labels_and_help_is_escaped():
    metric = Metric("m", "gauge", 'a\\b\n"c"', [({"domain": 'x"\\\n'}, 0.25), ({}, float("inf"))])

    assert rendered([metric]) == (
        '# HELP m a\\\\b\\n"c"\n# TYPE m gauge\nm{domain="x\\"\\\\\\n"} 0.25\nm +Inf\n'
    )
