"""What the form of a rule says as it is typed: the sentence, its CEL, how it fares on calls."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from approvals import policy
from approvals.administration import conditions
from approvals.administration.conditions import Trial
from approvals.errors import InvalidInput
from approvals.web import rule_reading
from approvals.web.argument_units import Tools
from approvals.web.rule_form import Form
from approvals.web.rule_lines import Line
from approvals.web.working_copy import Item


@dataclass(frozen=True)
class Preview:
    """A rule that is being written.

    Attributes:
        line: None where what is typed makes no rule.
        problems: what keeps it from coming into force.
        trial: of its condition, on examples and on calls.
    """

    line: Line | None
    problems: list[str]
    cel: str = ""  # of its condition
    trial: Trial | None = None


def of(form: Form, tools: Tools, others: Sequence[Item]) -> Preview:
    """Return what a form says; nothing is noted in it."""
    typed = deepcopy(form)
    names = [str(other.get("name", "")) for other in others]
    item = rule_reading.read(typed, tools, names)
    if typed.is_wrong:
        # Without the part that is wrong it would say something else.
        return Preview(None, _problems(typed))
    rule_reading.check(typed, item, others)
    line = line_of(item, tools)
    tried = conditions.trials([line.rule]) if line and line.rule.condition else []
    trial = tried[0] if tried else None
    return Preview(line, _problems(typed), str(item.get("condition", "")), trial)


def line_of(item: Item, tools: Tools, position: int = 1) -> Line | None:
    """Return how a rule reads; None of one that cannot be read."""
    try:
        rule = policy.load({"rules": [item]})[0]
    except InvalidInput:
        return None
    return Line(replace(rule, position=position), tools=tools)


def _problems(form: Form) -> list[str]:
    rows = [*(row.problem for row in form.clauses), *(row.problem for row in form.stages)]
    return list(dict.fromkeys(filter(None, [*rows, *form.problems.values()])))
