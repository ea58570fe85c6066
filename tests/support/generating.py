"""Arguments by a seed: nested, nasty, and many; what no agent would send and an attacker might."""

import random
import string
import sys
from typing import Any

from approvals import canonical

_NASTY = (
    "aZ09 .,-+eE%$·“”‹›…↵␠×U+\n\r\t\x1b[]\"\\{}<>&;=/'`\u202e\u2066\u2069\u200b\u00a0\u2028\ufe0f"
    "\u0301\u05d0\u0661\uff11½Ⅷ三\u3164\u115f\U000e0041\ue000\u0378"
)
_WORDS = (
    "", "1", "1.0", "-0", "1e3", "0x1F", "true", "Yes", "nothing", "null", "[]", "{}", "no items",
    "1 item", "2 fields", "no fields", "U+202E", "↵ ×3", "␠ ×16 SPACE", "… 4 characters not shown",
    "<bdi class=v>1</bdi>", "</td></tr>", "&lt;b&gt;", "{{ row }}", "cus_8241", "usd", "a\nb",
)  # fmt: skip
_TITLES = (None, "Amount", "<b>x</b>", "1", "T" * 99, ["no"], "x\u202ey")


class Generator:
    """Makes arguments and a schema that may or may not fit them; the same seed, the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def arguments(self, members: int = 40) -> dict[str, Any]:
        """Return arguments with so many members, some of them nested."""
        return {self._key(): self._value(0) for _ in range(members)}

    def schema(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return a schema that names some of the arguments, in another order."""
        names = [name for name in arguments if self._random.random() < 0.6]
        self._random.shuffle(names)
        return {"properties": {name: self._described() for name in names}}

    def _described(self) -> dict[str, Any]:
        choice = self._random.choice
        return {"title": choice(_TITLES), "unit": choice((None, "cents", "<i>", "7")), "items": {}}

    def _key(self) -> str:
        pick = self._random.random()
        if pick < 0.6:
            return "".join(self._random.choices(string.ascii_letters + "_0", k=6))
        if pick < 0.62:
            return self._text(70) + self._random.choice("ab…")
        return self._text(self._random.randint(0, 8))

    def _value(self, depth: int) -> object:
        pick = self._random.random()
        if pick < 0.16 and depth < 6:
            many = range(self._random.randint(0, 5))
            if pick < 0.1:
                return [self._value(depth + 1) for _ in many]
            return {self._key(): self._value(depth + 1) for _ in many}
        return self._scalar(pick)

    def _scalar(self, pick: float) -> object:
        if pick < 0.25:
            return self._random.choice((None, True, False))
        if pick < 0.45:
            return self._number()
        if pick < 0.65:
            return self._random.choice(_WORDS)
        if pick < 0.655:
            unit = self._text(self._random.randint(1, 9))
            return (unit * 700)[: self._random.randint(590, 700)]
        return self._text(self._random.randint(0, 10))

    def _number(self) -> int | float:
        most = canonical.MAX_INTEGER
        if self._random.random() < 0.5:
            return self._random.randint(-most, most) >> self._random.randint(0, 53)
        return self._random.uniform(-most, most) * 10.0 ** -self._random.randint(0, 300)

    def _text(self, length: int) -> str:
        pick = self._random.random()
        if pick < 0.3:
            return "".join(self._random.choices(string.printable, k=length))
        if pick < 0.9:
            return "".join(self._random.choices(_NASTY, k=length))
        # Any of Unicode but what the door refuses: NUL and lone surrogates.
        points = (self._random.randrange(1, sys.maxunicode + 1) for _ in range(length))
        return "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)
