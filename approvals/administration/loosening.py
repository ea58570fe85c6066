"""Whether a policy could need fewer people than the one in force for a call that is no read.

It is tried on calls of the last 90 days and on calls that are made up, under both policies. Where
neither reaches a rule that could loosen, nobody can say, and that counts as loosening: people
decide then.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from approvals import counting, policy
from approvals.models import Tool, ToolCall, ToolDefinition, database_now
from approvals.phrases import Phrase, joined, phrase, phrases
from approvals.policy import loosening
from approvals.policy.loosening import Judged, Way
from approvals.policy.shapes import Comparison, Group, KnownTool
from approvals.policy.situations import Shape, situations

SPAN = timedelta(days=90)
MOST_CALLS = 2_000  # stored ones, of all tools together
MOST_HISTORIES = 200  # of these: those whose history has to be counted
MOST_JUDGED = 1_000_000  # times that a rule is asked, of which stored calls may take half
MOST_SHAPES = 8  # of one group
MOST_FOUND = 20
_LONGEST = 1_000  # characters of made-up arguments that are kept


def evidence(before: Sequence[policy.Rule], after: Sequence[policy.Rule]) -> dict[str, Any]:
    """Return what shows that a policy could need fewer people; empty where nothing does.

    Returns:
        {"found": [entry, …], "is_cut": whether there is more, "looked_at": {"calls": stored ones,
        "made": made-up ones, "tools": …}}. An entry has a kind:
        "call" (a stored call, by its id in "call") and "example" (a made-up one, with its
        "arguments"): "tool", "effect", "domain", "agent"; what either policy says of it in "before"
        and "after" ({"rule", "outcome", "quorum"}); in what it asks less, "ways"; and whether only
        "once_spent" is a budget.
        "unreached": a "rule" of a "side" (before, after) that no tried call reached.
        "untried": there are more kinds of calls than were tried.
    """
    comparison = Comparison(before, after)
    if not comparison.changed:
        return {}
    tools = list(Tool.objects.select_related("upstream__domain").order_by("exposed_name"))
    comparison.look(_known(tools))
    search = _Search(comparison)
    search.try_stored(tools)
    search.try_made()
    search.note_unreached()
    return search.result()


class _Search:
    """Tries calls, and keeps what could need fewer people."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._found: dict[tuple[object, ...], dict[str, Any]] = {}
        # By the rules that may govern: those that did, each as its side and place.
        self._reached: dict[object, set[tuple[str, int]]] = {}
        self._calls = self._made = self._histories = self._judged = 0
        self._tools: set[str] = set()

    def try_stored(self, tools: Sequence[Tool]) -> None:
        """Try calls that were made, newest first, spread over the tools whose rules differ."""
        names = {shape.tool for group in self._comparison.found() for shape, _ in group.shapes}
        wanted = {tool.pk: tool for tool in tools if tool.exposed_name in names}
        for call in _stored(list(wanted)):
            tool = wanted[call.tool_id]
            shape = Shape(call.domain.name, tool.exposed_name, tool.effect, call.agent.name)
            group = self._comparison.group(shape)
            if group is not None:
                self._try_call(group, shape, call)

    def _try_call(self, group: Group, shape: Shape, call: ToolCall) -> None:
        facts = shape.facts()
        history = policy.history_wanted(facts, group.before)
        history |= policy.history_wanted(facts, group.after)
        self._histories += bool(history)
        if (history and self._histories > MOST_HISTORIES) or self._judged > MOST_JUDGED // 2:
            return
        self._calls += 1
        facts = counting.of_call(facts, call, wanted=history, now=call.created_at)
        self._try(group, facts, {"kind": "call", "call": str(call.pk)})

    def try_made(self) -> None:
        """Try calls that are made up, of a few shapes of each group."""
        week = _week(counting.local(database_now()))
        for group in self._comparison.found():
            # Spread over the group: its tools have schemas of their own.
            step = -(-len(group.shapes) // MOST_SHAPES)
            for shape, schema in group.shapes[:: max(1, step)]:
                rules = (*group.before, *group.after)
                for facts in situations(shape, rules, schema=schema, week=week):
                    if len(self._found) >= MOST_FOUND:
                        return
                    if self._judged >= MOST_JUDGED:
                        self._keep({"kind": "untried"})
                        return
                    self._made += 1
                    self._try(group, facts, {"kind": "example", "arguments": _short(facts)})

    def note_unreached(self) -> None:
        """Note what no call reached that could loosen, and what was not tried at all."""
        if not self._comparison.is_complete:
            self._keep({"kind": "untried"})
        for group in self._comparison.found():
            reached, differing = self._reached.get(group.governing, set()), group.differing
            for side, rules in (("before", differing.before), ("after", differing.after)):
                for rule in rules:
                    if (side, rule.position) not in reached:
                        self._keep({"kind": "unreached", "side": side, "rule": rule.name})

    def result(self) -> dict[str, Any]:
        """Return it all, as `evidence` does."""
        if not self._found:
            return {}
        found = list(self._found.values())
        return {
            "found": found[:MOST_FOUND],
            "is_cut": len(found) >= MOST_FOUND,
            "looked_at": {"calls": self._calls, "made": self._made, "tools": len(self._tools)},
        }

    def _try(self, group: Group, facts: policy.Facts, told: dict[str, Any]) -> None:
        self._tools.add(facts.tool)
        self._judged += len(group.before) + len(group.after)
        before = loosening.judge(facts, group.before)
        after = loosening.judge(facts, group.after)
        reached = self._reached.setdefault(group.governing, set())
        reached |= {("before", place) for place in _governing(before, facts, group.before)}
        reached |= {("after", place) for place in _governing(after, facts, group.after)}
        looser = loosening.compare(before, after)
        if looser is not None:
            of = {name: getattr(facts, name) for name in ("tool", "effect", "domain", "agent")}
            said = {"before": _said(looser.before), "after": _said(looser.after)}
            ways = [way.value for way in looser.ways]
            self._keep({**told, **of, **said, "ways": ways, "once_spent": looser.is_spent})

    def _keep(self, entry: dict[str, Any]) -> None:
        """Keep one entry of each pair of rules: the first, and stored calls are tried first."""
        rules = [entry[side]["rule"] for side in ("before", "after") if side in entry]
        key = rules or [entry["kind"], entry.get("side"), entry.get("rule")]
        self._found.setdefault(tuple(key), entry)


def _governing(judged: Judged, facts: policy.Facts, rules: Sequence[policy.Rule]) -> Iterator[int]:
    """Yield the places of the rules that govern a call, each because it is certain to fit."""
    if not judged.ruling.why:
        yield judged.ruling.rule.position
    if judged.spent is not None:
        rest = [rule for rule in rules if rule.position > judged.ruling.rule.position]
        following = policy.evaluate(facts, rest)
        if not following.why:
            yield following.rule.position


def _known(tools: Sequence[Tool]) -> Iterator[KnownTool]:
    digests = {tool.definition_digest for tool in tools}
    rows = ToolDefinition.objects.in_bulk(list(digests)).values()
    schemas = {row.digest: json.loads(bytes(row.body)).get("inputSchema") for row in rows}
    for tool in tools:
        schema = schemas.get(tool.definition_digest)
        yield KnownTool(tool.exposed_name, tool.upstream.domain.name, tool.effect, schema)


def _stored(tools: Sequence[int]) -> Iterator[ToolCall]:
    """Yield calls of these tools, each tool's newest first, as many of each."""
    if not tools:
        return
    calls = (
        ToolCall.objects.filter(created_at__gte=database_now() - SPAN)
        .select_related("agent", "domain", "acts_for")
        .only(
            "tool_id", "arguments", "created_at", "agent__name", "domain__name",
            "acts_for__username",
        )
        .order_by("-created_at")
    )  # fmt: skip
    each = MOST_CALLS // len(tools)
    if each < 50:
        yield from calls.filter(tool__in=tools)[:MOST_CALLS]
        return
    for tool in tools:
        yield from calls.filter(tool=tool)[:each]


def _week(now: datetime) -> datetime:
    monday = now - timedelta(days=now.weekday())
    return monday.replace(hour=0, minute=0, second=0, microsecond=0)


def _short(facts: policy.Facts) -> dict[str, object]:
    args = dict(facts.args or {})
    return args if len(json.dumps(args)) <= _LONGEST else {}


def _said(ruling: policy.Ruling) -> dict[str, object]:
    return {
        "rule": ruling.rule.name, "outcome": ruling.outcome.value, "quorum": ruling.quorum,
    }  # fmt: skip


# -- words ---------------------------------------------------------------------------------------


def lines(evidence: Mapping[str, Any]) -> Iterator[Phrase]:
    """Yield the evidence as sentences, and at last what was looked at."""
    if not evidence:
        return
    yield from (in_words(entry) for entry in evidence["found"])
    if evidence["is_cut"]:
        yield phrase("There is more.")
    yield phrase(
        "%(calls)s stored and %(made)s made-up calls of %(tools)s tools were looked at.",
        **evidence["looked_at"],
    )


def in_words(entry: Mapping[str, Any]) -> Phrase:
    """Return one entry of the evidence as a sentence."""
    kind = entry["kind"]
    if kind == "untried":
        return phrase("There are more kinds of calls than could be tried.")
    if kind == "unreached":
        rule = entry["rule"]
        if entry["side"] == "after":
            return phrase("No call that was tried reaches “%(rule)s”: nobody can say.", rule=rule)
        return phrase(
            "No call that was tried reached “%(rule)s” before: nobody can say.", rule=rule
        )
    call = phrase("Such a call of %(tool)s", tool=entry["tool"])
    if kind == "call":
        call = phrase("A call of %(tool)s by %(agent)s", tool=entry["tool"], agent=entry["agent"])
    return phrase(
        "%(call)s: %(before)s by “%(one)s”, then %(after)s by “%(other)s” (%(ways)s).",
        call=call, before=_asks(entry["before"]), one=entry["before"]["rule"],
        after=_asks(entry["after"]), other=entry["after"]["rule"],
        ways=joined(", ", [_WAYS[Way(way)] for way in entry["ways"]]),
    )  # fmt: skip


def _asks(said: Mapping[str, Any]) -> Phrase:
    if said["outcome"] == policy.Outcome.ALLOW:
        return phrase("allowed")
    if said["outcome"] == policy.Outcome.DENY:
        return phrase("refused")
    number = said["quorum"]
    return phrases(
        "held for %(number)s approver", "held for %(number)s approvers", number, number=number
    )


_WAYS = {
    Way.OUTCOME: phrase("another outcome"),
    Way.QUORUM: phrase("fewer approvals"),
    Way.GROUPS: phrase("fewer of a group"),
    Way.NOES: phrase("more noes to end it"),
    Way.FOUR_EYES: phrase("no four eyes"),
    Way.ESCALATION: phrase("others may sign"),
    Way.BUDGET: phrase("another budget"),
}
