"""How long a transaction may hold up others, or wait for them: bounds that PostgreSQL keeps."""

from django.db import OperationalError, connection

_LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE


def bound_waiting(*, still_seconds: int, lock_seconds: int) -> None:
    """Bound the transaction that was begun; on SQLite nothing is to do, one writes at a time.

    Args:
        still_seconds: a process that stands still in it loses its session, and with it its locks.
        lock_seconds: a statement that waits longer for somebody's lock fails; see `is_lock_wait`.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET LOCAL idle_in_transaction_session_timeout = '{still_seconds}s';"
                f"SET LOCAL lock_timeout = '{lock_seconds}s'"
            )


def is_lock_wait(error: OperationalError) -> bool:
    """Tell whether a statement failed because it waited too long for a lock."""
    return getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE
