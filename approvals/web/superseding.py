"""What differs between a call and the one that took its place, as two columns of a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext

from approvals import access, wording
from approvals.models import Person, ToolCall
from approvals.translating import translated
from approvals.web import showing
from approvals.web.definitions import Definitions

_MOST = 20  # rows; the calls themselves show all of it


@dataclass(frozen=True)
class Difference:
    """One argument whose value is not the same; an absent one has no value."""

    label: str
    name: str
    before: tuple[wording.Segment, ...]
    after: tuple[wording.Segment, ...]


@dataclass(frozen=True)
class Other:
    """The call before, or after, the one that is shown."""

    call: ToolCall
    differences: list[Difference]
    more: int  # differences that are left out


def others(call: ToolCall) -> list[ToolCall]:
    """Return the loaded neighbours of a call: what it replaces, and what replaced it."""
    neighbours = (call.supersedes, _successor(call))
    return [neighbour for neighbour in neighbours if neighbour is not None]


def around(person: Person, call: ToolCall, known: Definitions) -> tuple[Other | None, Other | None]:
    """Return what a call replaces and what replaced it, as far as this person may see them."""
    ids = [other.pk for other in others(call)]
    seen = set(access.visible_to(person).filter(pk__in=ids).values_list("pk", flat=True))
    before, after = call.supersedes, _successor(call)
    return (
        _other(before, (before, call), known, seen) if before else None,
        _other(after, (call, after), known, seen) if after else None,
    )


def _successor(call: ToolCall) -> ToolCall | None:
    found: ToolCall | None = getattr(call, "superseded_by", None)  # absent when there is none
    return found


def _other(
    other: ToolCall, pair: tuple[ToolCall, ToolCall], known: Definitions, seen: set[UUID]
) -> Other | None:
    if other.pk not in seen:
        return None
    found = list(_differences(*pair, known))
    return Other(other, found[:_MOST], max(0, len(found) - _MOST))


def _differences(before: ToolCall, after: ToolCall, known: Definitions) -> Iterator[Difference]:
    if before.tool_name != after.tool_name:
        names = (wording.visible(call.tool_name) for call in (before, after))
        yield Difference(gettext("Tool"), "", *names)
    old, new = _rows(before, known), _rows(after, known)
    for key in {**new, **old}:
        was, now = old.get(key), new.get(key)
        if was and now and (was.kind, was.whole) == (now.kind, now.whole):
            continue
        row = now or was
        if row is not None:
            yield Difference(
                translated(row.label), row.name, was.value if was else (), now.value if now else ()
            )


def _rows(call: ToolCall, known: Definitions) -> dict[tuple[str, int], wording.Row]:
    rows: dict[tuple[str, int], wording.Row] = {}
    for row in showing.argument_rows(call, known.get(call.definition_digest, {})):
        # Very long names are cut, and may then be the same: the second is another one.
        number = 0
        while (row.name, number) in rows:
            number += 1
        rows[row.name, number] = row
    return rows
