"""What the plugin promises, in a small project of its own: a real pytest run in a new process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CLOSED = "127.0.0.1:1"  # nothing listens there
CONFTEST = """
import pytest
from tests.support import services

pytest_plugins = ["tests.support.requirements_plugin"]

@pytest.fixture
def db():
    return services.session_database()
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Run pytest over one module of tests; returns its exit code and what it printed."""

    def run(tests: str, *arguments: str, **environment: str) -> tuple[int, str]:
        (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "test_it.py").write_text("import os, pytest\n" + tests)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("COUNTERSIGN")}
        inherited.pop("DATABASE_URL", None)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=tmp_path,
            env={**inherited, **environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


NO_POSTGRES = {"TEST_POSTGRES_URL": f"postgres://nobody@{CLOSED}/"}
NO_REDIS = {"TEST_REDIS_URL": f"redis://{CLOSED}/15"}
ON_BOTH = "def test_a(db): print(db)\n"


@pytest.mark.postgres
def test_a_test_that_uses_the_database_runs_on_both(run_pytest):
    code, output = run_pytest(ON_BOTH + "def test_b(): pass\n", "-v")

    assert code == 0
    assert "test_it.py::test_a on PostgreSQL PASSED" in output
    assert "SQLite 1, PostgreSQL 1, Redis 0, a browser 0" in output
    assert "none of these 1." in output
    assert "3 passed" in output.splitlines()[-1]


@pytest.mark.postgres
def test_the_second_run_has_a_database_url_of_postgresql(run_pytest):
    code, output = run_pytest(
        "def test_a(db): assert os.environ.get('DATABASE_URL', '').startswith('postgres')\n"
    )

    assert code == 1
    assert "1 failed, 1 passed" in output.splitlines()[-1]


@pytest.mark.postgres
def test_a_failure_on_postgresql_alone_fails_the_run_and_is_shown(run_pytest):
    code, output = run_pytest("def test_a(db): assert db == 'sqlite', 'seen ' + db\n")

    assert code == 1
    assert "test_a on PostgreSQL" in output
    assert "AssertionError: seen postgres" in output
    assert "1 failed, 1 passed" in output.splitlines()[-1]


@pytest.mark.postgres
def test_a_second_session_that_dies_fails_the_run(run_pytest):
    code, output = run_pytest(
        "def test_a(db):\n    if db == 'postgres': print('last words', flush=True); os._exit(0)\n",
        "-s",
    )

    assert code == 1
    assert "0 of 1 tests finished" in output
    assert "1 failed, 1 passed" in output.splitlines()[-1]


@pytest.mark.postgres
def test_markers_choose_one_database(run_pytest):
    code, output = run_pytest(
        "@pytest.mark.postgres\ndef test_a(db): assert db == 'postgres'\n"
        "@pytest.mark.sqlite\ndef test_b(db): assert db == 'sqlite'\n"
    )

    assert code == 0
    assert "SQLite 1, PostgreSQL 1," in output


def test_without_postgresql_a_line_says_how_to_get_it(run_pytest):
    code, output = run_pytest(
        ON_BOTH + "@pytest.mark.postgres\ndef test_b(db): pass\n", **NO_POSTGRES
    )

    assert code == 0
    assert "2 tests did not run on PostgreSQL. PostgreSQL is absent; to get it: `apt" in output
    assert "1 passed, 1 skipped" in output.splitlines()[-1]


def test_without_redis_its_tests_are_skipped_with_one_line(run_pytest):
    code, output = run_pytest("@pytest.mark.redis\ndef test_a(): pass\n", "-rs", **NO_REDIS)

    assert code == 0
    assert output.count("Redis is absent; to get it: `apt install redis-server`") == 1


SKIPPING = """
@pytest.mark.postgres
def test_a(db): pass
@pytest.mark.redis
def test_b(): pass
@pytest.mark.skip
def test_c(): pass
@pytest.mark.xfail
def test_d(): assert False
@pytest.mark.xfail
def test_e(): pass
def test_f(): pytest.skip("tired")
"""


def test_where_all_is_required_every_skip_and_xfail_fails(run_pytest):
    absent = NO_POSTGRES | NO_REDIS

    lenient, _ = run_pytest(SKIPPING, **absent)
    strict, output = run_pytest(SKIPPING, **absent, COUNTERSIGN_REQUIRE_ALL="1")

    assert lenient == 0
    assert strict == 1
    # Skipped by a marker is an error of set-up; the fourth failure: nothing ran on PostgreSQL.
    assert "4 failed, 3 errors in" in output.splitlines()[-1]


def test_where_all_is_required_a_module_that_skips_itself_fails(run_pytest):
    code, output = run_pytest(
        "pytest.skip('tired', allow_module_level=True)\n", COUNTERSIGN_REQUIRE_ALL="1"
    )

    assert code == 2
    assert "1 error" in output.splitlines()[-1]


def test_where_all_is_required_tests_that_ran_on_sqlite_alone_fail_the_run(run_pytest):
    code, output = run_pytest(ON_BOTH, **NO_POSTGRES, COUNTERSIGN_REQUIRE_ALL="1")

    assert code == 1
    assert "1 failed, 1 passed" in output.splitlines()[-1]
