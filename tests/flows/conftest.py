"""Fixtures of the stories: installations that really run, on each database, and people in them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.flows.errands import AGENTS, EXAMPLES, FRAGILE, RULES
from tests.support import services
from tests.support.running import Fragile, Installation, Person, postgres_database

SETTINGS = {"SETTLE_QUARANTINE_SECONDS": "1", "CATALOG_REFRESH_SECONDS": "2"}
DATABASES = [
    pytest.param("sqlite", marks=pytest.mark.sqlite),
    pytest.param("postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(scope="session", params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """Return which database the installations of this test stand on."""
    return str(request.param)


@contextmanager
def populated(folder: Path, database: str, fragile: dict[str, str]) -> Iterator[Installation]:
    """Yield an installation that has people, upstreams and agents, and is not started."""
    name = urlsplit(services.postgres_database_url()).path.strip("/")
    is_postgres = database == "postgres"
    with postgres_database(f"{name}_{folder.name}") if is_postgres else nullcontext("") as url:
        installation = Installation(folder, url, settings=SETTINGS)
        installation.populate(examples=EXAMPLES, fragile=fragile, rules=RULES, agents=AGENTS)
        try:
            yield installation
        finally:
            installation.close()


@pytest.fixture(scope="session")
def installation(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return the installation that runs all the time; stories share it, each with its own calls."""
    with populated(tmp_path_factory.mktemp("shared"), database, FRAGILE) as found:
        found.start()
        yield found


@pytest.fixture(scope="session")
def spare(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return an installation that is not running: for stories that start, stop and kill it."""
    with populated(tmp_path_factory.mktemp("spare"), database, {"fragile": "billing"}) as found:
        yield found


@pytest.fixture
def stopped(spare: Installation) -> Iterator[Installation]:
    """Return the spare installation, and see to it that it does not run afterwards."""
    try:
        yield spare
    finally:
        spare.kill()


@pytest.fixture(scope="session")
def bo(installation: Installation) -> Person:
    """Return an approver of every domain."""
    return installation.person("bo")


@pytest.fixture(scope="session")
def cy(installation: Installation) -> Person:
    """Return another one."""
    return installation.person("cy")


@pytest.fixture(scope="session")
def ann(installation: Installation) -> Person:
    """Return the owner of every agent."""
    return installation.person("ann")


@pytest.fixture
def fragile(installation: Installation) -> Iterator[Fragile]:
    """Return the hands on an upstream that breaks on request."""
    hands = Fragile(installation.data / "fragile")
    hands.reset()
    yield hands
    hands.let_go()
