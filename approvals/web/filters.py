"""What the queue's address asks for: which view, and which domain, risk and agent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from approvals import access, canonical, wording
from approvals.models import Agent, Domain, Person, ToolCall
from approvals.web import definitions, showing

RISKS = ("high", "raised", "low")
# Whether a reviewed write is of raised or of low risk follows from its arguments, which no index
# knows. This many of them are read, those that expire first; the page says when there are more.
MOST_WEIGHED = 500
_LONGEST = 64
_MOST_KEPT = 10_000
_odd: dict[tuple[str, str], int] = {}  # odd values by the digests of arguments and definition


@dataclass(frozen=True)
class Filter:
    """The filters of the queue; empty means any."""

    show: str
    domain: str = ""
    risk: str = ""
    agent: str = ""

    @classmethod
    def of(cls, request: HttpRequest, show: str) -> "Filter":
        """Read a query string; what could be no name, and a risk nobody knows, mean any."""
        risk = request.GET.get("risk", "")
        return cls(
            show=show,
            domain=_name(request.GET.get("domain", "")),
            risk=risk if risk in RISKS else "",
            agent=_name(request.GET.get("agent", "")),
        )

    @property
    def is_on(self) -> bool:
        """Tell whether anything is left out."""
        return bool(self.domain or self.risk or self.agent)

    def query(self, **more: object) -> str:
        """Return the query string that asks for the same, and for more."""
        parts = {
            "show": self.show, "domain": self.domain, "risk": self.risk, "agent": self.agent, **more
        }  # fmt: skip
        return urlencode({key: value for key, value in parts.items() if value})

    def showing(self, view: str) -> "Filter":
        """Return the same filters on another view."""
        return replace(self, show=view)

    def narrow(self, calls: QuerySet[ToolCall]) -> QuerySet[ToolCall]:
        """Return the calls of the domain and of the agent."""
        wanted = {"domain__name": self.domain, "agent__name": self.agent}
        return calls.filter(**{key: value for key, value in wanted.items() if value})


@dataclass(frozen=True)
class Weighed:
    """Which calls are of the risk that is asked for, and whether that is known of all of them."""

    condition: Q
    is_part: bool = False


def weigh(risk: str, calls: QuerySet[ToolCall]) -> Weighed:
    """Return the condition that leaves the calls of a risk; at most MOST_WEIGHED are read for it.

    Args:
        calls: the calls on which the condition will be used.
    """
    if not risk:
        return Weighed(Q())
    if risk == "high":  # what is neither a reviewed read nor a reviewed write
        return Weighed(~Q(effect__in=("read", "write")))
    writes = calls.filter(effect="write").order_by("decide_by_at", "pk")
    read = list(writes.only("effect", "arguments", "definition_digest")[: MOST_WEIGHED + 1])
    found = [pk for pk, unusual in unusual_in(read[:MOST_WEIGHED]).items()
             if wording.risk("write", unusual) == risk]  # fmt: skip
    condition = Q(pk__in=found)
    if risk == "low":
        condition |= Q(effect="read")
    return Weighed(condition, is_part=len(read) > MOST_WEIGHED)


def unusual_in(writes: Iterable[ToolCall]) -> dict[object, int]:
    """Return how many odd values each of these calls has; one query for all of them."""
    writes = list(writes)
    known = definitions.of(writes)
    return {call.pk: _odd_in(call, known.get(call.definition_digest)) for call in writes}


def _odd_in(call: ToolCall, definition: Mapping[str, Any] | None) -> int:
    # It follows from these two alone, and most rows of a page were shown a moment ago.
    key = canonical.digest(bytes(call.arguments)), call.definition_digest if definition else ""
    if (found := _odd.get(key)) is not None:
        return found
    if len(_odd) >= _MOST_KEPT:
        _odd.clear()
    _odd[key] = found = showing.unusual_in(showing.argument_rows(call, definition or {}))
    return found


def domains(person: Person, chosen: str) -> list[str]:
    """Return the names of the domains to choose from, the chosen one always among them."""
    found = Domain.objects.all()
    if not (person.is_auditor or person.is_administrator):
        theirs = Q(agents__owner=person) | Q(agents__keys__acts_for=person)
        found = found.filter(theirs | Q(pk__in=access.domains_of(person)))
    return _with(chosen, found.order_by("name").values_list("name", flat=True).distinct())


def agents(person: Person, chosen: str) -> list[str]:
    """Return the names of the agents to choose from, the chosen one always among them."""
    found = Agent.objects.all()
    if not (person.is_auditor or person.is_administrator):
        theirs = Q(owner=person) | Q(keys__acts_for=person)
        found = found.filter(theirs | Q(domains__in=access.domains_of(person)))
    return _with(chosen, found.order_by("name").values_list("name", flat=True).distinct())


def _with(chosen: str, names: Iterable[str]) -> list[str]:
    return sorted({*names, chosen} - {""})


def _name(text: str) -> str:
    return text if text.isprintable() and len(text) <= _LONGEST else ""
