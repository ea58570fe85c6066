"""What somebody looks for in the history: in an address, and applied to rows."""

from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.db.models import F, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, StrIndex
from django.db.models.lookups import GreaterThan
from django.http import QueryDict
from django.urls import reverse

from approvals import searching
from approvals.models import HistoryRow, ToolCall

NOBODY = "nobody:"  # no name of a person or rule: those end otherwise
RULE = "rule:"
FACETS = ("outcome", "domain", "tool", "agent", "decided")
_NAMES = {"since": "from", "until": "to"}  # fields that cannot have the name their parameter has
_LONGEST = 200
_MOST_WORDS = 8
_MOST_VERSION = 2**31 - 1  # what its column holds


@dataclass(frozen=True)
class Filter:
    """What the form asks for; what it does not know means anything. All of it is in the address."""

    q: str = ""
    since: date | None = None  # both days included, UTC
    until: date | None = None
    outcome: str = ""
    domain: str = ""
    tool: str = ""
    agent: str = ""
    decided: str = ""  # a person's name, "rule:<name>" or NOBODY
    policy: str = ""  # the number of a version: what was judged by it

    @classmethod
    def of(cls, query: QueryDict) -> "Filter":
        """Read a query string."""
        text = {name: _clean(query.get(name, "")) for name in ("q", *FACETS)}
        if text["outcome"] not in ToolCall.Status.values:
            text["outcome"] = ""
        number = _clean(query.get("policy", ""))
        text["policy"] = number if number.isascii() and number.isdecimal() else ""
        return cls(**text, since=_day(query.get("from", "")), until=_day(query.get("to", "")))

    def __bool__(self) -> bool:
        return self != Filter()

    def url(self, **more: str) -> str:
        """Return the address of the page it leads to, with more in its query."""
        query = self._query(**more)
        return f"{reverse('history')}?{query}" if query else reverse("history")

    @property
    def changes_url(self) -> str:
        """Return where live.js asks for rows that changed; it adds their ids."""
        return f"{reverse('history_changes')}?{self._query()}"

    def _query(self, **more: str) -> str:
        parts = {_NAMES.get(one.name, one.name): getattr(self, one.name) for one in fields(self)}
        return urlencode({key: value for key, value in {**parts, **more}.items() if value})

    @property
    def of_any_policy(self) -> str:
        """Return the address of the same without the version of the policy."""
        return self.but("policy", "").url()

    def grouped_by(self, column: str) -> Combinable:
        """Return a column to group by, the first of several.

        Where words are looked for, every row is read. SQLite would read them in the order of an
        index that groups them, one by one, at four times the cost; an expression is in no index.
        """
        return Coalesce(F(column), F(column)) if self.q else F(column)

    def but(self, facet: str, value: str) -> "Filter":
        """Return the same with another value of one facet."""
        changed: dict[str, Any] = {facet: value}
        return replace(self, **changed)

    def found_in(self, rows: QuerySet[HistoryRow]) -> QuerySet[HistoryRow]:
        """Return the rows that its words and dates leave, whatever the facets say."""
        for word in searching.words_of(self.q)[:_MOST_WORDS]:
            rows = rows.filter(Q(_holds("text", word)) | Q(_holds("said", word)))
        if self.since:
            rows = rows.filter(day__gte=self.since)
        if self.until:
            rows = rows.filter(day__lte=self.until)
        if self.policy:
            rows = rows.filter(call__policy_version=min(int(self.policy), _MOST_VERSION))
        return rows

    def narrowed(self, rows: QuerySet[HistoryRow]) -> QuerySet[HistoryRow]:
        """Return the rows that all of it leaves."""
        wanted = {
            "status": self.outcome,
            "domain__name": self.domain,
            "tool_name": self.tool,
            "agent__name": self.agent,
        }
        rows = self.found_in(rows).filter(**{key: one for key, one in wanted.items() if one})
        if self.decided == NOBODY:
            return rows.filter(deciders="")
        if self.decided.startswith(RULE):
            return rows.filter(deciders=self.decided)
        if self.decided:
            return rows.filter(_decided_by(self.decided))
        return rows


def _decided_by(name: str) -> GreaterThan:
    return _holds("deciders", f",{name},")


def _holds(column: str, text: str) -> GreaterThan:
    # Not LIKE: SQLite's knows no upper case, reads every letter twice, and % and _ need care.
    return GreaterThan(StrIndex(column, Value(text)), 0)


def _clean(text: str) -> str:
    # What cannot be seen is in no name, and no database needs to hear of it.
    return "".join(filter(str.isprintable, text)).strip()[:_LONGEST]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
