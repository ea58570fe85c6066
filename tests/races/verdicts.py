"""A pytest plugin: writes how each test ended as a line of JSON into the file VARIABLE names."""

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

VARIABLE = "COUNTERSIGN_VERDICTS"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write one line for each part of a test."""
    report = yield
    error = call.excinfo
    line = {
        "test": item.nodeid,
        "when": report.when,
        "outcome": report.outcome,
        "module": error.type.__module__ if error else "",
        "error": error.type.__name__ if error else "",
        "words": str(error.value)[:300] if error else "",
    }
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return report
