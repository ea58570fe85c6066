"""Story: the parts as docker-compose.yml starts them, on PostgreSQL and Redis; then two of each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import redis
from celery import Celery
from kombu import Connection

from tests.flows.errands import CUSTOMER, refund
from tests.support import services
from tests.support.agents import RawAgent, SdkAgent
from tests.support.composing import Composed, composed
from tests.support.running import (
    PASSWORD,
    ROOT,
    Fragile,
    Person,
    Process,
    free_port,
    postgres_database,
    until,
)

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.timeout(300)]

REFUND, READ = "locked__refund", "locked__get_customer"
TOKENS = {"READ_TOKEN": "may-look-5f1c", "WRITE_TOKEN": "may-pay-9a27"}


@dataclass
class Production:
    """Everything: the services, the upstream behind them, and who may ask."""

    services: Composed
    upstream: Fragile
    upstream_url: str
    keys: dict[str, str]

    def raw(self, bridge: str = "bridge", agent: str = "hasty") -> RawAgent:
        return RawAgent(self.services.url(bridge), self.keys[agent])

    def sdk(self, bridge: str = "bridge") -> SdkAgent:
        return SdkAgent(self.services.url(bridge), self.keys["patient"])

    def sent(self, call_id: str) -> int:
        """Return how often the upstream was asked for the refund of a call."""
        return self.upstream.acted()[call_id]


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Run migrate, web, bridge, worker and beat over an upstream with two tokens."""
    folder = tmp_path_factory.mktemp("production")
    name = urlsplit(services.postgres_database_url()).path.strip("/")
    upstream = Process(locked(folder), folder / "upstream.log", upstream_environment(folder))
    with (
        postgres_database(f"{name}_production") as database,
        redis.Redis.from_url(services.redis_url()) as broker,
        composed(folder, {"DATABASE_URL": database, "REDIS_URL": services.redis_url()}) as parts,
    ):
        broker.flushdb()
        try:
            upstream.start("serves MCP at")
            write_files(parts)
            parts.run("migrate")
            populate(parts, database, url_in(upstream))
            for service in ("web", "bridge", "worker", "beat"):
                parts.start(service)
            keys = {n: (folder / f"{n}.key").read_text().strip() for n in ("hasty", "patient")}
            yield Production(parts, Fragile(folder / "locked"), url_in(upstream), keys)
        finally:
            upstream.kill()
            broker.flushdb()


@pytest.fixture(scope="module")
def doubled(production: Production) -> Production:
    """Run a second bridge and a second worker beside the first."""
    production.services.start("bridge", "second bridge")
    production.services.start("worker", "second worker")
    return production


@pytest.fixture(scope="module")
def bo(production: Production) -> Iterator[Person]:
    person = Person(production.services.url("web"), "bo")
    yield person
    person.http.close()


def locked(folder: Path) -> list[str]:
    script = ["tests/support/locked.py", "--http", "--ledger", str(folder / "billing.sqlite3")]
    return [sys.executable, *script]


def upstream_environment(folder: Path) -> dict[str, str]:
    (folder / "locked").mkdir()
    return {**TOKENS, "PATH": os.environ["PATH"], "FRAGILE_FOLDER": str(folder / "locked")}


def url_in(upstream: Process) -> str:
    return upstream.log.read_text().split()[-1]


def write_files(parts: Composed) -> None:
    """Write what an operator writes: .env and the two files of credentials."""
    parts.ports["web"] = free_port()
    own = {
        "SECRET_KEY": "0" * 50,
        "PUBLIC_URL": parts.url("web"),
        "POSTGRES_PASSWORD": "unused",
        "SETTLE_QUARANTINE_SECONDS": "1",
    }
    (parts.folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in own.items()))
    (parts.folder / "credentials").mkdir()
    for kind in ("read", "write"):
        name = f"{kind.upper()}_TOKEN"
        (parts.folder / "credentials" / f"{kind}.env").write_text(f"{name}={TOKENS[name]}\n")


