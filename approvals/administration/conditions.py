"""Holds the conditions of a policy to the tools they will judge, and tries them, before it counts.

Called by `policy.load_rules`, in its transaction, and by whoever shows what was found.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from approvals import counting, policy
from approvals.models import Tool, ToolCall, ToolDefinition, database_now
from approvals.policy import conditions, fitting
from approvals.policy.fitting import Tally

LAST_CALLS = 100
_TOOLS_TRIED = 20  # of one rule; all of them are held to their schemas
_SOMEBODY = "somebody"


@dataclass(frozen=True)
class Trial:
    """What became of one rule's condition when it was tried.

    Attributes:
        tools: how many it can match that are known by now.
        wrong: in words, what keeps it from being used.
        examples: of arguments made from their schemas.
        calls: of the newest real calls of those tools.
    """

    rule: policy.Rule
    tools: int
    wrong: tuple[str, ...]
    examples: Tally
    calls: Tally

    def in_words(self) -> str:
        """Return it as a sentence for the operator."""
        if not self.tools:
            return (
                f"Rule “{self.rule.name}” has a condition, and no tool that it can match is known:"
                " it was tried on nothing."
            )
        made = f"of {self.examples.count} generated calls {_counts(self.examples)}"
        real = f"of the last {self.calls.count} calls {_counts(self.calls)}"
        return f"Rule “{self.rule.name}”: {made}; {real if self.calls.count else 'no calls yet'}."


def trials(rules: Sequence[policy.Rule]) -> list[Trial]:
    """Return how the condition of each rule that has one fares with the tools known by now."""
    with_one = [rule for rule in rules if rule.condition]
    if not with_one:
        return []
    tools = list(Tool.objects.filter(is_listed=True).select_related("upstream__domain"))
    now = counting.local(database_now())
    schemas = _schemas(tools)
    return [_trial(rule, tools, schemas, now) for rule in with_one]


def _trial(
    rule: policy.Rule, tools: Sequence[Tool], schemas: dict[str, object], now: datetime
) -> Trial:
    condition = conditions.compiled(rule.condition)
    matching = [tool for tool in tools if rule.matches(_facts(rule, tool))]
    wrong = [
        f"{tool.exposed_name} {misfit}"
        for tool in matching
        for misfit in fitting.misfits(condition, schemas.get(tool.definition_digest))
    ]
    if wrong:
        return Trial(rule, len(matching), tuple(wrong), Tally(), Tally())
    made = chain.from_iterable(
        _examples(rule, tool, condition, schemas.get(tool.definition_digest), now)
        for tool in islice(matching, _TOOLS_TRIED)
    )
    examples = fitting.tried(condition, made)
    if examples.count and examples.count == examples.unjudged.total():
        why = examples.unjudged.most_common(1)[0][0]
        wrong = [f"could be judged of no arguments made from the tools' schemas: {why}"]
    return Trial(
        rule,
        len(matching),
        tuple(wrong),
        examples,
        fitting.tried(condition, _calls(rule, matching)),
    )


def _examples(
    rule: policy.Rule, tool: Tool, condition: conditions.Condition, schema: object, now: datetime
) -> Iterator[policy.Facts]:
    counts: dict[tuple[str, ...], int | float] = dict.fromkeys(condition.reading.history, 1)
    for args in fitting.examples(condition, schema):
        yield _facts(rule, tool, args=args, now=now, history=policy.History(counts))


def _calls(rule: policy.Rule, tools: Sequence[Tool]) -> Iterator[policy.Facts]:
    calls = ToolCall.objects.filter(tool__in=tools).select_related("agent", "domain", "acts_for")
    if rule.agent:
        calls = calls.filter(agent__name=rule.agent)
    wanted = conditions.compiled(rule.condition).reading.history
    for call in calls.order_by("-created_at")[:LAST_CALLS]:
        facts = policy.Facts(
            domain=call.domain.name, tool=call.tool_name, effect=call.effect, agent=call.agent.name
        )
        yield counting.of_call(facts, call, wanted=wanted, now=call.created_at)


def _facts(rule: policy.Rule, tool: Tool, **more: object) -> policy.Facts:
    return policy.Facts(
        domain=tool.upstream.domain.name,
        tool=tool.exposed_name,
        effect=tool.effect,
        agent=rule.agent or _SOMEBODY,
        acts_for=_SOMEBODY,
        **more,  # type: ignore[arg-type]  # args, now and history, as `_examples` makes them
    )


def _schemas(tools: Sequence[Tool]) -> dict[str, object]:
    """Return input schemas by the digest of the definition they are in."""
    digests = {tool.definition_digest for tool in tools}
    rows = ToolDefinition.objects.in_bulk(list(digests)).values()
    return {row.digest: json.loads(bytes(row.body)).get("inputSchema") for row in rows}


def _counts(tally: Tally) -> str:
    words = f"true for {tally.yes}, false for {tally.no}"
    if not tally.unjudged:
        return words
    why = tally.unjudged.most_common(1)[0][0]
    return f"{words}, no answer possible for {tally.unjudged.total()} (such as: {why})"
