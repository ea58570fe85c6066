"""Text of attackers in every field an outsider can fill, and the same text with its teeth drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.urls import URLPattern, URLResolver, get_resolver

from approvals import canonical, lifecycle, policy, submission
from approvals.administration import catalog
from approvals.administration.catalog import ListedTool, Listing
from approvals.models import Agent, AgentKey, Tool, ToolCall, database_now
from approvals.outcomes import Outcome
from approvals.wording.hostile import is_hidden
from tests.support import world as worlds
from tests.support.world import World

S = ToolCall.Status

PAYLOADS = {
    "an element": "<img src=x onerror=alert(1)><script>alert(document.cookie)</script>",
    "the end of a table": "</bdi></td></tr></table></main><form action=//evil><button>Approve",
    "the end of text": "</textarea></title></pre></style><iframe srcdoc='<b>'></iframe>",
    "an attribute": "\" autofocus onfocus=alert(1) x=\"' onmouseover='alert(2)",
    "entities": "&lt;b&gt;&amp;#60;i&#62; &#x3C;script&#x3E;<!-- --><![CDATA[<plaintext>]]>",
    "an address": "javascript:alert(1)//https://evil.example/?a=1&b=2 www.evil.example a@b.example",
    "markdown": "[Approve](https://evil.example) **now** ![x](//evil.example/x.png) `a` # b",
    "template syntax": "{{ 7|add:7 }}{% now 'Y' %}${7*7}<%= 7 %>#{7}{# x #}",
    "terminal codes": "\x1b[2J\x1b[31mred\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "turned around": "cus_\u202e1428\u202c \u2066a\u2069 \u200f\u061cb שלום",
    "tag characters": "ok" + "".join(chr(0xE0000 + ord(c)) for c in "approve") + "\U000e007f",
    "nothing to see": "a\u200b\u200d\u3164\u2800\ufe0f\u00adb\r\n\u2028c",
    "structure of ours": "x” · amount 1 · “y\n\n\n↵ ×3 ‹U+202E› U+202E",
    "marks": "Z" + "\u0300\u0323\u0489" * 9 + "algo",
}
LARGE = 4_500  # characters; more than any page shows of a definition or of a result

# What opens an element, an attribute, an address or a template; each becomes a sign that a sentence
# treats alike, so that nothing else about the text changes.
_TEETH = {ord(c): "!" for c in "<>&\"'`{}%$()=;[]|*!?\\"} | {ord(c): "-" for c in ":/.#@"}


def harmless(text: str) -> str:
    """Return the text without what could be taken for markup; what is hidden stays as it is."""
    return text.translate(_TEETH)


def hidden_in(text: str) -> set[str]:
    """Return the characters of a payload that no page may contain."""
    return {character for character in text if is_hidden(character)} - {"\n", "\r", "\u2069"}


def pages() -> dict[str, str]:
    """Return every address of the web application: its name, and its pattern."""

    def walk(patterns: list[URLPattern | URLResolver], before: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                found |= walk(pattern.url_patterns, route)
            else:
                assert pattern.name, f"{route} has no name"
                found[pattern.name] = route
        return found

    return walk(get_resolver().url_patterns, "")


@dataclass(frozen=True)
class Stage:
    """A world in which one text stands in every field that an outsider can fill."""

    world: World
    text: str
    calls: Mapping[str, ToolCall]  # by state; more than one of some


def set_up(text: str, *, large: str = "") -> Stage:
    """Build a world around a text.

    Args:
        large: stands in definitions and results in its place.
    """
    world = worlds.build()
    _list_tools(world, text, large or text)
    catalog.record_list_failure(world.upstream.pk, text)
    name = "".join(character for character in text if not is_hidden(character))
    for person in (world.ann, world.bo):
        type(person).objects.filter(pk=person.pk).update(first_name=name[:100], last_name="")
    AgentKey.objects.update(label=name[:40])
    calls = {status: _call(world, text, status) for status in [*S, "unsent", "unreviewed"]}
    for status, call in calls.items():
        _move(world, call, status, text, large or text)
    return Stage(world, text, calls)


def _list_tools(world: World, text: str, large: str) -> None:
    described: dict[str, object] = {
        name: {"title": text, "description": large, "unit": text, "enum": [text]}
        for name in (f"z{text}", "customer", "amount", "to")
    }
    schema = {"title": text, "description": large, "properties": described}
    definition = worlds.definition(
        "refund", title=text, description=large, inputSchema=schema,
        annotations={"title": text, text: text, "readOnlyHint": True},
    )  # fmt: skip
    tools = [
        ListedTool("refund", "billing__refund", definition),
        ListedTool(text, "billing__other", {**definition, "name": text}),
    ]
    said = {"name": text, "title": text, "version": text, "instructions": large}
    dropped = [{"name": text, "why": text}]
    listing = Listing(tools, dropped=dropped, server_info=said)
    catalog.record_listing(world.upstream.pk, listing, actor=worlds.ACTOR)
    worlds.reviewed("refund", "write")


def _call(world: World, text: str, status: str) -> ToolCall:
    name = "billing__other" if status == "unreviewed" else "billing__refund"
    tool = Tool.objects.select_related("upstream__domain").get(exposed_name=name)
    arguments = {
        "customer": text, "amount": 1, f"z{text}": text, "status": str(status),
        "to": {f"z{text}": [text, {"deep": text}], "long": text * (900 // len(text))},
    }  # fmt: skip
    request = submission.Request(
        agent_id=world.agent.pk,
        key_id=world.agent.keys.get().pk,
        tool_id=tool.pk,
        arguments=arguments,
        claimed_acts_for=text,
    )
    rule = policy.Rule(position=1, name="test", outcome=policy.Outcome.HOLD, message=text)
    ruled = policy.Ruling(rule, rule.outcome, 1, rule.expires_seconds, "")
    agent, body = Agent.objects.get(pk=world.agent.pk), canonical.to_bytes(arguments)
    held_at = database_now() - (timedelta(hours=2) if status == S.EXPIRED else _AGE)
    return lifecycle.begin(submission.draft(request, agent, tool, body, ruled, held_at))


# Insights put the time to a decision into buckets: here it is well inside one, on any machine.
_AGE = timedelta(minutes=7)


def _move(world: World, call: ToolCall, status: str, text: str, large: str) -> None:
    if status in (S.PENDING, "unreviewed"):
        return
    if status == S.EXPIRED:
        lifecycle.expire(call.pk)
    elif status == S.CANCELLED:
        lifecycle.cancel(call.pk, actor="agent:support", reason=text)
    elif status == S.VOID:
        lifecycle.void(call.pk, actor=worlds.ACTOR, reason=text)
    else:
        verdict = "reject" if status == S.REJECTED else "approve"
        lifecycle.decide(
            call.pk, decider=world.bo, verdict=verdict, binding=call.binding, reason=text
        )
        _release(call, status, text, large)


def _release(call: ToolCall, status: str, text: str, large: str) -> None:
    if status in (S.REJECTED, S.APPROVED):
        return
    claim = lifecycle.claim(call.pk, worker="test")
    if status == "unsent":
        lifecycle.unclaim(claim, reason=text)
    elif status != S.CLAIMED:
        lifecycle.dispatch(claim, seen=worlds.seen(call))
        said = {"content": [{"type": "text", "text": large}], "structuredContent": {text: large}}
        ends = {
            S.SUCCEEDED: Outcome.succeeded(said),
            S.FAILED: Outcome.failed("tool_error", text, {**said, "isError": True}),
            S.UNKNOWN: Outcome.unknown(text),
        }
        if status in ends:
            lifecycle.finish(claim, ends[S(status)])
