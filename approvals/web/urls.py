"""The addresses of the pages."""

from django.urls import include, path

from approvals.web import calls, health, history, insights, queue, theme

urlpatterns = [
    path("accounts/", include("approvals.web.account_urls")),
    path("", queue.page, name="queue"),
    path("queue/changes/", queue.changes, name="queue_changes"),
    path("calls/<uuid:call_id>/", calls.page, name="call"),
    path("calls/<uuid:call_id>/parts/", calls.parts, name="call_parts"),
    path("calls/<uuid:call_id>/decide/", calls.decide, name="call_decide"),
    path("calls/<uuid:call_id>/settle/", calls.settle, name="call_settle"),
    path("calls/<uuid:call_id>/withdraw/", calls.withdraw, name="call_withdraw"),
    path("history/", history.page, name="history"),
    path("history/changes/", history.changes, name="history_changes"),
    path("history/reads/", history.reads, name="history_reads"),
    path("insights/", insights.page, name="insights"),
    path("theme/", theme.choose, name="theme"),
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
]
