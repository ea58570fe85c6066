"""A phrase is its English text, and can be said in another language by whoever shows it."""

import copy
import json
import pickle

import pytest

from approvals.phrases import joined, phrase, phrases, told


def shouted(message: str) -> str:
    return message.replace("held", "GEHALTEN").replace("agent", "AGENT")


def shouted_count(one: str, many: str, number: int) -> str:
    return f"{number}: {shouted(one if number == 1 else many)}"


def said(text: object) -> object:
    return told(text, shouted, shouted_count)


def test_a_phrase_is_english_for_whoever_does_not_ask():
    made = phrase("%(tool)s is held", tool="refund")

    assert made == "refund is held"
    assert f"{made}." == "refund is held."
    assert json.dumps({"why": made}) == '{"why": "refund is held"}'
    assert hash(made) == hash("refund is held")


def test_a_phrase_is_said_with_its_values_in_place():
    assert said(phrase("%(tool)s is held", tool="held")) == "held is GEHALTEN"
    assert said(phrase("100 % of what is held")) == "100 % of what is GEHALTEN"
    assert said("held") == "held"  # nobody marked it: it is somebody's text


def test_a_value_that_is_a_phrase_is_said_too():
    inner = phrase("by an agent")

    assert said(phrase("held %(who)s", who=inner)) == "GEHALTEN by an AGENT"
    assert said(joined("; ", [inner, "agent"])) == "by an AGENT; agent"
    assert joined("; ", [inner, "agent"]) == "by an agent; agent"


@pytest.mark.parametrize(
    ("number", "english", "other"),
    [(1, "1 held call", "1: 1 GEHALTEN call"), (2, "2 held calls", "2: 2 GEHALTEN calls")],
)
def test_a_number_chooses_the_form_in_every_language(number, english, other):
    made = phrases("%(n)s held call", "%(n)s held calls", number, n=number)

    assert made == english
    assert said(made) == other


@pytest.mark.parametrize("value", ["%(tool)s", "100 %", "%s", "<b>"])
def test_what_outsiders_write_is_never_read_as_a_message(value):
    made = phrase("%(tool)s is held", tool=value)

    assert made == f"{value} is held"
    assert said(made) == f"{value} is GEHALTEN"


def test_a_phrase_survives_being_copied_and_sent_elsewhere():
    made = phrase("%(tool)s is held", tool="refund")

    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other == "refund is held"
        assert said(other) == "refund is GEHALTEN"
