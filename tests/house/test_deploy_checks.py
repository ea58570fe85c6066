"""What `manage.py check --deploy` promises: each unsafe setting is named, a safe set is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks

from approvals import guards

ROOT = Path(__file__).resolve().parents[2]
KEY = "k9Qz-_x7" * 8
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PASSWORD": "secret"}
REMOTE = {**POSTGRES, "HOST": "db.example.com", "PASSWORD": ""}


@pytest.fixture
def safe(db, settings, monkeypatch):
    """Make the settings those of a production that nobody could complain about."""
    for name in [name for name in os.environ if name.startswith("COUNTERSIGN_FAIL")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SECRET_KEY", KEY)
    settings.SECRET_KEY = KEY
    settings.DEBUG = settings.IS_EMBEDDED = False
    settings.PUBLIC_URL = "https://countersign.example.com"
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.ALLOWED_HOSTS = ["countersign.example.com"]
    settings.CELERY_BROKER_URL = "redis://redis:6379/0"
    settings.METRICS_TOKEN = KEY
    for name, value in POSTGRES.items():
        monkeypatch.setitem(settings.DATABASES["default"], name, value)
    return settings


def found():
    checks = run_checks(include_deployment_checks=True)
    return {check.id: check for check in checks if str(check.id).startswith("countersign.")}


def test_a_safe_set_of_settings_is_not_complained_about(safe):
    assert found() == {}


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("DEBUG", True, "W001"),
        ("SECRET_KEY", KEY[:49], "W002"),
        ("SECRET_KEY", "a" * 60, "W002"),
        ("SECRET_KEY", f"django-insecure-{KEY}", "W002"),
        ("PUBLIC_URL", "http://countersign.example.com", "W003"),
        ("SESSION_COOKIE_SECURE", False, "W004"),
        ("CSRF_COOKIE_SECURE", False, "W004"),
        ("SESSION_COOKIE_HTTPONLY", False, "W004"),
        ("SESSION_COOKIE_SAMESITE", "None", "W004"),
        ("ALLOWED_HOSTS", ["*"], "W005"),
        ("ALLOWED_HOSTS", ["countersign.example.com", ".example.com"], "W005"),
        ("IS_EMBEDDED", True, "W007"),
        ("METRICS_TOKEN", "short", "W009"),
        ("CELERY_BROKER_URL", "redis://redis.example.com:6379/0", "W010"),
        ("CELERY_BROKER_URL", "redis://10.0.0.7:6379/0", "W010"),
        ("SUBMITS_PER_SECOND", 0, "W012"),
        ("REQUESTS_PER_SECOND", 0, "W012"),
        ("READS_PER_AGENT", 0, "W012"),
        ("PENDING_PER_AGENT", 0, "W012"),
        ("PENDING_PER_DOMAIN", 0, "W012"),
        ("PENDING_IN_ALL", 0, "W012"),
        ("RELEASES_PER_UPSTREAM", 0, "W012"),
        ("UPSTREAM_TIMEOUT_SECONDS", 601, "W012"),
        ("UPSTREAM_TIMEOUT_SECONDS", 0, "W012"),
        ("CLAIM_LEASE_SECONDS", 1, "W012"),
    ],
)
def test_each_unsafe_setting_is_named_with_what_to_do(safe, name, value, check):
    setattr(safe, name, value)

    warnings = found()

    assert list(warnings) == [f"countersign.{check}"]
    assert warnings[f"countersign.{check}"].hint


@pytest.mark.parametrize("value", ["redis://:secret@10.0.0.7:6379/0", "redis://127.0.0.1/0"])
def test_a_redis_with_a_password_or_on_this_machine_is_safe(safe, value):
    safe.CELERY_BROKER_URL = value

    assert found() == {}


def test_one_file_for_several_processes_is_named(safe, monkeypatch):
    monkeypatch.setitem(safe.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")

    assert list(found()) == ["countersign.W006"]


def test_a_foreign_database_without_a_password_is_named(safe, monkeypatch):
    for name, value in REMOTE.items():
        monkeypatch.setitem(safe.DATABASES["default"], name, value)

    assert list(found()) == ["countersign.W014"]


def test_an_installation_that_fails_on_purpose_is_named(safe, monkeypatch):
    monkeypatch.setenv("COUNTERSIGN_FAILPOINTS", "after_claim")

    assert list(found()) == ["countersign.W008"]


def test_a_secret_key_that_is_only_in_a_data_folder_is_named(safe, monkeypatch):
    monkeypatch.delenv("SECRET_KEY")

    assert list(found()) == ["countersign.W013"]


def test_missing_guards_are_named(safe, transactional_db):
    guards.drop()

    assert list(found()) == ["countersign.W011"]


def test_no_secret_is_in_a_message(safe):
    safe.SECRET_KEY, safe.METRICS_TOKEN = "short-canary", "canary"
    safe.CELERY_BROKER_URL = "redis://canary@redis.example.com/0"

    told = " ".join(f"{check.msg} {check.hint}" for check in found().values())

    assert len(found()) == 3
    assert "canary" not in told


def test_the_command_names_them_and_an_unreachable_database_is_a_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"], cwd=ROOT, text=True,
        env={
            "PATH": os.environ["PATH"], "COUNTERSIGN_NO_BOOTSTRAP": "1", "SECRET_KEY": "short",
            "DATABASE_URL": "postgres://nobody:x@127.0.0.1:1/none", "METRICS_TOKEN": "short",
        },
        capture_output=True, check=False, timeout=100,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for check in ("W002", "W003", "W004", "W007", "W009", "W011"):
        assert f"(countersign.{check})" in done.stderr
    assert "cannot be asked" in done.stderr
