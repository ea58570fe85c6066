"""Pure: what of an upstream's list agents may ever see, and under which names."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from mcp.shared.inbound import find_invalid_x_mcp_header

from approvals import canonical, wording
from approvals.administration.catalog import MAX_DEFINITION_BYTES, ListedTool
from approvals.errors import InvalidInput
from mcp_bridge.schema_check import Unusable, compiled

MAX_TOOLS = 3_000
_MOST_DROPPED = 100  # that are told one by one
_LONGEST_NAME = 64  # what clients accept
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_MARK_LENGTH = 12  # hex digits
# A name that looks marked is marked too, so that nobody can list one tool under another's mark.
_MARKED = re.compile(rf"_[0-9a-f]{{{_MARK_LENGTH}}}$")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def exposed_name(upstream: str, tool: str) -> str:
    """Return the name agents call a tool by: `<upstream>__<tool>`, at most 64 plain characters.

    A name that is longer or has other characters is shortened, with a stable mark, part of its
    digest, that keeps it apart from others.
    """
    full = f"{upstream}__{tool}"
    if len(full) <= _LONGEST_NAME and _PLAIN.fullmatch(full) and not _MARKED.search(full):
        return full
    mark = hashlib.sha256(full.encode("utf-8", "backslashreplace")).hexdigest()[:_MARK_LENGTH]
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", full)
    return f"{plain[: _LONGEST_NAME - _MARK_LENGTH - 1]}_{mark}"


class Sieve:
    """Takes an upstream's list page by page, and keeps no more of it than can be offered."""

    def __init__(self, upstream: str) -> None:
        """Start an empty list.

        Args:
            upstream: its name.
        """
        self._upstream = upstream
        self._count = 0
        self._kept: dict[str, ListedTool] = {}
        self._twice: set[str] = set()
        self._dropped: list[dict[str, str]] = []
        self._untold = 0

    def add(self, page: list[Any]) -> None:
        """Take over the usable tools of a page."""
        for tool in page:
            self._count += 1
            if why := self._wrong(tool):
                self._drop(tool.get("name") if isinstance(tool, dict) else None, why)
            else:
                self._keep(tool)

    def tools(self) -> list[ListedTool]:
        """Return the tools that may be offered, in the upstream's order."""
        return [tool for name, tool in self._kept.items() if name not in self._twice]

    def dropped(self) -> list[dict[str, str]]:
        """Return {"name", "why"} for each tool that may not be offered; the first hundred."""
        more = {"name": f"{self._untold} more", "why": "not told one by one"}
        return [*self._dropped, more] if self._untold else list(self._dropped)

    def _wrong(self, tool: object) -> str:
        too_many = f"the list has more than {MAX_TOOLS} tools"
        return too_many if self._count > MAX_TOOLS else _wrong(tool)

    def _keep(self, tool: dict[str, Any]) -> None:
        name = tool["name"]
        if name in self._kept:
            if name not in self._twice:
                # Which of them a call would reach is the server's secret, so none is offered.
                self._drop(name, "its name stands more than once in the list")
            self._twice.add(name)
            return
        definition = {
            key: tool[key] for key in canonical.DEFINITION_KEYS if tool.get(key) is not None
        }
        self._kept[name] = ListedTool(name, exposed_name(self._upstream, name), definition)

    def _drop(self, name: object, why: str) -> None:
        if len(self._dropped) >= _MOST_DROPPED:
            self._untold += 1
            return
        told = wording.clean(str(name)[:1_000], 100)
        self._dropped.append({"name": told, "why": wording.clean(why, 300)})


_OPTIONAL: dict[str, tuple[type, str]] = {
    "title": (str, "text"),
    "description": (str, "text"),
    "annotations": (dict, "an object"),
    "outputSchema": (dict, "an object"),
}


def _wrong(tool: object) -> str:
    """Return why a tool cannot be offered; empty when it can."""
    if not isinstance(tool, dict):
        return "it is not an object"
    name, schema = tool.get("name"), tool.get("inputSchema")
    if not isinstance(name, str) or not 1 <= len(name) <= 200:
        return "its name is missing, empty or longer than 200 characters"
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return "its input schema is not that of an object"
    for key, (kind, words) in _OPTIONAL.items():
        if not isinstance(tool.get(key), kind | None):
            return f"its {key} is not {words}"
    try:
        definition = {key: tool[key] for key in canonical.DEFINITION_KEYS if key in tool}
        body = canonical.to_bytes(
            definition, max_bytes=MAX_DEFINITION_BYTES, limits=canonical.DEFINITION
        )
    except InvalidInput as error:
        return f"its definition cannot be kept: {error.message}, at {error.path}"
    return _of_schemas(tool, canonical.digest(body))


_looked_at: dict[str, str] = {}  # by digest: lists are read again and again
_MOST_LOOKED_AT = 20_000


def _of_schemas(tool: dict[str, Any], digest: str) -> str:
    """Return why nothing could be held to a tool's schemas, from memory where it is known."""
    why = _looked_at.get(digest)
    if why is None:
        why = _unusable(tool)
        if len(_looked_at) >= _MOST_LOOKED_AT:
            _looked_at.clear()
        _looked_at[digest] = why
    return why


def _unusable(tool: dict[str, Any]) -> str:
    for key in ("inputSchema", "outputSchema"):
        schema = tool.get(key) or {}
        if leads_out := _leads_out(schema):
            return f"its {key} refers to {leads_out}"
        try:
            compiled(schema)
        except Unusable as error:
            return f"its {key} cannot be used: {error}"
        except Exception as error:  # noqa: BLE001 - hostile schemas find new ways to fail
            return f"its {key} cannot be used: {type(error).__name__}"
    header = find_invalid_x_mcp_header(tool["inputSchema"])
    return f"it wants impossible HTTP headers: {header}" if header else ""


def _leads_out(schema: object) -> str:
    """Return a reference that leads out of the schema; empty when there is none."""
    if isinstance(schema, Mapping):
        for key in _REFERENCES:
            reference = schema.get(key)
            if isinstance(reference, str) and not reference.startswith("#"):
                return reference
        return next(filter(None, map(_leads_out, schema.values())), "")
    if isinstance(schema, list):
        return next(filter(None, map(_leads_out, schema)), "")
    return ""
