"""A past with something of everything in it, for tests that look at trails and pages."""

from collections.abc import Mapping
from datetime import timedelta

from approvals import lifecycle, submission
from approvals.administration import policy as policies
from approvals.models import ToolCall
from approvals.outcomes import Outcome
from tests.support import world as worlds

S = ToolCall.Status

_RULES = {
    "rules": [
        {"name": "two for eur", "tool": "billing__two_*", "outcome": "hold", "quorum": 2},
        {"name": "small ones", "tool": "billing__small_refund", "outcome": "allow"},
        {"outcome": "allow", "effect": "read"},
    ]
}


def unfold(world: worlds.World) -> dict[str, ToolCall]:
    """Let calls come to every end there is; return each by a name that says how."""
    names = ("refund", "get_customer", "two_refund", "small_refund")
    worlds.list_tools(world.upstream, *(worlds.definition(name) for name in names))
    two, small = (worlds.reviewed(name, "write") for name in names[2:])
    policies.load_rules(_RULES, source="tests", actor=worlds.ACTOR)
    calls = {str(status): _ended(world, status) for status in S}
    calls["two approvers"] = worlds.walk(
        worlds.hold(world, tool=two, quorum=2, arguments=_arguments("two")), world, S.SUCCEEDED
    )
    calls["given back"] = _given_back(world)
    calls["cut"] = _cut(world)
    calls["ran"], calls["not run"] = (_settled(world, said) for said in ("ran", "not-ran"))
    key = world.agent.keys.get()
    admitted = submission.Request(
        world.agent.pk, key.pk, small.pk, _arguments("admitted"), "key-1", None, "Ann, she says"
    )
    calls["admitted"] = submission.submit(admitted).call
    old = worlds.hold(world, arguments=_arguments("old"))
    new = submission.Request(
        world.agent.pk, key.pk, world.refund.pk, _arguments("new"), supersedes=old.pk
    )
    calls["superseding"] = submission.submit(new).call
    calls["superseded"] = old
    return {name: ToolCall.objects.get(pk=call.pk) for name, call in calls.items()}


def _arguments(customer: str) -> Mapping[str, object]:
    return {"customer": customer, "amount": 5}


def _ended(world: worlds.World, status: S) -> ToolCall:
    age = timedelta(hours=2) if status == S.EXPIRED else timedelta(0)
    return worlds.walk(worlds.hold(world, arguments=_arguments(status), age=age), world, status)


def _given_back(world: worlds.World) -> ToolCall:
    call = worlds.walk(worlds.hold(world, arguments=_arguments("back")), world, S.APPROVED)
    claim = lifecycle.claim(call.pk, worker="test")
    return lifecycle.unclaim(claim, reason="Nobody listened.")


def _cut(world: worlds.World) -> ToolCall:
    call = worlds.walk(worlds.hold(world, arguments=_arguments("cut")), world, S.APPROVED)
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    text = "x" * (1024 * 1024 + 1)
    return lifecycle.finish(claim, Outcome.succeeded({"content": [{"type": "text", "text": text}]}))


def _settled(world: worlds.World, outcome: str) -> ToolCall:
    call = worlds.walk(worlds.hold(world, arguments=_arguments(outcome)), world, S.UNKNOWN)
    return lifecycle.settle(call.pk, person=world.bo, outcome=outcome, evidence="The ledger.")
