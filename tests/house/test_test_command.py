"""What `manage.py test` promises: pytest's arguments, pytest's exit code, nobody's database."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.management.commands import test as command

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--collect-only", "-q", "tests/house/test_test_command.py"], 0, "test_arguments_and"),
        (["-q", "tests/house/test_house.py", "-k", "yardstick"], 0, "9 passed"),
        (["-q", "tests/house/test_house.py", "-k", "no_such_test"], 5, "deselected"),
        (["tests/no_such_file.py"], 4, "file or directory not found"),
    ],
)
def test_arguments_and_exit_code_are_pytests(arguments, code, said):
    done = subprocess.run(
        [sys.executable, "manage.py", "test", *arguments],
        cwd=ROOT,
        env={**os.environ, "COUNTERSIGN_TEST_DATABASE": "sqlite"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def test_an_installations_own_settings_do_not_reach_the_tests(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "postgres://prod/countersign")
    monkeypatch.setenv("REDIS_URL", "redis://prod/0")
    monkeypatch.setenv("COUNTERSIGN_DATA", "/srv/countersign")
    monkeypatch.setenv("COUNTERSIGN_TEST_DATABASE", "sqlite")

    environment = command.environment(str(tmp_path))

    assert "prod" not in str(environment)
    assert environment["COUNTERSIGN_DATA"] == str(tmp_path)
    assert environment["PATH"] == os.environ["PATH"]


def test_a_run_on_postgresql_alone_has_its_address(monkeypatch, tmp_path):
    monkeypatch.setenv("COUNTERSIGN_TEST_DATABASE", "postgres")
    monkeypatch.setenv("TEST_POSTGRES_URL", "postgres://me@db.example/mine")

    environment = command.environment(str(tmp_path))

    assert environment["DATABASE_URL"] == f"postgres://me@db.example/mine_{os.getpid()}"
