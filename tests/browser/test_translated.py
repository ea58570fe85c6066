"""Scripts speak the language of their page, with the form of a plural that a number takes there."""

import pytest
from playwright.sync_api import expect

from config import languages
from tests.support.marking import write_catalogue

POLISH = "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);"


@pytest.fixture
def polish(settings, tmp_path):
    write_catalogue(tmp_path, "pl", POLISH)
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = languages.offered(tmp_path)


def test_what_a_script_shows_comes_from_the_page(site, world, held_call, polish, opened):
    page = opened(world.bo, locale="pl")
    expect(page.locator("#live")).to_have_text("⟦Live⟧", timeout=10_000)
    page.wait_for_load_state("networkidle")
    told = [
        "⟦1 new call arrived⟧",
        "⟦2 new calls arrived⟧′",
        "⟦3 new calls arrived⟧′",
        "⟦4 new calls arrived⟧′",
        "⟦5 new calls arrived⟧′′",
    ]

    for number, words in enumerate(told, start=1):
        held_call(arguments={"amount": number})
        expect(page.locator("#arrivals span")).to_have_text(words)

    page.context.set_offline(True)
    expect(page.locator("#live")).to_have_text("⟦Reconnecting⟧")
