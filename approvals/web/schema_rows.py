"""What an input schema asks for, as rows people read; schemas come from upstreams, so any shape."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import wording
from approvals.canonical import path_of

MOST_ROWS = 200
_MOST_DEPTH = 5
_MOST_TEXT = 1_000
_LIMITS = (
    "enum", "const", "default", "format", "pattern", "minimum", "exclusiveMinimum", "maximum",
    "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems",
    "uniqueItems", "additionalProperties",
)  # fmt: skip
_KINDS: dict[str, Promise] = {
    "string": gettext_lazy("text"),
    "integer": gettext_lazy("whole number"),
    "number": gettext_lazy("number"),
    "boolean": gettext_lazy("yes or no"),
    "object": gettext_lazy("object"),
    "array": gettext_lazy("list"),
    "null": gettext_lazy("nothing"),
}
# Of a schema that names no type.
_OTHERWISE: dict[str, Promise] = {
    "enum": gettext_lazy("one of"),
    "const": gettext_lazy("always"),
    "$ref": gettext_lazy("as described elsewhere"),
    "anyOf": gettext_lazy("one of several kinds"),
    "oneOf": gettext_lazy("one of several kinds"),
    "allOf": gettext_lazy("several kinds at once"),
}

_Schema = Mapping[str, object]
_Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Argument:
    """One argument a tool takes, or one part of one; all of it is the upstream's word."""

    keys: _Keys
    kind: str
    is_required: bool
    limits: str
    description: str
    whole: str  # all that the schema says about it, to compare

    @property
    def depth(self) -> int:
        """Return 0 for an argument, 1 for a part of one, and so on."""
        return len(self.keys) - 1

    @property
    def name(self) -> str:
        """Return where it is, safe to print: customer.phones."""
        return path_of(self.keys).removeprefix("$").removeprefix(".")

    @property
    def summary(self) -> str:
        """Return everything of it in one text."""
        needed = gettext("required") if self.is_required else gettext("may be left out")
        parts = [self.kind, needed, self.limits]
        return ", ".join(filter(None, parts)) + (f"\n{self.description}" * bool(self.description))


def arguments(schema: object) -> list[Argument]:
    """Return the arguments a schema describes one by one, and their parts; 200 at most."""
    found: list[Argument] = []
    for argument in _members(_mapping(schema), ()):
        found.append(argument)
        if len(found) == MOST_ROWS:
            break
    return found


def _members(schema: _Schema, above: _Keys) -> Iterator[Argument]:
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    for name, member in _mapping(schema.get("properties")).items():
        keys = (*above, name)
        yield _argument(keys, member, is_required=name in needed)
        if len(keys) < _MOST_DEPTH:
            yield from _members(_mapping(member), keys)
            yield from _members(_mapping(_mapping(member).get("items")), keys)


def _argument(keys: _Keys, schema: object, *, is_required: bool) -> Argument:
    said = _mapping(schema)
    description = said.get("description")
    return Argument(
        keys=keys,
        kind=_kind(schema),
        is_required=is_required,
        limits=", ".join(f"{key} {_clipped(said[key])}" for key in _LIMITS if key in said),
        description=description[:_MOST_TEXT] if isinstance(description, str) else "",
        whole=json.dumps([is_required, _without_parts(schema)], sort_keys=True),
    )


def _kind(schema: object) -> str:
    said = _mapping(schema)
    kind = said.get("type")
    if isinstance(kind, list):
        return gettext(" or ").join(_word(each) for each in kind[:8]) or gettext("anything")
    if kind == "array" and "items" in said and len(str(said["items"])) < _MOST_TEXT:
        return gettext("list of %(kind)s") % {"kind": _kind(said["items"])}
    if isinstance(kind, str):
        return _word(kind)
    if schema is False:
        return gettext("never allowed")
    found = (str(words) for key, words in _OTHERWISE.items() if key in said)
    return next(found, gettext("anything"))


def _word(kind: object) -> str:
    if not isinstance(kind, str):
        return gettext("anything")
    return str(_KINDS[kind]) if kind in _KINDS else wording.clean(kind, 40)


def _clipped(value: object) -> str:
    return wording.clean(json.dumps(value, ensure_ascii=False), 120)


def _without_parts(schema: object) -> object:
    """Return what a schema says of a value itself; its parts have rows of their own."""
    if not isinstance(schema, Mapping):
        return schema
    own = {key: value for key, value in schema.items() if key not in ("properties", "required")}
    items = own.get("items")
    return own | {"items": _without_parts(items)} if isinstance(items, Mapping) else own


def _mapping(value: object) -> _Schema:
    return value if isinstance(value, Mapping) else {}
