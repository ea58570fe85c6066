"""What an approval covers: every fact that is in the binding, taken from the row itself."""

from datetime import timedelta

import pytest

from approvals import bindings
from approvals.models import Agent, Person, ToolCall, Upstream

OTHER = "0" * 64


def test_a_call_is_bound_to_its_row_as_it_was_written(held_call):
    call = held_call()

    assert bindings.of(ToolCall.objects.get(pk=call.pk)).digest() == call.binding


def test_the_binding_is_the_same_in_every_state(held_call):
    for status in ToolCall.Status:
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        assert bindings.of(ToolCall.objects.get(pk=call.pk)).digest() == call.binding, status


FACTS = [
    ("upstream_address", "http://127.0.0.1:10/mcp"),
    ("tool_name", "billing__other"),
    ("definition_digest", OTHER),
    ("arguments", b"{}"),
    ("credential_ref", "billing/shared:X=${X}"),
    ("decide_by_at", timedelta(microseconds=1)),
    ("run_by_at", timedelta(microseconds=1)),
    ("agent", Agent(name="other")),
    ("acts_for", Person(username="other")),
    ("upstream", Upstream(name="other")),
]


@pytest.mark.parametrize(("fact", "value"), FACTS, ids=[name for name, _ in FACTS])
def test_a_call_with_one_other_fact_has_another_binding(held_call, fact, value):
    call = held_call()
    if isinstance(value, timedelta):
        value += getattr(call, fact)

    setattr(call, fact, value)

    assert bindings.of(call).digest() != call.binding


RULE = [
    ("name", "other"), ("outcome", "allow"), ("quorum", 2), ("expires_seconds", 60),
    ("tool", "billing__*"), ("domain", "billing"), ("effect", "write"), ("agent", "support"),
    ("message", "Look twice."),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), RULE, ids=[name for name, _ in RULE])
def test_another_rule_makes_another_binding(held_call, field, value):
    call = held_call()

    call.rule = {**call.rule, field: value}

    assert bindings.of(call).digest() != call.binding


def test_a_rule_that_only_moved_in_the_list_binds_the_same(held_call):
    call = held_call()

    call.rule = {**call.rule, "position": 7}

    assert bindings.of(call).digest() == call.binding


def test_a_digest_in_the_row_does_not_speak_for_the_bytes(held_call):
    """Who edits the arguments can edit the digest beside them; the bytes are digested anew."""
    call = held_call()

    call.arguments_digest = OTHER
    assert bindings.of(call).digest() == call.binding

    call.arguments = b"{}"
    assert bindings.of(call).digest() != call.binding
