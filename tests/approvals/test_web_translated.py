"""A language that somebody adds: a catalogue in `locale/`, and pages speak it from then on."""

import re
from pathlib import Path

import pytest

from config import languages
from tests.support.marking import write_catalogue
from tests.support.visiting import page_of, text_of, visitor

# What differs between two readings of one page: tokens, the clock, and the time that is left.
_PASSING = re.compile(
    r'name="(?:csrfmiddlewaretoken|stamp)" value="[^"]*"'
    r'|data-seconds="[^"]*"|stroke-dasharray="[^"]*"'
    r"|<time.*?</time>|<b[^>]* data-left>.*?</b>",
    re.DOTALL,
)


@pytest.fixture
def brackets(settings, tmp_path):
    """Give the installation a second language, in which every marked message stands in brackets.

    Django knows nothing of it, not even its months.
    """
    write_catalogue(tmp_path, "tlh", "nplurals=2; plural=(n != 1);")
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = languages.offered(tmp_path)


def read(client, address: str, language: str) -> str:
    response = client.get(address, headers={"accept-language": language})
    assert response.status_code == 200
    assert response["Content-Language"] == language
    return _PASSING.sub("", response.content.decode())


@pytest.mark.parametrize(
    ("address", "person", "words"),
    [
        ("/", "bo", ["⟦Queue⟧", "⟦Filter the queue⟧"]),
        ("/?show=all", "aud", ["⟦Queue, 2 waiting⟧", 'data-reconnecting="⟦Reconnecting⟧"']),
        ("/calls/{}/", "bo", ["⟦1 signature missing⟧", "⟦3,000 characters in between⟧"]),
        ("/history/", "aud", ["⟦2<span", "⟦Every call you may see, who decided and what became"]),
        ("/agents/", "ann", ["⟦1 agent⟧", "⟦Who may call, for whom, and with what keys."]),
        ("/insights/", "aud", ["⟦Nobody decided a call in these days.⟧"]),
        ("/catalogue/", "aud", ["⟦2 tools⟧"]),
        ("/settings/", "bo", ["⟦You are signed in as bo.⟧"]),
        ("/accounts/login/", None, ["⟦Sign in⟧", "⟦Keep me signed in on this computer⟧"]),
        ("/accounts/2fa/", "bo", []),
    ],
)  # fmt: skip
def test_a_translation_reaches_every_marked_word_and_changes_nothing_else(
    world, held_call, brackets, address, person, words
):
    call = held_call(arguments={"amount": 1_234_567.5, "note": "a" * 3_560})
    held_call(arguments={"amount": 1})
    client = visitor(person and getattr(world, person))

    english = read(client, address.format(call.pk), "en")
    other = read(client, address.format(call.pk), "tlh")

    assert [one for one in words if one not in other] == []
    assert '<html lang="tlh"' in other
    assert re.sub("[⟦⟧′]", "", other).replace('lang="tlh"', 'lang="en"') == english


def test_a_page_of_a_name_in_markup_stays_harmless_in_a_translation(world, held_call, brackets):
    world.ann.first_name = world.ann.last_name = '<i title="'
    world.ann.save()
    page = read(visitor(world.bo), page_of(held_call()), "tlh")

    assert "<i title" not in page
    assert "&lt;i title=&quot;" in page


def test_who_asks_for_a_language_nobody_added_reads_english_throughout(world):
    client = visitor()
    said = client.post(
        "/accounts/login/",
        {"login": "bo", "password": "wrong"},
        headers={"accept-language": "de,fr;q=0.5"},
    )

    assert '<html lang="en"' in said.content.decode()
    assert "The username and/or password you specified are not correct." in text_of(said)


def test_a_language_is_offered_once_its_catalogue_is_compiled(tmp_path: Path):
    for name, suffix in (("pt_BR", "mo"), ("fr", "po"), ("tlh", "mo")):
        folder = tmp_path / name / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / f"django.{suffix}").touch()

    assert languages.offered(tmp_path) == [
        ("en", "English"),
        ("pt-br", "Português Brasileiro"),
        ("tlh", "tlh"),
    ]
    assert languages.offered(tmp_path / "nowhere") == [("en", "English")]
