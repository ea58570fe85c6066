"""A pytest plugin: which services a test needs, what it ran on, and what to do where one is absent.

Markers: `redis`, `browser`, `thirdparty` (needs it), `postgres` (only on PostgreSQL) and `sqlite`
(only on SQLite). A test that uses the database and carries none of the last two, nor `browser`,
runs on both: `tests.support.postgres_session` says how. A test without its service is skipped with
one line that says how to get it; with COUNTERSIGN_REQUIRE_ALL=1 every skip and xfail is a failure.
"""

import os
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.support import services

pytest_plugins = ["tests.support.postgres_session"]

REQUIRES_ALL = bool(os.environ.get("COUNTERSIGN_REQUIRE_ALL"))
MARKERS = {
    "redis": "needs a Redis server (TEST_REDIS_URL)",
    "browser": "needs an installed Chromium",
    "thirdparty": "needs an MCP server nobody here wrote, in an environment of its own",
    "postgres": "runs on PostgreSQL only",
    "sqlite": "runs on SQLite only",
}
PLACES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "redis": "Redis", "browser": "a browser"}
PLACES |= {"thirdparty": "a third-party server", "none": "none of these"}
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}
RAN_ON = "ran on"  # the user property that a report carries, also from one session to the other


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what lacks its service; note on each item what it runs on."""
    for item in items:
        needs = [key for key in services.SERVICES if item.get_closest_marker(key)]
        for key in needs:
            if not services.is_there(key):
                item.add_marker(pytest.mark.skip(reason=services.SERVICES[key].absence()))
        item.user_properties += [(RAN_ON, place) for place in places(item)]


def uses_database(item: pytest.Item) -> bool:
    """Tell whether the test reaches the database through pytest-django."""
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES)


def places(item: pytest.Item) -> list[str]:
    """Return the keys of PLACES the test runs on in this session."""
    found = [key for key in (*services.SERVICES, "sqlite") if item.get_closest_marker(key)]
    if uses_database(item) and services.session_database() not in found:
        found.append(services.session_database())
    return found or ["none"]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required, a skipped, xfailed or xpassed test has failed."""
    report = yield
    if REQUIRES_ALL and (report.skipped or hasattr(report, "wasxfail")):
        reason = getattr(report, "wasxfail", None) or _skip_reason(report)
        vars(report).pop("wasxfail", None)
        report.outcome = "failed"
        report.longrepr = f"COUNTERSIGN_REQUIRE_ALL: skipped or expected to fail ({reason})"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    if REQUIRES_ALL and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"COUNTERSIGN_REQUIRE_ALL: skipped ({_skip_reason(report)})"
    return report


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests ran on each, just before pytest's closing line."""
    ran = Counter(
        place
        for report in _calls(terminalreporter)
        for name, place in report.user_properties
        if name == RAN_ON
    )
    if ran:
        counts = ", ".join(f"{name} {ran[key]}" for key, name in PLACES.items())
        terminalreporter.write_line(f"Tests that ran on each: {counts}.")


def _calls(terminalreporter: Any) -> Iterator[pytest.TestReport]:
    for category in ("passed", "failed", "xfailed", "xpassed"):
        for report in terminalreporter.stats.get(category, ()):
            if report.when == "call":
                yield report
