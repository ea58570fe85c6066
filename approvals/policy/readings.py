"""What a condition reads and compares, found in its tree; what conditions may not use is refused.

Nothing here knows a call. `conditions` holds a call's arguments to this, `fitting` a tool's schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from approvals.policy.expressions import (
    Binary,
    Call,
    Choice,
    ListOf,
    Literal,
    Macro,
    Member,
    Name,
    Node,
    Unary,
    Unreadable,
    parts_of,
)
from approvals.policy.paths import EACH, Path, in_words
from approvals.policy.vocabulary import (
    BOOLEAN,
    COMPARED,
    COUNTS,
    FREE,
    FUNCTIONS,
    KINDS,
    LIST,
    METHODS,
    NAMES,
    NUMBER,
    SPAN,
    SUMS,
    TEXT,
    TIME,
)

# Each makes a text that may be as long as all arguments together.
_MAX_PLUS = 10


@dataclass(frozen=True, eq=False)
class Use:
    """One place in the arguments that a condition reads; the same object in all that read it so.

    Attributes:
        kind: what it has to be, as `a number`; empty when the condition does not say.
        is_asked: the condition asks by `has(…)` whether it, or what it is in, is there.
    """

    path: Path
    kind: str
    is_asked: bool


@lru_cache(maxsize=16_384)
def use_of(path: Path, kind: str, is_asked: bool) -> Use:
    """Return the one object for a use, so that a call is looked at for it once."""
    return Use(path, kind, is_asked)


@dataclass(frozen=True)
class Reading:
    """All that a condition reads.

    Attributes:
        names: the names of what it reads, as `args` and `now`.
        history: ("calls_hour",) or ("sum_day", "amount"), …
        paths: of the lists that `exists` and `all` look through.
        weights: of comparisons, and of lists that are looked through: how many of their parts may
            copy or look through all of the arguments (for a list: once, over all its items).
    """

    uses: tuple[Use, ...]
    names: frozenset[str]
    history: frozenset[tuple[str, ...]]
    paths: Mapping[Node, Path]
    weights: Mapping[Node, int]


def read(tree: Node) -> Reading:
    """Return what a condition reads.

    Raises:
        Unreadable: it uses what conditions may not, or compares what can never be the same.
    """
    reader = _Reader()
    reader.truth(tree, {})
    return reader.reading()


_Scope: TypeAlias = Mapping[str, Path]


class _Reader:
    """Walks one tree and notes what it finds."""

    def __init__(self) -> None:
        self._kinds: dict[Path, str] = {}
        self._asked: set[Path] = set()
        self._names: set[str] = set()
        self._history: set[tuple[str, ...]] = set()
        self._paths: dict[Node, Path] = {}
        self._atoms: list[tuple[Node, Macro | None]] = []
        self._within: Macro | None = None
        self._plus = 0

    def reading(self) -> Reading:
        uses = (
            use_of(path, kind, any(path[: len(asked)] == asked for asked in self._asked))
            for path, kind in self._kinds.items()
        )
        names, history = frozenset(self._names), frozenset(self._history)
        return Reading(tuple(uses), names, history, self._paths, self._weights())

    # -- where only true or false can stand ------------------------------------------------------

    def truth(self, node: Node, scope: _Scope) -> None:
        match node:
            case Binary(sign="||" | "&&", left=left, right=right):
                parts: tuple[Node, ...] = (left, right)
            case Unary(sign="!", part=part):
                parts = (part,)
            case Choice(test=test, yes=yes, no=no):
                parts = (test, yes, no)
            case Macro():
                self._macro(node, scope)
                return
            case _:
                self._atom(node, scope)
                return
        for one in parts:
            self.truth(one, scope)

    def _macro(self, node: Macro, scope: _Scope) -> None:
        if scope:
            raise Unreadable(f"has {node.kind}(…) within another: nested ones are not allowed")
        path = self._path(node.of, scope)
        if path is None:
            raise Unreadable(f"may use {node.kind}(…) only on a list of the arguments")
        if node.name in NAMES or node.name in FUNCTIONS or node.name == "has":
            raise Unreadable(f"calls an item “{node.name}”, which is a name already")
        self._note(path, LIST)
        self._paths[node] = path
        self._within = node
        self.truth(node.body, {node.name: (*path, EACH)})
        self._within = None

    def _atom(self, node: Node, scope: _Scope) -> None:
        kind = self._kind(node, scope)
        path = self._path(node, scope)
        if path is not None:
            self._note(path, BOOLEAN)
        elif kind not in ("", BOOLEAN):
            raise Unreadable(f"is {kind} where true or false is needed")
        self._atoms.append((node, self._within))

    def _weights(self) -> dict[Node, int]:
        weights: dict[Node, int] = {}
        for atom, macro in self._atoms:
            scope = {macro.name: (*self._paths[macro], EACH)} if macro else {}
            plus = 0
            for node in _all(atom):
                weight = int(self._is_heavy(node, scope))
                if isinstance(node, Binary) and node.sign == "+":
                    plus += 1
                    weight = plus  # what is added so far is copied once more
                # An item is a part of the arguments: all items together are as large at most.
                is_items = macro is not None and all(
                    one.name != "args" for one in _all(node) if isinstance(one, Name)
                )
                place = macro if macro is not None and is_items else atom
                weights[place] = weights.get(place, 0) + weight
        return weights

    def _is_heavy(self, node: Node, scope: _Scope) -> bool:
        """Tell whether the library may copy, or look through, something large for a node."""
        match node:
            case Call(function=name):
                return name != "has"
            case Member(of=of, key=key):
                path = self._path(node, scope)
                is_scalar = path is not None and self._kinds.get(path) in (NUMBER, TEXT, BOOLEAN)
                return isinstance(of, Member) or isinstance(key, int) or not is_scalar
            case Binary(sign=sign):
                return sign == "in"
            case _:
                return False

    # -- where any value can stand ---------------------------------------------------------------

    def _kind(self, node: Node, scope: _Scope) -> str:
        """Note what a value reads; return what it is, empty where the schema has to say."""
        match node:
            case Literal(value=value):
                return _of_literal(value)
            case Name() | Member():
                return self._of_place(node, scope)
            case Call():
                return self._of_call(node, scope)
            case Binary(sign=sign) if sign not in ("&&", "||"):
                return self._of_binary(node, scope)
            case Binary() | Macro():
                # Here the library would judge, and let an error be overruled by the other side.
                sign = node.sign if isinstance(node, Binary) else f"{node.kind}(…)"
                raise Unreadable(f"may use {sign} only between whole comparisons")
            case Unary() | Choice() | ListOf():
                return self._of_parts(node, scope)

    def _of_parts(self, node: Unary | Choice | ListOf, scope: _Scope) -> str:
        if isinstance(node, ListOf):
            for part in node.parts:
                self._kind(part, scope)
            return LIST
        if isinstance(node, Unary):
            kind = NUMBER if node.sign == "-" else BOOLEAN
            self._expect(node.part, kind, scope)
            return kind
        self._expect(node.test, BOOLEAN, scope)
        kinds = {self._kind(node.yes, scope), self._kind(node.no, scope)}
        return kinds.pop() if len(kinds) == 1 else ""

    def _of_place(self, node: Node, scope: _Scope) -> str:
        if isinstance(node, Name) and node.name in KINDS:
            self._names.add(node.name)
            return KINDS[node.name]
        if (path := self._path(node, scope)) is not None:
            self._note(path, "")
            return ""
        keys = _keys(node)
        if keys[:1] == ("history",):
            self._names.add("history")
            self._history.add(_history(keys[1:]))
            return NUMBER
        name = keys[0] if keys else None
        if isinstance(name, str) and name not in KINDS:
            raise Unreadable(f"uses the name “{name}”; it may use {', '.join(sorted(NAMES))}")
        raise Unreadable("looks into what has no members")

    def _of_call(self, node: Call, scope: _Scope) -> str:
        name = node.function
        if name == "has" and not node.is_method:
            path = self._path(node.parts[0], scope) if len(node.parts) == 1 else None
            if not path or not isinstance(path[-1], str):
                raise Unreadable("may ask has(…) only of a member of the arguments")
            self._asked.add(path)
            self._note(path, "")
            return BOOLEAN
        if name not in (METHODS if node.is_method else FREE):
            raise Unreadable(_not_offered(name))
        kind, count, wanted = FUNCTIONS[name]
        if len(node.parts) != count:
            raise Unreadable(f"gives {name}(…) {len(node.parts)} values; it takes {count}")
        for part in node.parts:
            if wanted:
                self._expect(part, wanted, scope)
            else:
                self._kind(part, scope)
        return kind

    def _of_binary(self, node: Binary, scope: _Scope) -> str:
        left, right = self._kind(node.left, scope), self._kind(node.right, scope)
        if node.sign == "in":
            self._items(node, left, scope)
            return BOOLEAN
        for kind, other, part in ((left, right, node.right), (right, left, node.left)):
            # A time and a duration may meet; numbers and texts meet their like.
            if kind in (NUMBER, TEXT, BOOLEAN) and other == "":
                self._expect(part, kind, scope)
        if left and right and left != right and not {left, right} <= {TIME, SPAN}:
            raise Unreadable(f"has {left} and {right} on the two sides of “{node.sign}”")
        if node.sign in COMPARED:
            return BOOLEAN
        self._plus += node.sign == "+"
        if self._plus > _MAX_PLUS:
            raise Unreadable(f"has more than {_MAX_PLUS} “+”")
        return _sum_of(node.sign, left, right)

    def _items(self, node: Binary, kind: str, scope: _Scope) -> None:
        """Hold both sides of `in` to each other."""
        if not isinstance(node.right, ListOf):
            path = self._path(node.right, scope)
            if path is None:
                raise Unreadable("may look with “in” only into a list")
            if path:
                self._note(path, LIST)
                if kind:
                    self._note((*path, EACH), kind)
            return
        for item in node.right.parts:
            found = self._kind(item, scope)
            if found and kind and found != kind:
                raise Unreadable(f"looks for {kind} among values of which one is {found}")
            if found and not kind:
                self._expect(node.left, found, scope)

    def _expect(self, node: Node, kind: str, scope: _Scope) -> None:
        path = self._path(node, scope)
        if path is not None:
            self._note(path, kind)
            return
        found = self._kind(node, scope)
        if found and found != kind:
            raise Unreadable(f"has {found} where {kind} is needed")

    def _path(self, node: Node, scope: _Scope) -> Path | None:
        """Return the path of a node that reads the arguments, None of any other."""
        if isinstance(node, Name) and node.name == "args":
            if scope:
                # The library would copy them for each item.
                raise Unreadable("may look within exists(…) and all(…) only at the item itself")
            self._names.add("args")
            return ()
        if isinstance(node, Name):
            return scope.get(node.name)
        if not isinstance(node, Member):
            return None
        of = self._path(node.of, scope)
        return None if of is None else (*of, node.key)

    def _note(self, path: Path, kind: str) -> None:
        known = self._kinds.get(path, "")
        if known and kind and known != kind:
            raise Unreadable(f"uses {in_words(path)} as {known} and as {kind}")
        self._kinds[path] = known or kind


def _all(node: Node) -> list[Node]:
    return [node, *(one for part in parts_of(node) for one in _all(part))]


def _of_literal(value: object) -> str:
    if value is None:
        raise Unreadable("has “null”: an argument that is null holds the call by itself")
    if isinstance(value, bool):
        return BOOLEAN
    return TEXT if isinstance(value, str) else NUMBER


def _sum_of(sign: str, left: str, right: str) -> str:
    if BOOLEAN in (left, right) or (TEXT in (left, right) and sign != "+"):
        raise Unreadable(f"counts with {left if left in (BOOLEAN, TEXT) else right}")
    if {left, right} == {TIME}:
        return SPAN
    if TIME in (left, right):
        return TIME
    return left or right


def _keys(node: Node) -> tuple[str | int, ...]:
    """Return a name and the members looked up in it; empty where it starts with no name."""
    if isinstance(node, Name):
        return (node.name,)
    if isinstance(node, Member):
        of = _keys(node.of)
        return (*of, node.key) if of else ()
    return ()


def _history(keys: tuple[str | int, ...]) -> tuple[str, ...]:
    words = tuple(key for key in keys if isinstance(key, str))
    if words == keys:
        if len(words) == 1 and words[0] in COUNTS:
            return words
        if len(words) == 2 and words[0] in SUMS:
            return words
    raise Unreadable(
        "may read of history calls_hour, calls_day, sum_hour.<argument> and sum_day.<argument>"
    )


def _not_offered(name: str) -> str:
    if name == "matches":
        return "uses matches(…): patterns can burn time; use startsWith, endsWith or contains"
    return f"uses {name}(…), which conditions do not have"
