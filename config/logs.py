"""How log lines look: for people, or one JSON object a line; in both without anybody's secrets.

What a log may hold is ours to say, so it is said here and not at each call of a logger: of a
message its first line, of an error its kind and where it was raised. Errors quote what they choked
on (a row's values, a field's text), and that may be an argument or a key; only the words of errors
known not to do so are kept, and of those the first line.
"""

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from django.db import Error as DatabaseTrouble
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from approvals.errors import ApprovalsError
from config import env

_LONGEST = 500  # characters of a message
_MOST_CAUSES = 5
# What `extra=` may add to a line; anything else stays out of it.
_FACTS = ("event", "call_id", "stream", "seq", "actor")
# Errors in whose first line nobody else's text stands.
_QUOTABLE = (ApprovalsError, DatabaseTrouble, KombuError, OSError, RedisError, RuntimeError)
# Libraries that at a lower level write down what they send and receive.
_TALKATIVE = ("aiohttp", "asyncio", "httpcore", "httpcore2", "httpx", "httpx2", "mcp", "websockets")
FORMATS = {"text": "config.logs.Lines", "json": "config.logs.JsonLines"}

_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Lines(logging.Formatter):
    """Lines for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it where an error was raised."""
        return super().format(_discreet(record))

    def formatException(self, ei: Any) -> str:
        """Return the error's kind and its places."""
        return "\n".join(_places(ei[1])) if ei[1] is not None else ""


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what an event is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _discreet(record).getMessage(),
        }
        line |= {name: vars(record)[name] for name in _FACTS if name in vars(record)}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["error"] = list(_places(error))
        return json.dumps(line, ensure_ascii=False, default=str)


def formatter(name: str) -> logging.Formatter:
    """Return the formatter of LOG_FORMAT."""
    return JsonLines() if name == "json" else Lines()


def configuration(log_format: str, level: str) -> dict[str, Any]:
    """Return Django's LOGGING.

    Args:
        level: of everything but libraries that write down what they send; empty: events as well
            where lines are for machines, warnings only where they are for people.

    Raises:
        ConfigurationError: there is no such format or level.
    """
    if log_format not in FORMATS:
        raise env.ConfigurationError(f"LOG_FORMAT must be {' or '.join(FORMATS)}.")
    if level and level not in logging.getLevelNamesMapping():
        raise env.ConfigurationError("LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR.")
    others: dict[str, Any] = {name: {"level": "WARNING"} for name in _TALKATIVE}
    if log_format == "json":
        # uvicorn's own handlers would write lines of another form, with whole addresses in them.
        passed_on = {"handlers": [], "propagate": True}
        others |= {"uvicorn": passed_on, "uvicorn.error": passed_on}
        others |= {"uvicorn.access": {**passed_on, "level": "WARNING"}}
    events = level or ("INFO" if log_format == "json" else "WARNING")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": FORMATS[log_format]}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level or "WARNING"},
        "loggers": {**others, "approvals.events": {"level": events}},
    }


def said(error: BaseException) -> str:
    """Return an error in one line: its kind, and its words where they quote nobody."""
    kind = type(error).__qualname__
    return f"{kind}: {_first_line(str(error))}" if isinstance(error, _QUOTABLE) else kind


def _discreet(record: logging.LogRecord) -> logging.LogRecord:
    """Return the same record with its message as it may be told."""
    arguments = record.args
    if isinstance(arguments, tuple):
        arguments = tuple(said(one) if isinstance(one, BaseException) else one for one in arguments)
    copy = logging.makeLogRecord({**vars(record), "args": arguments, "exc_text": None})
    copy.msg, copy.args = _first_line(copy.getMessage()), ()
    return copy


def _places(error: BaseException | None) -> Iterator[str]:
    """Yield an error and what caused it, each with the places it came through."""
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield said(error)
        for frame in traceback.extract_tb(error.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _first_line(text: str) -> str:
    line = (text.strip().splitlines() or [""])[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _time(seconds: float) -> str:
    told = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")
