"""The addresses of the REST interface, below /api/v1/."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from approvals.api import policy, views

urlpatterns = [
    path("calls/", views.Calls.as_view(), name="api_calls"),
    path("calls/<uuid:call_id>/", views.Call.as_view(), name="api_call"),
    path("calls/<uuid:call_id>/decisions/", views.Decisions.as_view(), name="api_decisions"),
    path("calls/<uuid:call_id>/settlement/", views.Settlement.as_view(), name="api_settlement"),
    path("calls/<uuid:call_id>/withdrawal/", views.Withdrawal.as_view(), name="api_withdrawal"),
    path("audit/events/", views.Events.as_view(), name="api_events"),
    path("policy/", policy.Policy.as_view(), name="api_policy"),
    path("policy/versions/<int:number>/", policy.Version.as_view(), name="api_version"),
    path("policy/draft/", policy.Draft.as_view(), name="api_draft"),
    path("policy/draft/rules/", policy.DraftRules.as_view(), name="api_draft_rules"),
    path("policy/draft/rebase/", policy.DraftRebase.as_view(), name="api_draft_rebase"),
    path("policy/draft/publication/", policy.DraftPublication.as_view(), name="api_publication"),
    path("policy/draft/discard/", policy.DraftDiscarding.as_view(), name="api_draft_discard"),
    path("policy/proposals/", policy.Proposals.as_view(), name="api_proposals"),
    path("policy/proposals/<int:proposal_id>/", policy.OneProposal.as_view(), name="api_proposal"),
    path(
        "policy/proposals/<int:proposal_id>/signature/",
        policy.Signature.as_view(),
        name="api_signature",
    ),
    path(
        "policy/proposals/<int:proposal_id>/withdrawal/",
        policy.ProposalWithdrawal.as_view(),
        name="api_proposal_withdrawal",
    ),
    path("schema/", SpectacularAPIView.as_view(), name="api_schema"),
]
