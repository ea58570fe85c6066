"""Puts one change of a policy on top of another: three versions in, one out, rule by rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from approvals.canonical import digest_of
from approvals.errors import InvalidInput

Item: TypeAlias = Mapping[str, Any]  # a rule as a file has it


@dataclass(frozen=True)
class Conflict:
    """One rule that both changed, each otherwise; a side is None where the rule is not there.

    Attributes:
        name: of the rule; empty where it is their order that both changed.
    """

    name: str
    base: Item | None
    mine: Item | None
    theirs: Item | None


@dataclass(frozen=True)
class Merged:
    """What came out.

    Attributes:
        items: the rules, in order.
        conflicts: where both changed the same; `mine` was kept, and what only one side took away.
    """

    items: tuple[Item, ...]
    conflicts: tuple[Conflict, ...]


def merge(*, base: Sequence[Item], mine: Sequence[Item], theirs: Sequence[Item]) -> Merged:
    """Return `theirs` with what `mine` changed against `base`.

    Rules are the same by their name; one without a name is only like one that says the same.
    """
    old, own, new = _by_key(base), _by_key(mine), _by_key(theirs)
    found: dict[str, Item] = {}
    conflicts = []
    for key in dict.fromkeys((*new, *own, *old)):
        was, one, other = old.get(key), own.get(key), new.get(key)
        if one != was and other not in (was, one):
            conflicts.append(Conflict(_name(one or other or {}), was, one, other))
        kept = other if one == was else one
        # What one side changed is not lost because the other side took the rule away.
        if kept is None and one != was and other not in (was, None):
            kept = other
        if kept is not None:
            found[key] = kept
    order, is_disputed = _order(list(old), list(own), list(new))
    if is_disputed:
        conflicts.append(Conflict("", None, None, None))
    return Merged(tuple(found[key] for key in order if key in found), tuple(conflicts))


def _order(old: list[str], own: list[str], new: list[str]) -> tuple[list[str], bool]:
    """Return all keys in order, and whether both sides changed the order of the same rules."""
    common = set(old) & set(own) & set(new)
    was, one, other = ([key for key in keys if key in common] for keys in (old, own, new))
    is_disputed = one != was and other not in (was, one)
    first, second = (own, new) if one != was else (new, own)
    order = list(first)
    for place, key in enumerate(second):
        if key not in order:
            # Behind what it came behind; at the top where that is nothing.
            before = next((k for k in reversed(second[:place]) if k in order), None)
            order.insert(order.index(before) + 1 if before is not None else 0, key)
    return order, is_disputed


def _by_key(items: Sequence[Item]) -> dict[str, Item]:
    """Return rules by what makes them the same; of two of one name, each has its own."""
    found: dict[str, Item] = {}
    for item in items:
        key = _name(item) or _digest(item)
        while key in found:
            key += "'"
        found[key] = item
    return found


def _name(item: Item) -> str:
    name = item.get("name")
    return name if isinstance(name, str) else ""


def _digest(item: Item) -> str:
    try:
        return digest_of(dict(item))
    except InvalidInput:
        return repr(item)
