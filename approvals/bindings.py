"""What an approval covers, computed from rows; and in words, what is no longer the same."""

from dataclasses import dataclass

from approvals import canonical, policy
from approvals.models import ToolCall


@dataclass(frozen=True)
class Seen:
    """What a worker saw upstream just before it would send."""

    definition_digest: str
    address: str
    credential_ref: str


def of(call: ToolCall) -> canonical.Binding:
    """Return the binding of a call by its row as it is now.

    The digest of the arguments is always taken from the stored bytes themselves.
    """
    return canonical.Binding(
        call_id=str(call.pk),
        agent=call.agent.name,
        acts_for=call.acts_for.get_username(),
        upstream=call.upstream.name,
        upstream_address=call.upstream_address,
        tool=call.tool_name,
        definition_digest=call.definition_digest,
        arguments_digest=canonical.digest(bytes(call.arguments)),
        rule_digest=policy.Rule(**call.rule).digest(),
        credential_ref=call.credential_ref,
        decide_by_at=call.decide_by_at,
        run_by_at=call.run_by_at,
    )


def difference(call: ToolCall, seen: Seen) -> str:
    """Return in words what is not as it was approved; empty when everything is.

    Three must agree with what was approved: the call's own row, what the worker saw upstream, and
    what the catalogue says by now, which may have changed after the worker connected.
    """
    if of(call).digest() != call.binding:
        return "The call is not the one that was approved: its digest does not match."
    listed = Seen(call.tool.definition_digest, call.upstream.address, call.upstream.credential_ref)
    for facts in (seen, listed):
        if facts.definition_digest != call.definition_digest:
            return "The tool's definition changed after the call was made."
        if facts.address != call.upstream_address:
            return "The upstream's address changed after the call was made."
        if facts.credential_ref != call.credential_ref:
            return "The credential a release would use changed after the call was made."
    return ""
