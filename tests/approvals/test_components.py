"""`{% component %}`: what is kept of one page never shows on another where it does not belong."""

import pytest
from django.template import engines
from django.utils import translation
from django.utils.safestring import mark_safe

from approvals.models import Domain
from config import languages
from tests.support.marking import write_catalogue

DOMAIN = '{% component "approvals/_domain.html" name=name %}'


def drawn(template: str, **page: object) -> str:
    return engines["django"].from_string(template).render(page)


def test_markup_we_made_lends_nothing_to_the_same_text_from_outside():
    text = "<b>billing</b>"

    assert text in drawn(DOMAIN, name=mark_safe(text))
    assert text not in drawn(DOMAIN, name=text)


def test_yes_and_one_are_drawn_apart():
    assert "True" in drawn(DOMAIN, name=True)
    assert "True" not in drawn(DOMAIN, name=1)


def test_it_sees_its_values_and_nothing_else_of_the_page():
    assert "billing" not in drawn('{% component "approvals/_domain.html" %}', name="billing")


def test_a_row_is_refused_as_it_may_change_and_stay_equal_to_itself():
    with pytest.raises(TypeError):
        drawn(DOMAIN, name=Domain(pk=1, name="billing"))


def test_each_language_has_its_own(settings, tmp_path):
    write_catalogue(tmp_path, "tlh", "nplurals=2; plural=(n != 1);")
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = languages.offered(tmp_path)

    english = drawn(DOMAIN, name="billing")
    with translation.override("tlh"):
        other = drawn(DOMAIN, name="billing")

    assert "⟦" not in english
    assert "⟦" in other
    assert drawn(DOMAIN, name="billing") == english
