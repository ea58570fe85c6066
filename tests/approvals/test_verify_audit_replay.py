"""The pure part of the verifier that replays calls: what cannot have happened is said."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from approvals import canonical, lifecycle, policy
from approvals.audit.chain import Event
from approvals.audit.replay import Replay
from approvals.canonical import rfc3339
from approvals.models import ToolCall

S = ToolCall.Status
MOVES = {status.value: targets for status, targets in lifecycle.MOVES.items()}
NOW = datetime(2026, 7, 28, 9, 30, tzinfo=UTC)
CALL = "3f2a8c1e-0000-4000-8000-000000000001"
HOLD = policy.Rule(position=1, name="two", outcome=policy.Outcome.HOLD, quorum=2)
ALLOW = policy.Rule(position=1, name="small", outcome=policy.Outcome.ALLOW, tool="billing__*")

# The shortest ways to each state from which arrows lead, as codes.
WAYS = {
    S.PENDING: [],
    S.APPROVED: ["bo", "cy", "approved"],
    S.CLAIMED: ["bo", "cy", "approved", "claimed"],
    S.DISPATCHED: ["bo", "cy", "approved", "claimed", "dispatched"],
    S.UNKNOWN: ["bo", "cy", "approved", "claimed", "dispatched", "unknown"],
    S.SUCCEEDED: ["bo", "cy", "approved", "claimed", "dispatched", "succeeded"],
    S.FAILED: ["bo", "cy", "approved", "claimed", "dispatched", "failed"],
    S.REJECTED: ["bo no", "rejected"],
    S.EXPIRED: ["expired"],
    S.CANCELLED: ["cancelled"],
    S.VOID: ["void"],
}


def asked(under: policy.Rule, **changes: object) -> dict[str, object]:
    """Return what a first event says, with a binding that is right."""
    bound = {
        "call_id": CALL, "agent": "support", "acts_for": "ann", "upstream": "billing",
        "upstream_address": "http://127.0.0.1:9/mcp", "tool": "billing__refund",
        "definition_digest": "d" * 64, "arguments_digest": "a" * 64,
        "rule_digest": under.digest(), "credential_ref": "billing/shared:",
        "decide_by_at": rfc3339(NOW), "run_by_at": rfc3339(NOW + timedelta(minutes=10)),
    }  # fmt: skip
    facts: dict[str, object] = {key: value for key, value in bound.items() if key != "call_id"}
    facts |= {
        "binding": canonical.digest_of(bound), "owner": "ann", "four_eyes": True,
        "quorum": 2 if under is HOLD else 0, "rule": under.as_dict(),
    }  # fmt: skip
    return facts | changes


class Script:
    """Writes a call's events one after the other; a step may be told to say something else."""

    def __init__(self, code: str = "call.held", under: policy.Rule = HOLD, **facts: object) -> None:
        self.events: list[Event] = []
        self.facts = asked(under, **facts)
        self.status = "pending" if code == "call.held" else "approved"
        self.claims = 0
        self._write(code, "agent:support", self.facts)

    def step(self, step: str, **changes: object) -> None:
        """Take a step: a person's name for an approval, `bo no` for a rejection, or a status."""
        binding = self.facts["binding"]
        name, _, no = step.partition(" ")
        if step not in S.values:
            verdict = "reject" if no else "approve"
            told = {"verdict": verdict, "reason": "", "binding": binding, "assurance": "session"}
            self._write(f"call.{verdict}_signed", f"person:{name}", told | changes)
            return
        self.claims += step == "claimed"
        told = {"source": self.status, "reason": "", "fence": self.claims}
        if step == "dispatched":
            told |= {"binding": binding, "definition_digest": self.facts["definition_digest"]}
        self.status = step
        self._write(f"call.{step}", "worker:w", told | changes)

    def _write(self, code: str, actor: str, facts: dict[str, object]) -> None:
        seq = len(self.events) + 1
        data = canonical.to_bytes({"version": seq, **facts})
        self.events.append(Event(f"call:{CALL}", seq, code, actor, NOW, data, "", ""))


def script(*steps: str) -> Script:
    made = Script()
    for step in steps:
        made.step(step)
    return made


def said(made: Script) -> list[str]:
    replay = Replay(CALL, MOVES)
    return [problem.message for event in made.events for problem in replay.step(event)]


@pytest.mark.parametrize(("source", "to"), list(product(S, S)))
def test_every_arrow_is_silent_and_every_other_pair_of_states_is_named(source: S, to: S) -> None:
    made = script(*WAYS[source])
    if (source, to) == (S.PENDING, S.APPROVED):
        made.step("bo")
        made.step("cy")
    if to == S.REJECTED and source == S.PENDING:
        made.step("bo no")

    made.step(to)

    named = f"goes from {source} to {to}, and no arrow leads there"
    assert (named in said(made)) is (to not in MOVES.get(source, ()))
    assert (said(made) == []) is (to in MOVES.get(source, ()))


