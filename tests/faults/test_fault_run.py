"""What `manage.py fault_run` is made of; the runs themselves are in `.ci/run` and `.ci/bugs`.

They start a whole installation and judge what took too long, so nothing else may run beside them.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config import bootstrap
from tests.faults import nemesis, planted, reporting
from tests.support.running import ROOT


@pytest.mark.parametrize("bug", planted.bugs(), ids=lambda bug: bug.name)
def test_planted_bug_still_fits_the_code(bug, tmp_path):
    tree = planted.plant(bug, tmp_path)

    assert (tree / "manage.py").exists()
    changed = [
        line.removeprefix("+++ b/")
        for line in bug.patch.read_text().splitlines()
        if line.startswith("+++ b/")
    ]
    assert changed
    assert all((tree / path).read_text() != (ROOT / path).read_text() for path in changed)


def test_every_bug_that_is_to_be_found_is_planted():
    assert [bug.name for bug in planted.bugs()] == [
        "commit-before-the-disk", "decision-without-lock", "fence-dropped",
        "read-before-its-event", "unknown-retried",
    ]  # fmt: skip


@pytest.mark.parametrize("is_sqlite", [True, False])
def test_what_is_done_to_it_follows_from_the_seed(is_sqlite):
    counts = nemesis.Counts(kills=320, stops=22, outages=0 if is_sqlite else 12)

    first, second, other = (
        nemesis.schedule(seed, 10_000, counts, is_sqlite=is_sqlite) for seed in (1, 1, 2)
    )

    assert first == second != other
    assert [fault.after for fault in first] == sorted(fault.after for fault in first)
    kinds = [fault.kind for fault in first]
    assert (kinds.count("kill"), kinds.count("stop")) == (320, 22)
    assert kinds.count("database stop") == kinds.count("flush") == counts.outages


def test_it_is_started_with_what_tests_need():
    assert bootstrap.requirements_for(["manage.py", "fault_run"]).name == "requirements-dev.txt"
    assert bootstrap.requirements_for(["manage.py", "fault_check"]).name == "requirements.txt"


def test_a_folder_that_exists_is_not_run_in(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "manage.py", "fault_run", "--keep", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "name a folder that does not" in done.stderr


@pytest.mark.parametrize(
    ("busy", "kills", "stops", "effects", "missing"),
    [
        (100, 301, 20, 5_000, []),
        (99, 301, 20, 5_000, ["kills while something was claimed or dispatched"]),
        (100, 299, 20, 5_000, ["kill"]),
        (100, 301, 19, 5_000, ["stop"]),
        (100, 301, 20, 4_999, ["effects"]),
        (
            0,
            0,
            0,
            0,
            ["kill", "stop", "kills while something was claimed or dispatched", "effects"],
        ),
    ],
)
def test_a_run_that_met_too_little_says_so(tmp_path: Path, busy, kills, stops, effects, missing):
    report = {
        "run": {"calls": 10_000, "planned": {"kill": 320, "stop": 22}},
        "faults": {"kills_while_claimed_or_dispatched": busy},
        "each_fault": [{"kind": "kill"}] * kills + [{"kind": "stop"}] * stops,
        "verdict": {"counts": {"effects": effects}},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))

    said = reporting.too_little(tmp_path)

    assert [line.partition(":")[0] for line in said] == missing
