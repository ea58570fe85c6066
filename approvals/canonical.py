"""Pure: strict JSON in, RFC 8785 bytes and digests out, and the binding; anybody may call it.

What is refused here could be read in two ways by two readers, or cannot be written down and read
back the same. Every refusal is an `InvalidInput` whose path names the place: `$.items[3].amount`.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeAlias, cast

import rfc8785

from approvals.errors import InvalidInput

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_BODY_BYTES = 256 * 1024
MAX_ARGUMENT_BYTES = 64 * 1024
# Beyond this a double no longer tells neighbours apart, and RFC 8785 writes every number as one.
MAX_INTEGER = 2**53 - 1

# What a person looks at before a tool is used; a change in any of these makes the tool `changed`.
DEFINITION_KEYS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


@dataclass(frozen=True)
class Limits:
    """How large a JSON value may be; sizes in UTF-8 bytes, depth in nested objects and lists."""

    max_depth: int
    max_keys: int
    max_string_bytes: int
    # Only for numbers with a fraction or an exponent; an integer stays within MAX_INTEGER.
    max_number: float = MAX_INTEGER


ARGUMENTS = Limits(max_depth=32, max_keys=2_000, max_string_bytes=32 * 1024)
# Arguments sit a few levels down in a JSON-RPC envelope, beside keys of its own. A body that keeps
# these limits gets its arguments checked, and refused with a path of their own, by `check`.
BODY = Limits(max_depth=40, max_keys=2_200, max_string_bytes=MAX_BODY_BYTES)
# Schemas of real servers write the largest double for "no bound"; a definition is only digested.
DEFINITION = Limits(
    max_depth=64,
    max_keys=10_000,
    max_string_bytes=MAX_BODY_BYTES,
    max_number=sys.float_info.max,
)

_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)
# What RFC 8785 asks for, as long as there is no fraction and every key is ASCII; in C, and so at a
# third of what the full writer costs. `_Check` has refused values that hold themselves.
_PLAIN = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_CLOSER = {"[": "]", "{": "}"}

# A place in the value: None for the root, else (the place it is in, its key or index). A path is
# written out only for a refusal.
_Place: TypeAlias = "tuple[_Place, str | int] | None"


def parse(raw: bytes, *, max_bytes: int = MAX_BODY_BYTES, limits: Limits = BODY) -> JsonValue:
    """Return the value that strict JSON text stands for.

    Raises:
        InvalidInput: not UTF-8, not JSON, a duplicate key, or beyond a limit.
    """
    if len(raw) > max_bytes:
        _refuse(None, f"{len(raw)} bytes of JSON are too many; the limit is {max_bytes}")
    text = _decode(raw)
    _refuse_too_deep(text, limits.max_depth)
    value = _loads(text)
    _Check(limits).value(value, None, 0)
    return value


def check(
    value: object, *, max_bytes: int = MAX_ARGUMENT_BYTES, limits: Limits = ARGUMENTS
) -> None:
    """Hold a value that is parsed already to the same rules; `to_bytes` does so itself."""
    to_bytes(value, max_bytes=max_bytes, limits=limits)


def to_bytes(
    value: object, *, max_bytes: int = MAX_ARGUMENT_BYTES, limits: Limits = ARGUMENTS
) -> bytes:
    """Return the RFC 8785 bytes of a JSON value: what is stored, shown, approved and sent.

    Raises:
        InvalidInput: not a JSON value (a tuple is none), or beyond a limit.
    """
    check = _Check(limits)
    check.value(value, None, 0)
    written = _PLAIN.encode(value).encode() if check.is_plain else rfc8785.dumps(cast("Any", value))
    if len(written) > max_bytes:
        _refuse(None, f"{len(written)} bytes of JSON are too many; the limit is {max_bytes}")
    return written


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes: hex, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: object) -> str:
    """Return the digest of a JSON value's canonical bytes."""
    return digest(to_bytes(value))


def definition_digest(definition: Mapping[str, object]) -> str:
    """Return the digest of a tool's definition as MCP lists it; other keys play no part.

    Args:
        definition: JSON object with MCP's own key names (`inputSchema`); a key that is absent and
            one that is null are the same, as they are to MCP.

    Raises:
        InvalidInput: the definition cannot be written as canonical JSON; such a tool is not listed.
    """
    covered = {key: definition[key] for key in DEFINITION_KEYS if definition.get(key) is not None}
    return digest(to_bytes(covered, max_bytes=MAX_BODY_BYTES, limits=DEFINITION))


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Everything an approval covers; if any of it differs, nothing runs.

    Source: architecture, "What is approved is what runs". Digests are hex, 64 characters.
    """

    call_id: str
    agent: str
    acts_for: str
    upstream: str
    upstream_address: str
    tool: str
    definition_digest: str
    arguments_digest: str
    rule_digest: str
    credential_ref: str
    decide_by_at: datetime
    run_by_at: datetime

    def as_dict(self) -> dict[str, str]:
        """Return the JSON object that is digested."""
        return asdict(self) | {
            "decide_by_at": rfc3339(self.decide_by_at),
            "run_by_at": rfc3339(self.run_by_at),
        }

    def digest(self) -> str:
        """Return the binding as pages carry it and decisions store it."""
        return digest_of(self.as_dict())


def rfc3339(moment: datetime) -> str:
    """Return a moment as UTC text that has one spelling: `2026-07-28T09:30:00.000000Z`."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone has no place in a digest")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def path_of(keys: Iterable[str | int]) -> str:
    """Return keys and indexes, outermost first, as a JSON path that is safe to print.

    Keys of other than plain letters and digits are quoted, escaped to ASCII, and cut.
    """
    steps = ["$"]
    for key in keys:
        if isinstance(key, int):
            steps.append(f"[{key}]")
        elif _PLAIN_KEY.fullmatch(key):
            steps.append(f".{key}")
        else:
            steps.append(f"[{json.dumps(key if len(key) <= 64 else key[:64] + '…')}]")
    return "".join(steps)


