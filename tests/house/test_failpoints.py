"""What failpoints promise: off unless a variable asks for them, and never in production."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from approvals import failpoints
from config import env

ROOT = Path(__file__).resolve().parents[2]
HIT = "from approvals import failpoints; failpoints.hit('connect'); print('went on')"


@pytest.fixture(autouse=True)
def _nothing_armed():
    yield
    failpoints.arm("")


def run(folder, *arguments, **variables):
    own = {"PATH": os.environ["PATH"], "COUNTERSIGN_NO_BOOTSTRAP": "1"}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**own, "COUNTERSIGN_DATA": str(folder), **variables}, timeout=100, check=False,
    )  # fmt: skip


def test_nothing_is_armed_in_an_ordinary_process():
    assert failpoints.left() == frozenset()
    for point in failpoints.POINTS:
        failpoints.hit(point)


def test_the_variable_kills_a_process_at_the_point_it_names(tmp_path):
    done = run(tmp_path, "shell", "-v0", "-c", HIT, COUNTERSIGN_FAILPOINTS="connect=kill")

    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "address", ["https://countersign.example.com", "http://10.0.0.7:8000", "https://localhost"]
)
def test_production_refuses_to_start_with_failpoints(tmp_path, address):
    said = {"PUBLIC_URL": address, "COUNTERSIGN_FAILPOINTS": "connect=kill"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERSIGN_FAILPOINTS", "connect=kill")
        with pytest.raises(env.ConfigurationError, match="COUNTERSIGN_FAILPOINTS"):
            env.failpoints(address)
    if address.startswith("https://countersign"):
        for command in (["up", "--port", "0"], ["check", "--deploy"]):
            done = run(tmp_path, *command, **said)
            assert done.returncode == 2, done.stdout
            assert "COUNTERSIGN_FAILPOINTS is for tests of faults" in done.stderr
            assert "Traceback" not in done.stderr


def test_production_without_them_and_tests_with_them_are_let_through(monkeypatch):
    monkeypatch.delenv("COUNTERSIGN_FAILPOINTS", raising=False)
    assert env.failpoints("https://countersign.example.com") == ""

    monkeypatch.setenv("COUNTERSIGN_FAILPOINTS", "connect=kill")
    assert env.failpoints("http://127.0.0.1:8000") == "connect=kill"


@pytest.mark.parametrize(
    "wrong", ["conect=kill", "connect", "connect=kil", "connect=kill@0", "connect=kill@x", "=kill"]
)
def test_a_misspelt_failpoint_is_said_and_arms_nothing(wrong):
    failpoints.arm("outbox=raise")

    with pytest.raises(ValueError, match="no failpoint"):
        failpoints.arm(f"after-claim=raise,{wrong}")

    assert failpoints.left() == {"outbox"}


def test_a_misspelt_failpoint_keeps_a_process_from_starting(tmp_path):
    done = run(tmp_path, "check", COUNTERSIGN_FAILPOINTS="nowhere=kill")

    assert done.returncode == 2
    assert "'nowhere=kill' is no failpoint" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_point_breaks_once_when_it_is_passed_for_the_nth_time():
    failpoints.arm("connect=raise@3, outbox=raise")

    failpoints.hit("connect")
    failpoints.hit("connect")
    with pytest.raises(failpoints.Failed, match="connect"):
        failpoints.hit("connect")
    failpoints.hit("connect")

    assert failpoints.left() == {"outbox"}
