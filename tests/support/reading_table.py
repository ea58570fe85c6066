"""Reads a call's arguments back from the table a page shows, as a reader would: by eye.

It looks at texts, at chips, at remarks and at what stands within what; never at a class that says
of which kind a value is, nor at the bytes below the table.
"""

import json
import re

from tests.support.dom import Element, read

_WORDS = {"Yes": True, "No": False, "nothing": None}
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_COUNT = re.compile(r"(\d+|no) (item|field)s?")
# Remarks that only a text can have.
_OF_TEXT = re.compile(r"empty text|text\b.*|long text: .*|hidden characters|begins or ends .*")
_SIGNS = {"↵": "\n", "␠": " "}
_CHIP = re.compile(r"(U\+[0-9A-F]{4,6}|[↵␠])(?: ×(\d+))?(?: .*)?")


def arguments_on(html: str) -> tuple[dict[str, object], int]:
    """Return the arguments that a page shows, and how many values they are."""
    tables = [table for table in read(html).having("args") if table.tag == "table"]
    if not tables:
        return {}, 0
    rows = _rows(tables[0])
    return {_name(row): _value(row, inner) for row, inner in rows}, _count(tables[0])


def _count(table: Element) -> int:
    return len(list(table.all(lambda e: e.tag == "tr" and "inner" not in e.classes)))


def _rows(table: Element) -> list[tuple[Element, Element | None]]:
    """Return the rows of a table itself, each with the table of its parts if it has one."""
    [body] = [element for element in table.elements if element.tag == "tbody"]
    found: list[tuple[Element, Element | None]] = []
    for row in body.elements:
        if "inner" in row.classes:
            inner = next(row.all(lambda element: element.tag == "table"))
            found[-1] = (found[-1][0], inner)
        else:
            found.append((row, None))
    return found


def _name(row: Element) -> str:
    head = next(row.elements)
    whole = [shown for fold in head.having("fold") for shown in fold.having("v")]
    if whole:
        return _text(whole[0])
    [code] = [element for element in head.elements if element.tag == "code"]
    return _last_step(code.text)


def _last_step(path: str) -> str:
    """Return the last key of a path: `c` of `a.b[0].c`, `d e` of `a["d e"]`."""
    steps = re.findall(r'\["(?:[^"\\]|\\.)*"\]|\[\d+\]|[A-Za-z0-9_-]+', path)
    last = steps[-1]
    return str(json.loads(last)[0]) if last.startswith('["') else last.strip("[]")


def _value(row: Element, inner: Element | None) -> object:
    _, cell = row.elements
    remarks = [element.text.strip() for element in cell.having("why")]
    shown = cell.having("v")
    text = "".join(map(_text, shown))
    is_text = any(map(_OF_TEXT.fullmatch, remarks)) or any(part.having("hid") for part in shown)
    if is_text:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return json.loads(text)
    count = _COUNT.fullmatch(text)
    return _parts(count[1], count[2], inner) if count else text


def _parts(count: str, thing: str, inner: Element | None) -> object:
    rows = _rows(inner) if inner else []
    assert len(rows) == (0 if count == "no" else int(count))
    if thing == "field":
        return {_name(row): _value(row, parts) for row, parts in rows}
    assert [_name(row) for row, _ in rows] == [str(index) for index in range(len(rows))]
    return [_value(row, parts) for row, parts in rows]


def _text(shown: Element) -> str:
    """Return the text that a value's element stands for, chips read as what they spell out."""
    text, is_after_break = "", False
    for child in shown.children:
        if isinstance(child, str):
            # One of the breaks that a chip stands for is made.
            text += child.removeprefix("\n") if is_after_break else child
            is_after_break = False
        else:
            sign, count = _chip(child)
            text += sign * count
            is_after_break = sign == "\n"
    return text


def _chip(element: Element) -> tuple[str, int]:
    assert element.classes[0] == "hid"
    found = _CHIP.fullmatch(element.text)
    assert found, element.text
    sign = _SIGNS.get(found[1]) or chr(int(found[1].removeprefix("U+"), 16))
    return sign, int(found[2] or 1)
