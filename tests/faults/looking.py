"""Looks at the database of a fault run from outside: what is in flight, and in the end all of it.

Nothing of the project is used: rows as they are stored.
"""

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tests.faults.cluster import Cluster

IN_FLIGHT = ("pending", "approved", "claimed", "dispatched")
TABLES = {
    "toolcall": (
        "id", "agent_id", "owner_id", "acts_for_id", "upstream_id", "tool_id", "tool_name",
        "arguments", "arguments_digest", "rule", "quorum", "four_eyes", "binding",
        "definition_digest", "decide_by_at", "run_by_at", "created_at", "status", "version",
        "moved_at", "failure_kind", "fence", "claimed_by", "lease_until", "not_before",
        "needs_attention", "idempotency_key",
    ),
    "decision": ("id", "call_id", "approver_id", "verdict", "binding", "at"),
    "dispatch": ("id", "call_id", "fence", "worker", "binding", "definition_digest", "at"),
    "auditstream": ("name", "seq", "digest"),
    "person": ("id", "username"),
    "agent": ("id", "name"),
    "upstream": ("id", "name", "transport"),
    "tool": ("id", "name", "exposed_name", "reviewed_effect", "definition_digest"),
}  # fmt: skip
EVENTS = ("stream", "seq", "code", "actor", "at", "data", "previous", "digest")
_IDS = {"toolcall": "id", "decision": "call_id", "dispatch": "call_id"}
_FLAGS = {"four_eyes"}


class Eyes:
    """A connection of its own, which is opened again when the database was away."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connection: Any = None

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT.

        Raises:
            sqlite3.Error, psycopg.Error: the database is away.
        """
        if self._connection is None:
            self._connection = self._connect()
        try:
            return list(self._connection.execute(statement).fetchall())
        except (sqlite3.Error, psycopg.Error):
            self.close()
            raise

    def in_flight(self) -> list[tuple[str, str, str]]:
        """Return id, status and worker of every call that has not ended; none while it is away."""
        wanted = ", ".join(f"'{status}'" for status in IN_FLIGHT)
        try:
            found = self.rows(
                f"SELECT id, status, claimed_by FROM approvals_toolcall WHERE status IN ({wanted})"
            )
        except (sqlite3.Error, psycopg.Error):
            return []
        return [(str(UUID(str(key))), status, worker) for key, status, worker in found]

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
        self._connection = None

    def dump(self, folder: Path) -> None:
        """Write every table the checker reads, and the events of the trail, as JSON Lines."""
        folder.mkdir(exist_ok=True)
        for table, columns in TABLES.items():
            self._write(folder / f"{table}.jsonl", table, columns, "")
        self._write(folder / "audit.jsonl", "auditevent", EVENTS, " ORDER BY stream, seq")

    def _write(self, path: Path, table: str, columns: tuple[str, ...], order: str) -> None:
        rows = self.rows(f"SELECT {', '.join(columns)} FROM approvals_{table}{order}")
        with path.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(dict(_plain(table, columns, row))) + "\n")

    def _connect(self) -> Any:
        if self._cluster.is_sqlite:
            uri = f"file:{self._cluster.sqlite_path}?mode=ro"
            return sqlite3.connect(uri, uri=True, timeout=10, check_same_thread=False)
        return psycopg.connect(self._cluster.postgres_url, autocommit=True, connect_timeout=2)


def _plain(
    table: str, columns: tuple[str, ...], row: tuple[Any, ...]
) -> Iterator[tuple[str, object]]:
    """Yield columns in one spelling, whichever database they come from."""
    for name, value in zip(columns, row, strict=True):
        if value is not None and name == _IDS.get(table):
            yield name, str(UUID(str(value)))
        elif isinstance(value, bytes | memoryview):
            yield name, base64.b64encode(bytes(value)).decode()
        elif isinstance(value, datetime):
            yield name, value.astimezone(UTC).isoformat(timespec="microseconds")
        elif value is not None and (name.endswith("_at") or name in ("at", "lease_until")):
            moment = datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
            yield name, moment.isoformat(timespec="microseconds")
        elif name == "rule":
            yield name, value if isinstance(value, dict) else json.loads(value)
        elif name in _FLAGS:
            yield name, bool(value)
        else:
            yield name, value
