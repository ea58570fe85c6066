"""The addresses of the pages."""

from django.urls import include, path

from approvals.web import (
    agent_page,
    agents,
    calls,
    catalogue,
    first_run,
    groups,
    health,
    history,
    insights,
    policies,
    preferences,
    presence,
    queue,
    theme,
    tools,
)

urlpatterns = [
    path("accounts/", include("approvals.web.account_urls")),
    path("", queue.page, name="queue"),
    path("queue/changes/", queue.changes, name="queue_changes"),
    path("calls/<uuid:call_id>/", calls.page, name="call"),
    path("calls/<uuid:call_id>/parts/", calls.parts, name="call_parts"),
    path("calls/<uuid:call_id>/presence/", presence.presence, name="call_presence"),
    path("calls/<uuid:call_id>/decide/", calls.decide, name="call_decide"),
    path("calls/<uuid:call_id>/settle/", calls.settle, name="call_settle"),
    path("calls/<uuid:call_id>/withdraw/", calls.withdraw, name="call_withdraw"),
    path("history/", history.page, name="history"),
    path("history/changes/", history.changes, name="history_changes"),
    path("history/reads/", history.reads, name="history_reads"),
    path("insights/", insights.page, name="insights"),
    path("catalogue/", catalogue.page, name="catalogue"),
    path(
        "catalogue/servers/<int:upstream_id>/refresh/", catalogue.refresh, name="upstream_refresh"
    ),
    path("catalogue/domains/<slug:domain>/groups/", groups.page, name="groups"),
    path("catalogue/domains/<slug:domain>/groups/<int:group_id>/", groups.change, name="group"),
    path("catalogue/tools/<int:tool_id>/", tools.page, name="tool"),
    path("catalogue/tools/<int:tool_id>/review/", tools.review, name="tool_review"),
    path("catalogue/tools/<int:tool_id>/template/", tools.template, name="tool_template"),
    path("catalogue/tools/<int:tool_id>/preview/", tools.preview, name="tool_preview"),
    path("policies/", policies.page, name="policies"),
    path("policies/<int:number>/", policies.page, name="policy_version"),
    path("agents/", agents.page, name="agents"),
    path("agents/-/new/", agents.new, name="agent_new"),  # no agent's name begins with a hyphen
    path("agents/-/stop/", agents.stop, name="agents_stop"),
    path("agents/-/resume/", agents.resume, name="agents_resume"),
    path("agents/<str:name>/", agent_page.page, name="agent"),
    path("agents/<str:name>/pause/", agents.pause, name="agent_pause"),
    path("agents/<str:name>/keys/", agent_page.make_key, name="agent_keys"),
    path("agents/<str:name>/keys/<str:prefix>/revoke/", agent_page.revoke, name="agent_revoke"),
    path("first-run/", first_run.page, name="first_run"),
    path("first-run/state/", first_run.state, name="first_run_state"),
    path("settings/", preferences.page, name="settings"),
    path("theme/", theme.choose, name="theme"),
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("metrics", health.metrics, name="metrics"),
]
