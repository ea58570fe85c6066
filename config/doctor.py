"""What `manage.py doctor` looks at; each look ends in one finding, in words that say what to do.

It runs beside the installation and changes nothing. What it cannot reach is a finding too.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from approvals import access, events, guards
from approvals.models import Domain, Heartbeat, ToolCall, Upstream, database_now
from approvals.tasks import SWEEP
from config import logs
from config.embedded import CORE

SWEEP_LATE_AFTER = timedelta(seconds=15)  # it runs once a second
CLOCK_MAY_DIFFER = timedelta(seconds=2)
LISTS_LATE_AFTER = 10  # refreshes missed
FREE_ENOUGH, FREE_TOO_LITTLE = 1024**3, 256 * 1024**2  # bytes
_CONNECT_SECONDS = 3
_WORKERS_ANSWER_SECONDS = 1.5

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What one look found.

    Attributes:
        do: what the operator should do; empty where there is nothing.
    """

    name: str
    state: State
    said: str
    do: str = ""


Look = Callable[[], Iterator[Finding]]


def findings() -> Iterator[Finding]:
    """Look at everything that can be looked at, the foundations first."""
    yield from _looked("disk", _disk)
    database = list(_looked("database", _database))
    yield from database
    broker = list(_looked("broker", _broker))
    yield from broker
    if not _is_well(database):
        said = "Not looked at: they are in the database."
        yield Finding("everything else", "problem", said, "Mend the database first.")
        return
    migrations = list(_looked("migrations", _migrations))
    yield from migrations
    if not _is_well(migrations):
        return  # tables may be absent, or have other columns
    looks: dict[str, Look] = {
        "guards": _guards, "clock": _clock, "sweep": _sweep, "upstreams": _upstreams,
        "calls": _calls,
    }  # fmt: skip
    if _is_well(broker) and not settings.IS_EMBEDDED:
        looks["workers"] = _workers
    for name, look in looks.items():
        yield from _looked(name, look)


def _looked(name: str, look: Look) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding and no traceback
        yield Finding(
            name, "problem", f"It cannot be looked at ({logs.said(error)}).", "See above."
        )


def _is_well(found: list[Finding]) -> bool:
    return all(finding.state != "problem" for finding in found)


def _disk() -> Iterator[Finding]:
    folder = Path(settings.DATA_DIR)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free >= FREE_ENOUGH else "warning"
    state = "problem" if free < FREE_TOO_LITTLE else state
    said = f"{free // 1024**2} MB are free at {folder}."
    yield Finding("disk", state, said, "" if state == "ok" else "Make room, before writes fail.")


def _database() -> Iterator[Finding]:
    is_server = connection.vendor == "postgresql"
    try:
        unsafe = _unsafe_on_postgresql() if is_server else _unsafe_on_sqlite()
    except DatabaseError as error:
        do = "Is PostgreSQL running, and is DATABASE_URL right?" if is_server else (
            "Choose the folder with --data DIR; it must be yours to write."
        )  # fmt: skip
        yield Finding("database", "problem", f"It cannot be used ({logs.said(error)}).", do)
        return
    if unsafe:
        said = f"It may forget what it has acknowledged: {', '.join(unsafe)}."
        yield Finding("database", "problem", said, "Switch it on in the database's configuration.")
        return
    yield Finding("database", "ok", f"{connection.display_name} answers.")


def _unsafe_on_postgresql() -> list[str]:
    # Not through the pool: that would try for ten seconds, and not say why it failed.
    alone: Any = connection.copy()
    alone.settings_dict["OPTIONS"].pop("pool", None)
    alone.settings_dict["OPTIONS"]["connect_timeout"] = _CONNECT_SECONDS
    try:
        with alone.cursor() as cursor:
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN"
                " ('fsync', 'full_page_writes', 'synchronous_commit')"
            )
            return [f"{name} is off" for name, setting in cursor.fetchall() if setting == "off"]
    finally:
        alone.close()


def _unsafe_on_sqlite() -> list[str]:
    path = Path(str(connection.settings_dict["NAME"]))
    if not path.exists():
        return []  # nothing yet; to connect would make it
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        (mode,) = cast("tuple[str]", cursor.fetchone())
        cursor.execute("PRAGMA synchronous")
        (synchronous,) = cast("tuple[int]", cursor.fetchone())
    unsafe = [] if mode in ("wal", "memory") else [f"journal_mode is {mode}"]
    return unsafe if synchronous >= 2 else [*unsafe, f"synchronous is {synchronous}"]


def _broker() -> Iterator[Finding]:
    if settings.IS_EMBEDDED:
        yield Finding("broker", "ok", "None is needed: `up` is one process.")
        return
    try:
        with current_app.connection_for_read(connect_timeout=_CONNECT_SECONDS) as broker:
            broker.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            client: Any = cast("Any", broker.default_channel).client
            policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except Exception as error:  # noqa: BLE001 - each transport has its own; all mean the same here
        said = f"Redis cannot be used ({logs.said(error)})."
        do = "Is it running, and is REDIS_URL right? Until then sweeps do everything, later."
        yield Finding("broker", "problem", said, do)
        return
    if policy == "noeviction":
        yield Finding("broker", "ok", "Redis answers.")
        return
    said = f"Redis may forget messages (maxmemory-policy {policy})."
    yield Finding("broker", "warning", said, "Set maxmemory-policy to noeviction.")


