"""The sentence by which people read a tool's calls: written by a person, for one definition."""

import json
import re

from django.db import transaction

from approvals import wording
from approvals.administration.writing import note
from approvals.errors import DefinitionChanged, InvalidInput
from approvals.models import Tool, ToolDefinition
from approvals.phrases import phrase


@transaction.atomic
def set_template(tool: Tool, text: str, *, actor: str, digest: str = "") -> Tool:
    """Give a tool the template by which its next calls are told; an empty one takes it away.

    Calls that wait keep the words they were shown with.

    Args:
        digest: of the definition on the author's screen; empty means the current one.

    Raises:
        InvalidInput: it cannot be read, or speaks of an argument the tool does not have.
        DefinitionChanged: the definition is not the one its author saw any more.
    """
    tool = Tool.objects.select_for_update(of=("self",)).select_related("upstream").get(pk=tool.pk)
    if digest and digest != tool.definition_digest:
        raise DefinitionChanged(phrase("The definition changed since it was shown; read it again."))
    before, text = tool.template, tidied(text)
    if text:
        check(text, tool)
    tool.template, tool.template_digest = text, tool.definition_digest if text else ""
    tool.save(update_fields=["template", "template_digest"])
    note(
        f"upstream:{tool.upstream.name}", "tool.template_set", actor=actor, tool=tool.name,
        template=text, previous=before, definition_digest=tool.definition_digest,
    )  # fmt: skip
    return tool


def tidied(text: str) -> str:
    """Return a template as it is kept: one space where there are several, none around it."""
    return re.sub(" +", " ", text).strip(" ")


def check(text: str, tool: Tool) -> None:
    """Hold a template to its own rules and to the arguments of the tool's current definition.

    Raises:
        InvalidInput: with the place, or with the names there are.
    """
    template = wording.read_template(text)
    known = arguments_of(tool)
    unknown = sorted(template.names - known.keys())
    if known and unknown:
        names = ", ".join(wording.clean(name, 40) for name in list(known)[:20])
        told = phrase(
            "the tool has no argument called %(name)s; it has: %(names)s",
            name=unknown[0],
            names=names,
        )
        raise InvalidInput(told, path="$.template")


def arguments_of(tool: Tool) -> dict[str, None]:
    """Return the names of the arguments a tool's current definition describes, in its order."""
    kept = ToolDefinition.objects.filter(digest=tool.definition_digest).first()
    definition = json.loads(bytes(kept.body)) if kept else {}
    return wording.argument_names(definition.get("inputSchema"))
