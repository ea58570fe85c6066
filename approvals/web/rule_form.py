"""The form of one rule: what somebody typed, kept as it is, and the rule that it says.

`of_rule` fills it, `of_post` reads it, `read` makes the item of a file of rules out of it. Whatever
is wrong stands beside its field, and what was typed stays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import QueryDict

from approvals import policy
from approvals.policy import clauses, fields
from approvals.policy.clauses import Clause, Comparison
from approvals.policy.fields import Money
from approvals.web.argument_units import Tools

PATTERN: Final = "?"  # chosen instead of a tool: the pattern beside it counts
MOST_CLAUSES: Final = 12
MOST_STAGES: Final = 5  # as in reading
_LONGEST = 2_000  # characters of one field; more than any may have
_TEXTS: Final = (
    "verb", "domain", "tool", "pattern", "effect", "agent", "name", "message", "comment", "raw",
    "limit", "counts", "unit", "unit_field", "per", "window", "minutes", "deny_quorum",
    "escalate_to", "escalate_after", "position", "written",
)  # fmt: skip


@dataclass
class ClauseRow:
    """One clause as it is typed."""

    path: str = ""
    comparison: str = Comparison.OVER.value
    value: str = ""
    problem: str = ""
    currency: str = ""  # its value is typed in; empty: as the tool counts
    choices: tuple[str, ...] = ()  # what its value may be
    is_minor: bool = False  # counts cents, of a currency that each call says itself

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody filled it."""
        return not self.path


@dataclass
class StageRow:
    """One stage as it is typed; without a group, every approver of the domain is asked."""

    group: str = ""
    quorum: str = "1"
    problem: str = ""


@dataclass
class Form:
    """Everything that is typed about a rule."""

    verb: str = policy.Outcome.HOLD.value
    domain: str = ""
    tool: str = ""
    pattern: str = ""
    effect: str = ""
    agent: str = ""
    name: str = ""
    message: str = ""
    comment: str = ""
    raw: str = ""
    limit: str = ""
    counts: str = ""  # path of the argument that is added up; empty: calls are
    unit: str = ""
    unit_field: str = ""
    per: str = "agent"
    window: str = "day"
    minutes: str = "60"
    deny_quorum: str = "1"
    escalate_to: str = ""
    escalate_after: str = "50"
    position: str = ""
    written: str = ""  # the condition when it was opened, letter by letter
    four_eyes: bool = False
    clauses: list[ClauseRow] = field(default_factory=list)
    stages: list[StageRow] = field(default_factory=lambda: [StageRow()])
    problems: dict[str, str] = field(default_factory=dict)  # by the name of a field

    @property
    def pattern_of_tools(self) -> str:
        """Return the pattern of tools that is chosen, by a list or by hand; empty: any."""
        return self.pattern.strip() if self.tool == PATTERN else self.tool

    @property
    def skeleton(self) -> policy.Rule:
        """Return a rule that matches the same calls, whatever it says of their arguments."""
        return policy.Rule(
            position=1, name="", outcome=policy.Outcome.HOLD, domain=self.domain,
            tool=self.pattern_of_tools, effect=self.effect, agent=self.agent,
        )  # fmt: skip

    @property
    def is_wrong(self) -> bool:
        """Tell whether anything in it is."""
        of_rows = [*(row.problem for row in self.clauses), *(row.problem for row in self.stages)]
        return bool(self.problems) or any(of_rows)


# -- filling it ----------------------------------------------------------------------------------


def of_rule(item: Mapping[str, Any], tools: Tools) -> Form:
    """Return the form of a rule as a file has it, which is right or was when it was written."""
    rule = policy.Rule(**{"position": 1, "name": "", **item})
    form = Form(
        verb=rule.outcome.value, domain=rule.domain, effect=rule.effect, agent=rule.agent,
        name=rule.name, message=rule.message, comment=rule.comment,
        minutes=_minutes(rule.expires_seconds), deny_quorum=str(rule.deny_quorum),
        escalate_to=rule.escalate_to, escalate_after=str(rule.escalate_after),
        four_eyes=rule.four_eyes,
        stages=[StageRow(stage.group, str(stage.quorum)) for stage in rule.stages]
        or [StageRow("", str(rule.quorum))],
    )  # fmt: skip
    is_listed = any(tool.exposed_name == rule.tool for tool in tools.listed)
    form.tool = rule.tool if is_listed or not rule.tool else PATTERN
    form.pattern = "" if is_listed else rule.tool
    said, form.raw = clauses.split(rule.condition)
    form.written = rule.condition
    kinds = {each.path: each.kind for each in tools.fields(form.skeleton)} if said else {}
    for clause in said:
        path, unit = clauses.path(clause.keys), tools.money(form.skeleton, clause.keys, said)
        value = fields.written(clause, kinds.get(path, ""), unit)
        form.clauses.append(ClauseRow(path, clause.comparison.value, value))
    if rule.budget:
        _fill_budget(form, rule.budget)
    return form


def _fill_budget(form: Form, budget: policy.Budget) -> None:
    money = Money.of(budget.unit)
    limit = money.written(budget.limit) if money else None
    form.limit = limit or f"{budget.limit:,}"
    form.counts, form.unit_field = budget.field, budget.unit_field
    form.unit, form.per, form.window = budget.unit, budget.per, budget.window


def of_post(data: QueryDict) -> Form:
    """Return the form that somebody sent."""
    form = Form(**{name: data.get(name, "")[:_LONGEST] for name in _TEXTS})  # type: ignore[arg-type]  # texts, all of them
    form.four_eyes = bool(data.get("four_eyes"))
    columns = (data.getlist(f"clause_{name}") for name in ("path", "is", "value"))
    rows = list(zip(*columns, strict=False))[:MOST_CLAUSES]
    form.clauses = [ClauseRow(*(text[:_LONGEST] for text in row)) for row in rows]
    pairs = zip(data.getlist("stage_group"), data.getlist("stage_quorum"), strict=False)
    form.stages = [StageRow(group[:100], quorum[:20]) for group, quorum in pairs][:MOST_STAGES]
    form.stages = form.stages or [StageRow()]
    return form


def change(form: Form, do: str) -> None:
    """Add a row to a form or take one away: `clause`, `stage`, `drop-clause-2`, `drop-stage-1`."""
    if do == "clause" and len(form.clauses) < MOST_CLAUSES:
        form.clauses.append(ClauseRow())
    elif do == "stage" and len(form.stages) < MOST_STAGES:
        form.stages.append(StageRow())
    else:
        what, _, number = do.removeprefix("drop-").partition("-")
        rows: dict[str, list[Any]] = {"clause": form.clauses, "stage": form.stages}
        if what in rows and do.startswith("drop-") and number.isascii() and number.isdecimal():
            del rows[what][int(number[:3]) : int(number[:3]) + 1]
    form.stages = form.stages or [StageRow()]


def _minutes(seconds: int) -> str:
    return f"{seconds / 60:.10g}"


def said(form: Form) -> Iterable[Clause]:
    """Return the clauses about texts of a form: one of them may say the currency of the rest."""
    for row in form.clauses:
        keys = clauses.keys_of(row.path)
        if keys and row.comparison == Comparison.IS.value:
            yield Clause(keys, Comparison.IS, row.value.strip().strip('"'))
