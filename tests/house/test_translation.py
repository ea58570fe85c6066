"""Every word that people read stands in a translation tag; scripts have none of their own."""

import re

import pytest

from tests.house.test_house import ROOT
from tests.support.marking import TEMPLATES, messages, unmarked

SCRIPTS = ROOT / "approvals/static/approvals"

# What a script calls by its name in the browser; no one reads it.
NAMES = {"Escape", "Notification", "NotAllowedError", "application/json", "text/html"}


def spoken(script: str) -> list[str]:
    """Return the texts in a script that read like words of a person."""
    code = re.sub(r"^\s*(//|/?\*).*|\s// .*", "", script, flags=re.MULTILINE)
    texts = re.findall(r"\"([^\"\n]*)\"|`([^`]*)`", code)
    bare = (re.sub(r"\$\{[^}]*\}", "", a or b) for a, b in texts)
    return [one for one in bare if _WORDS.search(one) and one not in NAMES]


_WORDS = re.compile(r"^[A-Z][a-z]+|^ ?[a-z]+,? [a-z]+[a-z ]*[.…]?$|…")


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.*")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_every_word_of_a_template_can_be_translated(path):
    assert unmarked(path.read_text()) == []


@pytest.mark.parametrize(
    ("template", "is_found"),
    [
        ("<p>Nothing waits</p>", True),
        ("<p>{{ count }} wait</p>", True),
        ('<a aria-label="Close {{ name }}">x</a>', True),
        ('<input placeholder="{% if a %}b c{% endif %}">', True),
        ('{% include "_field.html" with label="Name" %}', True),
        ('{{ why|default:"nobody said" }}', True),
        ('call{{ count|pluralize }}', True),
        ('<template data-sending="Sending"></template>', True),
        ('<p title="{{ name }}" class="soft small">{{ name }}, <code>manage.py</code></p>', False),
        ('<p>{% translate "Nothing waits" %}</p>', False),
        ('{% blocktranslate trimmed %}of <a href="{{ url }}">x</a>{% endblocktranslate %}', False),
        ('{% include "_field.html" with label=_("Name") type="text" %}', False),
    ],
)  # fmt: skip
def test_the_reader_of_templates_finds_what_is_not_marked(template, is_found):
    assert bool(unmarked(template)) == is_found


def test_what_a_machine_reads_is_given_to_no_translator():
    marked = re.compile(r"<(?:code|kbd|pre)[^>]*>\s*\{% (?:block)?translate")

    assert [path for path in TEMPLATES.rglob("*.html") if marked.search(path.read_text())] == []


def test_no_script_has_words_of_its_own():
    scripts = sorted(SCRIPTS.glob("*.js"))

    assert SCRIPTS / "live.js" in scripts
    assert {path.name: spoken(path.read_text()) for path in scripts} == {
        path.name: [] for path in scripts
    }


@pytest.mark.parametrize(
    ("script", "is_found"),
    [
        ('show("Live", true);', True),
        ("say(`${left} minutes left to decide`);", True),
        ('label.textContent = "new calls";', True),
        ('button.textContent = "Sending…";', True),
        ('$("[data-call] a", row).href; // "Not this"', False),
        ('element.classList.toggle("bad"); show(words.connected);', False),
    ],
)
def test_the_reader_of_scripts_finds_words(script, is_found):
    assert bool(spoken(script)) == is_found


def test_a_message_names_its_numbers_in_every_form():
    """A language with three forms of a plural needs the number, whatever English does."""
    plurals = {one: many for one, many in messages().items() if many}

    numberless = [one for one, many in plurals.items() if not re.search(r"%\(\w+\)s|\{n\}", many)]

    assert len(plurals) > 20
    assert numberless == []
