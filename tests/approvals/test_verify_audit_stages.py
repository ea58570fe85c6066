"""The replay of stages, noes, reminders, escalations and reach: a forged trail is named."""

from datetime import UTC, datetime, timedelta

import pytest

from approvals import canonical, lifecycle, policy
from approvals.audit.chain import Event
from approvals.audit.replay import Replay
from approvals.canonical import rfc3339

MOVES = {status.value: targets for status, targets in lifecycle.MOVES.items()}
NOW = datetime(2026, 7, 28, 9, 30, tzinfo=UTC)
CALL = "3f2a8c1e-0000-4000-8000-000000000001"
RULE = policy.Rule(
    position=1, name="staged", outcome=policy.Outcome.HOLD, deny_quorum=2, escalate_to="Heads",
    stages=(policy.Stage("Finance", 2), policy.Stage("Owners", 1)), escalate_after=40,
)  # fmt: skip
# Step → code, minutes after the beginning (of a hundred), and what it says.
STEPS: dict[str, tuple[str, int, dict[str, object]]] = {
    "remind": ("call.reminded", 50, {"percent": 50}),
    "again": ("call.reminded", 90, {"percent": 90}),
    "escalate": ("call.escalated", 40, {"percent": 40, "group": "Heads"}),
    "stuck": ("call.out_of_reach", 5, {"groups": ["Owners"]}),
    "reached": ("call.within_reach", 6, {}),
    "approved": ("call.approved", 95, {"source": "pending", "reason": ""}),
    "rejected": ("call.rejected", 95, {"source": "pending", "reason": ""}),
    "expired": ("call.expired", 100, {"source": "pending", "reason": ""}),
}
SIGNED = ["bo1", "cy1", "gus2"]


def beginning(**changes: object) -> dict[str, object]:
    bound = {
        "call_id": CALL, "agent": "support", "acts_for": "ann", "upstream": "billing",
        "upstream_address": "http://127.0.0.1:9/mcp", "tool": "billing__refund",
        "definition_digest": "d" * 64, "arguments_digest": "a" * 64,
        "rule_digest": RULE.digest(), "credential_ref": "billing/shared:",
        "decide_by_at": rfc3339(NOW + timedelta(minutes=100)),
        "run_by_at": rfc3339(NOW + timedelta(minutes=110)),
    }  # fmt: skip
    facts = {key: value for key, value in bound.items() if key != "call_id"}
    facts["binding"] = canonical.digest_of(bound)
    return (
        facts | {"owner": "ann", "four_eyes": True, "quorum": 3, "rule": RULE.as_dict()} | changes
    )


def event(seq: int, code: str, actor: str, minutes: float, facts: dict[str, object]) -> Event:
    data = canonical.to_bytes({"version": seq, **facts})
    at = NOW + timedelta(minutes=minutes)
    return Event(f"call:{CALL}", seq, code, actor, at, data, "", "")


def said(*steps: str | tuple[str, dict[str, object]], **begun: object) -> list[str]:
    """Replay a call that is held and goes through steps; return what could not have happened.

    A step is one of STEPS, or a vote such as "bo1": a name, the stage it says, "-" for a no. With
    it may stand what it says instead, also "at" (minutes) and "actor".
    """
    facts = beginning(**begun)
    events = [event(1, "call.held", "agent:support", 0, facts)]
    for step in steps:
        name, changes = (step, {}) if isinstance(step, str) else step
        if name in STEPS:
            code, at, told = STEPS[name]
            actor = "clock"
        else:
            verdict = "reject" if name.endswith("-") else "approve"
            code, at, actor = f"call.{verdict}_signed", 10, f"person:{name.rstrip('-0123456789')}"
            told = {"verdict": verdict, "reason": "", "binding": facts["binding"],
                    "assurance": "session", "stage": int(name.rstrip("-")[-1])}  # fmt: skip
        told = told | changes
        at, actor = told.pop("at", at), told.pop("actor", actor)  # type: ignore[assignment]
        events.append(event(len(events) + 1, code, str(actor), at, told))
    replay = Replay(CALL, MOVES)
    return [problem.message for one in events for problem in replay.step(one)]


