"""What the form of a rule offers to choose from: tools, arguments, groups, comparisons."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from approvals import policy, wording
from approvals.models import Agent, ApproverGroup, Domain, Tool
from approvals.policy import clauses
from approvals.policy.clauses import Comparison
from approvals.policy.fields import Field
from approvals.policy.vocabulary import BOOLEAN, NUMBER
from approvals.web import rule_form
from approvals.web.argument_units import Tools
from approvals.web.rule_form import ClauseRow, Form

_MOST = 500  # names of one list
_MOST_OFFERED = 100  # values of one argument
# What a budget can name: no argument with a dot or a space in its own name.
_COUNTED = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")

VERBS: tuple[tuple[str, Promise], ...] = (
    (policy.Outcome.HOLD.value, gettext_lazy("Hold")),
    (policy.Outcome.ALLOW.value, gettext_lazy("Allow")),
    (policy.Outcome.DENY.value, gettext_lazy("Refuse")),
)
EFFECTS: tuple[tuple[str, Promise], ...] = (
    ("", gettext_lazy("whatever they do")),
    (policy.Effect.READ.value, gettext_lazy("that read")),
    (policy.Effect.WRITE.value, gettext_lazy("that change something")),
    (policy.Effect.DESTRUCTIVE.value, gettext_lazy("that destroy")),
    (policy.Effect.UNREVIEWED.value, gettext_lazy("of unreviewed tools")),
    (policy.Effect.CHANGED.value, gettext_lazy("of changed tools")),
)
COMPARISONS: tuple[tuple[str, Promise], ...] = (
    (Comparison.OVER.value, gettext_lazy("is over")),
    (Comparison.AT_MOST.value, gettext_lazy("is at most")),
    (Comparison.AT_LEAST.value, gettext_lazy("is at least")),
    (Comparison.UNDER.value, gettext_lazy("is under")),
    (Comparison.IS.value, gettext_lazy("is")),
    (Comparison.IS_NOT.value, gettext_lazy("is not")),
    (Comparison.ONE_OF.value, gettext_lazy("is one of")),
    (Comparison.STARTS.value, gettext_lazy("starts with")),
    (Comparison.ENDS.value, gettext_lazy("ends with")),
    (Comparison.CONTAINS.value, gettext_lazy("contains")),
    (Comparison.MORE_THAN.value, gettext_lazy("has more parts than")),
    (Comparison.GIVEN.value, gettext_lazy("is given")),
    (Comparison.NOT_GIVEN.value, gettext_lazy("is not given")),
)
PER: tuple[tuple[str, Promise], ...] = (
    ("agent", gettext_lazy("each agent")),
    ("tool", gettext_lazy("each tool")),
    ("domain", gettext_lazy("each domain")),
)
WINDOWS: tuple[tuple[str, Promise], ...] = (
    ("hour", gettext_lazy("an hour")),
    ("day", gettext_lazy("a day")),
)


@dataclass(frozen=True)
class Choices:
    """Everything that the form offers; what is chosen already is among it, known or not."""

    domains: list[str]
    tools: list[tuple[str, list[Tool]]]  # by domain
    agents: list[str]
    groups: list[str]
    fields: list[tuple[str, str]]  # path, and what people read
    counted: list[str]  # arguments that a budget can add up
    texts: list[str]  # arguments that can say a unit
    are_known: bool  # tools are known that it can match
    positions: range

    verbs = VERBS
    effects = EFFECTS
    comparisons = COMPARISONS
    per = PER
    windows = WINDOWS
    pattern = rule_form.PATTERN
    pattern_example = "billing__*"
    unit_example = "USD:minor"
    cel_example = "now.getHours() >= 18 || args.amount > 5000"


def of(form: Form, tools: Tools, positions: range) -> Choices:
    """Return what a form offers as it is filled by now, and note units and choices in its rows."""
    found = tools.fields(form.skeleton)
    describe(form, tools, found)
    groups = ApproverGroup.objects.all()
    if form.domain:
        groups = groups.filter(domain__name=form.domain)
    paths = {field.path: ".".join(field.keys) for field in found}
    paths |= {row.path: _name(row.path) for row in form.clauses if row.path}
    budgeted = [".".join(f.keys) for f in found if f.kind in (NUMBER, "")]
    return Choices(
        domains=_with(form.domain, Domain.objects.order_by("name").values_list("name", flat=True)),
        tools=_by_domain(tools.listed),
        agents=_with(form.agent, Agent.objects.order_by("name").values_list("name", flat=True)),
        groups=_groups(form, groups.order_by("name").values_list("name", flat=True).distinct()),
        fields=sorted(paths.items(), key=lambda pair: pair[1]) if not found else [*paths.items()],
        counted=_with(form.counts, filter(_COUNTED.fullmatch, budgeted)),
        texts=_with(
            form.unit_field,
            filter(_COUNTED.fullmatch, (".".join(f.keys) for f in found if f.kind != NUMBER)),
        ),
        are_known=bool(tools.matching(form.skeleton)),
        positions=positions,
    )


def describe(form: Form, tools: Tools, found: Iterable[Field]) -> None:
    """Note in each clause in what its value counts, and what it may be."""
    about, known = list(rule_form.said(form)), {field.path: field for field in found}
    for row in form.clauses:
        keys = clauses.keys_of(row.path)
        unit = tools.unit(form.skeleton, keys, about) if keys else None
        row.currency = unit.money.currency if unit and unit.money else ""
        row.is_minor = bool(unit and not unit.money and unit.is_minor)
        row.choices = _choices(known.get(row.path), row)


def _choices(field: Field | None, row: ClauseRow) -> tuple[str, ...]:
    if field is None:
        return ()
    if field.kind == BOOLEAN:
        return ("true", "false")
    texts = map(str, field.choices[:_MOST_OFFERED])
    return tuple(text for text in texts if not any(part.hidden for part in wording.visible(text)))


def _by_domain(tools: Iterable[Tool]) -> list[tuple[str, list[Tool]]]:
    def domain(tool: Tool) -> str:
        return tool.upstream.domain.name

    # A stable sort: within a domain they stay in order of their names.
    return [(name, list(rows)) for name, rows in groupby(sorted(tools, key=domain), key=domain)]


def _groups(form: Form, names: Iterable[str]) -> list[str]:
    chosen = [*(row.group for row in form.stages), form.escalate_to]
    return list(dict.fromkeys([*list(names)[:_MOST], *filter(None, chosen)]))


def _with(chosen: str, names: Iterable[str]) -> list[str]:
    """Return names, and what is chosen even where it is none of them (any more)."""
    return list(dict.fromkeys([*list(names)[:_MOST], *filter(None, [chosen])]))


def _name(path: str) -> str:
    keys = clauses.keys_of(path)
    return ".".join(keys) if keys else path
