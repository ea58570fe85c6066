"""Reads text and arguments back from what a page shows, to prove that none of it is lost."""

import json
from collections import deque
from collections.abc import Iterable

from approvals.wording import Row, Segment

_SIGNS = {"↵": "\n", "␠": " "}
_WORDS = {"Yes": True, "No": False, "nothing": None}


def text_of(segments: Iterable[Segment]) -> str:
    """Return the text that segments stand for."""
    return "".join(_chip(part.text) if part.hidden else part.text for part in segments)


def arguments_of(rows: Iterable[Row]) -> dict[str, object]:
    """Return the arguments that rows stand for."""
    left = deque(rows)
    arguments: dict[str, object] = {}
    while left:
        row = left.popleft()
        arguments[text_of(row.key)] = _value(row, left)
    return arguments


def _value(row: Row, left: deque[Row]) -> object:
    if row.kind == "text":
        return text_of(row.whole)
    shown = "".join(part.text for part in row.whole)
    if row.kind == "number":
        return json.loads(shown)
    if row.kind in ("boolean", "null"):
        return _WORDS[shown]
    parts: list[tuple[str, object]] = []
    # The page says how many parts there are, and the words say it too.
    assert shown.split()[0] == (str(row.count) if row.count else "no")
    for _ in range(row.count):
        part = left.popleft()
        assert part.depth == row.depth + 1
        parts.append((text_of(part.key), _value(part, left)))
    return dict(parts) if row.kind == "object" else [value for _, value in parts]


def _chip(text: str) -> str:
    what, _, count = text.partition(" ×")
    character = _SIGNS.get(what) or chr(int(what.removeprefix("U+"), 16))
    return character * int(count or 1)
