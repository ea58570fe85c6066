"""Pure: what an input schema says about one place in the arguments, and which ones it names.

Schemas come from upstreams: any part may be missing, of another type, or refer to itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

# Parts of one schema that are looked at: a real one has a few, one that names itself has no end.
MAX_PARTS = 50
_COMBINED = ("allOf", "anyOf", "oneOf")

_Schema = Mapping[str, object]


@dataclass(frozen=True)
class Place:
    """The parts of a schema that may describe one value, references resolved."""

    root: _Schema
    parts: tuple[_Schema, ...]

    @property
    def title(self) -> str:
        """Return the first title given to the value; empty when there is none."""
        return self._first("title")

    @property
    def unit(self) -> str:
        """Return the unit a number counts, where the schema's author says it; never guessed."""
        return self._first("unit") or self._first("x-unit")

    @property
    def names(self) -> dict[str, None]:
        """Return the names of the members described one by one, in the schema's order."""
        return {name: None for part in self.parts for name in _mapping(part.get("properties"))}

    def member(self, name: str) -> "Place":
        """Return what describes a member of an object; without parts when nothing does."""
        return self._at(_member_schemas(self.parts, name))

    def item(self, index: int) -> "Place":
        """Return what describes an item of a list; without parts when nothing does."""
        return self._at(_item_schemas(self.parts, index))

    def _first(self, key: str) -> str:
        said = (part.get(key) for part in self.parts)
        return next((words for words in said if isinstance(words, str) and words), "")

    def _at(self, schemas: Iterable[object]) -> "Place":
        return Place(self.root, _parts(schemas, self.root))


def place_of(schema: object) -> Place:
    """Return the place of the arguments themselves."""
    root = _mapping(schema)
    return Place(root, _parts([root], root))


def argument_names(schema: object) -> dict[str, None]:
    """Return the names of the arguments a schema describes one by one, in its order."""
    return place_of(schema).names


def _member_schemas(parts: Iterable[_Schema], name: str) -> Iterator[object]:
    for part in parts:
        properties = _mapping(part.get("properties"))
        if name in properties:
            yield properties[name]
        elif "patternProperties" in part:
            # Patterns of strangers are not run; that there are some makes no name unexpected.
            yield {}
        else:
            yield part.get("additionalProperties")


def _item_schemas(parts: Iterable[_Schema], index: int) -> Iterator[object]:
    for part in parts:
        first = part.get("prefixItems")
        is_first = isinstance(first, list) and index < len(first)
        yield first[index] if isinstance(first, list) and is_first else part.get("items")


def _parts(schemas: Iterable[object], root: _Schema) -> tuple[_Schema, ...]:
    """Return schemas with all they combine and refer to, each once, nearest first."""
    waiting = [schema for schema in schemas if isinstance(schema, Mapping)]
    found: list[_Schema] = []
    while waiting and len(found) < MAX_PARTS:
        part = waiting.pop(0)
        if any(part is other for other in found):
            continue
        found.append(part)
        waiting += _combined(part, root)
    return tuple(found)


def _combined(part: _Schema, root: _Schema) -> Iterator[_Schema]:
    for key in _COMBINED:
        several = part.get(key)
        if isinstance(several, list):
            yield from (schema for schema in several if isinstance(schema, Mapping))
    reference = part.get("$ref")
    if isinstance(reference, str):
        target = _target(reference, root)
        if isinstance(target, Mapping):
            yield target


def _target(reference: str, root: _Schema) -> object:
    """Return what a reference within the schema points at; others are never followed."""
    if not reference.startswith("#/"):
        return root if reference == "#" else None
    target: object = root
    for step in unquote(reference[2:]).split("/"):
        target = _mapping(target).get(step.replace("~1", "/").replace("~0", "~"))
    return target


def _mapping(value: object) -> _Schema:
    return value if isinstance(value, Mapping) else {}
