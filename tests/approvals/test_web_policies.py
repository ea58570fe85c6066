"""The rules as sentences: those in force, those before them, and to whom they are told."""

from typing import Any

import pytest

from approvals.administration import catalog
from approvals.administration import policy as policies
from tests.support.visiting import elements, queries, text_of, visitor
from tests.support.world import ACTOR

RULES: list[dict[str, Any]] = [
    {"outcome": "deny", "name": "freeze", "domain": "deploys", "message": "Not in a freeze."},
    {"outcome": "hold", "name": "two for money", "tool": "billing__refund", "quorum": 2},
    {"outcome": "allow", "name": "reads", "effect": "read"},
]
HOSTILE = '<script>alert(1)</script>"><b onclick="x()">{{ 7|add:7 }}'


@pytest.fixture
def deploys(world):
    return catalog.create_domain("deploys", purpose="Runs.", owner=world.dee, actor=ACTOR)


def load(*rules, source="rules.json", actor=ACTOR, reason=""):
    return policies.load_rules({"rules": list(rules)}, source=source, actor=actor, reason=reason)


def page(person, number=None):
    return visitor(person).get(f"/policies/{number}/" if number else "/policies/")


def test_before_any_file_the_rules_it_begins_with_are_told(world):
    shown = text_of(page(world.bo))

    assert "these are the rules Countersign begins with" in shown
    assert "Allow reads" in shown
    assert "Hold everything for 1 approver within 60 minutes" in shown
    assert "no file was ever loaded" in shown


def test_the_rules_in_force_are_told_in_order_with_where_they_came_from(world, deploys):
    load(*RULES, source="conf/rules.json", actor="person:dee")

    shown = text_of(page(world.dee))

    assert "4 rules" in shown
    places = [
        shown.index(words)
        for words in (
            "Refuse everything in deploys",
            "says: Not in a freeze.",
            "Hold billing__refund for 2 approvers",
            "Allow reads",
            "Hold everything",
            "always last, cannot be removed",
            "manage.py export_rules &gt; FILE",
            "manage.py load_rules FILE",
        )
    ]
    assert places == sorted(places)
    assert "Version 1, loaded" in shown
    assert "by person:dee from conf/rules.json" in shown


def test_former_versions_can_be_read_and_are_said_to_decide_nothing(world):
    load(RULES[2])
    load(RULES[1], RULES[2])

    old, new = page(world.dee, 1), page(world.dee)

    assert "This is a former version. It decides nothing any more." in text_of(old)
    assert "billing__refund" not in text_of(old)
    assert "former version" not in text_of(new)
    assert [v.number for v in new.context["versions"]] == [2, 1]
    assert text_of(page(world.dee, 2)) == text_of(new)


def test_a_version_tells_what_it_changed_and_why(world, deploys):
    load(RULES[1], RULES[2])
    load(RULES[1] | {"quorum": 3, "comment": "After the audit."}, RULES[0], reason="An audit.")

    for shown in (text_of(page(world.dee)), text_of(page(world.dee, 2))):
        begin = shown.index("What version 2 changed because: An audit.")
        places = [
            shown.index(words, begin)
            for words in (
                "Changed Before: Hold billing__refund for 2 approvers",
                "Hold billing__refund for 3 approvers within 60 minutes rule 1, two for money",
                "note: After the audit.",
                "Added Before: – none Since: Refuse everything in deploys",
                "says: Not in a freeze.",
                "Removed Before: Allow reads",
                "manage.py load_rules",
            )
        ]
        assert places == sorted(places)
    assert "What version 1 changed nobody said why" in text_of(page(world.dee, 1))


def test_a_change_of_a_hidden_rule_tells_only_that_there_is_one(world, deploys):
    load(RULES[2])
    load(RULES[0], RULES[2])

    shown = text_of(page(world.bo))

    assert "Added Before: – none Since: A rule about a domain that is not yours to see" in shown
    assert "freeze" not in shown
    assert "deploys" not in shown


@pytest.mark.parametrize("number", [3, 10**30])
def test_a_version_there_is_none_of_has_no_page(world, number):
    assert page(world.dee, number).status_code == 404


def test_a_rule_about_a_domain_one_may_not_see_keeps_its_number_and_nothing_else(world, deploys):
    load(*RULES)

    for person in (world.bo, world.eve):
        response = page(person)
        shown = text_of(response)
        assert "A rule about a domain that is not yours to see" in shown
        assert "deploys" not in shown
        assert "freeze" not in shown
        assert [line.rule.position for line in response.context["lines"]] == [1, 2, 3, 4]
    assert "Refuse everything in deploys" in text_of(page(world.aud))


def test_a_stranger_is_sent_to_sign_in(world):
    assert visitor().get("/policies/").status_code == 302


def test_hostile_words_make_no_element(world):
    rule = {"outcome": "deny", "tool": "x*"}
    load({**rule, "name": "harmless", "message": "words"}, source="file")
    harmless = page(world.dee)
    load(
        {**rule, **dict.fromkeys(("name", "message", "comment"), HOSTILE)},
        source=HOSTILE,
        reason=HOSTILE,
    )
    hostile = page(world.dee)

    # One version more is one row more.
    row = elements(hostile) - elements(harmless)
    load({**rule, "name": "harmless", "message": "words"}, source="file")
    assert elements(page(world.dee)) - elements(hostile) == row
    assert "<script>alert" not in hostile.content.decode()


def test_more_rules_and_versions_need_no_more_queries(world):
    client = visitor(world.bo)
    load(RULES[2])
    load(RULES[1])
    few = queries(client, "/policies/")

    for _ in range(3):
        load(*({"outcome": "hold", "tool": f"t{n}*"} for n in range(50)))

    assert queries(client, "/policies/") == few
