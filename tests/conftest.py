"""Fixtures of all tests: the world of `tests.support.world`, and databases whose guards stay on."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import TransactionTestCase

from approvals import guards, observations
from approvals.models import ToolCall
from tests.support import world as worlds
from tests.support.canaries import watching

pytest_plugins = ["tests.support.requirements_plugin"]

# A test that commits ends with a flush, which the guards would refuse. Django installs them again
# by itself: a flush sends post_migrate.
_test_case: Any = TransactionTestCase
_flush = _test_case._fixture_teardown


def _flush_without_guards(self: TransactionTestCase) -> None:
    guards.drop()
    _flush(self)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep SQLite's test database in a file: in memory, threads would meet locks no server has."""
    if connection.vendor == "sqlite":
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        connection.settings_dict["TEST"]["NAME"] = str(path)


@pytest.fixture(scope="session", autouse=True)
def _flushable() -> Iterator[None]:
    _test_case._fixture_teardown = _flush_without_guards
    yield
    _test_case._fixture_teardown = _flush


@pytest.fixture(scope="session", autouse=True)
def _no_secret_is_told() -> Iterator[None]:
    """Fail the session whose tests let the product log a key or a password, or queue one."""
    with watching() as seen:
        yield
    assert not seen, f"a key or a password was told: {seen[:3]}"


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _fresh_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count each test's refusals anew; a process records only so many of an agent in a minute."""
    monkeypatch.setattr(observations, "_samples", observations._Samples())
    monkeypatch.setattr(observations, "_calls", observations._Calls())


@pytest.fixture
def world(db: None) -> worlds.World:
    """Return people, a domain, an upstream, two tools and an agent."""
    return worlds.build()


@pytest.fixture
def held_call(world: worlds.World) -> Callable[..., ToolCall]:
    """Return a maker of calls: `held_call(status=…, age=…, quorum=…, arguments=…)`."""

    def make(status: str = "pending", **options: Any) -> ToolCall:
        if status == ToolCall.Status.EXPIRED:
            options.setdefault("age", timedelta(hours=2))
        return worlds.walk(worlds.hold(world, **options), world, status)

    return make


@pytest.fixture(scope="session", autouse=True)
def _nobody_else_at_the_end(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End sessions that threads of the product keep open, so that the database can be dropped."""
    yield
    # No test database is made for tests none of which uses it.
    is_made = str(connection.settings_dict["NAME"]).startswith("test_")
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql" and is_made:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
