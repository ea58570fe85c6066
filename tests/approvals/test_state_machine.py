"""Everybody does anything in any order; each call must be where a small model of it is.

`COUNTERSIGN_EXAMPLES=20000` runs that many stories, with new seeds each time; what it finds is
printed as the shortest story that goes wrong. Without it the same few stories run each time.
"""

import os
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis
from django.db import transaction
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from approvals import lifecycle, submission
from approvals.administration import catalog, groups
from approvals.administration import people as staff
from approvals.audit.verify import Verification
from approvals.errors import Conflict, InvalidInput, NotAllowed
from approvals.models import AuditEvent, Decision, Dispatch, ToolCall, database_now
from approvals.outcomes import Outcome
from approvals.tasks import sweep
from tests.support import world as worlds
from tests.support.call_model import GROUPS, Call
from tests.support.world import ACTOR, REFUND, World

EXAMPLES = int(os.environ.get("COUNTERSIGN_EXAMPLES", "0"))
LONG, OVER = 3600, -1  # seconds of a lease
LEASES = st.sampled_from([LONG, LONG, OVER])
REACHED: set[str] = set()  # states that a call was in, or the stories would tell little
SEEN: set[str] = set()  # what else was seen of calls
PEOPLE = st.sampled_from(["ann", "bo", "cy", "hal", "eve"])
VERDICTS = st.sampled_from(["approve", "approve", "reject"])
LEAVERS = ("bo", "cy", "hal")
STAGES = st.sampled_from([
    (), (), (("Finance", 1), ("Owners", 1)), (("Finance", 2), ("Owners", 1)), (("Owners", 2),),
])  # fmt: skip
OUTCOMES = {
    "succeeded": Outcome.succeeded({"content": []}),
    "failed": Outcome.failed("tool_error", "No.", {"content": [], "isError": True}),
    "unknown": Outcome.unknown("It broke."),
}


def refused(verb: Any) -> tuple[str, Any]:
    """Do a verb; return why it was refused, or "" and what it returned."""
    try:
        return "", verb()
    except (Conflict, InvalidInput):  # to supersede what cannot be is bad input
        return "conflict", None
    except NotAllowed:
        return "forbidden", None


# Not a bundle: half of all stories would end at one that is still empty.
ANY_CALL: Any = st.runner().flatmap(lambda machine: st.sampled_from(machine.held))