def test_a_call_that_was_admitted_given_back_lost_and_settled_is_a_story_without_problems() -> None:
    made = Script("call.admitted", ALLOW)
    for step in ("claimed", "approved", "claimed", "dispatched", "unknown", "succeeded"):
        made.step(step)

    assert said(made) == []


WRONG_BEGINNINGS: list[tuple[Callable[[], Script], str]] = [
    (lambda: Script("call.approved"), "is call.approved, but a call begins held or admitted"),
    (
        lambda: Script(binding="0" * 64),
        "its binding is not the digest of what it says was asked",
    ),
    (
        lambda: Script(upstream_address="http://127.0.0.1:10/mcp"),
        "its binding is not the digest of what it says was asked",
    ),
    (
        lambda: Script(rule={**HOLD.as_dict(), "quorum": 1}),
        "its rule is not the one its digest stands for",
    ),
    (lambda: Script(rule={"no": "rule"}), "its rule cannot be read"),
    (lambda: Script(rule=None), "its rule cannot be read"),
    (lambda: Script(quorum=0), "is held, but asks for nobody's approval"),
    (lambda: Script("call.admitted"), "is admitted, but no rule allows it"),
    (lambda: Script("call.admitted", ALLOW, quorum=1), "is admitted, but no rule allows it"),
    (
        lambda: Script(agent="other"),
        "was written by agent:support, not by the agent it names",
    ),
]


@pytest.mark.parametrize(("begin", "message"), WRONG_BEGINNINGS)
def test_a_beginning_that_no_submission_writes_is_named(
    begin: Callable[[], Script], message: str
) -> None:
    assert message in said(begin())


def test_an_approval_short_of_its_quorum_is_named() -> None:
    assert said(script("bo", "approved")) == ["is approved by 1, but 2 had to"]


def test_a_rejection_that_nobody_signed_is_named() -> None:
    assert said(script("bo", "rejected")) == ["is rejected, but nobody said no"]


def test_a_second_decision_of_one_person_is_named_and_does_not_count_twice() -> None:
    assert said(script("bo", "bo", "approved")) == [
        "is a second decision of bo",
        "is approved by 1, but 2 had to",
    ]


def test_an_approval_of_the_agents_owner_is_named_unless_four_eyes_are_off() -> None:
    made = Script(four_eyes=False)
    made.step("ann")

    assert said(script("ann")) == ["is an approval by ann, whom four eyes forbid it"]
    assert said(made) == []


def test_a_rejection_of_the_agents_owner_is_allowed() -> None:
    assert said(script("ann no", "rejected")) == []


def test_a_decision_on_another_binding_is_named() -> None:
    made = script()
    made.step("bo", binding="0" * 64)

    assert said(made) == ["is a decision on another binding"]


def test_a_decision_that_says_another_verdict_than_its_code_is_named() -> None:
    made = script()
    made.step("bo", verdict="reject")

    assert said(made) == ["is call.approve_signed, but says 'reject'"]


def test_a_decision_on_a_call_that_had_left_pending_is_named() -> None:
    assert said(script("expired", "bo")) == ["is a decision on a call that was expired"]


def test_a_wrong_source_a_wrong_version_and_a_wrong_fence_are_named() -> None:
    made = script("bo", "cy", "approved")
    made.step("claimed", source="pending", version=9, fence=2)

    assert said(made) == [
        "speaks of version 9 of the call",
        "says the call was 'pending', but it was approved",
        "is claim 1, but its fence is 2",
    ]


@pytest.mark.parametrize("what", ["binding", "definition_digest"])
def test_a_dispatch_of_something_else_than_was_decided_is_named(what: str) -> None:
    made = script(*WAYS[S.CLAIMED])
    made.step("dispatched", **{what: "0" * 64})

    assert said(made) == [f"its {what} is not the one that was decided on"]


def test_a_dispatch_under_an_older_claim_is_named() -> None:
    made = script(*WAYS[S.CLAIMED], "approved", "claimed")
    made.step("dispatched", fence=1)

    assert said(made) == ["its fence is 1, but claim 2 sent it"]


def test_a_second_dispatch_is_named() -> None:
    made = script(*WAYS[S.DISPATCHED], "dispatched")

    assert "is a second dispatch" in said(made)


@pytest.mark.parametrize(
    "data", [b"not JSON", b"[1]", b"\xff", b'{"version": NaN}', b"[" * 100_000]
)
def test_events_that_say_nothing_readable_are_named_and_no_crash(data: bytes) -> None:
    made = script(*WAYS[S.SUCCEEDED])
    for index, event in enumerate(made.events):
        changed = Script()
        changed.events = [*made.events]
        changed.events[index] = replace(event, data=data)

        found = said(changed)

        assert found
        assert found[0] in ("what it says cannot be read", "speaks of version nan of the call")
