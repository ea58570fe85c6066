"""The database guards: triggers that refuse what must never happen, whoever writes.

They are installed after every migration on both engines, and dropped before one on SQLite, where
an ALTER TABLE rebuilds the table. `problems()` compares what is installed with the files here.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.db import DatabaseError, connection, transaction

TABLES = ("tool_call", "decision", "dispatch", "audit_event")
_HEADING = re.compile(r"^-- guard: (\w+)\n", re.MULTILINE)
_BODY = re.compile(r"AS \$guard\$(.*?)\$guard\$", re.DOTALL)
_TRIGGER = re.compile(r"CREATE OR REPLACE TRIGGER (\w+) BEFORE (\w+) ON (\w+)")


@cache
def expected(vendor: str) -> dict[str, str]:
    """Return guard name → SQL for an engine: "sqlite" or "postgresql"."""
    guards: dict[str, str] = {}
    for table in TABLES:
        text = (Path(__file__).parent / vendor / f"{table}.sql").read_text()
        parts = _HEADING.split(text)[1:]
        guards |= {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    return guards


def install() -> None:
    """Put every guard in place; what is there is replaced."""
    with transaction.atomic():
        if connection.vendor == "sqlite":
            drop()
        with connection.cursor() as cursor:
            for sql in expected(connection.vendor).values():
                cursor.execute(sql)


def drop() -> None:
    """Take every guard away: before a migration on SQLite, and before a test flushes its tables."""
    with connection.cursor() as cursor:
        for name, sql in expected(connection.vendor).items():
            if connection.vendor == "sqlite":
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            elif found := _TRIGGER.search(sql):
                cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {found[3]}")


def problems() -> list[str]:
    """Return one sentence per guard that is missing, disabled or other than its file says."""
    installed = _installed_sqlite() if connection.vendor == "sqlite" else _installed_postgresql()
    return list(_differences(installed))


def refuse_to_start() -> list[str]:
    """Return `problems()`, and try one forbidden statement in a savepoint that is rolled back.

    Comparing text shows that a guard is there; only trying shows that it works.
    """
    found = problems()
    forbidden = (
        "INSERT INTO approvals_auditevent (stream, seq, code, actor, at, data, digest, previous) "
        "VALUES ('guard:probe', 7, 'probe', 'probe', '2026-01-01 00:00:00+00:00', '', '', '')"
    )
    try:
        with transaction.atomic():
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(forbidden)
            except DatabaseError as error:
                if "guard: " not in str(error):
                    raise  # whatever stopped it, no guard did
                return found
            transaction.set_rollback(True)
    except DatabaseError as error:
        return [*found, f"The guards could not be tried: {error}"]
    return [*found, "The database let an audit event in that follows nothing."]


def _differences(installed: dict[str, str]) -> Iterator[str]:
    for name, sql in expected(connection.vendor).items():
        if name not in installed:
            yield f"The database guard {name} is missing; run `manage.py migrate`."
        elif installed[name] != _comparable(sql):
            yield f"The database guard {name} is not the one this version installs."


def _comparable(sql: str) -> str:
    if connection.vendor == "sqlite":
        return sql.rstrip(";")
    ((_, event, table),) = _TRIGGER.findall(sql)
    (body,) = _BODY.findall(sql)
    return f"{table} {event} A {body.strip()}"


def _installed_sqlite() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return {name: sql.rstrip(";") for name, sql in cursor.fetchall()}


def _installed_postgresql() -> dict[str, str]:
    with connection.cursor() as cursor:
        # tgtype bits: 1 ROW, 2 BEFORE, 4 INSERT, 8 DELETE, 16 UPDATE, 32 TRUNCATE. A guard with a
        # WHEN or for some columns only would be asked too seldom, whatever its function says.
        cursor.execute(
            """SELECT t.tgname, c.relname, t.tgenabled, p.prosrc,
                CASE WHEN t.tgqual IS NULL AND t.tgattr = '' THEN t.tgtype END
            FROM pg_trigger t
            JOIN pg_class c ON c.oid = t.tgrelid
            JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid)"""
        )
        rows = cursor.fetchall()
    events = {7: "INSERT", 11: "DELETE", 19: "UPDATE", 34: "TRUNCATE"}
    return {
        name: f"{table} {events.get(kind, kind)} {enabled} {body.strip()}"
        for name, table, enabled, body, kind in rows
    }
