"""What log lines promise, in both forms: one event a line, and nobody's arguments or keys."""

import json
import logging
import sys

import pytest
from django.db import IntegrityError, transaction

from approvals.audit import record
from approvals.errors import NotFound
from approvals.models import database_now
from config import logs
from config.env import ConfigurationError

CANARY = "cs_canary_0b5e"
FORMS = pytest.mark.parametrize("form", ["text", "json"])


def line(form, message, *args, error=None, **extra):
    record = logging.LogRecord("approvals.x", logging.ERROR, __file__, 1, message, args, None)
    vars(record).update(extra)
    if error is not None:
        record.exc_info = raised(error)
    return logs.formatter(form).format(record)


def raised(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()


@FORMS
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"invalid literal: {CANARY!r}"),
        KeyError(CANARY),
        IntegrityError(f"violates a constraint\nDETAIL:  Failing row contains ({CANARY})."),
    ],
)
def test_what_an_error_quotes_is_not_told(form, error):
    told = line(form, "It failed: %s", error, error=error)

    assert type(error).__name__ in told
    assert "test_logs.py" in told  # where
    assert CANARY not in told


@FORMS
def test_what_caused_an_error_is_told_as_discreetly(form):
    error = RuntimeError("no upstreams today")
    error.__cause__ = ValueError(CANARY)

    told = line(form, "It failed.", error=error)

    assert "no upstreams today" in told
    assert "ValueError" in told
    assert CANARY not in told


@FORMS
def test_of_a_message_only_the_first_line_is_told(form):
    told = line(form, f"1 validation error for Request\nname\n  input_value='{CANARY}'")

    assert "1 validation error for Request" in told
    assert CANARY not in told


@FORMS
def test_our_own_words_are_told_in_full(form):
    assert "billing is away (NotFound: There is" in line(
        form, "%s is away (%s)", "billing", NotFound("There is no such call.")
    )


def test_a_json_line_is_one_object_on_one_line():
    told = line("json", "two\nlines", error=ValueError("three\nmore"), call_id="c1", arguments="x")

    found = json.loads(told)
    assert "\n" not in told
    assert {"time", "level", "logger", "message", "call_id", "error"} == set(found)
    assert (found["level"], found["message"], found["call_id"]) == ("error", "two", "c1")


@pytest.mark.parametrize(("log_format", "level"), [("xml", ""), ("json", "LOUD")])
def test_a_form_or_level_that_does_not_exist_is_refused(log_format, level):
    with pytest.raises(ConfigurationError):
        logs.configuration(log_format, level)


@pytest.mark.parametrize("level", ["", "DEBUG"])
def test_libraries_never_write_down_what_they_send(level):
    loggers = logs.configuration("json", level)["loggers"]

    assert {loggers[name]["level"] for name in ("mcp", "httpx2", "uvicorn.access")} == {"WARNING"}


def test_an_event_is_logged_when_it_is_committed_and_not_before(
    transactional_db, world, held_call, caplog
):
    caplog.set_level("INFO", logger="approvals.events")
    entry = record.Entry("call.held", "agent:support", database_now(), {"said": CANARY})

    def told():
        return [(r.event, r.call_id) for r in caplog.records if hasattr(r, "call_id")]

    with transaction.atomic():
        record.record("call:1", entry)
        transaction.set_rollback(True)
    assert told() == []

    call = held_call("rejected", arguments={"customer": CANARY, "amount": 1})

    codes = [code for code, call_id in told() if call_id == str(call.pk)]
    assert codes == ["call.held", "call.reject_signed", "call.rejected"]
    assert CANARY not in caplog.text
