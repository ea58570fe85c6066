"""Whether a condition fits the tools it will judge: held to an input schema, tried on arguments.

Schemas come from upstreams: what they do not say is not held against a condition, and arguments
made from one are examples, not proof that the tool takes them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final

from approvals.policy import expressions
from approvals.policy.conditions import Condition, Subject
from approvals.policy.paths import EACH, Path, in_words
from approvals.policy.readings import Use
from approvals.policy.rules import Facts
from approvals.policy.vocabulary import NUMBER
from approvals.wording.schemas import Place, place_of

EXAMPLES: Final = 24
_DEEPEST = 8
_MIXED = 1_000  # from this number on
_KINDS: Final = {
    "integer": NUMBER, "number": NUMBER, "string": "a text", "boolean": "true or false",
    "array": "a list", "object": "an object",
}  # fmt: skip
_NUMBERS: Final = (1, 0, 1_000, 1_000_000)
_TEXTS: Final = ("text", "", "Zoë")


@dataclass
class Tally:
    """How often a condition was true, was false, and could not be judged, and why."""

    yes: int = 0
    no: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)

    def add(self, answer: bool | str) -> None:
        """Count one answer of a condition."""
        if isinstance(answer, str):
            self.unjudged[answer] += 1
        elif answer:
            self.yes += 1
        else:
            self.no += 1

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.yes + other.yes, self.no + other.no, self.unjudged + other.unjudged)

    @property
    def unsure(self) -> int:
        """Return of how many calls nobody can say."""
        return self.unjudged.total()

    @property
    def count(self) -> int:
        """Return how many calls it was tried on."""
        return self.yes + self.no + self.unsure


def misfits(condition: Condition, schema: object) -> Iterator[str]:
    """Yield in words what a condition reads that a tool's input schema does not have, or not so."""
    root, reading = place_of(schema), condition.reading
    sums = (Use((keys[1],), NUMBER, False) for keys in reading.history if len(keys) > 1)
    for use in chain(reading.uses, sorted(sums, key=lambda use: use.path)):
        place = _at(root, use.path)
        if not place.parts:
            yield f"has no {in_words(use.path)}"
            continue
        kinds = kinds_at(place)
        if use.kind and kinds and use.kind not in kinds:
            found = " or ".join(sorted(kinds))
            yield f"has {in_words(use.path)} as {found}, and the condition uses it as {use.kind}"


def examples(condition: Condition, schema: object) -> Iterator[dict[str, object]]:
    """Yield arguments made from a schema: with all it names, then with what it requires only.

    Around the values that the condition compares with, so that both of its answers may show.
    """
    yield from made(schema, literals(condition.text), range(EXAMPLES - 1))


def made(
    schema: object, near: Sequence[object], numbers: Iterable[int]
) -> Iterator[dict[str, object]]:
    """Yield arguments made from a schema, one for each number, then what it requires only.

    Args:
        near: values around which to make them.
        numbers: which ones; whole, from 0.
    """
    root, values = place_of(schema), list(near)
    for number in numbers:
        yield dict(_mapping(_made(root, number, values, 0)))
    full, needed = _mapping(_made(root, 0, values, 0)), required(schema)
    yield {name: value for name, value in full.items() if name in needed}


def required(schema: object) -> frozenset[str]:
    """Return the names that a schema asks for in all arguments."""
    parts = place_of(schema).parts
    return frozenset(name for part in parts for name in _texts(part.get("required")))


def tried(condition: Condition, calls: Iterable[Facts]) -> Tally:
    """Return what a condition says of calls."""
    tally = Tally()
    for facts in calls:
        tally.add(condition.judge(Subject(facts)))
    return tally


def _at(root: Place, path: Path) -> Place:
    place = root
    for key in path:
        if key is EACH:
            place = place.item(0)
        else:
            place = place.member(key) if isinstance(key, str) else place.item(int(str(key)))
    return place


def kinds_at(place: Place) -> set[str]:
    """Return what a schema says a value may be; empty when it does not say."""
    found: set[str] = set()
    for part in place.parts:
        stated = part.get("type")
        names = [stated] if isinstance(stated, str) else _texts(stated)
        found |= {_KINDS[name] for name in names if name in _KINDS}
        if not names:
            found |= {_kind(value) for value in fixed_at(part) if value is not None}
    return found


def _kind(value: object) -> str:
    for types, kind in (
        (bool, "true or false"), (int | float, NUMBER), (str, "a text"), (list, "a list"),
    ):  # fmt: skip
        if isinstance(value, types):
            return kind
    return "an object"


def _made(place: Place, number: int, literals: list[object], depth: int) -> object:
    """Return the example of this number for one place of a schema."""
    fixed = [value for part in place.parts for value in fixed_at(part)]
    if fixed:
        return fixed[number % len(fixed)]
    kinds = sorted(kinds_at(place)) or (["an object"] if place.names else [NUMBER, "a text"])
    # Where a value may be of several kinds, or of any, each has its turn.
    match kinds[number % len(kinds)]:
        case "an object":
            return _object(place, number, literals, depth)
        case "a list":
            size = 0 if depth > _DEEPEST or number % 4 == 3 else 2
            return [_made(place.item(n), number + n, literals, depth + 1) for n in range(size)]
        case "true or false":
            return number % 2 == 0
        case "a number":
            return _number(place, number, literals)
        case _:
            return _text(number, literals)


def _text(number: int, literals: list[object]) -> str:
    texts = [*(value for value in literals if isinstance(value, str)), *_TEXTS]
    return texts[number % len(texts)]


def _object(place: Place, number: int, literals: list[object], depth: int) -> dict[str, object]:
    if depth > _DEEPEST:
        return {}
    names = islice(place.names, 200)
    return {
        # Another number for each, so that values meet in more than one way.
        name: _made(place.member(name), _other(number, shift), literals, depth + 1)
        for shift, name in enumerate(names)
    }


def _other(number: int, shift: int) -> int:
    """Return the number for another part of one example.

    Large ones are mixed: two parts with as many values each would else always meet in one way.
    """
    if number < _MIXED:
        return number + shift
    return _MIXED + ((number + shift * 7_919) * 2_654_435_761 >> 8) % 1_000_003


def _number(place: Place, number: int, literals: list[object]) -> int | float:
    near = [
        value + step
        for value in literals
        if isinstance(value, int | float) and not isinstance(value, bool)
        for step in (0, 1, -1)
    ]
    wanted = [*near, *_NUMBERS]
    value = wanted[number % len(wanted)]
    is_whole = any(
        "integer" in (part.get("type"), *_texts(part.get("type"))) for part in place.parts
    )
    value = int(value) if is_whole else value + (0.5 if number % 2 else 0)
    for low in (part.get("minimum", part.get("exclusiveMinimum")) for part in place.parts):
        if isinstance(low, int | float) and value <= low:
            value = low + 1
    return value


def fixed_at(part: Mapping[str, object]) -> list[object]:
    values = part.get("enum")
    found = list(values) if isinstance(values, list) else []
    return found or ([part["const"]] if "const" in part else [])


def literals(text: str) -> list[object]:
    """Return the values that a condition compares with, or counts by."""
    found: list[object] = []
    waiting: list[expressions.Node] = [expressions.parse(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, expressions.Literal):
            found.append(node.value)
        waiting += expressions.parts_of(node)
    return found


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
