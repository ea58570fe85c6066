"""Words that Python gives to pages are said in the reader's language; all others stay English."""

import re

import pytest

from approvals.models import AuditEvent, Decision
from config import languages
from tests.support.marking import write_catalogue
from tests.support.python_words import messages, python_files
from tests.support.visiting import form_of, page_of, text_of, visitor

LANGUAGE = "tlh"  # of which Django and allauth know nothing

ODD = {"amount": 4200, "memo": "true", "list": [1], "note": "a\u200bb", "long": "a" * 2000}


@pytest.fixture
def brackets(settings, tmp_path):
    """Give the installation a language in which every message of Python stands in brackets."""
    marked = messages(python_files("approvals"))
    write_catalogue(tmp_path, LANGUAGE, "nplurals=2; plural=(n != 1);", marked)
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = languages.offered(tmp_path)


def read(client, address: str, language: str = LANGUAGE, **data) -> str:
    ask = client.post if data else client.get
    return text_of(ask(address, data, headers={"accept-language": language}, follow=True))


def test_words_made_by_python_are_said_in_the_readers_language(world, held_call, brackets):
    call = held_call(arguments=ODD)
    expected = {
        ("bo", "/"): ["⟦For you⟧ 1", "⟦Within the hour⟧", "⟦59m⟧", "⟦High⟧", "⟦Approves billing⟧"],
        ("bo", page_of(call)): [
            "⟦\u2068Note\u2069 holds 1 hidden character.⟧ ⟦U+200B ZERO WIDTH SPACE.⟧ ⟦The value⟧",
            "⟦\u2068Memo\u2069:⟧ ⟦text, not a yes, a no or nothing⟧ ⟦The value⟧",
            "⟦2 more:⟧ ⟦⟦1 × ⟦other remark⟧⟧, ⟦1 × ⟦first call⟧⟧.⟧ ⟦All values⟧",
            "⟦long text: 2,000 characters, head and tail shown⟧",
            "⟦1 of 1⟧",
            "⟦59 min",
            "⟦What billing says about this tool⟧",
            "⟦⟦only reads⟧: ⟦no⟧⟧",
            "⟦asked; rule “test” held it⟧",
            "⟦Wrong amount⟧",
            "⟦Hold ⟦⟦everything⟧ for ⟦1 approver⟧ within ⟦60 minutes⟧′⟧⟧",
        ],
        ("aud", "/history/"): [
            "⟦Auditor⟧", "⟦Trust domain⟧", "⟦Held⟧", "⟦Nobody⟧", "⟦Let through by a rule⟧",
            "⟦nobody yet⟧",
        ],
        ("aud", f"/history/?open={call.pk}"): ["⟦not in the schema⟧"],
        ("aud", "/insights/"): [
            "⟦Calls held⟧", "⟦none in the 30 days before⟧", "⟦Median time to decision⟧",
        ],
        ("bo", "/settings/"): ["⟦Approves billing⟧"],
        ("aud", "/policies/"): ["⟦Allow⟧ ⟦reads⟧", "⟦Hold⟧ ⟦⟦everything⟧ for"],
        ("aud", "/catalogue/"): ["⟦Healthy⟧", "⟦Writes⟧"],
        ("dee", f"/catalogue/tools/{call.tool_id}/"): [
            "⟦whole number⟧", "⟦Changes something⟧", "⟦not said⟧",
        ],
        ("ann", "/agents/support/"): ["⟦Run once in the project.⟧"],
    }  # fmt: skip

    for (person, address), words in expected.items():
        page = read(visitor(getattr(world, person)), address)
        assert [one for one in words if one not in page] == [], page


@pytest.mark.parametrize("address", ["/", "/history/", "/insights/", "/policies/", "/catalogue/"])
def test_a_translation_of_pythons_words_changes_nothing_else(world, held_call, brackets, address):
    held_call(arguments=ODD)
    client = visitor(world.aud)

    english, other = (_without_clock(read(client, address, one)) for one in ("en", LANGUAGE))

    assert english != other
    assert re.sub("[⟦⟧′]", "", other) == english


def _without_clock(page: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\d", "", page)


def test_charts_say_their_finding_and_their_edges_in_the_readers_language(
    world, held_call, brackets
):
    held_call()
    held_call("succeeded", arguments={"amount": 2})
    headers = {"accept-language": LANGUAGE}
    page = visitor(world.aud).get("/insights/", headers=headers).content.decode()

    assert 'aria-label="⟦Calls a day by outcome, ⟦' in page
    assert "⟦1 not decided⟧. Most on" in page
    assert ">⟦30 s⟧</text>" in page
    assert "⟦15 to 30 min⟧" in page
    assert ">⟦this week⟧</text>" in page


def test_what_a_form_did_and_why_it_did_nothing_are_said_in_the_readers_language(
    world, held_call, brackets
):
    call = held_call()
    bo, cy = visitor(world.bo), visitor(world.cy)
    decide = page_of(call, "decide/")

    wrong = read(cy, decide, **form_of(call, world.cy, "reject", reason=""))
    done = read(bo, decide, **form_of(call, world.bo, "reject", reason="no", preset="Wrong amount"))
    late = read(cy, decide, **form_of(call, world.cy, reason=""))
    zone = read(bo, "/settings/", time_zone="Nowhere")

    assert "⟦A rejection needs a reason; the agent will read it.⟧" in wrong
    assert "⟦Rejected. The agent can read your reason.⟧" in done
    assert "⟦Too late: the call is ⟦rejected already⟧.⟧" in late
    assert "⟦There is no such time zone.⟧" in zone
    assert Decision.objects.get().reason == "Wrong amount. no"  # the agent reads it


def test_the_trail_keeps_its_english(world, held_call, brackets):
    call = held_call()
    page = read(visitor(world.ann), page_of(call, "decide/"), **form_of(call, world.ann))
    said = AuditEvent.objects.filter(code="decision.refused").get()

    assert "⟦Only an approver of this domain can decide.⟧" in page
    assert b'"why":"Only an approver of this domain can decide."' in bytes(said.data)


def test_rest_and_scripts_are_answered_in_english(world, held_call, brackets):
    call = held_call()
    headers = {"accept-language": LANGUAGE}
    answer = visitor(world.ann).post(
        f"/api/v1/calls/{call.pk}/decisions/",
        {"verdict": "approve", "binding": call.binding},
        content_type="application/json",
        headers=headers,
    )

    assert answer.json()["message"] == "Only an approver of this domain can decide."


def test_outsiders_text_in_a_message_is_escaped_in_every_language(world, held_call, brackets):
    world.agent.name = "<b>x</b>"
    world.agent.save()
    call = held_call(arguments={"<i>": "<u>\u202e"})
    headers = {"accept-language": LANGUAGE}
    page = visitor(world.bo).get(page_of(call), headers=headers).content.decode()

    assert "⟦This is &lt;b&gt;x&lt;/b&gt;’s first call of this tool.⟧" in page
    assert "<b>x</b>" not in page
    assert "<i>" not in page
