"""Counts what would be left of the history by one more click; two queries, whatever is chosen."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import Count, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from approvals import wording
from approvals.models import Agent, Domain, HistoryRow, Person
from approvals.web import showing
from approvals.web.history_filter import FACETS, NOBODY, RULE, Filter

MOST_SHOWN = 6  # of one facet, before the fold
_MOST = 200  # of one facet at all
_LONGEST = 100  # characters of a value's name
_LEGENDS: dict[str, Promise] = {
    "outcome": gettext_lazy("Outcome"),
    "domain": gettext_lazy("Trust domain"),
    "tool": gettext_lazy("Tool"),
    "agent": gettext_lazy("Agent"),
    "decided": gettext_lazy("Decided by"),
}


@dataclass(frozen=True)
class Cell:
    """How many calls are alike in what they are and how they ended."""

    values: Mapping[str, str]  # facet → the value these calls have
    count: int


@dataclass(frozen=True)
class Choice:
    """One value of a facet: clicking it shows as many calls as it says."""

    value: str
    label: str
    count: int
    is_current: bool
    url: str


@dataclass(frozen=True)
class Facet:
    """The values of one field among the calls found."""

    name: str
    legend: str
    choices: list[Choice]

    @property
    def first(self) -> list[Choice]:
        """Return what is always seen: the most frequent, and what is chosen."""
        return [c for n, c in enumerate(self.choices) if n < MOST_SHOWN or c.is_current]

    @property
    def others(self) -> list[Choice]:
        """Return what is folded away."""
        return [c for n, c in enumerate(self.choices) if n >= MOST_SHOWN and not c.is_current]


@dataclass(frozen=True)
class Counted:
    """The found rows, counted for every facet."""

    cells: list[Cell]  # all that the words, the dates and the decider leave
    deciders: Counter[str]  # by what the words, the dates and the other facets leave

    def total(self, wanted: Filter) -> int:
        """Return how many calls a filter leaves."""
        return sum(cell.count for cell in _left(self.cells, wanted))


def count(rows: QuerySet[HistoryRow], wanted: Filter) -> Counted:
    """Count rows by all facets, in two queries.

    Who decided is counted apart: with every group of people beside every agent and tool there
    would be nearly as many kinds of calls as there are calls.
    """
    keys = ("state", "domain_id", "tool_name", "agent_id")
    found = Filter(wanted.q, wanted.since, wanted.until, decided=wanted.decided).narrowed(rows)
    found = found.order_by().annotate(state=wanted.grouped_by("status"))
    alike = list(found.values_list(*keys).annotate(count=Count("*")))
    domains = dict(Domain.objects.values_list("pk", "name"))
    agents = dict(Agent.objects.filter(pk__in={row[3] for row in alike}).values_list("pk", "name"))
    cells = [
        Cell(
            {"outcome": status, "domain": domains[domain], "tool": tool, "agent": agents[agent]},
            count,
        )
        for status, domain, tool, agent, count in alike
    ]
    deciders: Counter[str] = Counter()
    others = wanted.but("decided", "").narrowed(rows).order_by()
    for text, number in others.values_list("deciders").annotate(count=Count("*")):
        for value in _deciders(text):
            deciders[value] += number
    return Counted(cells, deciders)


def of(counted: Counted, wanted: Filter) -> list[Facet]:
    """Return the facets of what a filter's words and dates found."""
    counts = {facet: _counts(counted, wanted, facet) for facet in FACETS}
    names = {
        person.get_username(): person.display_name
        for person in Person.objects.filter(username__in=list(counts["decided"]))
    }
    return [
        Facet(facet, str(_LEGENDS[facet]), _choices(facet, counts[facet], wanted, names))
        for facet in FACETS
    ]


def _counts(counted: Counted, wanted: Filter, facet: str) -> Counter[str]:
    found: Counter[str] = Counter()
    if facet == "decided":
        found += counted.deciders
    else:
        for cell in _left(counted.cells, wanted, without=facet):
            found[cell.values[facet]] += cell.count
    chosen = getattr(wanted, facet)
    if chosen:
        found[chosen] += 0  # what is chosen can be taken back, even where nothing is left
    return found


def _left(cells: Iterable[Cell], wanted: Filter, *, without: str = "") -> Iterable[Cell]:
    """Return the cells that a filter's facets leave, but for one of them."""
    chosen = [
        (facet, getattr(wanted, facet))
        for facet in FACETS
        if facet not in ("decided", without) and getattr(wanted, facet)
    ]
    return (cell for cell in cells if all(cell.values[facet] == value for facet, value in chosen))


def _choices(
    facet: str, counts: Counter[str], wanted: Filter, names: Mapping[str, str]
) -> list[Choice]:
    chosen = getattr(wanted, facet)
    return [
        Choice(
            value=value,
            label=_label(facet, value, names),
            count=count,
            is_current=value == chosen,
            url=wanted.but(facet, "" if value == chosen else value).url(),
        )
        for value, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_MOST]
    ]


def _label(facet: str, value: str, names: Mapping[str, str]) -> str:
    if facet == "outcome":
        return showing.LOOKS[showing.S(value)].words
    if facet == "decided" and value.startswith(RULE):
        name = wording.clean(value.removeprefix(RULE), _LONGEST)
        return gettext("Rule “%(name)s”") % {"name": name}
    if facet == "decided" and value == NOBODY:
        return gettext("Nobody")
    # An address may name a value that no call has, in characters that nobody sees.
    return wording.clean(names.get(value, value) if facet == "decided" else value, _LONGEST)


def _deciders(text: str) -> tuple[str, ...]:
    if text.startswith(RULE):
        return (text,)
    return tuple(text.strip(",").split(",")) if text else (NOBODY,)
