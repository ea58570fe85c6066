"""What `manage.py check --deploy` says of settings unsafe in production; ids are stable."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError

_LEAST_KEY, _LEAST_DIFFERENT = 50, 5  # characters of SECRET_KEY, as Django asks for
_LEAST_TOKEN = 32
_LONGEST_TIMEOUT = 600  # seconds; a call that takes longer is not one to wait for
_LEAST_LEASE = 5
_LOOPBACK = ("localhost", "127.", "::1")
FAILPOINTS = "COUNTERSIGN_FAIL"  # how variables begin that make it fail on purpose


@dataclass(frozen=True)
class _Unsafe:
    """One thing that may be unsafe: `look` says in words what is, or nothing."""

    id: str
    look: Callable[[], str]
    hint: str


@register(Tags.security, deploy=True)
def settings_are_safe(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """countersign.W001 to W014: settings that tests, a desk or a demo need and production must not.

    Values of secrets are in no message.
    """
    return [
        Warning(problem, hint=one.hint, id=f"countersign.{one.id}")
        for one in _ALL
        if (problem := one.look())
    ]


def _debug() -> str:
    return "DEBUG is on: pages of errors show settings and data." if settings.DEBUG else ""


def _secret_key() -> str:
    key = settings.SECRET_KEY
    is_long = len(key) >= _LEAST_KEY and len(set(key)) >= _LEAST_DIFFERENT
    if is_long and not key.startswith("django-insecure-"):
        return ""
    return "SECRET_KEY is short or a default: sessions and decision forms can be forged."


def _secret_key_is_shared() -> str:
    if settings.IS_EMBEDDED or os.environ.get("SECRET_KEY", "").strip():
        return ""
    return "SECRET_KEY is not set: each data folder has one of its own, and sessions end there."


def _public_url() -> str:
    if settings.PUBLIC_URL.startswith("https://"):
        return ""
    return "PUBLIC_URL is not https: passwords and agents' keys cross the network as they are."


def _cookies() -> str:
    unsafe = [
        name
        for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY")
        if not getattr(settings, name)
    ]
    if settings.SESSION_COOKIE_SAMESITE not in ("Lax", "Strict"):
        unsafe.append("SESSION_COOKIE_SAMESITE")
    return f"Cookies can be read or used by others: {', '.join(unsafe)}." if unsafe else ""


def _hosts() -> str:
    wide = [host for host in settings.ALLOWED_HOSTS if "*" in host or host.startswith(".")]
    return f"ALLOWED_HOSTS lets in any name: {', '.join(wide)}." if wide else ""


def _database() -> str:
    if settings.IS_EMBEDDED or not _on_sqlite():
        return ""
    return "REDIS_URL asks for several processes, and they would share one SQLite file."


def _broker() -> str:
    if not settings.IS_EMBEDDED or _on_sqlite():
        return ""
    return "PostgreSQL without REDIS_URL: processes do not hear each other, and sweeps do it late."


def _failpoints() -> str:
    named = sorted(name for name in os.environ if name.startswith(FAILPOINTS))
    return f"It is made to fail on purpose, by {', '.join(named)}." if named else ""


def _metrics_token() -> str:
    is_short = 0 < len(settings.METRICS_TOKEN) < _LEAST_TOKEN
    return f"METRICS_TOKEN has less than {_LEAST_TOKEN} characters." if is_short else ""


def _redis() -> str:
    url = urlsplit(settings.CELERY_BROKER_URL)
    if url.scheme not in ("redis", "rediss") or url.password or not _is_foreign(url.hostname):
        return ""
    return f"Redis at {url.hostname} asks for no password."


def _database_password() -> str:
    database = settings.DATABASES["default"]
    host = str(database.get("HOST", ""))
    if _on_sqlite() or database.get("PASSWORD") or not _is_foreign(host):
        return ""
    return f"PostgreSQL at {host} is used without a password."


def _guards() -> str:
    from approvals import guards

    try:
        missing = guards.problems()
    except DatabaseError:
        return "The database cannot be asked whether its guards are in place."
    first = missing[0] if missing else ""
    return f"{len(missing)} database guards are not in place, the first: {first}" if first else ""


def _limits() -> str:
    return " ".join(_unreasonable())


def _unreasonable() -> Iterator[str]:
    for name in ("SUBMITS_PER_SECOND", "REQUESTS_PER_SECOND", "READS_PER_AGENT"):
        if getattr(settings, name) <= 0:
            yield f"{name}=0 is no limit."
    for name in ("PENDING_PER_AGENT", "PENDING_PER_DOMAIN", "PENDING_IN_ALL"):
        if getattr(settings, name) <= 0:
            yield f"{name}=0 lets nothing be held."
    if settings.RELEASES_PER_UPSTREAM <= 0:
        yield "RELEASES_PER_UPSTREAM=0 lets nothing be released."
    if not 0 < settings.UPSTREAM_TIMEOUT_SECONDS <= _LONGEST_TIMEOUT:
        yield f"UPSTREAM_TIMEOUT_SECONDS is not within 1 to {_LONGEST_TIMEOUT}."
    if settings.CLAIM_LEASE_SECONDS < _LEAST_LEASE:
        yield f"CLAIM_LEASE_SECONDS is under {_LEAST_LEASE}: claims are lost while connecting."


def _on_sqlite() -> bool:
    return str(settings.DATABASES["default"]["ENGINE"]).endswith("sqlite3")


def _is_foreign(host: str | None) -> bool:
    """Return whether a host is beyond this machine or its private network of containers."""
    # A name without a dot, such as a service's in docker-compose.yml, is nobody else's.
    return any(mark in str(host or "") for mark in ".:") and not str(host).startswith(_LOOPBACK)


_ALL = (
    _Unsafe("W001", _debug, "Leave DEBUG off."),
    _Unsafe(
        "W002", _secret_key,
        'python3 -c "import secrets; print(secrets.token_urlsafe(50))" makes a good one.',
    ),
    _Unsafe("W003", _public_url, "Put a proxy with TLS in front, and set PUBLIC_URL to its name."),
    _Unsafe("W004", _cookies, "An https PUBLIC_URL switches them on; undo what switched them off."),
    _Unsafe("W005", _hosts, "Name every host in ALLOWED_HOSTS."),
    _Unsafe("W006", _database, "Set DATABASE_URL to a PostgreSQL database."),
    _Unsafe("W007", _broker, "Set REDIS_URL, or unset DATABASE_URL to have one process."),
    _Unsafe("W008", _failpoints, "Unset it: only tests of faults need it."),
    _Unsafe("W009", _metrics_token, f"Give it {_LEAST_TOKEN} random characters, or unset it."),
    _Unsafe("W010", _redis, "Set a password: REDIS_URL=redis://:PASSWORD@HOST:6379/0."),
    _Unsafe("W011", _guards, "Run `manage.py migrate`; `manage.py doctor` says more."),
    _Unsafe("W012", _limits, ".env.example tells what each limit is for."),
    _Unsafe("W013", _secret_key_is_shared, "Give every process the same SECRET_KEY."),
    _Unsafe("W014", _database_password, "DATABASE_URL=postgres://USER:PASSWORD@HOST:5432/NAME."),
)  # fmt: skip
