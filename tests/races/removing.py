"""`manage.py race_guards`: takes each guard out of a copy; the tests that aim at it have to fail.

First every test is run in a copy from which nothing was taken, and has to pass. A test whose guard
is out has to fail by what it asserts, or by one of our own refusals; what cannot be imported, is
not collected, took too long or was seen in one order only proves nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import planted
from tests.races import verdicts
from tests.races.guards import GUARDS, Guard
from tests.races.promises import BOTH, PROMISES, SQLITE
from tests.support import services

_OF_A_TEST = {(kind.__module__, kind.__name__) for kind in (AssertionError, pytest.fail.Exception)}
_OURS = "approvals.errors"
_TOO_LONG = "Timeout"  # how pytest-timeout begins
_SECONDS = 900  # for one test: a race may go on until those who wait give up


@dataclass(frozen=True)
class Ran:
    """How one test ended, with one set of its parameters."""

    test: str
    when: str
    outcome: str
    module: str
    error: str
    words: str

    def failed_as_it_must(self) -> bool:
        """Return whether the test itself said no, for what it is about."""
        is_of_test = (self.module, self.error) in _OF_A_TEST or self.module == _OURS
        is_said = is_of_test and not self.words.startswith(_TOO_LONG)
        return self.when == "call" and self.outcome == "failed" and is_said


def take_out(guard: Guard, tree: Path) -> None:
    """Remove a guard from a copy of the project.

    Raises:
        RuntimeError: its words do not stand in the code once, as they have to.
    """
    for edit in guard.edits:
        path = tree / edit.file
        text = path.read_text()
        if text.count(edit.old) != 1:
            raise RuntimeError(f"{edit.file} has {text.count(edit.old)} times: {edit.old}")
        path.write_text(text.replace(edit.old, edit.new))


def tests_of(name: str, database: str) -> list[str]:
    """Return the tests that aim at a guard on a database; all of them where it has no name."""
    found = [
        promise.test
        for promise in PROMISES
        if name in ("", promise.guard) and database in promise.databases
    ]
    return list(dict.fromkeys(found))


def run(tests: Sequence[str], guard: Guard | None, database: str) -> list[Ran]:
    """Run tests in a copy without the guard; return how each part of each ended."""
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        tree, said = planted.copy(Path(folder)), Path(folder) / "verdicts"
        said.touch()
        if guard is not None:
            take_out(guard, tree)
        own = {
            "COUNTERSIGN_DATA": str(Path(folder) / "data"),
            "COUNTERSIGN_TEST_DATABASE": database,
            "DATABASE_URL": "" if database == SQLITE else services.postgres_database_url(),
            "DATABASE_POOL": "40",
            "COUNTERSIGN_REQUIRE_ALL": "",
            verdicts.VARIABLE: str(said),
        }
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", verdicts.__name__]
        command += ["-p", "no:cacheprovider", "-o", f"timeout={_SECONDS}", *tests]
        done = subprocess.run(
            command, cwd=tree, env={**os.environ, **own}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        ran = [Ran(**json.loads(line)) for line in said.read_text().splitlines()]
        if not ran:
            print(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}", flush=True)
        return ran


def missed(tests: Sequence[str], ran: Sequence[Ran]) -> dict[str, str]:
    """Return, of the tests that did not fail as they must, why."""
    why = {}
    for test in tests:
        mine = [one for one in ran if one.test.partition("[")[0] == test and one.when == "call"]
        wrong = [one for one in mine if not one.failed_as_it_must()]
        if not mine:
            why[test] = "did not run"
        elif wrong:
            one = wrong[0]
            why[test] = f"{one.test}: {one.outcome} {one.error} {one.words}"
    return why


def main(argv: Sequence[str]) -> int:
    """Take out what is asked for; return 0 when every test failed that had to."""
    options = _parser().parse_args(argv)
    wrong = tried = 0
    for database in options.database or BOTH:
        if not options.guard and not options.only:
            wrong += _pass_with_all_guards(database)
        for name in options.guard or GUARDS:
            tests = [test for test in tests_of(name, database) if options.only in test]
            if tests:
                wrong += _fail_without(name, tests, database)
            tried += len(tests)
    print(f"{tried} times a guard was out; {wrong} tests did not do as they must.", flush=True)
    return 0 if tried and not wrong else 1


def _pass_with_all_guards(database: str) -> int:
    tests = tests_of("", database)
    print(f"Every guard in place, on {database}:", flush=True)
    ran = run(tests, None, database)
    bad = [one for one in ran if one.outcome == "failed"]
    absent = set(tests) - {one.test.partition("[")[0] for one in ran if one.outcome == "passed"}
    for test in [f"{one.test}: {one.error} {one.words}" for one in bad] + sorted(absent):
        print(f"  NOT PASSED {test}", flush=True)
    if not bad and not absent:
        print(f"  {len(tests)} tests passed", flush=True)
    return len(bad) + len(absent)


def _fail_without(name: str, tests: Sequence[str], database: str) -> int:
    print(f"Without {name}, on {database}:", flush=True)
    why = missed(tests, run(tests, GUARDS[name], database))
    for test in tests:
        says = f"MISSED {test}: {why[test]}" if test in why else f"failed as it must: {test}"
        print(f"  {says}", flush=True)
    return len(why)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage.py race_guards", description=__doc__)
    parser.add_argument("--guard", action="append", choices=[*GUARDS], help="only this one")
    parser.add_argument("--only", default="", metavar="TEXT", help="only tests so named")
    parser.add_argument("--database", action="append", choices=BOTH, help="only on this one")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