@pytest.mark.parametrize(
    "steps",
    [
        [*SIGNED, "approved"],
        ["escalate", "bo1", "remind", "cy1", "again", "gus2", "approved"],
        ["bo1-", "cy1", "fay1", "gus2-", "rejected"],
        ["stuck", "reached", "escalate", "remind", "again", "expired"],
        ["bo1-", "cy1-", "rejected"],
    ],
    ids=" ".join,
)
def test_what_happens_in_turn_and_in_time_is_silent(steps: list[str]) -> None:
    assert said(*steps) == []


def test_a_call_that_begins_out_of_reach_is_told_to_be_within_it_first() -> None:
    assert said("reached", out_of_reach=["Owners"]) == []
    assert said("stuck", out_of_reach=["Owners"]) == ["tells what was told already"]


FORGED: list[tuple[list[str | tuple[str, dict[str, object]]], str]] = [
    # decisions
    (["bo2"], "is a decision in stage 2, but it was the turn of stage 1"),
    (["bo0"], "is a decision in stage 0, but it was the turn of stage 1"),
    ([("bo1", {"stage": "1"})], "is a decision in stage '1', but it was the turn of stage 1"),
    (["bo1", "cy1", "fay1"], "is a decision in stage 1, but it was the turn of stage 2"),
    (["bo1", "gus2"], "is a decision in stage 2, but it was the turn of stage 1"),
    (["bo1", "cy1", "approved"], "is approved by 0 of Owners, but 1 had to"),
    (["bo1", "approved"], "is approved by 1 of Finance, but 2 had to"),
    ([*SIGNED, "hal2"], "is a decision on a call that was approved by those before it"),
    (["bo1-", "cy1-", "fay1"], "is a decision on a call that was rejected by those before it"),
    (["bo1-", "rejected"], "is rejected by 1, but 2 had to"),
    ([*SIGNED, "expired"], "makes it expired, but those who decided had approved it"),
    (["bo1-", "cy1-", "expired"], "makes it expired, but those who decided had rejected it"),
    # reminders
    (["again"], "reminds at 90 per cent, but 50 were due"),
    (["remind", "remind"], "reminds at 50 per cent, but 90 were due"),
    (["remind", "again", "again"], "is reminder 3, but there are 2"),
    ([("remind", {"at": 49.9})], "is told before its time"),
    ([("remind", {"at": 100})], "is told after its time"),
    ([("remind", {"actor": "person:bo"})], "was written by person:bo, not by the clock"),
    ([*SIGNED, "approved", "remind"], "is told of a call that was approved"),
    # escalations
    (["escalate", "escalate"], "is a second escalation"),
    ([("escalate", {"group": "Owners"})], "escalates to 'Owners', which its rule does not name"),
    ([("escalate", {"percent": 10})], "escalates at 10 per cent, not at 40"),
    ([("escalate", {"at": 39})], "is told before its time"),
    ([("escalate", {"actor": "command"})], "was written by command, not by the clock"),
    (["expired", "escalate"], "is told of a call that was expired"),
    # reach
    (["stuck", "stuck"], "tells what was told already"),
    (["reached"], "tells what was told already"),
    ([("stuck", {"actor": "person:bo"})], "was written by person:bo, not by the clock"),
    ([*SIGNED, "approved", "stuck"], "is told of a call that was approved"),
]


@pytest.mark.parametrize(("steps", "named"), FORGED, ids=lambda value: str(value)[:60])
def test_a_forged_trail_is_named(
    steps: list[str | tuple[str, dict[str, object]]], named: str
) -> None:
    assert named in said(*steps)


def test_a_deadline_that_nobody_can_read_is_named_and_no_crash() -> None:
    found = said("remind", decide_by_at="soon")

    assert "is told at 50 per cent of a time that cannot be read" in found


def test_a_hold_that_asks_for_fewer_than_its_stages_is_named() -> None:
    assert "asks for 2, but its stages ask for 3" in said(quorum=2)
