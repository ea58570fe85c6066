"""A page as a tree of elements, read strictly: what does not close as it opened is an error."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"br", "hr", "img", "input", "link", "meta", "source", "wbr", "col", "area", "base"}


@dataclass
class Element:
    """One element; its children are elements and texts in order."""

    tag: str
    attributes: dict[str, str]
    children: "list[Element | str]" = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """Return all text in it."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def elements(self) -> "Iterator[Element]":
        """Return its own children that are elements."""
        return (child for child in self.children if isinstance(child, Element))

    def all(self, is_wanted: "Callable[[Element], bool]") -> "Iterator[Element]":
        """Return what is wanted of all that is in it, in the order of the page."""
        for child in self.elements:
            if is_wanted(child):
                yield child
            yield from child.all(is_wanted)

    def having(self, name: str) -> "list[Element]":
        """Return everything in it with a class."""
        return list(self.all(lambda element: name in element.classes))

    def outline(self) -> list[str]:
        """Return every element in it by its tag, classes and attributes' names, in order.

        Values of attributes play no part: they hold text, and text is free.
        """
        everything = self.all(lambda element: True)
        return [f"{e.tag}.{'.'.join(e.classes)}{sorted(e.attributes)}" for e in everything]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.tag == tag, f"<{closed.tag}> is closed by </{tag}> {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(html: str) -> Element:
    """Return the root of a page, or of a part of one."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is never closed"
    return reader.open[0]
