"""Pure: a call in one line, its risk in one word, a name in two letters; for pages and notices."""

import json
import re
from collections.abc import Mapping

from approvals.wording.hostile import clean, runs_right_to_left

MAX_SENTENCE = 160
MAX_PARTS = 4
_MAX_TITLE = 48
_MAX_NAME = 30
MAX_VALUE = 40

# Such a value stands without quotes: nobody can take it for a number, a yes or another argument.
_PLAIN = re.compile(r"(?!(?:true|false|yes|no|null|none)$)[a-z_][a-z0-9_.:@/#+-]*", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def sentence(title: str, tool: str, arguments: Mapping[str, object]) -> str:
    """Return what a call would do: "Refund · amount 42000 · customer cus_8241".

    At most 160 characters: the tool's title, or its name when it has none, and its first telling
    arguments by name, whatever order the agent sent them in. Left-out ones are counted. Curly
    quotes and · are ours alone, so that no value can pass for a second argument.
    """
    head = _isolated(_tame(clean(title, _MAX_TITLE)) or _tame(readable(tool.rpartition("__")[2])))
    telling = sorted(arguments.items(), key=lambda item: (_telling(item[1]), item[0]))
    shown: list[str] = []
    for name, value in telling[:MAX_PARTS]:
        part = f"{_named(name)} {said(value)}"
        # Room for " · and 1999 more" is kept.
        if _telling(value) == _SILENT or len(" · ".join([head, *shown, part])) > MAX_SENTENCE - 18:
            break
        shown.append(part)
    if missing := len(arguments) - len(shown):
        shown.append(left_out(missing, is_alone=not shown))
    return " · ".join([head, *shown])


def readable(name: str) -> str:
    """Return a name made by a programmer as words: "invoice_id" and "invoiceId" as "Invoice id"."""
    if not _IDENTIFIER.fullmatch(name):
        return clean(name, _MAX_TITLE)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.sub(r"[_-]+", " ", words).strip().lower()
    return clean(words[:1].upper() + words[1:], _MAX_TITLE)


def risk(effect: str, unusual: int) -> str:
    """Return "high", "raised" or "low".

    `unusual` is the number of lines that say what is odd about the call. Source: architecture,
    "Risk shown on a row". What nobody reviewed, and any word unknown here, is high.
    """
    if effect == "read":
        return "low"
    if effect == "write":
        return "raised" if unusual else "low"
    return "high"


def initials(name: str) -> str:
    """Return the characters in a face: "TO" of "Theo Okafor", "st" of "support-triage"."""
    words = [word for word in re.split(r"[\W_]+", name) if word]
    if not words:
        return "?"
    return words[0][:2] if len(words) == 1 else words[0][0] + words[-1][0]


_SILENT = 4


def left_out(number: int, *, is_alone: bool) -> str:
    """Return what a sentence says of arguments it does not name: "and 3 more"."""
    return counted(number, "argument") if is_alone else f"and {number} more"


def _telling(value: object) -> int:
    """Return a rank: what says most about a call comes first."""
    if value is None or value in ("", [], {}):
        return _SILENT
    if isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return 0 if len(value) <= MAX_VALUE and "\n" not in value else 2
    return 3 if isinstance(value, dict | list) else 0


def said(value: object) -> str:
    """Return a value within a sentence; of what has parts, only how many."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return counted(len(value), "field" if isinstance(value, dict) else "item")
    return json.dumps(value)


def _named(name: str) -> str:
    shown = quoted(name, _MAX_NAME)
    return shown.replace("_", " ") if shown == name else shown


def quoted(text: str, limit: int = MAX_VALUE, *, always: bool = False) -> str:
    """Return text within a sentence: as it is where it is one plain word, else in curly quotes."""
    shown = _tame(clean(text, limit))
    is_plain = shown == text and _PLAIN.fullmatch(text) and not always
    return text if is_plain else f"“{_isolated(shown)}”"


def _tame(text: str) -> str:
    """Return text without the signs that give a sentence its structure."""
    return re.sub("[“”„‟]", '"', re.sub("[·‧・•∙⋅]", "-", text))


def _isolated(text: str) -> str:
    """Keep letters that run right to left from pulling their neighbours along."""
    return f"\u2068{text}\u2069" if runs_right_to_left(text) else text


def counted(number: int, thing: str) -> str:
    """Return a number of things: "1 item", "3 items"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
