"""What tests can need besides Python: where it is, whether it is there, and how to get it."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

import psycopg
import redis

from config.environments import Stop
from tests.support.thirdparty import git_server


@dataclass(frozen=True)
class Service:
    """One thing that may be absent on a newcomer's laptop; its marker has the same key."""

    name: str
    how: str  # to get it, in a few words
    find: Callable[[], bool]

    def absence(self) -> str:
        """Return the one line for the person whose machine lacks it."""
        return f"{self.name} is absent; to get it: {self.how}"


def postgres_url() -> str:
    """Return the address of a PostgreSQL whose role may create databases."""
    return os.environ.get("TEST_POSTGRES_URL") or "postgres://postgres@127.0.0.1:5432/"


def postgres_server_url() -> str:
    """Return the address of the database that is always there; others are created from it."""
    return urlsplit(postgres_url())._replace(path="/postgres").geturl()


def postgres_database_url() -> str:
    """Return a DATABASE_URL of this process's own, so that two runs do not meet in one database."""
    parts = urlsplit(postgres_url())
    name = parts.path.strip("/") or "countersign"
    return parts._replace(path=f"/{name}_{os.getpid()}").geturl()


def redis_url() -> str:
    """Return the address of a Redis database that tests may empty."""
    return os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/15"


def second_redis_url() -> str:
    """Return the address of the one before it, for a second session beside this one."""
    server, _, number = redis_url().rpartition("/")
    return f"{server}/{int(number) - 1}" if number.isdecimal() and int(number) else redis_url()


def chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, CHROMIUMS)), None)


CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def session_database() -> str:
    """Return "postgres" or "sqlite": what this test session's default database is."""
    is_postgres = os.environ.get("DATABASE_URL", "").startswith("postgres")
    return "postgres" if is_postgres else "sqlite"


def _finds_postgres() -> bool:
    may_create = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    try:
        with psycopg.connect(postgres_server_url(), connect_timeout=3) as connection:
            return connection.execute(may_create).fetchone() == (True,)
    except psycopg.Error:
        return False


def _finds_redis() -> bool:
    try:
        with redis.Redis.from_url(redis_url(), socket_connect_timeout=3) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _finds_git_server() -> bool:
    try:
        return git_server().exists()
    except Stop:
        return False


SERVICES = {
    "postgres": Service(
        "PostgreSQL",
        "`apt install postgresql`, then TEST_POSTGRES_URL=postgres://ROLE:PASSWORD@HOST/"
        " with a role that may create databases",
        _finds_postgres,
    ),
    "redis": Service(
        "Redis",
        "`apt install redis-server`, or TEST_REDIS_URL=redis://HOST:6379/15",
        _finds_redis,
    ),
    "browser": Service("Chromium", "`apt install chromium`", lambda: chromium() is not None),
    "thirdparty": Service("mcp-server-git", "run the tests once with a network", _finds_git_server),
}


@cache
def is_there(key: str) -> bool:
    """Tell whether a service can be used, asking it once in a session."""
    return SERVICES[key].find()
