"""The rules that an administrator is writing: their draft, or what is in force before they began.

Reading makes no draft; the first change does. A form carries the revision it was shown with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict

from approvals import policy, ruling
from approvals.administration import drafts
from approvals.errors import DraftChanged
from approvals.models import Person, PolicyDraft

REFUSED = "policy_change.refused"
NO_DRAFT = 0  # the revision of a draft that nobody began
Item = Mapping[str, Any]


@dataclass(frozen=True)
class Working:
    """A copy as it is now.

    Attributes:
        items: the rules as a file has them, without the last one.
        based_on: the version it was begun from.
        revision: of the draft; NO_DRAFT where there is none.
    """

    items: list[Item]
    based_on: int
    revision: int
    changed_at: datetime | None = None

    @property
    def names(self) -> list[str]:
        """Return what its rules are called."""
        return [str(item.get("name", "")) for item in self.items]

    def at(self, position: int) -> Item | None:
        """Return the rule at a position from 1; None where there is none."""
        return self.items[position - 1] if 0 < position <= len(self.items) else None


def of(person: Person) -> Working:
    """Return a person's working copy."""
    draft = drafts.get(person)
    if draft is not None:
        items = list(draft.document["rules"])
        return Working(items, draft.based_on, draft.revision, draft.changed_at)
    now = ruling.in_force()
    return Working(list(policy.dump(now.rules)["rules"]), now.version, NO_DRAFT)


@dataclass(frozen=True)
class Shown:
    """Which copy a form was shown with."""

    revision: int
    based_on: int

    @classmethod
    def of(cls, data: QueryDict) -> "Shown":
        """Read what the form carries; anything else is a copy that never was."""
        return cls(_number(data.get("revision", "")), _number(data.get("based_on", "")))


def change(person: Person, shown: Shown, edit: Callable[[list[Item]], list[Item]]) -> PolicyDraft:
    """Change the rules of a draft, which begins with the first change.

    Raises:
        DraftChanged: it is not what the form was shown with any more; nothing is changed.
        InvalidInput, NotAllowed: see `drafts.save`.
    """
    draft = drafts.get(person)
    if draft is None and shown.revision == NO_DRAFT:
        if ruling.in_force().version != shown.based_on:
            raise DraftChanged()
        draft = drafts.begin(person)
    elif draft is None or draft.revision != shown.revision:
        raise DraftChanged(draft=draft)
    items = edit(list(draft.document["rules"]))
    return drafts.save(person, {"rules": items}, revision=draft.revision)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
