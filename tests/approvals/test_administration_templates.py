"""The verb that gives a tool its sentence, and what calls read as before and after it."""

from typing import Any

import pytest

from approvals import canonical
from approvals.administration import templates
from approvals.errors import DefinitionChanged, InvalidInput
from approvals.models import AuditEvent, Revision, Tool, ToolCall
from tests.support import world as worlds
from tests.support.world import ACTOR, World, definition, list_tools

REFUND = "Refund {amount|money:currency:minor} to {customer} · invoice {invoice}"


def set_refund(world: World, text: str = REFUND, **options: Any) -> Tool:
    return templates.set_template(world.refund, text, actor="person:dee", **options)


def test_a_template_is_kept_for_the_definition_it_was_written_for(world: World) -> None:
    before = Revision.current()

    tool = set_refund(world, "  Refund   {amount} ")

    assert tool.template == "Refund {amount}"
    assert tool.template_digest == tool.definition_digest
    event = AuditEvent.objects.filter(stream="upstream:billing").latest("seq")
    assert (event.code, event.actor) == ("tool.template_set", "person:dee")
    assert canonical.parse(bytes(event.data)) == {
        "tool": "refund", "template": "Refund {amount}", "previous": "",
        "definition_digest": tool.definition_digest,
    }  # fmt: skip
    assert Revision.current() > before


def test_the_next_call_reads_as_the_template_says_and_waiting_ones_as_before(world: World) -> None:
    waiting = worlds.hold(world)
    words = waiting.sentence
    set_refund(world)

    later = worlds.hold(world, arguments={**worlds.REFUND, "amount": 1850})

    assert later.sentence == "Refund $18.50 to cus_8241 · invoice in_2201"
    assert ToolCall.objects.get(pk=waiting.pk).sentence == words != later.sentence


def test_a_changed_definition_has_no_template_until_somebody_writes_one_for_it(
    world: World,
) -> None:
    set_refund(world)
    list_tools(
        world.upstream, definition("refund", description="Other."), definition("get_customer")
    )

    changed = worlds.hold(world, arguments={"amount": 1, "customer": "c"})
    set_refund(world)
    again = worlds.hold(world, arguments={**worlds.REFUND, "amount": 2})

    assert changed.sentence.startswith("Refund · amount 1")
    assert again.sentence.startswith("Refund $0.02")


def test_a_call_the_template_cannot_tell_reads_as_without_one(world: World) -> None:
    set_refund(world)

    call = worlds.hold(world, arguments={"amount": 1, "customer": "c"})

    assert call.sentence == "Refund · amount 1 · customer c"


def test_an_empty_template_takes_it_away(world: World) -> None:
    set_refund(world)

    tool = set_refund(world, " ")

    assert (tool.template, tool.template_digest) == ("", "")
    assert worlds.hold(world).sentence.startswith("Refund · amount 42000")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Refund {amount", "character 8"),
        ("Refund {amout}", "no argument called amout; it has: amount, currency, customer"),
        ("Refund {amount|money:curency:minor}", "no argument called curency"),
        ("x" * 301, "at most 300"),
    ],
)
def test_a_template_that_would_never_tell_a_call_is_refused(
    world: World, text: str, says: str
) -> None:
    before = AuditEvent.objects.count()

    with pytest.raises(InvalidInput, match=says):
        set_refund(world, text)

    assert Tool.objects.get(pk=world.refund.pk).template == ""
    assert AuditEvent.objects.count() == before


def test_a_tool_that_describes_no_arguments_may_have_any(world: World) -> None:
    free = definition("free", inputSchema={"type": "object"})
    list_tools(world.upstream, definition("refund"), definition("get_customer"), free)

    tool = templates.set_template(Tool.objects.get(name="free"), "Do {it}", actor=ACTOR)

    assert tool.template == "Do {it}"


def test_a_template_for_a_definition_that_moved_is_refused(world: World) -> None:
    seen = world.refund.definition_digest
    list_tools(world.upstream, definition("refund", description="Other."))

    with pytest.raises(DefinitionChanged):
        set_refund(world, digest=seen)


def test_what_an_agent_sends_cannot_break_out_of_the_template(world: World) -> None:
    set_refund(world, "Refund to {customer}")

    call = worlds.hold(world, arguments={"amount": 1, "customer": "x · invoice “y”\u202e"})

    assert call.sentence == 'Refund to “x - invoice "y"‹U+202E›” · and 1 more'