def populate(parts: Composed, database: str, url: str) -> None:
    """Create people, the upstream and agents, with what the worker sees."""
    entry = {
        "type": "http",
        "url": url,
        "headers": {"Authorization": "Bearer ${READ_TOKEN}"},
        "countersign": {"write": {"headers": {"Authorization": "Bearer ${WRITE_TOKEN}"}}},
    }
    wanted = {"examples": {}, "password": PASSWORD, "servers": {"locked": entry}}
    wanted |= {"agents": {"hasty": 0, "patient": 25}}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.populate", json.dumps(wanted)], cwd=ROOT,
        env=parts.environment("worker") | {"COUNTERSIGN_DATA": str(parts.folder)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_refund_is_held_approved_and_paid_once(production, bo):
    asked = refund()
    begun = production.sdk().begin(REFUND, asked)
    call_id = bo.held(asked)
    assert production.sent(call_id) == 0

    bo.approve(call_id)
    answer = begun.result(30)

    assert answer.facts["amount"] == asked["amount"]
    assert answer.call_id == call_id
    assert production.sent(call_id) == 1
    assert [event["code"] for event in bo.events(call_id)][-1] == "call.succeeded"


def test_read_passes_through_the_bridge(production):
    answer = production.raw().call(READ, CUSTOMER)

    assert answer.facts["id"] == CUSTOMER["customer"]
    assert answer.provenance["read_id"]


def test_only_the_worker_can_pay(production):
    seen = {
        name: {token for token in TOKENS if f"{token}={TOKENS[token]}" in environment}
        for name in ("web", "bridge", "worker", "beat")
        if (environment := production.services.seen_by(name))
    }
    reading = RawAgent(production.upstream_url, TOKENS["READ_TOKEN"])

    assert seen == {"web": set(), "bridge": {"READ_TOKEN"}, "worker": set(TOKENS), "beat": set()}
    assert reading.ask("tools/call", {"name": "refund", "arguments": refund()}).status_code == 401


def test_each_part_serves_its_own_and_no_more(production):
    web, bridge = production.services.url("web"), production.services.url("bridge")

    assert httpx2.get(f"{bridge}/accounts/login/").status_code == 404
    assert httpx2.get(f"{bridge}/api/v1/calls/").status_code == 404
    assert httpx2.post(f"{web}/mcp").status_code == 404
    assert httpx2.get(f"{bridge}/.well-known/oauth-protected-resource/mcp").status_code == 200
    until(lambda: httpx2.get(f"{web}/readyz").status_code == 200, "web being ready")


def test_doctor_finds_every_part_at_work(production):
    web = production.services.url("web")
    until(lambda: httpx2.get(f"{web}/readyz").status_code == 200, "web being ready")

    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"], cwd=ROOT,
        env=production.services.environment("web"), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip

    states = {one["name"]: one["state"] for one in json.loads(done.stdout)["findings"]}
    assert "problem" not in states.values(), done.stdout
    assert done.returncode == 0
    assert states["workers"] == states["sweep"] == states["guards"] == "ok"


def test_release_message_sent_many_times_pays_once(production, bo):
    call_id = production.raw().call(REFUND, refund()).call_id
    broker = Celery(broker=services.redis_url(), set_as_current=False)

    with broker.connection_for_write() as connection:
        wake(broker, connection, call_id)  # before anybody decided
        bo.approve(call_id)
        wake(broker, connection, call_id)
        bo.sees(call_id, "succeeded")
        wake(broker, connection, call_id)
    after = production.raw().call(REFUND, refund()).call_id
    bo.approve(after)
    bo.sees(after, "succeeded")  # those before it in the queue have been looked at

    assert production.sent(call_id) == 1
    assert bo.call(call_id)["status"] == "succeeded"


def wake(broker: Celery, connection: Connection, call_id: str) -> None:
    for _ in range(10):
        broker.send_task(
            "mcp_bridge.release", [call_id], queue="release.billing", connection=connection
        )


def test_lost_messages_cost_a_moment_and_nothing_else(production, bo):
    call_ids = [production.raw().call(REFUND, refund()).call_id for _ in range(3)]

    with redis.Redis.from_url(services.redis_url()) as broker:
        for call_id in call_ids:
            bo.approve(call_id)
            broker.flushdb()

    for call_id in call_ids:
        bo.sees(call_id, "succeeded", seconds=30)
        assert production.sent(call_id) == 1


def test_two_bridges_and_two_workers_share_the_work(doubled, bo):
    bridges = ["bridge", "second bridge"]
    asked = [refund() for _ in range(12)]

    waiting = [doubled.sdk(bridges[n % 2]).begin(REFUND, one) for n, one in enumerate(asked)]
    call_ids = [bo.held(one) for one in asked]
    for number, call_id in enumerate(call_ids):
        # The same request through the other bridge is the same call.
        other = RawAgent(doubled.services.url(bridges[1 - number % 2]), doubled.keys["patient"])
        assert other.start_task(REFUND, asked[number])["taskId"] == call_id
        bo.approve(call_id)

    for begun, call_id in zip(waiting, call_ids, strict=True):
        assert begun.result(60).call_id == call_id
        assert not begun.result().is_error
        assert doubled.sent(call_id) == 1
    ticket = doubled.raw("bridge").call(REFUND, refund()).call_id
    assert doubled.raw("second bridge").status(ticket).facts["state"] == "pending"


def test_bridge_that_is_stopped_gives_those_who_wait_their_tickets(doubled, bo):
    asked = refund()
    # Not by the SDK's client: with the ticket in its hands it asks for the list of tools as well.
    begun = doubled.raw("second bridge", "patient").begin(REFUND, asked)
    call_id = bo.held(asked)

    doubled.services.processes["second bridge"].terminate()

    assert begun.result(10).facts["ticket"] == call_id


def test_worker_that_is_killed_leaves_its_work_to_the_other(doubled, bo):
    doubled.services.processes["worker"].kill()

    call_id = doubled.raw().call(REFUND, refund()).call_id
    bo.approve(call_id)
    bo.sees(call_id, "succeeded", seconds=30)

    assert doubled.sent(call_id) == 1


def test_worker_ends_cleanly_when_it_is_stopped(doubled):
    worker = doubled.services.processes["second worker"]

    worker.terminate()

    assert worker.wait(15) == 0  # compose gives it fifteen seconds
