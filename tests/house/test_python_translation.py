"""Every word that Python gives to a page is marked for translation."""

import re

import pytest

from approvals.management.commands import makemessages
from tests.support.python_words import MARKS, ROOT, messages, python_files, unmarked

# What speaks to pages; agents, REST, the trail, logs and commands read English.
SPEAKING = python_files(
    "approvals/web", "approvals/templatetags", "approvals/wording", "approvals/figures.py",
    "approvals/policy", "approvals/errors.py", "approvals/access.py",
    "approvals/administration", "approvals/lifecycle/deciding.py", "approvals/lifecycle/moving.py",
)  # fmt: skip

# Files whose words are nobody's to translate.
FILES = {
    "approvals/administration/conditions.py": "whoever loads rules reads it",
    "approvals/policy/conditions.py": "why a call is held, stored with its row",
    "approvals/policy/expressions.py": "what is wrong with a file of rules",
    "approvals/policy/fitting.py": "what is wrong with a file of rules",
    "approvals/policy/readings.py": "what is wrong with a file of rules",
    "approvals/policy/vocabulary.py": "what is wrong with a file of rules",
    "approvals/web/health.py": "load balancers and operators read it",
    "approvals/web/zones.py": "names of zones as IANA writes them",
    "approvals/wording/hostile.py": "names of characters as Unicode writes them",
    "approvals/wording/money.py": "codes of ISO 4217",
}
# First lines of texts, by why they stay as they are.
TEXTS = {
    "what a person copies or a machine reads": {
        'claude mcp add --transport http countersign \\', "{", "import os, anyio, httpx2",
        'import { Client } from "@modelcontextprotocol/sdk/client/index.js";', "Lax", "mid strong",
        "CAST(ROUND((julianday(%(expressions)s)) * 86400, 3) AS INTEGER)",
        "FLOOR(EXTRACT(EPOCH FROM (%(expressions)s)))::integer",
    },
    "for whoever writes a template": {"A component is drawn from plain values, not from {}."},
    "names": {"Claude Code", "Cursor", "VS Code", "Python", "hold by default", "allow reads"},
    "values, by words that `_remarks` knows": {"Yes", "No"},
    "the sentence of a call, stored as people were shown it": {
        "and {} more", "{} and {} more", "{}, {} of no time zone",
    },
    "what the agent is told": {
        "Wrong amount", "Wrong target", "Not needed",
        "The policy does not allow this call (rule “{}”).",
        "Only a pending call can be superseded; {} is {}.",
    },
    "stored with a row or in the trail": {
        "Rule “{}” has a condition that could not be judged: {}.",
        "Superseded by {}.", "Ran", "Did not run", "Nobody decided in time.",
        "It did not run in time.", "tool's definition changed", "tool is no longer offered",
        "The {} after the call was made.", "First run",
        "To try Countersign out; nothing here reaches anybody.",
    },
    "for whoever runs a command, or for the sweep": {
        "1 to 40 lower-case letters, digits or hyphens, and not begin with a hyphen",
        "Upstream {} belongs to {} already.", "There is no upstream {}; there is: {}.",
        "Upstream {} has no tool {}; it has: {}.", "The role is one of {}.",
        "Only an approver has domains to approve for.", "The call is not due to expire.",
        "There is no group {} in {}; there is: {}.",
        "{} is not in {}",
    },
    "what is wrong with a file of rules, for whoever loads it": {
        'the name of an argument, such as amount or order.amount',
        'one of {}',
        'a number above 0, at most 10^12, with at most four decimals',
        'USD:minor, USD:major (a currency of ISO 4217), or a word such as rows',
        'must be an object, such as {"per": "agent", "window": "day", "limit": 20}',
        'is required: what does the field count?',
        'must be a whole number: there is nothing smaller to count',
        'means nothing without {}',
        'only an allow rule has a budget',
        "the last rule, which is always there", "at most 100 characters", "the name of a domain",
        "a pattern over <upstream>__<tool>, such as billing__*", "the name of an agent",
        'must be an object: {"rules": [...]}', "must be a list of rules", "must be text",
        "an allow rule never applies to a tool that is {}", "has a character that cannot be seen",
        "is empty; leave the key out to match anything", "must be a whole number from {} to {}",
        "{} rules; at most {}", "must be an object", "is required", "unknown key", "must be {}",
        "“{}” is the name of {}", "has {} characters; at most {}", "must be one of {}",
        "1 to 64 letters, digits, spaces or . _ -, and begin and end with a letter or digit",
        "the name of an approver group: {}",
        "a rule that does not hold has no {}: it is {}",
        "is {}, but the stages ask for {}; leave it out",
        "must be true or false",
        "says when, but no escalate_to says who",
        "needs stages; without, all are asked",
        "must be a list of 1 to {} stages",
        "ask for {} approvals; at most {}",
        'must be an object: {"group": "…", "quorum": 1}',
        "“{}” has a stage already",
        "no domain it can match has “{}”",
    },
}  # fmt: skip
UNTRANSLATED = {text for texts in TEXTS.values() for text in texts}


@pytest.mark.parametrize(
    "path",
    [path for path in SPEAKING if str(path.relative_to(ROOT)) not in FILES],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_word_for_a_page_is_marked(path):
    words = unmarked(path.read_text())

    assert [text for text in words if text.split("\n")[0] not in UNTRANSLATED] == []


def test_every_exception_is_still_needed():
    found = {text.split("\n")[0] for path in SPEAKING for text in unmarked(path.read_text())}

    assert UNTRANSLATED - found == set()
    assert [name for name in FILES if not unmarked((ROOT / name).read_text())] == []


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ('messages.success(request, "Your settings are kept.")', True),
        ('messages.success(request, f"Stopped {number} agents.")', True),
        ('Look("warn", "clock", "Held")', True),
        ('why = f"{one} and {other}"', True),
        ('raise Http404("There is no such page.")', True),
        ("""format_html('<a class="x">Go to the call</a>')""", True),
        ('gettext("of %(all)s") % {"all": "ten calls"}', True),
        ('phrase("Held by %(rule)s", rule="hold by default")', True),
        ('messages.success(request, gettext("Your settings are kept."))', False),
        ('ngettext("%(n)s call is held", "%(n)s calls are held", n)', False),
        ('def show(call: "Call") -> "Shown":\n    """Show one call."""', False),
        ('note("agent:one", "agent.created", kind="person")', False),
    ],
)
def test_the_reader_of_python_finds_what_is_not_marked(source, is_found):
    assert bool(unmarked(source)) == is_found


def test_messages_are_literals_and_their_places_have_names():
    found = messages(python_files("approvals"))
    texts = [text for pair in found.items() for text in pair if text]

    assert len(found) > 200
    assert [text for text in texts if re.search(r"%[sd]|\{\w*\}", text)] == []


@pytest.mark.parametrize("made", ['gettext(f"Held by {rule}")', "phrase(words)", "phrases(one, 2)"])
def test_a_message_that_no_catalogue_could_hold_is_refused(tmp_path, made):
    written = tmp_path / "made.py"
    written.write_text(made)

    with pytest.raises(ValueError, match="a message is a literal"):
        messages([written])


def test_makemessages_finds_every_mark():
    options = makemessages.Command.xgettext_options

    assert {"--keyword=phrase", "--keyword=phrases:1,2"} <= set(options)
    assert {"phrase", "phrases"} < MARKS.keys()
