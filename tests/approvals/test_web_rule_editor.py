"""The form of a rule: a sentence with fields, kept when it is wrong, written as one rule."""

from typing import Any

import pytest

from approvals.administration import drafts, groups, templates
from approvals.administration import policy as policies
from approvals.models import PolicyDraft
from tests.support import world as worlds
from tests.support.visiting import attempts, text_of, visitor
from tests.support.world import ACTOR

NEW = "/policies/draft/rules/new/"
BIG: dict[str, Any] = {
    "name": "big refunds", "outcome": "hold", "domain": "billing", "tool": "billing__refund",
    "condition": "args.amount > 5000", "stages": [{"group": "Finance", "quorum": 2}],
    "expires_seconds": 1800,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "name": "small refunds", "outcome": "allow", "tool": "billing__refund",
    "budget": {"per": "agent", "window": "day", "limit": 50000, "field": "amount",
               "unit": "USD:minor"},
}  # fmt: skip
TYPED = {
    "do": "save", "revision": "0", "based_on": "0", "verb": "hold", "domain": "billing",
    "tool": "billing__refund", "name": "big refunds", "clause_path": ["args.amount"],
    "clause_is": ["over"], "clause_value": ["50.00"], "stage_group": ["Finance"],
    "stage_quorum": ["2"], "minutes": "30", "deny_quorum": "1", "escalate_after": "50",
    "position": "1",
}  # fmt: skip


@pytest.fixture
def finance(world):
    groups.create_group(
        world.billing, "Finance", owner=world.ann, people=[world.bo, world.cy], actor=ACTOR
    )
    told = "Refund {amount|money:USD:minor} to {customer}"
    templates.set_template(world.refund, told, actor=ACTOR)


def send(person, address=NEW, **changed):
    return visitor(person).post(address, {**TYPED, **changed})


def rules(person) -> Any:
    draft: Any = drafts.get(person)
    return draft.document["rules"]


def test_what_is_typed_becomes_a_rule_of_the_draft_in_the_units_of_the_tool(world, finance):
    client = visitor(world.dee)
    response = client.post(NEW, TYPED)

    assert response.status_code == 302
    assert response["Location"] == "/policies/draft/"
    assert rules(world.dee)[0] == BIG
    assert "Saved in your draft" in text_of(client.get(response["Location"]))


def test_an_allow_rule_with_a_budget_is_written_as_one(world, finance):
    send(
        world.dee, verb="allow", name="small refunds", domain="", clause_path=[], clause_is=[],
        clause_value=[], limit="$500.00", counts="amount", window="day", per="agent",
    )  # fmt: skip

    assert rules(world.dee)[0] == SMALL


@pytest.mark.parametrize(
    "item",
    [
        BIG,
        SMALL,
        BIG | {"four_eyes": True, "deny_quorum": 2, "message": "Look.", "comment": "Because."},
        BIG | {"stages": [{"group": "Finance"}, {"group": "Heads", "quorum": 3}],
               "escalate_to": "Owners", "escalate_after": 75, "expires_seconds": 90},
        {"name": "a", "outcome": "hold", "quorum": 2, "agent": "support", "effect": "write"},
        {"name": "a", "outcome": "deny", "tool": "billing__*", "message": "No."},
        {"name": "a", "outcome": "allow", "effect": "read"},
        SMALL | {"condition": "args.amount <= 5000 && (args.memo == 'x' || now.getHours() > 8)"},
        SMALL | {"condition": "args.currency in ['usd', 'eur'] && !has(args.memo)"},
        SMALL | {"condition": "args.memo == '5' && args.memo != ' a, b'"},
        SMALL | {"budget": {"per": "tool", "window": "hour", "limit": 1200}},
        SMALL | {"budget": {"per": "domain", "window": "day", "limit": 12.5, "field": "amount",
                            "unit": "EUR:major", "unit_field": "currency"}},
    ],
)  # fmt: skip
def test_a_rule_that_is_opened_and_saved_says_the_same(world, finance, item):
    for name in ("Heads", "Owners"):
        groups.create_group(world.billing, name, owner=world.ann, people=[], actor=ACTOR)
    policies.load_rules({"rules": [item]}, source="file", actor=ACTOR)
    client = visitor(world.dee)
    opened = client.get("/policies/draft/rules/1/")

    response = client.post("/policies/draft/rules/1/", {**sent(opened), "do": "save"})

    assert response.status_code == 302
    before = policies.check({"rules": [item]})[0]
    assert policies.check({"rules": rules(world.dee)})[0].digest() == before.digest()


