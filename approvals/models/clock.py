"""The database's clock: the one clock that deadlines and leases are measured by."""

from datetime import UTC, datetime
from typing import cast

from django.db import connection


def database_now() -> datetime:
    """Return the time now, in UTC, as the database sees it.

    On PostgreSQL `clock_timestamp()`, because `now()` stands still during a transaction and a
    wait for a lock may cross a deadline. SQLite has no server: there it is this machine's
    clock, read after BEGIN IMMEDIATE when inside a transaction.
    """
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return cast(datetime, now).astimezone(UTC)
