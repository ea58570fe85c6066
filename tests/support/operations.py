"""Counts what this process does with the database and with upstreams' sockets, and breaks the n-th.

An operation breaks before it is done, or after it was done and the answer to it was lost; either
way its connection is closed for good, as it is when a server or a network goes away; only SQLite's,
where it is the disk that fails, stays.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from httpcore2 import ConnectError, ReadError, WriteError
from httpcore2._backends.anyio import AnyIOBackend, AnyIOStream

SOCKET = "socket"
_GONE = "server closed the connection unexpectedly"


class Operations:
    """The operations done within `counted`; the rest of the process works as ever."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Come between the product and its drivers, until the patch is undone."""
        self.broken = ""  # in words, what was
        self.passed: list[str] = []  # in words, what was done since `break_at`
        self._breaks_at, self._comes_after = 0, False
        self._is_counting = False
        self._lock = Lock()
        wrapper, cursor = _any(BaseDatabaseWrapper), _any(CursorWrapper)
        patch.setattr(wrapper, "_commit", self._of_database(wrapper._commit, lambda it: it))
        for name in ("_execute", "_executemany"):
            done = self._of_database(getattr(cursor, name), lambda it: it.db)
            patch.setattr(cursor, name, done)
        for kind, name, error in (
            (AnyIOBackend, "connect_tcp", ConnectError),
            (AnyIOStream, "read", ReadError),
            (AnyIOStream, "write", WriteError),
        ):
            patch.setattr(kind, name, self._of_socket(getattr(kind, name), error))

    def break_at(self, number: int, *, comes_after: bool) -> None:
        """Break one operation from now on: the first is number 1; none is number 0."""
        with self._lock:
            self.broken, self.passed = "", []
            self._breaks_at, self._comes_after = number, comes_after

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is done while the block runs, in whichever thread."""
        self._is_counting = True
        try:
            yield
        finally:
            self._is_counting = False

    def _is_next(self, what: str) -> bool:
        with self._lock:
            if not self._is_counting:
                return False
            self.passed.append(what)
            if len(self.passed) != self._breaks_at:
                return False
            self.broken = f"operation {len(self.passed)}, {what}"
            return True

    def _of_database(
        self, done: Callable[..., Any], connection_of: Callable[[Any], BaseDatabaseWrapper]
    ) -> Callable[..., Any]:
        def operation(it: Any, *args: Any, **options: Any) -> Any:
            if not self._is_next(" ".join(str(arg) for arg in args[:1])[:60] or "COMMIT"):
                return done(it, *args, **options)
            try:
                if self._comes_after:
                    done(it, *args, **options)
            finally:
                connection = connection_of(it)
                # SQLite is a library: what fails there is the disk, and the connection stays.
                if connection.vendor == "postgresql":
                    with suppress(Exception):
                        _any(connection.connection).close()
            raise OperationalError(_GONE)

        return operation

    def _of_socket(self, done: Callable[..., Any], error: type[Exception]) -> Callable[..., Any]:
        async def operation(it: Any, *args: Any, **options: Any) -> Any:
            if not self._is_next(f"{SOCKET} {done.__name__}"):
                return await done(it, *args, **options)
            result = await done(it, *args, **options) if self._comes_after else None
            broken = result if isinstance(result, AnyIOStream) else it
            if isinstance(broken, AnyIOStream):
                await broken.aclose()
            raise error(_GONE)

        return operation


def _any(it: object) -> Any:
    return it  # what is patched, or a driver's, is no part of the stubs
