"""Every address of the web application. `/mcp` is not here: the ASGI application takes it first."""

from django.urls import URLPattern, URLResolver, include, path

handler404 = "approvals.web.refusing.no_such_page"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("approvals.api.urls")),
    path("", include("approvals.web.urls")),
]
