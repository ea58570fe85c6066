"""Whether a rule's condition is true of a call, or why nobody can say.

Conditions are CEL, judged by the CEL library one comparison at a time: `&&`, `||`, `!`, `? :`,
`exists` and `all` are walked here, from the left, because the library's own let an error on one
side be overruled by the other. Whatever a condition reads of the arguments has to be there, not
null, and of the kind that it is compared with.

What it may cost is counted, never timed: one call gets the same answer on every machine, also when
it is judged again later. Measured on the library: a regular expression can take 40 ms to compile,
and `filter` copies its list for every item, so neither is offered.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timezone
from functools import lru_cache
from typing import Any, Final

from approvals.errors import InvalidInput
from approvals.policy import expressions
from approvals.policy.expressions import Binary, Choice, Macro, Node, Unary, Unreadable
from approvals.policy.paths import EACH, Path, in_words
from approvals.policy.readings import Reading, Use, read
from approvals.policy.rules import Facts

MAX_CHARACTERS: Final = 1_000
# Comparisons for one call, over all rules; what may copy or look through the arguments costs one
# more for each half KiB of them. Measured: at worst a tenth of a second.
MAX_STEPS: Final = 20_000
STEP_BYTES: Final = 512

_KINDS: Final = {
    bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list",
    dict: "an object",
}  # fmt: skip


class Unjudged(Exception):
    """Why a condition is neither true nor false of a call, as a sentence without its full stop."""


class Subject:
    """One call, as conditions see it; made once a call, and used up by judging it."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._steps = MAX_STEPS
        # What the library calls contexts, made for the first condition that needs them. That of
        # items is without the arguments: the library copies all for each new value of a name.
        self.context: Any = None
        self.items: Any = None
        self._told: dict[str, object] = {}
        self._size = -1  # of the arguments, in steps
        self.fits: set[Use] = set()  # what was looked at, and is as it has to be

    @property
    def args(self) -> Mapping[str, object]:
        """Return the arguments; Unjudged when they are not known."""
        if self.facts.args is None:
            raise Unjudged("the arguments are not known")
        return self.facts.args

    def spend(self, steps: int, weight: int = 0) -> None:
        """Count what is about to be done; its weight is in sizes of the arguments."""
        if weight and self._size < 0:
            self._size = len(repr(self.args)) // STEP_BYTES
        self._steps -= steps + weight * self._size
        if self._steps < 0:
            raise Unjudged("it took too many steps")

    def bind(self, name: str, value: object) -> None:
        """Let a name of the condition stand for an item of a list."""
        if self.items is None:
            self.items = _library().Context()
            for told, known in self._told.items():
                self._tell_items(told, known)
        self.items.add_variable(name, value)

    def tell(self, names: Iterable[str]) -> None:
        """Let the names that a condition reads stand for what they are; each costs, so no others.

        The library calls where they are told a context.
        """
        if self.context is None:
            self.context = _library().Context()
        for name in names:
            if name not in self._told:
                value = self._told[name] = self._value_of(name)
                self.context.add_variable(name, value)
                if self.items is not None:
                    self._tell_items(name, value)

    def _tell_items(self, name: str, value: object) -> None:
        if name != "args":
            self.items.add_variable(name, value)

    def _value_of(self, name: str) -> object:
        if name == "args":
            return dict(self.args)
        if name == "now":
            offset = self.facts.now.utcoffset() if self.facts.now else None
            if self.facts.now is None or offset is None:
                raise Unjudged("the time is not known")
            # The library takes no other zone than an offset; its hours and days are then of it.
            return self.facts.now.astimezone(timezone(offset))
        if name == "history":
            return self.facts.history.as_dict() if self.facts.history else {}
        return getattr(self.facts, name)


_Step = Callable[[Subject], bool]


@dataclass(frozen=True)
class Condition:
    """One condition, compiled."""

    text: str
    reading: Reading
    _step: _Step

    def judge(self, subject: Subject) -> bool | str:
        """Return whether it is true of a call, or in words why nobody can say."""
        try:
            for use in self.reading.uses:
                if use not in subject.fits:
                    _check_from(subject.args, use, 0, subject)
                    subject.fits.add(use)
            if self.reading.history:
                _check_history(self.reading, subject)
            subject.tell(self.reading.names)
            return self._step(subject)
        except Unjudged as why:
            return str(why)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must hold the call
            return _TOLD.get(type(error), "a value in it cannot be used as the condition does")


