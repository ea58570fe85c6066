"""How long the server takes for its pages on 10,000 pending and 100,000 settled calls.

Each engine has a process of its own (`python -m benchmarks.pages`) and a database of its own. What
is measured is a GET through Django's own client: middleware, session, queries and templates,
without a network.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import django

from benchmarks import report
from benchmarks.goals import POSTGRES, SQLITE, Figure
from benchmarks.places import Outcome, Size, missing
from tests.support.running import postgres_database

REQUESTS = 40
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

    import config.asgi  # noqa: F401 - the process is what a server's is, its memory frozen too
    from benchmarks import filling

    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    cast = filling.fill(pending, settled)
    tidy()
    figures: dict[str, object] = {"fill_seconds": round(time.perf_counter() - began, 1)}
    for name, (person, address) in addresses(cast).items():
        wall, cpu = timed(person, address)
        figures[f"{name}_ms"] = report.milliseconds(wall)
        # Of this process alone: what is left where others use the machine at the same time.
        figures[f"{name}_cpu_ms"] = report.milliseconds(cpu)
    return figures


def tidy() -> None:
    """Do what PostgreSQL does by itself after so many new rows; SQLite does nothing of the kind."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


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


def run(folder: Path, size: Size) -> Outcome:
    """Measure on every engine, each in a process of its own."""
    command = [
        sys.executable, "-m", "benchmarks.pages",
        f"--pending={size.pending}", f"--settled={size.settled}",
    ]  # fmt: skip
    figures, details, notes = list[Figure](), dict[str, object](), list[str]()
    for place in (SQLITE, POSTGRES):
        if why := missing(place):
            notes.append(f"No pages on {place}: {why}.")
            continue
        with environment(folder, place) as own:
            done = subprocess.run(command, env=own, stdout=subprocess.PIPE, check=True)
        found = details[place] = json.loads(done.stdout)
        figures += [
            Figure(name.removesuffix("_ms"), place, took["p95"])
            for name, took in found.items()
            if name.endswith("_ms") and not name.endswith("_cpu_ms")
        ]
    return Outcome(figures, details, notes)


@contextmanager
def environment(folder: Path, place: str) -> Iterator[dict[str, str]]:
    """Yield the environment of a process on an empty database, which is gone afterwards."""
    data = folder / place.lower()
    data.mkdir(parents=True)
    database = nullcontext("") if place == SQLITE else postgres_database(f"pages_{os.getpid()}")
    with database as url:
        own = {"COUNTERSIGN_DATA": str(data), "DATABASE_URL": url}
        yield {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **own}


def main() -> None:
    """Measure in this process and its database; write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pending", type=int, required=True)
    parser.add_argument("--settled", type=int, required=True)
    wanted = parser.parse_args()
    sys.stdout.write(json.dumps(measure(wanted.pending, wanted.settled)))


if __name__ == "__main__":
    main()
