"""How a condition is read: the part of CEL that rules may use, as a tree with places in the text.

Countersign judges by the CEL library, never by this tree. The tree says what a condition reads,
what it compares and where it branches: the library tells none of that, and its `&&` and `||`
swallow errors. What is not read here is refused, and whatever is read here is CEL.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, NoReturn, TypeAlias

MAX_DEPTH: Final = 20  # parentheses, lists, signs and calls within one another
MACROS: Final = frozenset({"exists", "all"})

_TOKEN = re.compile(
    r"""(?P<space>\ +)
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    |(?P<int>\d+)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||[=!<>]=|[-+*/%!?:.,()<>\[\]])""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_LEVELS: Final = (
    ("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
_MAX_INTEGER = 2**63 - 1


class Unreadable(Exception):
    """Why a text is no condition, in words that go on after “the condition”."""


@dataclass(frozen=True)
class _Span:
    start: int  # in the text, parentheses around it included
    end: int


@dataclass(frozen=True)
class Literal(_Span):
    value: bool | int | float | str | None


@dataclass(frozen=True)
class Name(_Span):
    name: str


@dataclass(frozen=True)
class Member(_Span):
    """A member of an object by its name, or an item of a list by its number."""

    of: "Node"
    key: str | int


@dataclass(frozen=True)
class Call(_Span):
    function: str
    parts: tuple["Node", ...]  # what it is called on comes first
    is_method: bool


@dataclass(frozen=True)
class Macro(_Span):
    """`of.exists(name, body)` or `of.all(name, body)`."""

    kind: str
    of: "Node"
    name: str
    body: "Node"


@dataclass(frozen=True)
class Unary(_Span):
    sign: str
    part: "Node"


@dataclass(frozen=True)
class Binary(_Span):
    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Choice(_Span):
    test: "Node"
    yes: "Node"
    no: "Node"


@dataclass(frozen=True)
class ListOf(_Span):
    parts: tuple["Node", ...]


Node: TypeAlias = Literal | Name | Member | Call | Macro | Unary | Binary | Choice | ListOf


def parse(text: str) -> Node:
    """Return the tree of a condition.

    Raises:
        Unreadable: it is not in the part of CEL that conditions may use.
    """
    return _Parser(text).whole()


def parts_of(node: Node) -> tuple[Node, ...]:
    """Return the nodes that a node is made of, in the order of the text."""
    match node:
        case Member(of=of):
            return (of,)
        case Call(parts=parts) | ListOf(parts=parts):
            return parts
        case Macro(of=of, body=body):
            return (of, body)
        case Unary(part=part):
            return (part,)
        case Binary(left=left, right=right):
            return (left, right)
        case Choice(test=test, yes=yes, no=no):
            return (test, yes, no)
        case _:
            return ()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Parser:
    """One reading of one text; each method reads one part of the grammar of CEL."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._token.kind != "end":
            self._refuse(f"has “{self._token.text}” where nothing more is expected")
        return node

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _refuse(self, words: str) -> NoReturn:
        raise Unreadable(f"{words} (character {self._token.start + 1})")

    def _take(self) -> _Token:
        token = self._token
        self._next += token.kind != "end"
        return token

    def _takes(self, sign: str) -> bool:
        if self._token.text != sign or self._token.kind not in ("sign", "name"):
            return False
        self._next += 1
        return True

    def _expect(self, sign: str) -> _Token:
        token = self._token
        if not self._takes(sign):
            found = f"“{token.text}”" if token.text else "its end"
            self._refuse(f"has {found} where “{sign}” is expected")
        return token

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"is nested more than {MAX_DEPTH} deep")
        node = self._level(0)
        if self._takes("?"):
            yes = self._level(0)
            self._expect(":")
            no = self._expression()
            node = Choice(node.start, no.end, node, yes, no)
        self._depth -= 1
        return node

    def _level(self, level: int) -> Node:
        """Read operators of one precedence, which group from the left."""
        if level == len(_LEVELS):
            return self._unary()
        node = self._level(level + 1)
        while sign := next((sign for sign in _LEVELS[level] if self._takes(sign)), ""):
            right = self._level(level + 1)
            node = Binary(node.start, right.end, sign, node, right)
        return node

    def _unary(self) -> Node:
        start = self._token.start
        for sign in ("!", "-"):
            if self._takes(sign):
                if self._token.text == sign:
                    self._refuse(f"has “{sign}” twice")
                part = self._member()
                return Unary(start, part.end, sign, part)
        return self._member()

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._takes("."):
                node = self._named(node)
            elif self._takes("["):
                node = self._numbered(node)
            else:
                return node

    def _named(self, of: Node) -> Node:
        token = self._take()
        if token.kind != "name":
            self._next -= 1
            self._refuse("has “.” where no name follows")
        if not self._takes("("):
            return Member(of.start, token.end, of, token.text)
        if token.text in MACROS:
            return self._macro(token.text, of)
        parts, end = self._list(")")
        return Call(of.start, end, token.text, (of, *parts), is_method=True)

    def _macro(self, kind: str, of: Node) -> Node:
        name = self._take()
        if name.kind != "name":
            self._refuse(f"has {kind}(…) without a name for the item")
        self._expect(",")
        body = self._expression()
        return Macro(of.start, self._expect(")").end, kind, of, name.text, body)

    def _numbered(self, of: Node) -> Node:
        key = self._take()
        if key.kind not in ("text", "int"):
            self._refuse("may only look up a fixed name or number in [ ]")
        end = self._expect("]").end
        return Member(of.start, end, of, _text(key) if key.kind == "text" else int(key.text))

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "sign" and token.text == "(":
            node = self._expression()
            return replace(node, start=token.start, end=self._expect(")").end)
        if token.kind == "sign" and token.text == "[":
            parts, end = self._list("]")
            return ListOf(token.start, end, parts)
        if token.kind == "name" and token.text not in _WORDS:
            if self._takes("("):
                parts, end = self._list(")")
                return Call(token.start, end, token.text, parts, is_method=False)
            return Name(token.start, token.end, token.text)
        if token.kind in ("sign", "end") or token.text == "in":
            found = f"“{token.text}”" if token.text else "its end"
            self._next -= token.kind != "end"
            self._refuse(f"has {found} where a value is expected")
        return Literal(token.start, token.end, _value(token))

    def _list(self, closer: str) -> tuple[tuple[Node, ...], int]:
        parts: list[Node] = []
        while self._token.text != closer:
            parts.append(self._expression())
            if not self._takes(","):
                break
        return tuple(parts), self._expect(closer).end


_WORDS = {"true": True, "false": False, "null": None, "in": None}


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise Unreadable(f"has “{text[place]}”, which it cannot (character {place + 1})")
        token = _Token(str(match.lastgroup), match[0], match.start(), match.end())
        if token.kind != "space":
            _refuse_run_on(found, token)
            found.append(token)
        place = match.end()
    return [*found, _Token("end", "", len(text), len(text))]


def _refuse_run_on(found: list[_Token], token: _Token) -> None:
    """Refuse `5u`, `r"…"` and the like: CEL has more kinds of values than JSON."""
    before = found[-1] if found else None
    if before is None or before.end != token.start:
        return
    if before.kind != "sign" and token.kind != "sign":
        raise Unreadable(f"has “{before.text}{token.text}”, which it cannot (character"
                         f" {before.start + 1})")  # fmt: skip
    if before.text == token.text == "/":
        raise Unreadable("has a comment; a rule has a field for one")


def _value(token: _Token) -> bool | int | float | str | None:
    if token.kind == "text":
        return _text(token)
    if token.kind == "float":
        return float(token.text)
    if token.kind == "name":
        return _WORDS[token.text]
    if len(token.text) > 19 or int(token.text) > _MAX_INTEGER:
        raise Unreadable(f"has the number {token.text[:25]}, which is too large")
    return int(token.text)


def _text(token: _Token) -> str:
    def escaped(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise Unreadable(f"has “\\{match[1]}” in a text; write the character itself")
        return _ESCAPES[match[1]]

    return _ESCAPED.sub(escaped, token.text[1:-1])
