"""Statements that go past every verb, and guards that are taken away clause by clause."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, models, transaction

from approvals import guards
from approvals.models import Decision, Dispatch, Person, ToolCall, database_now

Statement: TypeAlias = "Callable[[], None]"


def execute(sql: str, parameters: Any = ()) -> int:
    """Run one statement as it is; return how many rows it met."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def fetch(sql: str, parameters: Any = ()) -> Any:
    """Return the first row of a question."""
    return fetch_all(sql, parameters)[0]


def fetch_all(sql: str, parameters: Any = ()) -> list[Any]:
    """Return the rows of a question."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


@contextmanager
def undone() -> Iterator[None]:
    """Let the block change what it likes, guards included, and then undo it."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # A table with unchecked foreign keys in the same transaction could not be altered.
            execute("SET CONSTRAINTS ALL IMMEDIATE")
        yield
        transaction.set_rollback(True)


@contextmanager
def refused(words: str) -> Iterator[None]:
    """Expect the database to refuse the block's statement with these words."""
    with pytest.raises(IntegrityError, match=words), transaction.atomic():
        yield


def copy(call: ToolCall, **changes: Any) -> ToolCall:
    """Return the unsaved row of another call, asked for as this one was."""
    row = ToolCall.objects.get(pk=call.pk)
    row.pk = uuid4()
    row.arguments_digest = row.pk.hex * 2
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def decision(call: ToolCall, approver: Person, **changes: Any) -> Decision:
    """Return an unsaved approval, as `lifecycle.decide` would write it."""
    facts: dict[str, Any] = {"verdict": "approve", "binding": call.binding}
    facts |= {"owner_id": call.owner_id, "acts_for_id": call.acts_for_id}
    facts |= {"four_eyes": call.four_eyes, "at": database_now()}
    return Decision(call=call, approver=approver, **{**facts, **changes})


def dispatch(call: ToolCall, **changes: Any) -> Dispatch:
    """Return an unsaved dispatch, as `lifecycle.dispatch` would write it."""
    facts: dict[str, Any] = {"fence": call.fence, "worker": "test", "binding": call.binding}
    facts |= {"definition_digest": call.definition_digest}
    facts |= {"at": database_now(), "answer_by_at": database_now()}
    return Dispatch(call=call, **{**facts, **changes})


def insert(row: models.Model, verb: str = "INSERT", **changes: Any) -> None:
    """Insert a copy of a row, or a row that was never saved, with some columns changed.

    Args:
        verb: "INSERT", or "INSERT OR REPLACE" on SQLite.
        changes: by name of column; `rowid` is SQLite's own.
    """
    columns = _columns(row)
    values: dict[str, Any] = {name: getattr(row, field.attname) for name, field in columns.items()}
    values = {**values, **changes}
    if values["id"] is None:
        del values["id"]  # numbered by the database
    prepared = {name: _prepared(columns.get(name), value) for name, value in values.items()}
    names, holes = ", ".join(prepared), ", ".join(["%s"] * len(prepared))
    table = row._meta.db_table
    execute(f"{verb} INTO {table} ({names}) VALUES ({holes})", list(prepared.values()))


def update(row: models.Model, verb: str = "UPDATE", **changes: Any) -> None:
    """Set columns of one row."""
    columns = _columns(row)
    prepared = {name: _prepared(columns.get(name), value) for name, value in changes.items()}
    places = ", ".join(f"{name} = %s" for name in prepared)
    sql = f"{verb} {row._meta.db_table} SET {places} WHERE id = %s"
    assert execute(sql, [*prepared.values(), _prepared(columns["id"], row.pk)]) == 1


def delete(row: models.Model) -> None:
    """Delete one row."""
    key = _prepared(_columns(row)["id"], row.pk)
    assert execute(f"DELETE FROM {row._meta.db_table} WHERE id = %s", [key]) == 1


def only_this_guard_stops(guard: str, words: str, statement: Statement) -> None:
    """Show that a statement is refused in these words, and goes through without their clause."""
    with undone(), refused(words):
        statement()
    with undone():
        weaken(guard, words)
        statement()


def weaken(guard: str, words: str) -> None:
    """Take the clause that says these words out of a guard; all of it where there is one only."""
    sql = guards.expected(connection.vendor)[guard]
    if sql.count("'guard: ") == 1:
        remove(guard)
    else:
        replace(guard, without_clause(sql, words))


def remove(guard: str) -> None:
    """Drop one guard."""
    table = guards._TRIGGER.search(guards.expected("postgresql")[guard])
    on = f" ON {table[3]}" if table and connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER {guard}{on}")


def replace(guard: str, sql: str) -> None:
    """Put other SQL in the place of a guard."""
    if connection.vendor == "sqlite":
        execute(f"DROP TRIGGER {guard}")
    execute(sql)


def without_clause(sql: str, words: str) -> str:
    at = sql.index(f"'guard: {words}'")
    opening, closing = (
        ("SELECT RAISE", ";") if connection.vendor == "sqlite" else ("\n    IF ", "END IF;")
    )
    start, end = sql.rindex(opening, 0, at), sql.index(closing, at) + len(closing)
    return sql[:start] + sql[end:]


def _columns(row: models.Model) -> dict[str, Any]:
    return {str(field.column): field for field in row._meta.concrete_fields}


def _prepared(field: Any, value: object) -> object:
    return value if field is None else field.get_db_prep_save(value, connection)


def vendor() -> str:
    """Return "sqlite" or "postgresql"."""
    return connection.vendor


@contextmanager
def unguarded() -> Iterator[None]:
    """Take every guard away while the block changes what it likes, and put them back."""
    if vendor() == "postgresql":
        execute("SET CONSTRAINTS ALL IMMEDIATE")
    guards.drop()
    yield
    guards.install()