class Machine(RuleBasedStateMachine):
    """Real verbs on real rows, beside the model."""

    world: World
    configured: Any  # Django's settings
    ann: Any
    bo: Any
    cy: Any
    hal: Any
    eve: Any

    claims: Bundle[Any] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.savepoint()
        self.models: dict[Any, Call] = {}
        self.held: list[ToolCall] = []
        self.away: set[str] = set()
        self._submit(1, is_late=False)

    def teardown(self) -> None:
        moves = {key.value: to for key, to in lifecycle.MOVES.items()}
        assert list(Verification(moves).problems()) == []
        transaction.savepoint_rollback(self.savepoint)

    def number(self) -> dict[str, object]:
        """Return arguments that no other call has, else it would be the same one."""
        return {**REFUND, "amount": len(self.models) + 1}

    @rule(quorum=st.integers(1, 2), is_late=st.sampled_from([False, False, True]))
    def submit(self, quorum: int, is_late: bool) -> None:
        self._submit(quorum, is_late=is_late)

    @rule(stages=STAGES, deny_quorum=st.integers(1, 2), escalates_at=st.sampled_from([0, 40, 70]),
          elapsed=st.sampled_from([0, 45, 60, 95]), told=st.sampled_from([0, 1, 3]),
          votes=st.lists(VERDICTS, max_size=4),
          order=st.permutations(["bo", "cy", "hal", "ann"]))  # fmt: skip
    def ask_groups(self, told: int, votes: list[str], order: list[str], **refined: Any) -> None:
        """Let whoever may decide do so; chance alone seldom finds whose turn it is."""
        call = self._submit(2, is_late=False, **refined)
        model = self.models[call.pk]
        for _ in range(told):
            self._attend(call)
        for verdict in votes:
            may = [who for who in order if who not in model.votes and model.may_vote(who, verdict)]
            if may:
                self._vote(call, may[0], verdict, call.binding)

    def _submit(
        self, quorum: int, *, is_late: bool, stages: Any = (), deny_quorum: int = 1,
        escalates_at: int = 0, elapsed: int = 0,
    ) -> ToolCall:  # fmt: skip
        age = timedelta(hours=2) if is_late else timedelta(hours=1) * elapsed / 100
        to: Any = {"escalate_to": "Heads", "escalate_after": escalates_at} if escalates_at else {}
        call = worlds.hold(
            self.world, arguments=self.number(), quorum=quorum, age=age, deny_quorum=deny_quorum,
            stages=[{"group": group, "quorum": number} for group, number in stages],
            **(to if stages else {}),
        )  # fmt: skip
        quorum = sum(number for _, number in stages) or quorum
        model = Call(quorum, stages, deny_quorum, escalates_at if stages else 0, elapsed)
        model.is_late = is_late
        return self._keep(call, model)

    def _keep(self, call: ToolCall, model: Call) -> ToolCall:
        model.away = self.away
        self.models[call.pk] = model.begin()
        self.held.append(call)
        return call

    @rule(call=ANY_CALL)
    def supersede(self, call: ToolCall) -> None:
        request = submission.Request(
            agent_id=self.world.agent.pk, key_id=self.world.agent.keys.get().pk,
            tool_id=self.world.refund.pk, arguments=self.number(), supersedes=call.pk,
        )  # fmt: skip
        why, made = refused(lambda: submission.submit(request))
        assert why == self.models[call.pk].supersede()
        if not why:
            self._keep(made.call, Call())

    @rule(who=st.sampled_from(LEAVERS))
    def leave(self, who: str) -> None:
        if who not in self.away:
            staff.deactivate(getattr(self, who), actor=ACTOR)
            self.away.add(who)

    @rule()
    def come_back(self) -> None:
        self._come_back()

    def _come_back(self) -> None:
        for who in sorted(self.away):
            staff.reactivate(getattr(self, who), actor=ACTOR)
        self.away.clear()

    @rule(call=ANY_CALL)
    def attend(self, call: ToolCall) -> None:
        self._attend(call)

    def _attend(self, call: ToolCall) -> None:
        why, _ = refused(lambda: lifecycle.attend(call.pk))
        assert why == self.models[call.pk].attend()

    @rule(call=ANY_CALL)
    def look_at_reach(self, call: ToolCall) -> None:
        why, _ = refused(lambda: lifecycle.look_at_reach(call.pk))
        assert why == self.models[call.pk].look_at_reach()

    @rule(call=ANY_CALL, who=PEOPLE, verdict=st.sampled_from(["approve", "approve", "reject"]),
          is_stale=st.sampled_from([False, False, False, True]))  # fmt: skip
    def vote(self, call: ToolCall, who: str, verdict: str, is_stale: bool) -> None:
        self._vote(call, who, verdict, "0" * 64 if is_stale else call.binding)

    def _vote(self, call: ToolCall, who: str, verdict: str, binding: str) -> None:
        person = getattr(self, who)
        why, _ = refused(lambda: lifecycle.decide(
            call.pk, decider=person, verdict=verdict, binding=binding, reason="x"
        ))  # fmt: skip
        is_stale = binding != call.binding
        assert why == self.models[call.pk].vote(who, verdict, is_stale=is_stale)

    def _claim(self, call: ToolCall, lease: int) -> Any:
        self.configured.CLAIM_LEASE_SECONDS = lease
        why, claim = refused(lambda: lifecycle.claim(call.pk, worker="test"))
        assert why == self.models[call.pk].claim(lease_is_over=lease == OVER)
        return multiple() if why else claim

    @rule(call=ANY_CALL, to=st.sampled_from(["cancelled", "void"]))
    def end_unsent(self, call: ToolCall, to: str) -> None:
        verb = {"cancelled": lifecycle.cancel, "void": lifecycle.void}[to]
        why, _ = refused(lambda: verb(call.pk, actor=ACTOR, reason="x"))
        assert why == self.models[call.pk].end_unsent(to)

    @rule(call=ANY_CALL)
    def expire(self, call: ToolCall) -> None:
        why, _ = refused(lambda: lifecycle.expire(call.pk))
        assert why == self.models[call.pk].expire()

    @rule(target=claims, call=ANY_CALL, lease=LEASES)
    def claim(self, call: ToolCall, lease: int) -> Any:
        return self._claim(call, lease)

    @rule(to=st.sampled_from(["rejected", "expired"]))
    def end_undecided_or_refused(self, to: str) -> None:
        """End a call of its own; chance alone leaves these two out of all of the fixed stories."""
        self._come_back()
        call = self._submit(1, is_late=to == "expired")
        if to == "rejected":
            self._vote(call, "bo", "reject", call.binding)
        else:
            lifecycle.expire(call.pk)
            assert self.models[call.pk].expire() == ""

    @rule(target=claims, quorum=st.integers(1, 2), lease=LEASES, answer=LEASES,
          to=st.sampled_from(["claimed", "dispatched", *OUTCOMES]))  # fmt: skip
    def come_far(self, quorum: int, lease: int, answer: int, to: str) -> Any:
        """Make a call that is claimed, sent or lost; chance alone hardly ever brings one there."""
        self._come_back()
        call = self._submit(quorum, is_late=False)
        for who in ("bo", "cy")[:quorum]:
            self._vote(call, who, "approve", call.binding)
        claim = self._claim(call, lease)
        if to != "claimed":
            self._dispatch(claim, is_changed=False, lease=answer)
        if to in OUTCOMES:
            self._answer(claim, to)
        return claim

    @rule(call=ANY_CALL)
    def wait_for_the_next_try(self, call: ToolCall) -> None:
        self._wait(call)

    def _wait(self, call: ToolCall) -> None:
        ToolCall.objects.filter(pk=call.pk).update(not_before=None)
        self.models[call.pk].is_parked = False

    @rule(claim=claims)
    def unclaim(self, claim: lifecycle.Claim) -> None:
        self._unclaim(claim)

    def _unclaim(self, claim: lifecycle.Claim) -> None:
        why, _ = refused(lambda: lifecycle.unclaim(claim, reason="x"))
        assert why == self.models[claim.call_id].unclaim(claim.fence)

    @rule(target=claims, claim=claims, is_sent=st.booleans())
    def take_over(self, claim: lifecycle.Claim, is_sent: bool) -> Any:
        """Another worker claims what one gave back; the first answers all the same."""
        self._unclaim(claim)
        self._wait(claim.call)
        newer = self._claim(claim.call, LONG)
        if is_sent and isinstance(newer, lifecycle.Claim):
            self._dispatch(newer, is_changed=False, lease=LONG)
            self._answer(claim, "succeeded")
        return newer

    @rule(claim=consumes(claims))
    def die(self, claim: lifecycle.Claim) -> None:
        """The worker is gone; nothing of it is left but its lease."""

    @rule(call=ANY_CALL)
    def lapse(self, call: ToolCall) -> None:
        why, _ = refused(lambda: lifecycle.lapse(call.pk))
        assert why == self.models[call.pk].lapse()

    @rule(claim=claims, is_changed=st.sampled_from([False, False, False, True]), lease=LEASES)
    def dispatch(self, claim: lifecycle.Claim, is_changed: bool, lease: int) -> None:
        self._dispatch(claim, is_changed=is_changed, lease=lease)

    def _dispatch(self, claim: lifecycle.Claim, *, is_changed: bool, lease: int) -> None:
        self.configured.UPSTREAM_TIMEOUT_SECONDS = lease
        self.configured.ANSWER_GRACE_SECONDS = 0
        seen = worlds.seen(claim.call)
        seen = replace(seen, definition_digest="0" * 64) if is_changed else seen
        why, _ = refused(lambda: lifecycle.dispatch(claim, seen=seen))
        model, over = self.models[claim.call_id], lease == OVER
        assert why == model.dispatch(claim.fence, is_changed=is_changed, lease_is_over=over)

    @rule(claim=claims, outcome=st.sampled_from(sorted(OUTCOMES)))
    def answer(self, claim: lifecycle.Claim, outcome: str) -> None:
        self._answer(claim, outcome)

    def _answer(self, claim: lifecycle.Claim, outcome: str) -> None:
        why, _ = refused(lambda: lifecycle.finish(claim, OUTCOMES[outcome]))
        assert why == self.models[claim.call_id].answer(claim.fence, outcome)

    @rule(call=ANY_CALL)
    def lose_the_answer(self, call: ToolCall) -> None:
        def is_over(call: ToolCall) -> bool:
            return call.lease_until is not None and call.lease_until <= database_now()

        why, _ = refused(lambda: lifecycle.lose(call.pk, reason="x", only_if=is_over))
        assert why == self.models[call.pk].lose()

    @rule(call=ANY_CALL, who=PEOPLE, outcome=st.sampled_from(["ran", "not-ran"]),
          is_early=st.booleans())  # fmt: skip
    def settle(self, call: ToolCall, who: str, outcome: str, is_early: bool) -> None:
        self.configured.SETTLE_QUARANTINE_SECONDS = LONG if is_early else 0
        why, _ = refused(lambda: lifecycle.settle(
            call.pk, person=getattr(self, who), outcome=outcome, evidence="x"
        ))  # fmt: skip
        assert why == self.models[call.pk].settle(who, outcome, is_early=is_early)

    @rule()
    def sweep(self) -> None:
        sweep()
        for model in self.models.values():
            model.sweep()

    @invariant()
    def every_call_is_where_its_model_is(self) -> None:
        now = database_now()
        calls = ToolCall.objects.filter(pk__in=self.models)
        sent = Counter(Dispatch.objects.values_list("call", flat=True))
        told = Counter(AuditEvent.objects.values_list("stream", flat=True))
        votes: dict[Any, dict[str, str]] = defaultdict(dict)
        turns: dict[Any, dict[str, int]] = defaultdict(dict)
        for pk, who, verdict, stage in Decision.objects.values_list(
            "call", "approver__username", "verdict", "stage"
        ):
            votes[pk][who] = verdict
            if verdict == "approve":
                turns[pk][who] = stage
        for call in calls:
            model = self.models[call.pk]
            REACHED.add(call.status)
            SEEN.update(_seen(call, model))
            assert (call.stage, call.asked_group) == (model.turn, model.asked)
            assert model == Call(
                quorum=call.quorum,
                stages=model.stages,
                deny_quorum=call.rule.get("deny_quorum", 1),
                escalates_at=model.escalates_at,
                elapsed=model.elapsed,
                reminders=call.reminders,
                is_escalated=call.escalated_to == "Heads",
                is_stuck=call.is_out_of_reach,
                away=model.away,
                turns=turns[call.pk],
                is_late=call.run_by_at <= now,
                state=call.status,
                version=call.version,
                fence=call.fence,
                is_parked=call.not_before is not None,
                lease_is_over=model.lease_is_over,  # compared by what comes of it
                dispatches=sent[call.pk],
                votes=votes[call.pk],
            )
            assert told[f"call:{call.pk}"] == model.version
        assert len(calls) == len(self.models)


