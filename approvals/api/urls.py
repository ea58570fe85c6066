"""The addresses of the REST interface, below /api/v1/."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from approvals.api import tries, views

urlpatterns = [
    path("calls/", views.Calls.as_view(), name="api_calls"),
    path("calls/<uuid:call_id>/", views.Call.as_view(), name="api_call"),
    path("calls/<uuid:call_id>/decisions/", views.Decisions.as_view(), name="api_decisions"),
    path("calls/<uuid:call_id>/settlement/", views.Settlement.as_view(), name="api_settlement"),
    path("calls/<uuid:call_id>/withdrawal/", views.Withdrawal.as_view(), name="api_withdrawal"),
    path("audit/events/", views.Events.as_view(), name="api_events"),
    path("policy/tries/", tries.Tries.as_view(), name="api_tries"),
    path("policy/tries/<int:try_id>/", tries.Try.as_view(), name="api_try"),
    path("schema/", SpectacularAPIView.as_view(), name="api_schema"),
]
