"""The tools that rules can match, and in what their arguments count, as their sentences say it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from approvals import policy
from approvals.models import Tool, ToolDefinition
from approvals.policy.clauses import Clause, Comparison, Keys
from approvals.policy.fields import Field, Money, of_schemas
from approvals.wording.money import DIGITS
from approvals.wording.templates import Field as Told
from approvals.wording.units import field_of

_SOMEBODY = "somebody"
_MOST_SCHEMAS = 50  # of the tools of one rule: what all of these have are its fields


@dataclass(frozen=True)
class Unit:
    """In what an argument counts.

    Attributes:
        money: where it is known; None where each call says its currency.
        currency: the argument that says the currency of a call; () where all are in one.
        is_minor: counts cents.
    """

    money: Money | None
    currency: Keys
    is_minor: bool


class Tools:
    """The listed tools, asked for once and only by a page that needs them."""

    @cached_property
    def listed(self) -> list[Tool]:
        """Return every tool that agents are offered, by name, with its domain."""
        rows = Tool.objects.filter(is_listed=True).select_related("upstream__domain")
        return list(rows.order_by("exposed_name"))

    def matching(self, rule: policy.Rule) -> list[Tool]:
        """Return the tools whose calls a rule may govern, whatever it does with them."""
        # Also what an allow rule cannot let through yet: its author sees the arguments.
        any_outcome = replace(rule, outcome=policy.Outcome.HOLD, budget=None)
        return [tool for tool in self.listed if any_outcome.matches(_facts(rule, tool))]

    def unit(self, rule: policy.Rule, keys: Keys, clauses: Iterable[Clause]) -> Unit | None:
        """Return in what an argument counts; None unless all of a rule's tools say the same."""
        units = {_unit(_told(tool, keys), clauses) for tool in self.matching(rule)}
        return units.pop() if len(units) == 1 else None

    def money(self, rule: policy.Rule, keys: Keys, clauses: Iterable[Clause]) -> Money | None:
        """Return the unit in which amounts are shown and typed, where it is known."""
        found = self.unit(rule, keys, clauses)
        return found.money if found else None

    def fields(self, rule: policy.Rule) -> list[Field]:
        """Return the arguments that every tool has which a rule can match."""
        return of_schemas(_schemas(self.matching(rule)[:_MOST_SCHEMAS]))


def _schemas(tools: Sequence[Tool]) -> list[object]:
    rows = ToolDefinition.objects.in_bulk({tool.definition_digest for tool in tools})
    bodies = [json.loads(bytes(row.body)) for row in rows.values()]
    return [body.get("inputSchema") for body in bodies]


def _told(tool: Tool, keys: Keys) -> Told | None:
    """Return how a tool's sentence writes an argument, if it was written for this definition."""
    is_in_use = tool.template_digest == tool.definition_digest
    return field_of(tool.template, keys) if is_in_use else None


def _unit(field: Told | None, clauses: Iterable[Clause]) -> Unit | None:
    if field is None or field.filter != "money":
        return None
    currency, is_minor = field.options[0], field.options[1] == "minor"
    if currency in DIGITS:
        return Unit(Money(currency, is_minor), (), is_minor)
    keys = tuple(currency.split("."))
    # One that a condition asks for is known as well: "currency is usd, and amount over …".
    said = (c.value for c in clauses if c.keys == keys and c.comparison == Comparison.IS)
    code = next((value.upper() for value in said if isinstance(value, str) and value.isascii()), "")
    return Unit(Money(code, is_minor) if code in DIGITS else None, keys, is_minor)


def _facts(rule: policy.Rule, tool: Tool) -> policy.Facts:
    return policy.Facts(
        domain=tool.upstream.domain.name,
        tool=tool.exposed_name,
        effect=tool.effect,
        agent=rule.agent or _SOMEBODY,
    )
