"""Gathers what the page of one tool shows; a fixed number of queries, whatever the tool is."""

import json
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, Min
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import access, policy, ruling, wording
from approvals.administration import templates
from approvals.errors import InvalidInput
from approvals.models import Agent, Person, Tool, ToolCall, ToolDefinition, database_now
from approvals.translating import translated
from approvals.web import definition_changes, schema_rows, showing
from approvals.web.definition_changes import HINTS, Definition, pretty

_MOST_AGENTS = 20


@dataclass(frozen=True)
class Effect:
    """What a person can say a tool does."""

    value: str
    words: Promise
    means: Promise


EFFECTS = (
    Effect("read", gettext_lazy("Reads"), gettext_lazy("Rules that allow reads let it through")),
    Effect(
        "write",
        gettext_lazy("Changes something"),
        gettext_lazy("Held, unless a rule lets this very tool through"),
    ),
    Effect(
        "destructive",
        gettext_lazy("Destroys, or cannot be undone"),
        gettext_lazy("Held in the same way, at high risk"),
    ),
)


@dataclass(frozen=True)
class Preview:
    """How the newest call that the reader may see would read."""

    call: ToolCall | None
    sentence: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Ruled:
    """The rule that governs a tool's calls by some agents."""

    position: int
    words: str
    agents: list[str]


def context(person: Person, tool: Tool) -> dict[str, Any]:
    """Return what the template of the page needs."""
    definition, reviewed = _definitions(tool)
    is_changed = bool(tool.reviewed_digest) and tool.reviewed_digest != tool.definition_digest
    mine = access.visible_to(person).filter(tool=tool, status=ToolCall.Status.PENDING)
    may_review = access.may_review(person, tool.upstream.domain)
    description = str(definition.get("description") or "")
    has_template = bool(tool.template) and tool.template_digest == tool.definition_digest
    return {
        "now": database_now(),
        "tool": tool,
        "upstream": tool.upstream,
        "domain": tool.upstream.domain,
        "title": wording.visible(str(definition.get("title") or "")),
        "description": wording.visible(description),
        "is_hiding": any(
            part.hidden and not part.is_break for part in wording.visible(description)
        ),
        "hints": [
            (words, definition_changes.hint(definition, key)) for key, words in HINTS.items()
        ],
        "arguments": [
            (argument, wording.visible(argument.description))
            for argument in schema_rows.arguments(definition.get("inputSchema"))
        ],
        "raw": [wording.visible(line) for line in pretty(definition).split("\n")],
        "changes": definition_changes.between(reviewed, definition) if is_changed else None,
        "effects": EFFECTS,
        "waiting": mine.aggregate(count=Count("pk"), oldest=Min("created_at")),
        "rules": _rules(tool),
        "may_review": replace(may_review, why=translated(may_review.why)),
        "is_template_old": bool(tool.template) and not has_template,
        "text": tool.template,
        "preview": preview(person, tool, tool.template) if may_review else None,
    }


def preview(person: Person, tool: Tool, text: str) -> Preview:
    """Return how the newest call that the person may see reads by a template."""
    call = _newest(person, tool)
    text = templates.tidied(text)
    try:
        if text:
            templates.check(text, tool)
    except InvalidInput as error:
        why = translated(error.message)
        return Preview(call, problem=gettext("This cannot be saved: %(why)s.") % {"why": why})
    if call is None:
        return Preview(None)
    arguments = showing.arguments_of(call)
    if not text:
        return Preview(call, wording.sentence(tool.title, tool.name, arguments))
    told = wording.tell(text, tool.title, tool.name, arguments)
    if not told.why:
        return Preview(call, told.sentence)
    problem = gettext("This call does not fit it, and reads as without one. %(why)s")
    return Preview(call, told.sentence, problem % {"why": translated(told.why)})


def _newest(person: Person, tool: Tool) -> ToolCall | None:
    calls = access.visible_to(person).filter(tool=tool).select_related("agent", "acts_for")
    return calls.order_by("-created_at").first()


def _definitions(tool: Tool) -> tuple[Definition, Definition]:
    """Return the definition that is listed now and the one a person reviewed, parsed."""
    kept = ToolDefinition.objects.in_bulk({tool.definition_digest, tool.reviewed_digest})
    found = [kept.get(digest) for digest in (tool.definition_digest, tool.reviewed_digest)]
    now, reviewed = (json.loads(bytes(row.body)) if row else {} for row in found)
    return now, reviewed


def _rules(tool: Tool) -> list[Ruled]:
    """Return by which rules calls of the tool may be judged now, for the agents that reach it."""
    names = Agent.objects.filter(domains=tool.upstream.domain_id).values_list("name", flat=True)
    in_force = ruling.in_force()
    found: dict[int, Ruled] = {}
    for name in names.order_by("name")[:_MOST_AGENTS]:
        facts = policy.Facts(
            domain=tool.upstream.domain.name, tool=tool.exposed_name, effect=tool.effect, agent=name
        )
        # More than one where conditions tell calls apart.
        for rule in in_force.candidates(facts):
            ruled = Ruled(rule.position, translated(policy.to_sentence(rule)), [])
            found.setdefault(rule.position, ruled).agents.append(name)
    return [found[position] for position in sorted(found)]
