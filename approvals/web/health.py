"""Is it alive, can it work, what are its figures? For load balancers, operators and Prometheus."""

from collections.abc import Callable
from datetime import timedelta

from celery import current_app
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

from approvals import guards
from approvals import metrics as figures
from approvals.models import Heartbeat, database_now

SWEEP_LATE_AFTER = timedelta(seconds=15)  # it runs once a second
_BROKER_PATIENCE_SECONDS = 2


@never_cache
def alive(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process does; ask nobody."""
    return JsonResponse({"status": "ok"})


@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 when calls can be held, decided and released, else 503 and what is missing."""
    found = {name: check() for name, check in _CHECKS.items()}
    is_ready = not any(found.values())
    told = {name: problem or "ok" for name, problem in found.items()}
    return JsonResponse(
        {"status": "ok" if is_ready else "not ready", "checks": told},
        status=200 if is_ready else 503,
    )


@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer Prometheus, which shows the token; without one in the settings there is nothing."""
    if not figures.is_offered():
        raise Http404
    if not figures.may_read(request.headers.get("authorization", "")):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        return HttpResponse(figures.page(), content_type=figures.CONTENT_TYPE)
    except DatabaseError:
        return HttpResponse("The database does not answer.\n", "text/plain", status=503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "The database does not answer."
    return ""


def _broker() -> str:
    try:
        with current_app.connection_for_read(connect_timeout=_BROKER_PATIENCE_SECONDS) as broker:
            broker.ensure_connection(max_retries=1, timeout=_BROKER_PATIENCE_SECONDS)
    except Exception:  # noqa: BLE001 - each transport has its own errors; all mean the same here
        return "The broker does not answer."
    return ""


def _sweep() -> str:
    try:
        beat = Heartbeat.objects.filter(name="sweep").first()
        if beat is None:
            return "The sweep has never run."
        late = database_now() - beat.at
    except DatabaseError:
        return "Nobody can tell when the sweep last ran."
    return f"The sweep is {int(late.total_seconds())} s late." if late > SWEEP_LATE_AFTER else ""


def _guards() -> str:
    try:
        return " ".join(guards.problems())
    except DatabaseError:
        return "Nobody can tell whether the database guards are installed."


_CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "broker": _broker,
    "sweep": _sweep,
    "guards": _guards,
}