def _seen(call: ToolCall, model: Call) -> set[str]:
    """Return what is worth seeing of a call, beside its state."""
    noes = list(model.votes.values()).count("reject")
    found = {
        "reminded twice": call.reminders == 2,
        "escalated": bool(call.escalated_to),
        "signed by whom it escalated to": "hal" in model.turns and model.is_escalated,
        "second stage": call.stage == 2 and call.status == "pending",
        "approved in two stages": call.status == "approved" and len(model.stages) == 2,
        "a no that ended nothing": bool(noes) and call.status == "pending",
        "approved against a no": bool(noes) and call.status == "approved",
        "rejected by two": noes == 2 and call.status == "rejected",
        "out of reach": call.is_out_of_reach and call.status == "pending",
    }
    return {name for name, is_so in found.items() if is_so}


_WORTH_SEEING = 9


def test_every_call_is_always_where_a_small_model_of_it_is(world: World, settings: Any) -> None:
    catalog.add_approvers(world.billing, [world.ann], actor=ACTOR)
    hal = worlds.person("hal", role="approver")
    Machine.world, Machine.configured = world, settings
    Machine.ann, Machine.bo, Machine.cy, Machine.hal, Machine.eve = (
        world.ann, world.bo, world.cy, hal, world.eve,
    )  # fmt: skip
    for name, members in GROUPS.items():
        members_of = [getattr(Machine, who) for who in members]
        groups.create_group(world.billing, name, owner=None, people=members_of, actor=ACTOR)
    # To make a story short takes minutes; whoever looks for the reason asks for examples.
    phases = tuple(Phase) if EXAMPLES else (Phase.generate,)
    run_state_machine_as_test(
        Machine,
        settings=hypothesis.settings(
            max_examples=EXAMPLES or 60,
            stateful_step_count=30,
            derandomize=not EXAMPLES,
            phases=phases,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
    assert set(ToolCall.Status) == REACHED
    assert len(SEEN) == _WORTH_SEEING, SEEN