def _migrations() -> Iterator[Finding]:
    if connection.vendor == "sqlite" and not Path(str(connection.settings_dict["NAME"])).exists():
        said = f"There is no installation at {settings.DATA_DIR} yet."
        yield Finding(
            "migrations", "problem", said, "Start one (`manage.py up`), or say --data DIR."
        )
        return
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if missing:
        said = f"The database is {missing} migrations behind this version."
        yield Finding("migrations", "problem", said, "Run `manage.py migrate`.")
    else:
        yield Finding("migrations", "ok", "The tables are those of this version.")


def _guards() -> Iterator[Finding]:
    problems = guards.refuse_to_start()
    if problems:
        said = f"{len(problems)} are not in force, the first: {problems[0]}"
        yield Finding("guards", "problem", said, "Stop releasing, and run `manage.py migrate`.")
    else:
        count = len(guards.expected(connection.vendor))
        yield Finding("guards", "ok", f"All {count} are installed, and refuse what they must.")


def _clock() -> Iterator[Finding]:
    before = datetime.now(UTC)
    theirs = database_now()
    off = max(before - theirs, theirs - datetime.now(UTC))
    if off > CLOCK_MAY_DIFFER:
        said = f"This machine's and the database's differ by {off.total_seconds():.0f} s."
        yield Finding("clock", "problem", said, "Set both by a time server (NTP).")
    else:
        yield Finding("clock", "ok", "It is the database's.")


def _sweep() -> Iterator[Finding]:
    beat = Heartbeat.objects.filter(name=SWEEP).first()
    late = None if beat is None else database_now() - beat.at
    if late is not None and late <= SWEEP_LATE_AFTER:
        yield Finding(
            "sweep", "ok", f"It ran {max(0, int(late.total_seconds()))} s ago: beat lives."
        )
        return
    said = (
        "It has never run." if late is None else f"It last ran {int(late.total_seconds())} s ago."
    )
    if settings.IS_EMBEDDED:
        do = "Is `manage.py up` running on this data folder?"
    elif _core_waits():
        do = "Its messages wait: start a worker without --domain."
    else:
        do = "Start beat: celery --app config.celery beat --scheduler celery.beat:Scheduler"
    yield Finding("sweep", "problem", said, do)


def _core_waits() -> bool:
    try:
        with current_app.connection_for_read(connect_timeout=_CONNECT_SECONDS) as broker:
            broker.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            return events.messages_waiting(CORE, broker) > 0
    except Exception:  # noqa: BLE001 - the broker has a finding of its own
        return False


def _workers() -> Iterator[Finding]:
    inspect = current_app.control.inspect(timeout=_WORKERS_ANSWER_SECONDS)
    answers = inspect.active_queues() or {}
    served = {queue["name"] for queues in answers.values() for queue in queues}
    if CORE not in served:
        yield Finding("workers", "problem", "None does the sweeps.", "Start `manage.py worker`.")
    lonely = [name for name in _domains() if events.release_queue(name) not in served]
    for name in lonely:
        do = f"Start `manage.py worker --domain {name}`, or one for every domain."
        yield Finding("workers", "problem", f"None releases what is approved in {name}.", do)
    if CORE in served and not lonely:
        yield Finding("workers", "ok", f"{len(answers)} answer, and every domain has one.")


def _domains() -> list[str]:
    return list(Domain.objects.order_by("name").values_list("name", flat=True))


def _upstreams() -> Iterator[Finding]:
    late = timedelta(seconds=LISTS_LATE_AFTER * settings.CATALOG_REFRESH_SECONDS)
    enabled = list(Upstream.objects.filter(is_enabled=True).order_by("name"))
    ill = []
    for upstream in enabled:
        refresh = f"Mend it, then `manage.py refresh_upstreams {upstream.name}`."
        if upstream.list_error:
            ill.append(Finding("upstreams", "problem", _failed(upstream), refresh))
        elif upstream.listed_at is None or database_now() - upstream.listed_at > late:
            said = f"{upstream.name} has not been listed lately."
            ill.append(Finding("upstreams", "warning", said, "Is a bridge (or `up`) running?"))
    yield from ill
    if not ill:
        yield Finding("upstreams", "ok", f"All {len(enabled)} were listed a moment ago.")


def _failed(upstream: Upstream) -> str:
    return f"{upstream.name} fails: {upstream.list_error.splitlines()[0]}"


def _calls() -> Iterator[Finding]:
    stuck = ToolCall.objects.exclude(needs_attention="").count()
    unknown = ToolCall.objects.filter(status=ToolCall.Status.UNKNOWN).count()
    if stuck:
        said = f"{stuck} cannot be moved by the sweep."
        yield Finding("calls", "problem", said, "The log says why, by their ids.")
    if unknown:
        said = f"Of {unknown} nobody knows whether they happened."
        yield Finding(
            "calls", "warning", said, "Look at the upstream, then settle each on its page."
        )
    unreached = _out_of_reach()
    if unreached:
        yield unreached
    if not stuck and not unknown and not unreached:
        yield Finding("calls", "ok", "None waits for an operator.")


def _out_of_reach() -> Finding | None:
    """Return that held calls wait for people who are no longer there; None where none does."""
    pending = ToolCall.objects.filter(status=ToolCall.Status.PENDING, is_out_of_reach=True)
    calls = list(pending.select_related("domain").prefetch_related("decisions"))
    lacking = access.out_of_reach(calls)
    if not lacking:
        return None
    groups = {
        f"{group} of {call.domain}" for call in calls for group in lacking.get(call.pk, ())
    }  # fmt: skip
    what = "1 held call" if len(lacking) == 1 else f"{len(lacking)} held calls"
    said = f"{what} cannot be approved by whom there is: {', '.join(sorted(groups))}."
    do = "Add people (`manage.py approver_group`), or let them expire."
    return Finding("calls", "warning", said, do)
