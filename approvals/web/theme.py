"""Light or dark: a form sets a cookie, so that it works without script."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from approvals.web.context import THEME_COOKIE, THEMES

_YEAR_SECONDS = 365 * 24 * 3600


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Keep the theme somebody chose in their browser; anything else means the system's own."""
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        back = "/"
    response = HttpResponseRedirect(back)
    keep(response, request.POST.get("theme", ""))
    return response


def keep(response: HttpResponse, theme: str) -> None:
    """Let a browser remember a theme; anything else makes it forget the one it had."""
    if theme not in THEMES:
        response.delete_cookie(THEME_COOKIE)
        return
    response.set_cookie(
        THEME_COOKIE,
        theme,
        max_age=_YEAR_SECONDS,
        secure=settings.IS_HTTPS,
        httponly=True,
        samesite="Lax",
    )
