"""A pytest plugin: runs the tests that use the database a second time, on PostgreSQL.

Settings name one database per process, as in production, so the second run is a pytest process of
its own, beside the first, whose DATABASE_URL is PostgreSQL. It sends its reports, test by test,
through a pipe, and the first process takes them for its own (`… on PostgreSQL`). There is one run
with one list of failures, one exit code and one closing line for both databases. Without PostgreSQL
the tests run on SQLite alone and a line says so; COUNTERSIGN_REQUIRE_ALL=1 makes that a failure.
COUNTERSIGN_TEST_DATABASE=sqlite does without the second run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
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
    """Run the second session beside the first, inside the same run."""
    wanted = session.config.stash.get(WANTED, [])
    if session.config.option.collectonly or not wanted:
        return (yield)
    if services.is_there("postgres"):
        session.testscollected += len(wanted)  # so that progress reaches 100 % at the end
        with TemporaryDirectory(prefix="countersign-test-") as folder:
            second = Second(session, wanted, Path(folder))
            session.config.pluginmanager.register(second)
            with second.running():
                result = yield
                second.finish()
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


class Second:
    """In the first process: the second one, and what it has reported."""

    def __init__(self, session: pytest.Session, wanted: list[str], folder: Path) -> None:
        self.session = session
        self.wanted = wanted
        self.folder = folder
        self.finished = 0
        # Lines of the pipe, None at its end: read by a thread, so that the second session never
        # waits for the first, and taken over by the main thread, between two tests.
        self.lines: SimpleQueue[str | None] = SimpleQueue()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it; end it, whatever happens."""
        reading, writing = os.pipe()
        with open(reading, encoding="utf-8") as reports, self._output.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *self._options()],
                cwd=self.session.config.rootpath,
                env={**os.environ, **self._environment(writing)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
            )
            os.close(writing)
            reader = Thread(target=self._read, args=(reports,), daemon=True)
            reader.start()
            try:
                yield
            finally:
                self.process.terminate()
                self.process.wait()
                reader.join(10)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Take over what came in during a test of the first session."""
        result = yield
        while not self.lines.empty() and self._take(self.lines.get()):
            pass
        return result

    def finish(self) -> None:
        """Wait for what is left of it."""
        while self._take(self.lines.get()):
            if self.session.shouldfail:
                raise self.session.Failed(self.session.shouldfail)
            if self.session.shouldstop:
                raise self.session.Interrupted(self.session.shouldstop)
        code = self.process.wait()
        if code not in (0, 1) or self.finished != len(self.wanted):
            said = self._output.read_text(encoding="utf-8", errors="replace")
            left = f"{self.finished} of {len(self.wanted)} tests finished, exit code {code}:"
            _report_failure(self.session, f"{left}\n{said[-20_000:]}")

    @property
    def _output(self) -> Path:
        return self.folder / "output"

    def _options(self) -> list[str]:
        tests = self.folder / "tests"
        tests.write_text("\n".join(self.wanted), encoding="utf-8")
        style = self.session.config.option.tbstyle
        return ["-p", "no:cacheprovider", f"--tb={style}", f"@{tests}"]

    def _environment(self, reports: int) -> dict[str, str]:
        return {
            "COUNTERSIGN_TEST_DATABASE": "postgres",
            "DATABASE_URL": services.postgres_database_url(),
            # Many a test runs a whole bridge in this one process, and the next may begin before
            # its threads have given back their connections.
            "DATABASE_POOL": "40",
            "TEST_REDIS_URL": services.second_redis_url(),
            "COUNTERSIGN_DATA": str(self.folder),
            REPORTS_FD: str(reports),
        }

    def _read(self, reports: IO[str]) -> None:
        for line in reports:
            self.lines.put(line)
        self.lines.put(None)

    def _take(self, line: str | None) -> bool:
        """Take over one report; tell whether there may be more."""
        if line is None:
            self.lines.put(None)  # whoever asks again learns it again
            return False
        data = json.loads(line)
        data["nodeid"] += SUFFIX
        hook = self.session.config.hook
        report = hook.pytest_report_from_serializable(config=self.session.config, data=data)
        hook.pytest_runtest_logreport(report=report)
        self.finished += report.when == "teardown"
        return True


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
