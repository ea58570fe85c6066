"""What `manage.py benchmark` promises: it runs a part, and its table says what missed its goal."""

import subprocess
import sys

import pytest

from benchmarks import report
from benchmarks.goals import GOALS, ONE, POSTGRES, REDIS, SQLITE, Figure, goal_of
from benchmarks.machine import Machine
from tests.support.running import ROOT

MACHINE = Machine("abc1234", "2026-11-21T12:00:00+00:00", 2, 8.0, 1.5, "3.11.7", "x86_64")


@pytest.mark.sqlite
@pytest.mark.timeout(300)
def test_a_quick_run_of_one_part_prints_its_table():
    done = subprocess.run(
        [sys.executable, "manage.py", "benchmark", "--quick", "--only", "reads"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "× direct" in line]
    assert sorted(line[:4].strip() in ("ok", "FAIL") for line in rows) == [False] * 2 + [True] * 4
    assert [sum(f"{n} caller" in line for line in rows) for n in ("  1", "16", "64")] == [2, 2, 2]
    assert "cores" in done.stdout.splitlines()[0]
    assert "load average" in done.stdout.splitlines()[0]


@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_a_quick_run_of_every_crowd_prints_its_figures_for_both_databases():
    parts = ("held", "flood", "reconnects", "restart")
    done = subprocess.run(
        [sys.executable, "manage.py", "benchmark", "--quick"]
        + [word for part in parts for word in ("--only", part)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert sum("beside a flood" in row for row in rows) == 1
    told = ("memory", "held open", "answered in the end", "pages right", "serves", "out of turn")
    assert [sum(words in row for row in rows) for words in told] == [2] * len(told)
    # What does not depend on how fast the machine is.
    exact = [row.split() for row in rows if "answered in" in row or "out of turn" in row]
    assert {row[0] for row in exact} == {"ok"}
    assert sum("caps raised for that: PENDING_PER_AGENT=" in row for row in rows) == 2


@pytest.mark.sqlite
@pytest.mark.timeout(300)
def test_a_quick_run_against_a_commit_asks_both_in_turns():
    done = _quick("--against", "HEAD")

    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "gainst" in line]
    assert sum("p50  " in row for row in rows) == 2
    assert sum("throughput" in row for row in rows) == sum("CPU" in row for row in rows) == 2
    pairs = [row.partition("each pair: ")[2].split() for row in rows if "each pair" in row]
    assert [len(found) for found in pairs] == [3, 3]


def test_a_commit_that_is_not_there_is_no_figure():
    done = _quick("--against", "no-such-commit")

    assert done.returncode == 1
    assert "FAIL: reads could not be measured" in done.stdout
    assert "no-such-commit" in done.stderr


def test_only_reads_are_measured_against_a_commit():
    done = _quick("--only", "pages", "--against", "HEAD")

    assert done.returncode == 2
    assert "only reads can be measured against another commit" in done.stderr


def _quick(*arguments):
    return subprocess.run(
        [sys.executable, "manage.py", "benchmark", "--quick", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def test_an_unknown_part_is_refused_before_anything_runs():
    done = subprocess.run(
        [sys.executable, "manage.py", "benchmark", "--only", "everything"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 2
    assert "invalid choice: 'everything'" in done.stderr


def test_missed_goals_are_marked_and_counted_ratios_first():
    figures = [
        Figure("memory", SQLITE, 600.1),
        Figure("to_upstream", REDIS, 100),
        Figure("to_upstream", SQLITE, 101),
        Figure("read_rate", ONE, 0.29),
        Figure("read_rate", "64 callers", 0.01),
    ]

    lines = report.table(MACHINE, figures, ["Said at the end."]).splitlines()

    assert [line.split()[0] for line in lines[3:8]] == ["FAIL", "governed", "ok", "ok", "FAIL"]
    assert "abc1234" in lines[0]
    assert lines[-2:] == ["2 of 4 goals missed.", "Said at the end."]


@pytest.mark.parametrize(
    ("name", "where", "met", "missed"),
    [
        ("read_p50", ONE, 3.5, 3.51),
        ("read_rate", ONE, 0.3, 0.29),
        ("versus_p50", ONE, 1.1, 1.11),
        ("to_screen", SQLITE, 150, 151),
        ("to_upstream", SQLITE, 150, 151),
        ("to_upstream", REDIS, 100, 101),
        ("to_agent", REDIS, 150, 151),
        ("submits", POSTGRES, 100, 99.9),
        ("submits", SQLITE, 50, 49.9),
        ("submit_p99", SQLITE, 500, 500.1),
        ("memory", POSTGRES, 600, 600.1),
        ("flood", SQLITE, 1.5, 1.51),
        ("queue_of_held", SQLITE, 300, 300.1),
        ("held_answered", POSTGRES, 100, 99.99),
        ("reconverge", SQLITE, 10, 10.1),
        ("restart", POSTGRES, 10, 10.1),
        ("out_of_order", SQLITE, 0, 1),
        ("queue", POSTGRES, 150, 150.1),
        ("call", SQLITE, 100, 100.1),
        ("history_search", SQLITE, 500, 500.1),
    ],
)
def test_goals_are_those_that_were_set(name, where, met, missed):
    goal = goal_of(Figure(name, where, met))

    assert not goal.is_missed(met)
    assert goal.is_missed(missed)


def test_every_goal_has_words_and_a_figure_without_one_is_an_error():
    assert all(goal.words and goal.unit for goal in GOALS)
    with pytest.raises(LookupError):
        goal_of(Figure("nobody named this", SQLITE, 1))
