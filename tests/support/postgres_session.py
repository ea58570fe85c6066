"""A pytest plugin: runs the tests that use the database a second time, on PostgreSQL.

Settings name one database per process, as in production, so the second run is a pytest process of
its own whose DATABASE_URL is PostgreSQL. It sends its reports, test by test, through a pipe, and
the first process takes them for its own (`… on PostgreSQL`). So there is one run with one list of
failures, one exit code and one closing line for both databases. Without PostgreSQL the tests run on
SQLite alone and a line says so; COUNTERSIGN_REQUIRE_ALL=1 makes that a failure.
COUNTERSIGN_TEST_DATABASE=sqlite does without the second run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pytest

from tests.support import services
from tests.support.requirements_plugin import REQUIRES_ALL, uses_database

REPORTS_FD = "COUNTERSIGN_TEST_REPORTS_FD"  # tells the second process where its reports go
WANTED = pytest.StashKey[list[str]]()  # ids of the tests that are to run on PostgreSQL as well
SUFFIX = " on PostgreSQL"


class Sender:
    """In the second process: sends every report to the first."""

    def __init__(self, config: pytest.Config, descriptor: int) -> None:
        # What the tests start must not keep the pipe open after them.
        os.set_inheritable(descriptor, False)
        self.config = config
        self.pipe = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.pipe.write(json.dumps(data) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Become the second process where the first one asked for it."""
    if descriptor := os.environ.pop(REPORTS_FD, None):
        config.pluginmanager.register(Sender(config, int(descriptor)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what runs on this session's database; note what the second session is to run."""
    is_first = _runs_both() and services.session_database() == "sqlite"
    config.stash[WANTED] = [item.nodeid for item in items if _is_for_postgres(item) and is_first]
    if services.session_database() == "postgres":
        dropped = [item for item in items if not _is_for_postgres(item)]
    elif is_first and not services.is_there("postgres"):
        dropped = []  # what is for PostgreSQL alone stays, to be skipped with a word why
    else:
        dropped = [item for item in items if item.get_closest_marker("postgres")]
    if not is_first:
        config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


def _runs_both() -> bool:
    return not os.environ.get("COUNTERSIGN_TEST_DATABASE")


def _is_for_postgres(item: pytest.Item) -> bool:
    is_for_sqlite = item.get_closest_marker("sqlite") or item.get_closest_marker("browser")
    return bool(item.get_closest_marker("postgres") or (uses_database(item) and not is_for_sqlite))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Run the second session after the first, inside the same run."""
    wanted = session.config.stash.get(WANTED, [])
    if session.config.option.collectonly or not wanted:
        return (yield)
    if services.is_there("postgres"):
        session.testscollected += len(wanted)  # so that progress reaches 100 % at the end
        result = yield
        _run_second(session, wanted)
        return result
    result = yield
    if REQUIRES_ALL:
        _report_failure(session, services.SERVICES["postgres"].absence())
    return result


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what did not run on PostgreSQL, and how to change that."""
    wanted = config.stash.get(WANTED, [])
    if wanted and not services.is_there("postgres"):
        absence = services.SERVICES["postgres"].absence()
        terminalreporter.write_line(f"{len(wanted)} tests did not run on PostgreSQL. {absence}.")


def _run_second(session: pytest.Session, wanted: list[str]) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line("")
        reporter.write_sep("-", f"now on PostgreSQL: {len(wanted)} tests")
    finished = 0
    with TemporaryDirectory(prefix="countersign-test-") as folder:
        output = Path(folder, "output")
        with _second(session.config, wanted, Path(folder), output) as (process, reports):
            for line in reports:
                finished += _relay(session.config, json.loads(line))
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
            code = process.wait()
        if code not in (0, 1) or finished != len(wanted):
            said = output.read_text(encoding="utf-8", errors="replace")
            left = f"{finished} of {len(wanted)} tests finished, exit code {code}:"
            _report_failure(session, f"{left}\n{said[-20_000:]}")


@contextmanager
def _second(
    config: pytest.Config, wanted: list[str], folder: Path, output: Path
) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
    tests = folder / "tests"
    tests.write_text("\n".join(wanted), encoding="utf-8")
    options = ["-p", "no:cacheprovider", f"--tb={config.option.tbstyle}", f"@{tests}"]
    reading, writing = os.pipe()
    own = {"DATABASE_URL": services.postgres_database_url(), "COUNTERSIGN_DATA": str(folder)}
    own |= {"COUNTERSIGN_TEST_DATABASE": "postgres", REPORTS_FD: str(writing)}
    # Many a test runs a whole bridge in this one process, and the next may begin before its threads
    # have given back their connections.
    own |= {"DATABASE_POOL": "40"}
    with open(reading, encoding="utf-8") as reports, output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options],
            cwd=config.rootpath,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
        )
        os.close(writing)
        try:
            yield process, reports
        finally:
            process.terminate()
            process.wait()


def _relay(config: pytest.Config, data: dict[str, Any]) -> bool:
    """Take over one report; tell whether its test is finished."""
    data["nodeid"] += SUFFIX
    report = config.hook.pytest_report_from_serializable(config=config, data=data)
    if report.when == "setup":
        config.hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
    config.hook.pytest_runtest_logreport(report=report)
    if report.when == "teardown":
        config.hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)
    return bool(report.when == "teardown")


def _report_failure(session: pytest.Session, text: str) -> None:
    report = pytest.TestReport(
        nodeid=f"tests{SUFFIX}",
        location=("tests", None, f"the session{SUFFIX}"),
        keywords={},
        outcome="failed",
        longrepr=text,
        when="call",
    )
    session.config.hook.pytest_runtest_logreport(report=report)
