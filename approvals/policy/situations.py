"""Calls made up to try rules on: around every value that their conditions compare with.

They are examples. What no example reaches is not known, and `loosening` says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, combinations, islice
from random import Random
from typing import Final

from approvals.errors import InvalidInput
from approvals.policy import fitting
from approvals.policy.conditions import compiled
from approvals.policy.paths import EACH, Path
from approvals.policy.readings import Reading
from approvals.policy.rules import Facts, History, Rule

MOST: Final = 800  # of one shape
_ARGUMENTS = 160
_SUBSETS = 16  # of the names that may be left out
_MOST_VALUES = 60  # of numbers, and of texts
_LONGEST = 2_000  # a text that is made to have a size
_KINDS = {"a number": "number", "a text": "string", "true or false": "boolean", "a list": "array"}
SOMEBODY: Final = "somebody"


@dataclass(frozen=True)
class Shape:
    """What rules match a call by, without its arguments."""

    domain: str
    tool: str
    effect: str
    agent: str

    def facts(self, **more: object) -> Facts:
        """Return the facts of a call of this shape."""
        return Facts(**vars(self), **more)  # type: ignore[arg-type]  # the last four of Facts


def situations(
    shape: Shape, rules: Sequence[Rule], *, schema: object, week: datetime
) -> Iterator[Facts]:
    """Yield calls of a shape, at most MOST, the same each time.

    Args:
        rules: whose conditions are to be met, and not met.
        schema: of the tool's input; None where nobody knows the tool.
        week: the first moment of a week, by the hours of the installation.
    """
    texts = sorted({rule.condition for rule in rules if rule.condition})
    known = [found for text in texts if (found := _reading(text)) is not None]
    if not known:
        yield shape.facts(args={}, now=week, history=History({}), acts_for=SOMEBODY)
        return
    near = _near(texts)
    args = list(_arguments(_schema(schema, known), near, known))
    moments = list(_moments(week, near)) if _reads(known, "now") else [week]
    people = [SOMEBODY, *_texts(near)] if _reads(known, "acts_for") else [SOMEBODY]
    wanted = sorted(
        keys for keys in frozenset[tuple[str, ...]]().union(*(r.history for r in known))
    )
    sizes = [0, 1, *(n for n in _numbers(near) if n >= 0), 10**6]
    chance = Random(len(args))  # noqa: S311 - the same each time, and no secret
    for number in range(min(MOST, max(len(args), 2 * len(moments), 2 * len(sizes)))):
        yield shape.facts(
            args=args[number % len(args)],
            # In the first round each has its turn; then they meet in other ways.
            now=moments[number % len(moments)] if number < MOST // 2 else chance.choice(moments),
            acts_for=people[number % len(people)],
            history=History({keys: chance.choice(sizes) for keys in wanted}),
        )


def _reading(text: str) -> Reading | None:
    with suppress(InvalidInput):
        return compiled(text).reading
    return None


def _reads(readings: Sequence[Reading], name: str) -> bool:
    return any(name in reading.names for reading in readings)


def _near(texts: Sequence[str]) -> list[object]:
    """Return the values that conditions compare with, and texts that are made of two of them."""
    found: dict[object, None] = {}
    for text in texts:
        found |= {(type(value), value): None for value in fitting.literals(text)}
    values = [pair[1] for pair in found if isinstance(pair, tuple)]
    numbers, words = _numbers(values)[:_MOST_VALUES], _texts(values)[:_MOST_VALUES]
    joined = [one + other for one in words[:6] for other in words[:6] if one != other]
    sized = ["x" * int(n + more) for n in numbers if 0 < n <= _LONGEST for more in (0, 1)]
    return [*numbers, *words, *joined, *(sized if any("size" in text for text in texts) else [])]


def _numbers(values: Sequence[object]) -> list[int | float]:
    return [value for value in values if type(value) in (int, float)]  # type: ignore[misc]


def _texts(values: Sequence[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _arguments(
    schema: object, near: Sequence[object], readings: Sequence[Reading]
) -> Iterator[dict[str, object]]:
    """Yield arguments, then some of them without what conditions read and calls may leave out.

    What cannot be judged is held in ways of its own, so it matters what is missing beside what.
    """
    chance = Random(len(near))  # noqa: S311 - the same each time, and no secret
    each = 3 * len(_numbers(near)) + len(_texts(near)) + 8
    numbers = [
        *range(min(each, _ARGUMENTS)),
        *(chance.randrange(1_000, 10**6) for _ in range(_ARGUMENTS)),
    ]
    full = list(fitting.made(schema, near, numbers))
    yield from full
    names = {use.path[0] for reading in readings for use in reading.uses if use.path}
    optional = sorted(str(name) for name in names - fitting.required(schema))
    for left_out in _subsets(optional):
        for args in chance.sample(full, min(len(full), 2 * _ARGUMENTS // _SUBSETS)):
            yield {name: value for name, value in args.items() if name not in left_out}
    yield {}  # nothing can be judged


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    sizes = (combinations(names, size) for size in range(1, len(names) + 1))
    yield from islice(chain.from_iterable(sizes), _SUBSETS)


def _moments(week: datetime, near: Sequence[object]) -> Iterator[datetime]:
    for hour in range(7 * 24):
        yield week + timedelta(hours=hour, minutes=hour % 60)
    for day in range(0, 366, 5):
        yield week + timedelta(days=day, hours=day % 24)
    for text in _texts(near):
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo:
                for seconds in (-1, 0, 1):
                    yield (moment + timedelta(seconds=seconds)).astimezone(week.tzinfo)


def _schema(schema: object, readings: Sequence[Reading]) -> object:
    """Return what is known of the arguments: at least that there is what conditions read."""
    if isinstance(schema, Mapping):
        return schema
    root: dict[str, object] = {"type": "object"}
    for reading in readings:
        for use in reading.uses:
            _describe(root, use.path, _KINDS.get(use.kind, ""))
        for keys in reading.history:
            if len(keys) > 1:
                _describe(root, (keys[1],), "number")
    return root


def _describe(root: dict[str, object], path: Path, kind: str) -> None:
    place = root
    for key in path:
        if isinstance(key, str):
            place["type"] = "object"
            members = place.setdefault("properties", {})
            place = members.setdefault(key, {})  # type: ignore[attr-defined]  # a dictionary
        elif key is EACH or isinstance(key, int):
            place["type"] = "array"
            place = place.setdefault("items", {})  # type: ignore[assignment]  # a dictionary
    if kind:
        place.setdefault("type", kind)
