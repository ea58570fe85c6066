"""What is different between two definitions of a tool; both are the upstream's word, as parsed."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import wording
from approvals.web import schema_rows
from approvals.web.schema_rows import Argument

Segments = tuple[wording.Segment, ...]
Definition = Mapping[str, Any]

HINTS: dict[str, Promise] = {
    "readOnlyHint": gettext_lazy("only reads"),
    "destructiveHint": gettext_lazy("destroys"),
    "idempotentHint": gettext_lazy("safe to repeat"),
    "openWorldHint": gettext_lazy("reaches outside"),
}
_HOW: dict[str, Promise] = {
    "added": gettext_lazy("added"),
    "removed": gettext_lazy("removed"),
    "changed": gettext_lazy("changed"),
}
# Comparing more lines with each other could take minutes; the whole texts are shown then.
MOST_LINES = 400


@dataclass(frozen=True)
class Line:
    """One line of a text before or now; `kind` is del, ins or empty where it stayed."""

    kind: str
    text: Segments


@dataclass(frozen=True)
class TextChange:
    """A text that reads differently now."""

    what: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class ArgumentChange:
    """An argument that was added, removed or changed."""

    name: str
    how: str  # a key of _HOW
    before: Segments
    after: Segments

    @property
    def words(self) -> str:
        """Return how it changed, in a word."""
        return str(_HOW[self.how])


@dataclass(frozen=True)
class Changes:
    """Everything that is different."""

    texts: tuple[TextChange, ...]
    hints: tuple[str, ...]
    arguments: tuple[ArgumentChange, ...]
    raw: tuple[Line, ...]  # of both definitions as JSON; holds what nothing above tells


def between(before: Definition, after: Definition) -> Changes:
    """Return what a tool's definition says now and did not say before, and the other way."""
    texts = [
        TextChange(words, lines(_text(before.get(key)), _text(after.get(key))))
        for key, words in (("title", gettext("Title")), ("description", gettext("Description")))
        if before.get(key) != after.get(key)
    ]
    return Changes(
        texts=tuple(texts),
        hints=tuple(_hints(before, after)),
        arguments=tuple(_arguments(before.get("inputSchema"), after.get("inputSchema"))),
        raw=lines(pretty(before), pretty(after)),
    )


def hint(definition: Definition, key: str) -> str:
    """Return what a definition says about one hint, in words: yes, no or "not said"."""
    annotations = definition.get("annotations")
    value = annotations.get(key) if isinstance(annotations, Mapping) else None
    if not isinstance(value, bool):
        return gettext("not said")
    return gettext("yes") if value else gettext("no")


def lines(before: str, after: str) -> tuple[Line, ...]:
    """Return both texts as one, line by line, with what is gone and what is new marked."""
    old, new = before.split("\n"), after.split("\n")
    if max(len(old), len(new)) > MOST_LINES:
        return (Line("del", wording.visible(before)), Line("ins", wording.visible(after)))
    found: list[Line] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            found += [Line("", wording.visible(line)) for line in old[old_from:old_to]]
            continue
        found += [Line("del", wording.visible(line)) for line in old[old_from:old_to]]
        found += [Line("ins", wording.visible(line)) for line in new[new_from:new_to]]
    return tuple(line for line in found if line.text or line.kind == "")


def pretty(definition: Definition) -> str:
    """Return a definition as JSON with a line for each part."""
    return json.dumps(definition, ensure_ascii=False, indent=1)


def _hints(before: Definition, after: Definition) -> list[str]:
    pairs = {words: (hint(before, key), hint(after, key)) for key, words in HINTS.items()}
    return [
        gettext("%(hint)s: %(old)s, now %(new)s") % {"hint": words, "old": old, "new": new}
        for words, (old, new) in pairs.items()
        if old != new
    ]


def _arguments(before: object, after: object) -> list[ArgumentChange]:
    old = {argument.keys: argument for argument in schema_rows.arguments(before)}
    new = {argument.keys: argument for argument in schema_rows.arguments(after)}
    changes = [_argument(old.get(keys), new.get(keys)) for keys in {**old, **new}]
    return [change for change in changes if change]


def _argument(old: Argument | None, new: Argument | None) -> ArgumentChange | None:
    if old and new:
        return None if old.whole == new.whole else _changed(old, new)
    either = old or new
    if either is None:
        return None
    shown = wording.visible(either.summary)
    if new:
        return ArgumentChange(either.name, "added", (), shown)
    return ArgumentChange(either.name, "removed", shown, ())


def _changed(old: Argument, new: Argument) -> ArgumentChange:
    after = new.summary
    if old.summary == after:
        after += "\n" + gettext("What changed is shown in the whole definition only.")
    return ArgumentChange(new.name, "changed", wording.visible(old.summary), wording.visible(after))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