def _decode(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        _refuse(None, "JSON text must not begin with a byte order mark")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(None, f"not UTF-8 at byte {error.start}")


def _refuse_too_deep(text: str, max_depth: int) -> None:
    """Refuse nesting before the parser, which recurses, sees it."""
    if text.count("[") + text.count("{") <= max_depth:
        return  # not even if each opened within the one before
    open_brackets: list[str] = []
    for match in _BRACKET_OR_STRING.finditer(text):
        found = match[0]
        if found in "[{":
            if len(open_brackets) == max_depth:
                closed = text[: match.start()] + "null"
                closed += "".join(_CLOSER[bracket] for bracket in reversed(open_brackets))
                _refuse(_last_place(_loads(closed)), _too_deep(max_depth))
            open_brackets.append(found)
        elif found in "]}" and open_brackets:
            # Whether it closes the right kind is the parser's business.
            open_brackets.pop()


def _last_place(value: JsonValue) -> _Place:
    """Return the innermost last place of a value: where the text it was read from ended."""
    place: _Place = None
    while True:
        if isinstance(value, list) and value:
            place, value = (place, len(value) - 1), value[-1]
        elif isinstance(value, dict) and value:
            key = next(reversed(value))
            place, value = (place, key), value[key]
        else:
            return place


def _loads(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        # Some messages of the parser end in "at", others in a colon.
        problem = error.msg.removesuffix(" at").rstrip(": ")
        _refuse(None, f"not JSON: {problem} at line {error.lineno}, column {error.colno}")
    return value


class _Twice:
    """Stands in for an object with a duplicate key until the walk knows where it is."""

    def __init__(self, key: str) -> None:
        self.key = key


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue] | _Twice:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            break
        seen.add(key)
    return _Twice(key)


def _integer(digits: str) -> int | float:
    # Longer ones are out of range anyway; Python refuses, slowly, to read thousands of digits.
    return int(digits) if len(digits) <= 17 else float("inf")


class _Check:
    """One walk over a value; it is as deep as the limit at most, so recursion is safe.

    Afterwards `is_plain` says that Python's own writer, told to sort, writes it as RFC 8785 asks.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.keys = 0
        self.is_plain = True

    def value(self, value: object, place: _Place, depth: int) -> None:
        if isinstance(value, str):
            self.string(value, place)
        elif value is None or isinstance(value, bool):
            return
        elif isinstance(value, int | float):
            self.number(value, place)
        elif isinstance(value, dict | list):
            self.container(value, place, depth + 1)
        elif isinstance(value, _Twice):
            _refuse((place, value.key), "this key appears twice in its object")
        else:
            _refuse(place, f"{type(value).__name__} is not a JSON value")

    def container(
        self, value: dict[object, object] | list[object], place: _Place, depth: int
    ) -> None:
        if depth > self.limits.max_depth:
            _refuse(place, _too_deep(self.limits.max_depth))
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.value(item, (place, index), depth)
            return
        longest = self.limits.max_string_bytes
        for key, item in value.items():
            if _is_ascii_text(key, longest) and self.keys < self.limits.max_keys:
                self.keys += 1
            else:
                self.key(key, place)
            if not _is_ascii_text(item, longest):
                self.value(item, (place, str(key)), depth)

    def key(self, key: object, place: _Place) -> None:
        if not isinstance(key, str):
            _refuse(place, "a key of an object must be a string")
        self.string(key, place, of="a key: ")
        # Others are sorted by UTF-16 there, and by code point here.
        self.is_plain = self.is_plain and key.isascii()
        self.keys += 1
        if self.keys > self.limits.max_keys:
            _refuse((place, key), f"more than {self.limits.max_keys} keys in all")

    def string(self, text: str, place: _Place, *, of: str = "") -> None:
        if _is_ascii_text(text, self.limits.max_string_bytes):
            return
        found = _UNWRITABLE.search(text)
        if found:
            what = "U+0000" if found[0] == "\0" else f"lone surrogate U+{ord(found[0]):04X}"
            _refuse(place, f"{of}{what} at character {found.start()}")
        size = len(text.encode())
        if size > self.limits.max_string_bytes:
            _refuse(place, f"{of}a text of {size} bytes; at most {self.limits.max_string_bytes}")

    def number(self, number: float, place: _Place) -> None:
        is_integer = isinstance(number, int)
        self.is_plain = self.is_plain and is_integer
        largest = MAX_INTEGER if is_integer else self.limits.max_number
        # Written so that NaN, which compares false with everything, is refused too.
        if not abs(number) <= largest:
            _refuse(place, f"a number must be finite and within ±{largest}")


def _is_ascii_text(text: object, max_bytes: int) -> bool:
    """Return whether this is a text with nothing to refuse, which most are and which is cheap."""
    return type(text) is str and len(text) <= max_bytes and text.isascii() and "\0" not in text


def _too_deep(max_depth: int) -> str:
    return f"nested more than {max_depth} levels deep"


def _refuse(place: _Place, message: str) -> NoReturn:
    keys: list[str | int] = []
    while place is not None:
        place, key = place
        keys.append(key)
    raise InvalidInput(message, path=path_of(reversed(keys)))
