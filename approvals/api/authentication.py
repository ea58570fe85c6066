"""Who may speak to the REST interface: people with a session; an agent's key is nobody here."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request


class SessionOnly(SessionAuthentication):
    """A browser's session with CSRF on every change; answers 401, not 403, where there is none."""

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 names as the way in."""
        return "Session"


class SessionInDocument(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # theirs
    """How the OpenAPI document names that way in; registered by being here."""

    target_class = SessionOnly
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return it as OpenAPI writes it."""
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
