"""Pure: text nobody vouches for, made safe to look at; for every door that shows a value.

What cannot be seen, or changes how its neighbours are seen, becomes a *chip* that spells it out.
The text can be read back from what is shown, so no two texts look the same.
Source: safety, "Showing hostile text".
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

# More spaces than this in a row push what follows out of sight; more marks than this on one letter
# paint over the lines above and below.
MAX_SPACES = 15
MAX_MARKS = 4

# Shown as nothing by most fonts, though `str.isprintable` takes them for something.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffc"
    "\U00016fe4\U0001d159" + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_CONTROLS = {
    "\0": "NULL",
    "\a": "BELL",
    "\b": "BACKSPACE",
    "\t": "TAB",
    "\v": "LINE TABULATION",
    "\f": "FORM FEED",
    "\r": "CARRIAGE RETURN",
    "\x1b": "ESCAPE",
    "\x7f": "DELETE",
    "\x85": "NEXT LINE",
}
_NAMELESS = {
    "Cc": "CONTROL CHARACTER",
    "Cn": "UNASSIGNED CHARACTER",
    "Co": "PRIVATE USE CHARACTER",
    "Cs": "LONE SURROGATE",
}
_BREAK = "↵"
_SPACE = "␠"


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text as it is shown: plain, or a chip that stands for what cannot be seen."""

    text: str  # of a chip: "U+202E", "U+200B ×40", "↵ ×3"
    hidden: bool = False  # shown as a chip, which plain text cannot imitate
    name: str = ""  # of a chip: "RIGHT-TO-LEFT OVERRIDE"

    @property
    def label(self) -> str:
        """Return the whole text of a chip: "U+202E RIGHT-TO-LEFT OVERRIDE"."""
        return f"{self.text} {self.name}".rstrip()

    @property
    def is_break(self) -> bool:
        """Tell whether it stands for line breaks; the page then begins one new line after it."""
        return self.hidden and self.text.startswith(_BREAK)


def visible(text: str) -> tuple[Segment, ...]:
    """Return text as segments, from which the very text can be read again."""
    if text.isascii() and text.isprintable() and " " * (MAX_SPACES + 1) not in text:
        return (Segment(text),) if text else ()
    return tuple(_segments(text))


def clean(text: str, limit: int) -> str:
    """Return text for a place of one line: chips as ‹U+202E›, white space as one space, cut with ….

    At most `limit` characters. What it cuts or folds is gone; a page that shows a value shows
    `visible` too.
    """
    # Enough for any text but one that is mostly filling, and then the filling is what there is.
    head = text[: 8 * limit]
    pieces = _clean_pieces(re.sub(r"[ \t\r\n]+", " ", head).strip(" "))
    shown: list[str] = []
    room = limit
    for piece in pieces:
        if len(piece) > room:
            return _cut(shown, limit)
        shown.append(piece)
        room -= len(piece)
    return _cut(shown, limit) if len(head) < len(text) else "".join(shown)


def is_hidden(character: str) -> bool:
    """Tell whether a character cannot be seen, or changes how others are seen."""
    return not character.isprintable() or character in _INVISIBLE


def runs_right_to_left(text: str) -> bool:
    """Tell whether text has letters that turn the direction of what stands beside them."""
    return not text.isascii() and any(_turns(character) for character in text)


def _turns(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL", "AN")


def _segments(text: str) -> list[Segment]:
    segments: list[Segment] = []
    plain: list[str] = []
    marks = 0
    for character, run in groupby(text):
        count = sum(1 for _ in run)
        is_mark = _is_mark(character)
        marks = marks + count if is_mark else 0
        # A mark with nothing plain before it would sit on the chip, or on the page itself.
        is_stray = is_mark and (not plain or marks > MAX_MARKS)
        is_padding = character == " " and count > MAX_SPACES
        if is_stray or is_padding or is_hidden(character):
            segments += [Segment("".join(plain))] if plain else []
            segments.append(_chip(character, count))
            plain = []
        else:
            plain.append(character * count)
    return segments + ([Segment("".join(plain))] if plain else [])


@lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me")


def _chip(character: str, count: int) -> Segment:
    times = f" ×{count}" if count > 1 else ""
    if character == "\n":
        return Segment(_BREAK + times, hidden=True, name="LINE BREAK")
    if character == " ":
        return Segment(_SPACE + times, hidden=True, name="SPACE")
    return Segment(f"U+{ord(character):04X}{times}", hidden=True, name=_name(character))


@lru_cache(maxsize=4096)
def _name(character: str) -> str:
    category = unicodedata.category(character)
    fallback = _CONTROLS.get(character) or _NAMELESS.get(category, "CHARACTER")
    return unicodedata.name(character, fallback)


def _clean_pieces(text: str) -> list[str]:
    """Return what is shown in pieces that must not be cut."""
    pieces: list[str] = []
    for segment in visible(text):
        pieces += [f"‹{segment.text}›"] if segment.hidden else segment.text
    return pieces


def _cut(shown: list[str], limit: int) -> str:
    """Return as much as leaves room for the sign that something is missing."""
    while shown and sum(map(len, shown)) > limit - 1:
        shown = shown[:-1]
    return "".join(shown).rstrip(" ") + "…"
