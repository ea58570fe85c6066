"""How long the server takes for its pages on 10,000 pending and 100,000 settled calls.

Run it as `python -m benchmarks.pages`; on PostgreSQL too where there is one (TEST_POSTGRES_URL, as
for the tests). Each engine has a process and a database of its own. What is measured is a GET
through Django's own client: middleware, session, queries and templates, without a network.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
import psycopg
from psycopg import sql

from benchmarks import report
from tests.support import services

PENDING, SETTLED = 10_000, 100_000
REQUESTS = 40
GOALS_MS = {
    "queue": 150, "queue_of_everything": 150, "call": 100, "history": 500, "history_search": 500,
}  # fmt: skip
_SEARCHES = (
    {"q": "cus_00412"},
    {"q": "refund", "outcome": "rejected"},
    {"q": "duplicate charge", "decided": "bo"},
    {"q": "agent-7 campaign", "domain": "code"},
    {"q": "bo tester"},
    {"outcome": "unknown"},
    {"decided": "payments.1", "tool": "payments__create_refund"},
    {"agent": "agent-3", "outcome": "expired"},
    {"q": "nothing is called like this"},
)


def addresses(cast: Any) -> dict[str, tuple[Any, Callable[[int], str]]]:
    """Return who asks for which page, and the address of their n-th request."""
    from urllib.parse import urlencode

    from approvals.models import HistoryRow, ToolCall

    bo, auditor = cast.approvers[0], cast.auditor
    chance = random.Random(11)  # noqa: S311 - the same calls in every run
    ids = list(HistoryRow.objects.values_list("pk", flat=True))
    some = chance.sample(ids, REQUESTS)
    digests = list(ToolCall.objects.filter(pk__in=some).values_list("binding", flat=True))
    days = ("2026-09-01", "2026-10-01", "2026-11-01")
    searches: list[dict[str, str]] = [
        *_SEARCHES,
        *({"q": digest[:12]} for digest in digests[:2]),
        *({"q": "deploy", "from": day} for day in days),
    ]
    return {
        "queue": (bo, lambda n: "/"),
        "queue_of_everything": (auditor, lambda n: "/?show=all"),
        "call": (bo, lambda n: f"/calls/{some[n]}/"),
        "history": (auditor, lambda n: "/history/"),
        "history_search": (
            auditor, lambda n: f"/history/?{urlencode(searches[n % len(searches)])}",
        ),
        "history_of_an_approver": (bo, lambda n: "/history/?q=refund"),
        "insights": (auditor, lambda n: "/insights/?days=90"),
    }  # fmt: skip


def measure(pending: int, settled: int) -> dict[str, object]:
    """Fill the database of this process and return what its pages take."""
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from benchmarks import filling

    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    cast = filling.fill(pending, settled)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as PostgreSQL does by itself, and SQLite once in a while
    figures: dict[str, object] = {"fill_seconds": round(time.perf_counter() - began, 1)}
    for name, (person, address) in addresses(cast).items():
        wall, cpu = timed(person, address)
        figures[f"{name}_ms"] = report.milliseconds(wall)
        # Of this process alone: what is left where others use the machine at the same time.
        figures[f"{name}_cpu_ms"] = report.milliseconds(cpu)
    return figures


def timed(person: Any, address: Callable[[int], str]) -> tuple[list[float], list[float]]:
    """Return the seconds of every request by the clock and of CPU; the first three do not count."""
    from tests.support.visiting import visitor

    client = visitor(person)
    client.defaults["SERVER_NAME"] = "127.0.0.1"
    wall, cpu = [], []
    for number in [0, 1, 2, *range(REQUESTS)]:
        began, used = time.perf_counter(), time.process_time()
        response = client.get(address(number))
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
        if response.status_code != 200:
            raise RuntimeError(f"{address(number)} answered {response.status_code}")
    return wall[3:], cpu[3:]


@contextmanager
def engines() -> Iterator[dict[str, dict[str, str]]]:
    """Yield the environment of each engine there is; its database is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"sqlite": {"COUNTERSIGN_DATA": f"{folder}/sqlite", "DATABASE_URL": ""}}
        if not services.SERVICES["postgres"].find():
            yield found
            return
        url = services.postgres_database_url()
        name = sql.Identifier(url.rpartition("/")[2])
        found["postgresql"] = {"COUNTERSIGN_DATA": f"{folder}/postgresql", "DATABASE_URL": url}
        with psycopg.connect(services.postgres_server_url(), autocommit=True) as server:
            server.execute(sql.SQL("CREATE DATABASE {}").format(name))
            try:
                yield found
            finally:
                server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def main() -> None:
    """Measure on every engine, each in a process of its own, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pending", type=int, default=PENDING)
    parser.add_argument("--settled", type=int, default=SETTLED)
    parser.add_argument("--here", action="store_true", help="measure in this process's database")
    wanted = parser.parse_args()
    if wanted.here:
        sys.stdout.write(json.dumps(measure(wanted.pending, wanted.settled)))
        return
    command = [
        sys.executable, "-m", "benchmarks.pages", "--here",
        f"--pending={wanted.pending}", f"--settled={wanted.settled}",
    ]  # fmt: skip
    figures: dict[str, object] = {
        "pending": wanted.pending, "settled": wanted.settled, "goals_p95_ms": GOALS_MS,
    }  # fmt: skip
    with engines() as found:
        for engine, environment in found.items():
            settings = {"DJANGO_SETTINGS_MODULE": "config.settings", **environment}
            done = subprocess.run(
                command, env={**os.environ, **settings}, stdout=subprocess.PIPE, check=True
            )
            figures[engine] = json.loads(done.stdout)
            path = report.keep("pages", figures)  # one engine is better than none
            sys.stdout.write(f"{engine}: {figures[engine]}\nKept in {path}\n")


if __name__ == "__main__":
    main()
