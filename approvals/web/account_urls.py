"""The addresses below /accounts/ that exist here: no sign-up and nothing that would send e-mail."""

from allauth.account import views
from django.urls import include, path

from approvals.web import second_factor  # noqa: F401 - connects what it hears

urlpatterns = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("password/change/", views.password_change, name="account_change_password"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("2fa/", include("allauth.mfa.urls")),
]
