"""Django settings, for the embedded default and for production; `.env.example` lists the knobs."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF

from config import env, languages, logs

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.data_folder()
SECRET_KEY = env.secret_key(DATA_DIR)
DEBUG = False

# Where people and agents reach this installation; links, origins and the keys' resource use it.
PUBLIC_URL = env.text("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
_public = urlsplit(PUBLIC_URL)
IS_HTTPS = _public.scheme == "https"
# Where this process breaks on purpose: tests of faults only, see approvals/failpoints.py.
FAILPOINTS = env.failpoints(PUBLIC_URL)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS") or [
    _public.hostname or "",
    "127.0.0.1",
    "localhost",
]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# Nothing is auto-detected: these two decide, and without them everything is embedded.
DATABASE_URL = env.text("DATABASE_URL")
REDIS_URL = env.text("REDIS_URL")
IS_EMBEDDED = not REDIS_URL

INSTALLED_APPS = [
    "config",
    "approvals",
    "mcp_bridge",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.static.StaticFiles",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "approvals.web.zones.on_account_pages",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            # Every template has words to translate, and most are made of components.
            "builtins": ["django.templatetags.i18n", "approvals.templatetags.components"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "approvals.web.context.shell",
            ],
        },
    }
]
ASGI_APPLICATION = "config.asgi:all"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _database() -> dict[str, Any]:
    """Return the one database: PostgreSQL where DATABASE_URL names it, else SQLite."""
    if not DATABASE_URL:
        path = DATA_DIR / "countersign.sqlite3"
        database: dict[str, Any] = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": path,
        }
    else:
        database = _parsed(DATABASE_URL)
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = {
            # IMMEDIATE: a transaction that will write takes the lock at once, instead of failing
            # half-way. FULL: an acknowledged decision survives a loss of power.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
        return database
    database["CONN_HEALTH_CHECKS"] = True
    database["OPTIONS"] = {
        **database.get("OPTIONS", {}),
        "pool": {
            "min_size": 1,
            "max_size": env.number("DATABASE_POOL", 16),
            "timeout": 10,
        },
    }
    return database


def _parsed(url: str) -> dict[str, Any]:
    """Return a database's settings; the guards exist for two engines only."""
    try:
        parsed = dict(dj_database_url.parse(url))
    except ValueError:
        parsed = {"ENGINE": ""}
    if not str(parsed["ENGINE"]).endswith(("sqlite3", "postgresql")):
        # Not the URL itself: it may hold a password.
        raise env.ConfigurationError(
            "DATABASE_URL must be postgres://user:password@host:port/name, or unset for SQLite."
        )
    return parsed


DATABASES = {"default": _database()}

CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "config.layers.LoopSafeInMemoryLayer",
        "CONFIG": {"capacity": 2_000},  # hints per socket; a burst of held calls must fit
    }
    if IS_EMBEDDED
    else {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "countersign"},
    }
}

CELERY_BROKER_URL = REDIS_URL or "memory://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"polling_interval": 0.01} if IS_EMBEDDED else {}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # the claim is the lock; a lost message is found by the sweep
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "core"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "approvals.sweep",
        "schedule": timedelta(seconds=1),
        "options": {"expires": 5},
    },
}

# Sign-in
AUTH_USER_MODEL = "approvals.Person"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "approvals.web.accounts.NoSignup"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Countersign"
# Without TLS a browser offers passkeys on localhost only, whose origin the library would refuse.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not IS_HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Two installations on one machine (other ports) must not sign each other's people out.
SESSION_COOKIE_NAME = f"countersign_session_{_public.port or 'std'}"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
# What `check --deploy` need not ask for: to lead http to https is the proxy's work (the containers'
# health checks speak http), and whether other names of the domain do so too is not ours to promise.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "style-src": [SELF],
        "script-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["approvals.api.authentication.SessionOnly"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["approvals.api.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "approvals.api.errors.handle",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Countersign",
    "DESCRIPTION": "Held tool calls of agents, decisions on them, and the trail.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": {
        "CallOutcome": ["succeeded", "failed", "unknown"],
        "SettlementOutcome": ["ran", "not-ran"],
    },
}

LANGUAGE_CODE = "en"
USE_I18N = True
LOCALE_PATHS = [BASE_DIR / "locale"]
# Only what is translated here: Django and allauth bring a hundred languages, and a browser that
# asks for one of them would otherwise be given their few texts amid our English.
LANGUAGES = languages.offered(LOCALE_PATHS[0])
# Numbers read alike in every language, as scripts and Python count too: `floatformat:"0gu"`.
NUMBER_GROUPING = 3
USE_TZ = True
TIME_ZONE = env.text("TIME_ZONE", "UTC")

STATIC_URL = "/static/"
# Served from the packages: no collectstatic step between a clone and the first page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# Limits; the guide of each is in shared words in docs and .env.example
PENDING_PER_AGENT = env.number("PENDING_PER_AGENT", 100)
PENDING_PER_DOMAIN = env.number("PENDING_PER_DOMAIN", 1_000)
PENDING_IN_ALL = env.number("PENDING_IN_ALL", 20_000)
SUBMITS_PER_SECOND = env.number("SUBMITS_PER_SECOND", 10)
SUBMITS_BURST = env.number("SUBMITS_BURST", 50)
REQUESTS_PER_SECOND = env.number("REQUESTS_PER_SECOND", 2_000)  # per key, at the door
READS_PER_AGENT = env.number("READS_PER_AGENT", 16)  # in work at once in one process; 0: no limit
UPSTREAM_TIMEOUT_SECONDS = env.number("UPSTREAM_TIMEOUT_SECONDS", 30)
ANSWER_GRACE_SECONDS = env.number("ANSWER_GRACE_SECONDS", 5)  # after the time-out, before unknown
RELEASES_PER_UPSTREAM = env.number("RELEASES_PER_UPSTREAM", 8)
BREAKER_FAILURES = env.number("BREAKER_FAILURES", 5)  # in a row; then claiming pauses
RUN_WITHIN_SECONDS = env.number("RUN_WITHIN_SECONDS", 600)  # run_by_at - decide_by_at
# The same asked again so soon after a person rejected it is answered from that decision; 0: never.
COOL_DOWN_SECONDS = env.number("COOL_DOWN_SECONDS", 600)
# A policy that loosens waits so long for a second administrator; and, with nobody else, so long.
PROPOSAL_EXPIRES_SECONDS = env.number("PROPOSAL_EXPIRES_SECONDS", 7 * 24 * 3600)
PROPOSAL_ALONE_SECONDS = env.number("PROPOSAL_ALONE_SECONDS", 24 * 3600)
CLAIM_LEASE_SECONDS = env.number("CLAIM_LEASE_SECONDS", 20)
SETTLE_QUARANTINE_SECONDS = env.number("SETTLE_QUARANTINE_SECONDS", 2 * UPSTREAM_TIMEOUT_SECONDS)
CATALOG_REFRESH_SECONDS = env.number("CATALOG_REFRESH_SECONDS", 30)

# For Prometheus, as a bearer token; without one there is no /metrics.
METRICS_TOKEN = env.text("METRICS_TOKEN")

# One JSON object a line, for machines; or lines for people.
LOG_FORMAT = env.text("LOG_FORMAT", "text" if IS_EMBEDDED else "json")
LOGGING: dict[str, Any] = logs.configuration(LOG_FORMAT, env.text("LOG_LEVEL"))
