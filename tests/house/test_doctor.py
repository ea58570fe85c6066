"""What `manage.py doctor` promises: it finds what is wrong, says what to do, and never breaks."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery.worker import state
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from approvals import guards
from approvals.administration import catalog
from approvals.models import Heartbeat, ToolCall, Upstream, database_now
from config import doctor
from config.celery import app
from config.embedded import EmbeddedWorker

ROOT = Path(__file__).resolve().parents[2]


def doctored(folder, *arguments, **environment):
    """Run the command as an operator does; return its exit code and its lines."""
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--data", str(folder), *arguments], cwd=ROOT,
        env={"PATH": os.environ["PATH"], "COUNTERSIGN_NO_BOOTSTRAP": "1", **environment},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def problems():
    """Return what is wrong or doubtful here, as {name: (what is said, what to do)}."""
    found = [one for one in doctor.findings() if one.state != "ok"]
    assert all(one.do for one in found)
    return {one.name: f"{one.said} {one.do}" for one in found}


@pytest.fixture
def well(world):
    """Return a world in which nothing is wrong."""
    Heartbeat.objects.create(name="sweep", at=database_now())
    return world


def test_where_nothing_is_wrong_it_ends_with_0(well):
    out = StringIO()

    call_command("doctor", stdout=out)

    lines = out.getvalue().splitlines()
    assert all(line.startswith("ok      ") for line in lines)
    names = {line.split()[1].strip(":") for line in lines}
    assert {"disk", "database", "broker", "migrations", "guards", "clock", "sweep"} <= names


def test_as_json_it_says_the_same(well):
    Heartbeat.objects.all().delete()
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json", stdout=out)

    told = json.loads(out.getvalue())
    assert ended.value.code == 1
    assert told["is_well"] is False
    (sweep,) = [one for one in told["findings"] if one["name"] == "sweep"]
    assert (sweep["state"], sweep["said"]) == ("problem", "It has never run.")


def test_missing_guards_are_found(well, transactional_db):
    guards.drop()

    assert "manage.py migrate" in problems()["guards"]


def test_a_database_of_an_older_version_is_found(well):
    newest = MigrationRecorder.Migration.objects.filter(app="approvals").latest("pk")
    newest.delete()

    assert problems() == {
        "migrations": "The database is 1 migrations behind this version. Run `manage.py migrate`."
    }


@pytest.mark.parametrize("seconds", [-60, 60])
def test_clocks_that_differ_are_found(well, monkeypatch, seconds):
    shifted = timedelta(seconds=seconds)
    monkeypatch.setattr("config.doctor.database_now", lambda: database_now() + shifted)

    assert f"differ by {abs(seconds)} s" in problems()["clock"]


def test_a_sweep_that_stopped_is_found(well):
    Heartbeat.objects.update(at=database_now() - timedelta(seconds=90))

    assert "It last ran 90 s ago" in problems()["sweep"]


@pytest.mark.parametrize(("free", "expected"), [(100, "problem"), (500, "warning"), (5000, "ok")])
def test_a_full_disk_is_found_before_writes_fail(monkeypatch, free, expected):
    usage = SimpleNamespace(free=free * 1024**2)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)

    assert [one.state for one in doctor._disk()] == [expected]


def test_upstreams_that_fail_or_are_forgotten_are_found(well):
    Upstream.objects.update(list_error="it did not answer within 20 s\nmore")
    assert "billing fails: it did not answer within 20 s" in problems()["upstreams"]

    Upstream.objects.update(list_error="", listed_at=database_now() - timedelta(hours=1))
    assert "billing has not been listed lately" in problems()["upstreams"]

    Upstream.objects.update(is_enabled=False)
    assert problems() == {}


def test_calls_that_want_an_operator_are_found(well, held_call):
    held_call("unknown")
    assert "settle each" in problems()["calls"]

    ToolCall.objects.update(needs_attention="a constraint")
    assert "1 cannot be moved" in next(doctor._calls()).said


def test_a_domain_nobody_releases_for_is_found(well, transactional_db, monkeypatch):
    monkeypatch.setitem(vars(state), "should_stop", None)  # the worker's stop leaves a mark there
    catalog.create_domain("deploys", purpose="Deploys.", owner=well.ann, actor="command")
    worker = EmbeddedWorker(app, domains=["billing"], concurrency=1, name="one@localhost")
    worker.start()
    try:
        said = [one.said for one in doctor._workers()]
    finally:
        worker.stop(10)

    assert said == ["None does the sweeps.", "None releases what is approved in deploys."]


# -- bad input: one line each, and never a traceback ---------------------------------------------


def only(lines, name):
    (line,) = [line for line in lines if line[8:].startswith(f"{name}:")]
    return line


def test_a_folder_without_an_installation_is_said(tmp_path):
    code, lines = doctored(tmp_path / "none")

    assert code == 1
    assert "There is no installation" in only(lines, "migrations")
    assert not (tmp_path / "none" / "countersign.sqlite3").exists()


def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "countersign.sqlite3").write_bytes(b"not a database" * 100)

    code, lines = doctored(tmp_path)

    assert code == 1
    assert "file is not a database" in only(lines, "database")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "nonsense://x", "redis://127.0.0.1:x/0"])
def test_a_database_and_a_redis_that_are_away_are_said(tmp_path, url):
    away = "postgres://nobody:secret-canary@127.0.0.1:1/none"

    code, lines = doctored(tmp_path, DATABASE_URL=away, REDIS_URL=url)

    assert code == 1
    assert only(lines, "database").startswith("PROBLEM")
    assert only(lines, "broker").startswith("PROBLEM")
    assert "secret-canary" not in "".join(lines)


@pytest.mark.postgres
def test_a_wrong_name_or_password_is_said(tmp_path):
    database = connection.settings_dict
    place = f"{database['HOST'] or '127.0.0.1'}:{database['PORT'] or 5432}"

    code, lines = doctored(tmp_path, DATABASE_URL=f"postgres://nobody-here:wrong@{place}/none")

    assert code == 1
    line = only(lines, "database")
    assert "nobody-here" in line
    assert "Is PostgreSQL running, and is DATABASE_URL right?" in line
