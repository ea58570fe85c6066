"""What a fuzz run sends, and how it is drawn: from schemas, and by breaking what was drawn.

The same seed draws the same inputs. What only the running server knows (ids of calls, bindings,
tokens against forgery) is filled in when an input is sent.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
_FIRST, _AT_ONCE = 10, 150  # examples of one Hypothesis run; more of them only repeat each other


@dataclass(frozen=True)
class Input:
    """One request.

    Attributes:
        kind: the operation, for people and for counting.
        who: a person's or an agent's name; empty: nobody.
        is_valid: whether it is by somebody who may speak here, and keeps the schema.
        waits: for how many seconds its answer may rightly be held back.
    """

    kind: str
    method: str
    path: str
    who: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_valid: bool = False
    waits: float = 0.0


class Draws:
    """Endless examples of each operation of an OpenAPI document, right ones and wrong ones."""

    def __init__(self, document: Mapping[str, Any], begin: int) -> None:
        """Read the document; `begin` is the seed."""
        loaded = schemathesis.openapi.from_dict(dict(document))
        # A document that schemathesis cannot read has no `ok`, and there is no run then.
        results: list[Any] = list(loaded.get_all_operations())
        self._operations = {result.ok().label: result.ok() for result in results}
        self._seed = begin
        self._waiting: dict[tuple[str, GenerationMode], Iterator[Any]] = {}

    @property
    def labels(self) -> list[str]:
        """Return the operations, as `METHOD /path`."""
        return sorted(self._operations)

    def case(self, label: str, *, is_right: bool) -> Any:
        """Return the next case of an operation; None where there can be no wrong one."""
        key = (label, MODES[0] if is_right else MODES[1])
        if key not in self._waiting:
            self._waiting[key] = self._cases(*key)
        return next(self._waiting[key])

    def body(self, label: str) -> Any:
        """Return the next body that keeps the schema."""
        return self.case(label, is_right=True).body

    def _cases(self, label: str, mode: GenerationMode) -> Iterator[Any]:
        strategy = self._operations[label].as_strategy(generation_mode=mode)
        for turn in count():
            number = min(_FIRST * 2**turn, _AT_ONCE)
            cases = examples(strategy, number, f"{self._seed}:{label}:{mode.value}:{turn}")
            yield from cases or [None]


def examples(strategy: SearchStrategy[Any], number: int, begin: str) -> list[Any]:
    """Return about so many examples of a strategy, the same for the same words to begin with."""
    found: list[Any] = []

    @seed(begin)
    @settings(
        max_examples=number, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def draw(example: Any) -> None:
        found.append(example)

    try:
        draw()
    except Unsatisfiable:
        return []
    Random(begin).shuffle(found)  # Hypothesis begins with the simplest, over and over
    return found


def as_json(value: object) -> bytes:
    """Return a value as a client would write it; lone surrogates stay escaped."""
    return json.dumps(value).encode()


def broken(drawn: Random, body: bytes) -> bytes:
    """Return a body broken in one of the ways there are."""
    return drawn.choice(_BREAKS)(drawn, body)


def wrong_typed(drawn: Random, value: Any) -> Any:
    """Return a JSON value with something of another kind at one place in it."""
    if isinstance(value, dict) and value and drawn.random() < 0.85:
        key = drawn.choice(list(value))
        return {**value, key: wrong_typed(drawn, value[key])}
    if isinstance(value, list) and value and drawn.random() < 0.85:
        place = drawn.randrange(len(value))
        return [*value[:place], wrong_typed(drawn, value[place]), *value[place + 1 :]]
    return drawn.choice(ODD)


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**53, -(2**63), 10**400, 1e308, 0.1, "", " ", "\x00", "\ud800",
    "x" * 70_000, "\u202eevil", "a\r\nSet-Cookie: x=y", "../../etc/passwd", "'; DROP TABLE x; --",
    "%s%n{0}{{7*7}}",
    [], {}, [[]], {"": None}, {"__proto__": {}}, {"a" * 300: 1}, ["x"] * 3_000, "9" * 5_000,
)  # fmt: skip


def _truncated(drawn: Random, body: bytes) -> bytes:
    return body[: drawn.randrange(len(body) + 1)]


def _flipped(drawn: Random, body: bytes) -> bytes:
    changed = bytearray(body or b"\0")
    for _ in range(drawn.randint(1, 8)):
        changed[drawn.randrange(len(changed))] = drawn.randrange(256)
    return bytes(changed)


def _nested(drawn: Random, body: bytes) -> bytes:
    depth = drawn.choice([30, 33, 41, 65, 500, 20_000])
    opened, closed = drawn.choice([(b"[", b"]"), (b'{"a":', b"}")])
    deep = opened * depth + b"1" + closed * depth
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":' + deep + b"}}"


def _twice(drawn: Random, body: bytes) -> bytes:
    keys = (b'"id":1,"id":2,', b'"method":"ping","method":"tools/call",', b'"a":1,"a":2,')
    return body.replace(b"{", b"{" + drawn.choice(keys), 1)


def _number(drawn: Random, body: bytes) -> bytes:
    odd = (b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 6_000, b"0.1e-400", b"-0", b"01")
    return b'{"jsonrpc":"2.0","id":' + drawn.choice(odd) + b',"method":"ping"}'


def _batch(drawn: Random, body: bytes) -> bytes:
    return b"[" + b",".join([body] * drawn.choice([0, 1, 2, 20])) + b"]"


def _odd_start(drawn: Random, body: bytes) -> bytes:
    return drawn.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b" " * 1_000, b"//", b"{"]) + body


def _odd_end(drawn: Random, body: bytes) -> bytes:
    return body + drawn.choice([b"\x00", b"}", b" x", body, b"\n\n", b"\xc3\x28"])


def _oversize(drawn: Random, body: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"pad":"' + b"x" * drawn.choice([60_000, 270_000]) + b'"}'


def _surrogate(drawn: Random, body: bytes) -> bytes:
    odd = drawn.choice([b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\xed\xa0\x80"'])
    place = body.find(b'"', drawn.randrange(len(body) + 1))
    end = body.find(b'"', place + 1)
    return body + odd if place < 0 or end < 0 else body[:place] + odd + body[end + 1 :]


_BREAKS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _truncated, _truncated, _flipped, _flipped, _nested, _twice, _number, _batch, _odd_start,
    _odd_end, _surrogate, _surrogate, _oversize, lambda drawn, body: b"",
    lambda drawn, body: drawn.randbytes(drawn.randrange(200)),
)  # fmt: skip
