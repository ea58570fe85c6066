"""The page of one tool at `/catalogue/tools/…/`: its definition, its review, how its calls read."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from approvals import access, observations
from approvals.administration import catalog, templates
from approvals.errors import ApprovalsError, NotFound
from approvals.models import Person, Tool
from approvals.translating import translated
from approvals.web import refusing, tool_page
from approvals.web.accounts import signed_in

_REVIEWED: dict[str, Promise] = {
    "read": gettext_lazy("Reviewed: it reads. Calls made from now on are judged by that."),
    "write": gettext_lazy(
        "Reviewed: it changes something. Calls made from now on are judged by that."
    ),
    "destructive": gettext_lazy(
        "Reviewed: it destroys, or cannot be undone. Calls made from now on are judged by that."
    ),
}
_MOST_ECHOED = 1_000  # characters of a template that is refused anyway


@signed_in
def page(request: HttpRequest, person: Person, tool_id: int) -> HttpResponse:
    """One tool, in full."""
    tool = _get(person, tool_id)
    return _shown(request, person, tool_page.context(person, tool))


@require_POST
@signed_in
def review(request: HttpRequest, person: Person, tool_id: int) -> HttpResponse:
    """Record what the person says the tool does, for the definition their page showed."""

    def verb(tool: Tool, actor: str, digest: str) -> str:
        effect = request.POST.get("effect", "")
        catalog.review_tool(tool, effect=effect, actor=actor, person=person, digest=digest)
        return str(_REVIEWED[effect])

    return _act(request, person, tool_id, "review.refused", verb)


@require_POST
@signed_in
def template(request: HttpRequest, person: Person, tool_id: int) -> HttpResponse:
    """Keep the sentence by which the tool's next calls are told."""

    def verb(tool: Tool, actor: str, digest: str) -> str:
        text = request.POST.get("template", "")
        kept = templates.set_template(tool, text, actor=actor, digest=digest)
        if not kept.template:
            return gettext("Removed. New calls read as their tool’s title and first arguments.")
        return gettext("Saved. New calls read like this; calls that wait keep their words.")

    return _act(request, person, tool_id, "template.refused", verb)


@require_POST
@signed_in
def preview(request: HttpRequest, person: Person, tool_id: int) -> HttpResponse:
    """How the newest call would read; changes nothing."""
    tool = _reviewable(person, tool_id, "template.refused")
    text = request.POST.get("template", "")[:_MOST_ECHOED]
    shown = {"text": text, "preview": tool_page.preview(person, tool, text)}
    htmx: Any = getattr(request, "htmx", False)
    if htmx:
        return _shown(request, person, shown, page="approvals/_preview.html")
    return _shown(request, person, tool_page.context(person, tool) | shown)


def _act(
    request: HttpRequest,
    person: Person,
    tool_id: int,
    refusal: str,
    verb: Callable[[Tool, str, str], str],
) -> HttpResponse:
    """Do a verb and show its effect; or show, on the tool's page as it is now, why not."""
    tool = _reviewable(person, tool_id, refusal)
    # A form without the digest of what was read is no form of ours.
    digest = request.POST.get("digest") or "missing"
    try:
        messages.success(request, verb(tool, f"person:{person.get_username()}", digest))
    except ApprovalsError as error:
        context = tool_page.context(person, _get(person, tool_id))
        context |= {"refusal": refusing.told(error)}
        if "template" in request.POST:
            text = request.POST["template"][:_MOST_ECHOED]
            context |= {"text": text, "preview": tool_page.preview(person, tool, text)}
        return _shown(request, person, context, status=error.http_status)
    return HttpResponseRedirect(reverse("tool", args=[tool.pk]))


def _shown(
    request: HttpRequest,
    person: Person,
    context: dict[str, Any],
    *,
    page: str = "approvals/tool.html",
    status: int = 200,
) -> HttpResponse:
    """Show a tool; a preview tells what a call carries, so an auditor's look at it is recorded."""
    preview = context["preview"]
    if preview and preview.sentence:
        observations.payload_read(person, [preview.call])
    return render(request, page, context, status=status)


def _reviewable(person: Person, tool_id: int, refusal: str) -> Tool:
    tool = _get(person, tool_id)
    permission = access.may_review(person, tool.upstream.domain)
    if not permission:
        observations.person_event(person, refusal, tool=tool.exposed_name, why=permission.why)
        raise PermissionDenied
    return tool


def _get(person: Person, tool_id: int) -> Tool:
    try:
        return access.get_tool(person, tool_id)
    except NotFound as error:
        raise Http404(translated(error.message)) from None
