"""What is measured, and how: a few counts of the database, and the lengths of workers' queues."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from celery import current_app
from django.db.models import Count, F, Min, OuterRef, Subquery
from kombu.exceptions import OperationalError as BrokerError

from approvals import events, figures
from approvals.metrics.exposition import Metric
from approvals.models import Decision, Dispatch, Domain, Heartbeat, ToolCall, database_now

S = ToolCall.Status
# While a call is in one of these, somebody waits: people, a worker or an upstream.
_OPEN = (S.PENDING, S.APPROVED, S.CLAIMED, S.DISPATCHED, S.UNKNOWN)
_LATELY = timedelta(minutes=5)
_MOST_RELEASES = 1_000  # looked at for one page, the newest
_SHARES = (0.5, 0.95, 0.99)
_BROKER_SECONDS = 1

_here: dict[str, Callable[[], int]] = {}


def count_here(name: str, count: Callable[[], int]) -> None:
    """Let this process tell a count of its own; a later one of the same name replaces it."""
    _here[name] = count


def everything() -> Iterator[Metric]:
    """Yield every figure, as of now.

    Raises:
        DatabaseError: nobody can tell.
    """
    now = database_now()
    domains = list(Domain.objects.order_by("name").values_list("name", flat=True))
    yield _calls(domains)
    yield _oldest(now)
    yield _decisions(domains)
    yield _dispatches(domains)
    yield from _release_latency(now)
    yield _sweep_lag(now)
    yield from _queues(domains)
    waiting = _here.get("waits")
    yield Metric(
        "countersign_waiting_requests", "gauge",
        "Agents' requests that this process holds open until a call is answered.",
        [({}, waiting())] if waiting else [],
    )  # fmt: skip


def _calls(domains: list[str]) -> Metric:
    metric = Metric("countersign_calls", "gauge", "Calls that are in a state now.")
    # Ordered by nothing, so that the group is only what is named here.
    rows = ToolCall.objects.order_by().values_list("domain__name", "status")
    counts = {(domain, status): count for domain, status, count in rows.annotate(n=Count("pk"))}
    for domain in domains:
        for status in S:
            metric.add(counts.get((domain, str(status)), 0), domain=domain, status=str(status))
    return metric


def _oldest(now: datetime) -> Metric:
    metric = Metric(
        "countersign_oldest_call_seconds", "gauge",
        "How long the oldest call of those that are not settled has been in its state.",
    )  # fmt: skip
    rows = ToolCall.objects.filter(status__in=_OPEN).order_by().values("domain__name", "status")
    for row in rows.annotate(since=Min("moved_at")):
        age = max(0.0, (now - row["since"]).total_seconds())
        metric.add(age, domain=row["domain__name"], status=row["status"])
    return metric


def _decisions(domains: list[str]) -> Metric:
    metric = Metric("countersign_decisions_total", "counter", "Decisions of people.")
    rows = Decision.objects.order_by().values_list("call__domain__name", "verdict")
    counts = {(domain, verdict): count for domain, verdict, count in rows.annotate(n=Count("pk"))}
    for domain in domains:
        for verdict in Decision.Verdict:
            given = str(verdict)
            metric.add(counts.get((domain, given), 0), domain=domain, verdict=given)
    return metric


def _dispatches(domains: list[str]) -> Metric:
    metric = Metric("countersign_dispatches_total", "counter", "Calls sent to their upstream.")
    rows = Dispatch.objects.order_by().values_list("call__domain__name")
    counts = dict(rows.annotate(n=Count("pk")))
    for domain in domains:
        metric.add(counts.get(domain, 0), domain=domain)
    return metric


def _release_latency(now: datetime) -> Iterator[Metric]:
    """Yield how long released calls had waited for a worker since they were approved."""
    lately = f"of the last {_LATELY.seconds // 60} minutes"
    latency = Metric(
        "countersign_release_latency_seconds", "gauge",
        f"From approved to sent, quantiles of the calls sent, {lately}"
        f" (at most {_MOST_RELEASES}).",
    )  # fmt: skip
    count = Metric(
        "countersign_release_latency_calls", "gauge", f"Calls sent, {lately}: behind the quantiles."
    )
    by_domain: dict[str, Counter[int]] = {}
    for domain, waited in _released(now - _LATELY):
        milliseconds = max(0, round(waited.total_seconds() * 1000))
        by_domain.setdefault(domain, Counter())[milliseconds] += 1
    for domain, counts in sorted(by_domain.items()):
        count.add(counts.total(), domain=domain)
        for share in _SHARES:
            value = figures.percentile(counts, share)
            if value is not None:
                latency.add(value / 1000, domain=domain, quantile=str(share))
    yield latency
    yield count


def _released(since: datetime) -> Iterator[tuple[str, timedelta]]:
    last_vote = Decision.objects.filter(call=OuterRef("call"), verdict="approve").order_by("-at")
    newest = Dispatch.objects.order_by("-pk").annotate(
        voted_at=Subquery(last_vote.values("at")[:1]),
        domain=F("call__domain__name"),
        created_at=F("call__created_at"),
    )
    # By number and not by time: that is what there is an index of.
    rows = newest.values_list("domain", "at", "voted_at", "created_at")[:_MOST_RELEASES]
    for domain, at, voted_at, created_at in rows:
        if at >= since:
            yield domain, at - (voted_at or created_at)


def _sweep_lag(now: datetime) -> Metric:
    beat = Heartbeat.objects.filter(name="sweep").first()
    lag = max(0.0, (now - beat.at).total_seconds()) if beat else float("inf")
    return Metric(
        "countersign_sweep_lag_seconds", "gauge",
        "Since the last sweep that ran to its end; it runs every second. +Inf: never.",
        [({}, lag)],
    )  # fmt: skip


def _queues(domains: list[str]) -> Iterator[Metric]:
    depth = Metric(
        "countersign_queue_depth", "gauge",
        "Messages that wait for the workers of a domain; domain core: the sweeps' own.",
    )  # fmt: skip
    is_up = False
    with current_app.connection_for_read(connect_timeout=_BROKER_SECONDS) as broker:
        unreachable: tuple[type[BaseException], ...] = (BrokerError, *broker.connection_errors)
        try:
            broker.ensure_connection(max_retries=1, timeout=_BROKER_SECONDS)
            for name in domains:
                waiting = events.messages_waiting(events.release_queue(name), broker)
                depth.add(waiting, domain=name)
            core = str(current_app.conf.task_default_queue)
            depth.add(events.messages_waiting(core, broker), domain=core)
            is_up = True
        except unreachable:
            depth.samples.clear()
    yield depth
    yield Metric(
        "countersign_broker_up", "gauge", "1: the broker answers; 0: it does not, and the sweep"
        " finds what its messages would have started.", [({}, float(is_up))],
    )  # fmt: skip