def sent(opened):
    """Return what a browser would send of a form that is shown."""
    form, working = opened.context["form"], opened.context["working"]
    typed = {k: v for k, v in vars(form).items() if isinstance(v, str)}
    return typed | {
        "revision": working.revision, "based_on": working.based_on, "was": opened.context["was"],
        "clause_path": [row.path for row in form.clauses],
        "clause_is": [row.comparison for row in form.clauses],
        "clause_value": [row.value for row in form.clauses],
        "stage_group": [row.group for row in form.stages],
        "stage_quorum": [row.quorum for row in form.stages],
        **({"four_eyes": "yes"} if form.four_eyes else {}),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"clause_value": ["abc"]}, "“abc” is no amount in USD, such as $50.00."),
        ({"clause_value": ["50.005"]}, "“50.005” is no amount in USD"),
        ({"clause_value": [""]}, "A value is missing."),
        ({"clause_path": [""]}, "Choose an argument, or take it away."),
        ({"clause_path": ["args.nowhere"], "clause_value": ["5"]}, "has no args.nowhere"),
        ({"clause_path": ["tool"]}, "There is no such argument."),
        ({"clause_is": ["is unusual"]}, "There is no such argument."),
        ({"clause_is": ["starts"]}, "does not let this be asked of it"),
        ({"raw": "args.amount >"}, "has its end where a value is expected"),
        ({"raw": "x" * 1001}, "has 10"),
        ({"raw": "args.memo > 5"}, "as a text"),
        ({"minutes": "soon"}, "“soon” is no such number."),
        ({"minutes": "0.01"}, "“0.01” is no such number."),
        ({"minutes": "99999"}, "must be a whole number from 10 to 604800"),
        ({"stage_quorum": ["two"]}, "“two” is no such number."),
        ({"stage_quorum": ["21"]}, "must be a whole number from 1 to 20"),
        ({"stage_group": ["Nobody"]}, "Nobody"),
        ({"stage_group": ["Finance", ""], "stage_quorum": ["1", "1"]}, "is empty"),
        ({"escalate_to": "Finance", "escalate_after": "95"}, "from 10 to 90"),
        ({"deny_quorum": ""}, "A number is missing."),
        ({"name": "allow reads"}, "is the name of rule"),
        ({"verb": "obey"}, "must be one of allow, hold, deny"),
        ({"tool": "?", "pattern": ""}, "A pattern is missing."),
        ({"tool": "?", "pattern": "a b"}, "must be a pattern over"),
        ({"tool": "billing__nothing", "clause_path": []}, "no server has a tool called"),
        ({"verb": "allow", "limit": "lots"}, "“lots” is no number"),
        ({"verb": "allow", "limit": "lots", "counts": "amount"}, "“lots” is no amount in USD"),
        ({"verb": "allow", "limit": "5", "counts": "memo"}, "must be USD:minor, USD:major"),
        ({"message": "a\u202eb"}, "has a character that cannot be seen"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_what_was_typed_stays(world, finance, changed, words):
    response = send(world.dee, **changed)

    assert response.status_code == 400
    assert words in text_of(response)
    form = response.context["form"]
    assert form.is_wrong
    assert (form.name, form.minutes) == (
        changed.get("name", "big refunds"), changed.get("minutes", "30"),
    )  # fmt: skip
    assert [row.value for row in form.clauses] == changed.get("clause_value", ["50.00"])[
        : len(form.clauses)
    ]
    assert not PolicyDraft.objects.exists()


def test_clauses_and_stages_are_added_and_taken_away_without_scripts(world, finance):
    added = send(world.dee, do="clause").context["form"]
    staged = send(world.dee, do="stage").context["form"]
    dropped = send(world.dee, do="drop-clause-0").context["form"]

    assert [row.path for row in added.clauses] == ["args.amount", ""]
    assert [row.group for row in staged.stages] == ["Finance", ""]
    assert dropped.clauses == []
    for odd in ("drop-clause-9", "drop-nothing-0", "drop-clause-x", "what"):
        assert len(send(world.dee, do=odd).context["form"].clauses) == 1
    assert not PolicyDraft.objects.exists()


def test_another_tool_brings_its_own_arguments(world, finance):
    mail = {"type": "object", "properties": {"to": {"type": "array"}}}
    worlds.list_tools(
        world.upstream, worlds.definition("refund"), worlds.definition("mail", inputSchema=mail)
    )

    refund, other = (
        send(world.dee, do="look", tool=tool, clause_path=[""], clause_value=[""])
        for tool in ("billing__refund", "billing__mail")
    )

    assert ("args.amount", "amount") in refund.context["choices"].fields
    assert other.context["choices"].fields == [("args.to", "to")]


def test_the_preview_says_the_sentence_its_cel_and_how_it_fares(world, finance):
    worlds.hold(world)
    address = "/policies/draft/rules/preview/"

    shown = text_of(send(world.dee, address, do=""))
    wrong = text_of(send(world.dee, address, do="", clause_value=["abc"]))

    assert "Hold billing · refund · amount over $50.00" in shown
    assert "2 of Finance, 30 minutes, then it expires" in shown
    assert "args.amount &gt; 5000" in shown
    assert "The last real calls of 1 it is true for 1 and false for 0" in shown
    assert "“abc” is no amount in USD" in wrong
    # Without the part that is wrong it would say something else.
    assert "Hold billing" not in wrong
    assert not PolicyDraft.objects.exists()


def test_a_rule_is_moved_and_deleted_in_its_form(world, finance):
    items = [{"name": name, "outcome": "hold", "agent": name} for name in "abc"]
    policies.load_rules({"rules": items}, source="file", actor=ACTOR)
    client = visitor(world.dee)

    opened = client.get("/policies/draft/rules/1/")
    client.post("/policies/draft/rules/1/", {**sent(opened), "do": "save", "position": "3"})
    assert [rule["name"] for rule in rules(world.dee)] == ["b", "c", "a"]

    opened = client.get("/policies/draft/rules/2/")
    client.post("/policies/draft/rules/2/", {**sent(opened), "do": "delete"})
    assert [rule["name"] for rule in rules(world.dee)] == ["b", "a"]


def test_a_window_left_open_loses_nothing_that_was_typed(world, finance):
    policies.load_rules({"rules": [BIG]}, source="file", actor=ACTOR)
    client = visitor(world.dee)
    opened = client.get("/policies/draft/rules/1/")
    other = client.get("/policies/draft/rules/1/")
    client.post("/policies/draft/rules/1/", {**sent(other), "do": "save", "minutes": "45"})

    typed = {**sent(opened), "do": "save", "clause_value": ["$30.00"]}
    late = client.post("/policies/draft/rules/1/", typed)

    shown = text_of(late)
    assert late.status_code == 409
    assert "What you typed is below, and nothing of it was saved." in shown
    assert "It now reads: Hold billing · refund · amount over $50.00" in shown
    assert "→ 2 of Finance, 45 minutes" in shown
    assert late.context["form"].clauses[0].value == "$30.00"
    assert rules(world.dee)[0]["expires_seconds"] == 2700

    again = client.post("/policies/draft/rules/1/", {**sent(late), "do": "save"})
    assert again.status_code == 302
    assert rules(world.dee)[0]["condition"] == "args.amount > 3000"


def test_a_rule_that_is_gone_meanwhile_can_be_saved_again(world, finance):
    policies.load_rules({"rules": [BIG, SMALL]}, source="file", actor=ACTOR)
    client = visitor(world.dee)
    opened = client.get("/policies/draft/rules/1/")
    client.post("/policies/draft/rules/1/", {**sent(opened), "do": "delete"})

    late = client.post("/policies/draft/rules/1/", {**sent(opened), "do": "save"})

    assert "This rule is not in the draft any more" in text_of(late)
    assert late.context["position"] is None
    client.post(NEW, {**sent(late), "do": "save"})
    assert [rule["name"] for rule in rules(world.dee)] == ["big refunds", "small refunds"]


def test_rules_that_came_into_force_meanwhile_are_said_before_a_draft_begins(world, finance):
    opened = visitor(world.dee).get(NEW)
    policies.load_rules({"rules": [BIG]}, source="file", actor=ACTOR)

    late = send(world.dee, **{**sent(opened), "do": "save"})

    assert late.status_code == 409
    assert not PolicyDraft.objects.exists()


@pytest.mark.parametrize("address", ["/policies/draft/rules/2/", "/policies/draft/rules/99/"])
def test_the_last_rule_and_one_there_is_none_of_have_no_form(world, address):
    assert visitor(world.dee).get(address).status_code == 404


@pytest.mark.parametrize("who", ["bo", "ann", "aud", "eve"])
def test_only_administrators_write_rules(world, who):
    person = getattr(world, who)

    for address in (NEW, "/policies/draft/rules/1/", "/policies/draft/"):
        assert visitor(person).get(address).status_code == 403
        assert send(person, address).status_code == 403
    assert send(person, "/policies/draft/rules/preview/").status_code == 403
    assert set(attempts(person)) == {"policy_change.refused"}
    assert not PolicyDraft.objects.exists()