@lru_cache(maxsize=4_096)
def compiled(text: str) -> Condition:
    """Return a condition ready to judge calls by.

    Raises:
        InvalidInput: it is too long, is not CEL, or uses what conditions may not.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"has {len(text)} characters; at most {MAX_CHARACTERS}")
    try:
        tree = expressions.parse(text)
        reading = read(tree)
        _program(text)
        return Condition(text, reading, _walked(tree, text, reading, {}))
    except Unreadable as why:
        raise InvalidInput(str(why)) from None


def _library() -> Any:
    # Imported where the first condition is: it brings a terminal's worth of modules, 0.2 s.
    import cel

    return cel


def _program(text: str) -> Any:
    try:
        return _library().compile(text)
    except ValueError as error:
        why = str(error).partition("ERROR: ")[2].partition("\n")[0] or "it is no expression"
        raise Unreadable(f"is not CEL: {why[:200]}") from None


def _walked(node: Node, text: str, reading: Reading, names: Mapping[str, Path]) -> _Step:
    """Return what judges a node that is true or false."""

    def of(part: Node) -> _Step:
        return _walked(part, text, reading, names)

    match node:
        case Binary(sign="||", left=left, right=right):
            one, other = of(left), of(right)
            return lambda subject: one(subject) or other(subject)
        case Binary(sign="&&", left=left, right=right):
            one, other = of(left), of(right)
            return lambda subject: one(subject) and other(subject)
        case Unary(sign="!", part=part):
            one = of(part)
            return lambda subject: not one(subject)
        case Choice(test=test, yes=yes, no=no):
            one, other, third = of(test), of(yes), of(no)
            return lambda subject: other(subject) if one(subject) else third(subject)
        case Macro():
            path = reading.paths[node]
            body = _walked(node.body, text, reading, {**names, node.name: (*path, EACH)})
            return _over(node, path, body, reading)
    return _atom(node, text, reading, is_in_macro=bool(names))


def _over(node: Macro, path: Path, body: _Step, reading: Reading) -> _Step:
    is_exists, weight = node.kind == "exists", reading.weights.get(node, 0)

    def judge(subject: Subject) -> bool:
        subject.spend(1, weight)
        items = _value(path, subject)
        if not isinstance(items, list | tuple):
            raise Unjudged(f"{in_words(path)} is not a list")
        for item in items:
            subject.bind(node.name, item)
            if body(subject) is is_exists:
                return is_exists
        return not is_exists

    return judge


def _atom(node: Node, text: str, reading: Reading, *, is_in_macro: bool) -> _Step:
    execute = _program(text[node.start : node.end]).execute
    weight = reading.weights.get(node, 0)

    def judge(subject: Subject) -> bool:
        subject.spend(1, weight)
        answer = execute(subject.items if is_in_macro else subject.context)
        if answer is True or answer is False:
            return answer
        raise Unjudged(f"“{text[node.start : node.end][:80]}” is neither true nor false")

    return judge


_TOLD: Final = {
    KeyError: "it reads what is not there",
    IndexError: "it reads what is not there",
    OverflowError: "a number in it gets too large",
    ZeroDivisionError: "it divides by zero",
    TypeError: "it compares or counts with values of different kinds",
}


def _check_from(value: object, use: Use, start: int, subject: Subject) -> None:
    """Let a call whose arguments are not what the condition reads go unjudged."""
    path = use.path
    for place in range(start, len(path)):
        key = path[place]
        if key is EACH:
            items = value if isinstance(value, list | tuple) else ()
            subject.spend(len(items))
            for item in items:
                _check_from(item, use, place + 1, subject)
            return
        if not _has(value, key):
            if use.is_asked:
                return
            raise Unjudged(f"{in_words(path[: place + 1])} is missing")
        value = value[key]  # type: ignore[index]  # `_has` looked
        if value is None:
            raise Unjudged(f"{in_words(path[: place + 1])} is null")
    if use.kind and (found := _kind(value)) != use.kind:
        raise Unjudged(f"{in_words(path)} is {found}, not {use.kind}")


def _has(value: object, key: object) -> bool:
    if isinstance(key, str):
        return isinstance(value, Mapping) and key in value
    return isinstance(value, list | tuple) and isinstance(key, int) and key < len(value)


def _kind(value: object) -> str:
    known = _KINDS.get(type(value))
    if known is None:
        return "an object" if isinstance(value, Mapping) else "a list"
    return known


def _value(path: Path, subject: Subject) -> object:
    """Return what `_check` found to be there; None where `has(…)` may say it is not."""
    value: object = subject.args
    for key in path:
        if not _has(value, key):
            raise Unjudged(f"{in_words(path)} is missing")
        value = value[key]  # type: ignore[index]  # `_has` looked
    return value


def _check_history(reading: Reading, subject: Subject) -> None:
    history = subject.facts.history
    if history is None or not history.answers(reading.history):
        raise Unjudged("what this agent did before is not known")
