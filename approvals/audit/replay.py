"""Pure: replays one call's events and says what its rows must look like; needs no database."""

import json
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime

from approvals import canonical, policy
from approvals.audit.chain import Event, Problem
from approvals.errors import InvalidInput

# What the binding of a call is the digest of, besides the call's id; see canonical.Binding.
_BOUND = (
    "agent", "acts_for", "upstream", "upstream_address", "tool", "definition_digest",
    "arguments_digest", "rule_digest", "credential_ref", "decide_by_at", "run_by_at",
)  # fmt: skip
_BEGINNINGS = {"call.held": "pending", "call.admitted": "approved"}
_SIGNED = {"call.approve_signed": "approve", "call.reject_signed": "reject"}

Moves = Mapping[str, Set[str]]  # status → where arrows lead; a settled one has none
_Facts = dict[str, object]
_Found = Iterator[str]


@dataclass(frozen=True, slots=True)
class Signature:
    """One person's decision, as an event tells it."""

    verdict: str
    reason: str
    binding: str
    assurance: str
    at: datetime
    stage: int = 0  # whose turn it was, from 1; 0 where the rule has none


@dataclass(frozen=True, slots=True)
class Sent:
    """The dispatch, as an event tells it."""

    fence: int
    worker: str
    binding: str
    definition_digest: str
    answer_by_at: str
    at: datetime


@dataclass(slots=True)
class Story:
    """What the events of one call add up to.

    Attributes:
        facts: what the first event says was asked and how it was judged.
        signatures: by sign-in name.
        ended: failure_kind, result_digest, result_is_cut and kept_digest, once it was finished.
    """

    version: int = 0
    status: str = ""
    facts: _Facts = field(default_factory=dict)
    signatures: dict[str, Signature] = field(default_factory=dict)
    sent: Sent | None = None
    claims: int = 0
    began_at: datetime | None = None
    moved_at: datetime | None = None
    reason: str = ""
    ended: _Facts = field(default_factory=dict)
    stages: tuple[policy.Stage, ...] = ()
    deny_quorum: int = 1
    escalate_to: str = ""
    escalate_after: int = 0
    escalated_to: str = ""
    reminders: int = 0
    is_out_of_reach: bool = False

    @property
    def stage(self) -> int:
        """Return the number of the stage whose turn it is; 0 where the rule has none."""
        approved = (s.stage for s in self.signatures.values() if s.verdict == "approve")
        return policy.turn(self.stages, approved)

    def given(self, verdict: str) -> int:
        """Return how many people gave this verdict."""
        return sum(signed.verdict == verdict for signed in self.signatures.values())

    @property
    def decided(self) -> str:
        """Return where the decisions lead by now; empty while they lead nowhere."""
        quorum = self.facts.get("quorum")
        if self.given("reject") >= self.deny_quorum:
            return "rejected"
        return "approved" if isinstance(quorum, int) and 0 < quorum <= self.given("approve") else ""

    @property
    def asked_group(self) -> str:
        """Return the group whose turn it is; empty where the rule has no stages."""
        return self.stages[self.stage - 1].group if self.stages else ""


class Replay:
    """Takes the events of one call in order, and yields what could not have happened."""

    def __init__(self, call_id: str, moves: Moves) -> None:
        self.call_id = call_id
        self.moves = moves
        self.story = Story()

    def step(self, event: Event) -> Iterator[Problem]:
        """Take the next event."""
        place = f"{event.stream}#{event.seq}"
        facts = _facts(event)
        if facts is None:
            yield Problem(place, "what it says cannot be read")
            facts = {}
        elif facts.get("version") != event.seq:
            yield Problem(place, f"speaks of version {facts.get('version')!r} of the call")
        self.story.version = event.seq
        for message in self._reader(event)(event, facts):
            yield Problem(place, message)

    def _reader(self, event: Event) -> Callable[[Event, _Facts], _Found]:
        if not self.story.status:
            return self._begin
        if event.code in _TELLS:
            return self._tell
        return self._sign if event.code in _SIGNED else self._move

    def _begin(self, event: Event, facts: _Facts) -> _Found:
        story = self.story
        story.facts, story.began_at, story.moved_at = facts, event.at, event.at
        story.status = _BEGINNINGS.get(event.code, "pending")
        if event.code not in _BEGINNINGS:
            yield f"is {event.code}, but a call begins held or admitted"
            return
        if event.actor != f"agent:{facts.get('agent')}":
            yield f"was written by {event.actor}, not by the agent it names"
        bound = {"call_id": self.call_id} | {key: facts.get(key) for key in _BOUND}
        if _digest(bound) != facts.get("binding"):
            yield "its binding is not the digest of what it says was asked"
        story.is_out_of_reach = bool(facts.get("out_of_reach"))
        yield from _wrong_rule(story, is_held=event.code == "call.held")

    def _sign(self, event: Event, facts: _Facts) -> _Found:
        story, person = self.story, event.actor.removeprefix("person:")
        verdict = _SIGNED[event.code]
        if story.status != "pending":
            yield f"is a decision on a call that was {story.status}"
        elif story.decided:
            yield f"is a decision on a call that was {story.decided} by those before it"
        if person in story.signatures:
            yield f"is a second decision of {person}"
        if facts.get("binding") != story.facts.get("binding"):
            yield "is a decision on another binding"
        if verdict == "approve" and self._may_not_approve(person):
            yield f"is an approval by {person}, whom four eyes forbid it"
        stage, turn = facts.get("stage", 0), story.stage
        if not isinstance(stage, int) or stage != turn:
            yield f"is a decision in stage {stage!r}, but it was the turn of stage {turn}"
            stage = turn
        story.signatures[person] = Signature(
            str(facts.get("verdict")), str(facts.get("reason")), str(facts.get("binding")),
            str(facts.get("assurance")), event.at, stage,
        )  # fmt: skip
        if facts.get("verdict") != verdict:
            yield f"is {event.code}, but says {facts.get('verdict')!r}"

    def _tell(self, event: Event, facts: _Facts) -> _Found:
        if self.story.status != "pending":
            yield f"is told of a call that was {self.story.status}"
        if event.actor != "clock":
            yield f"was written by {event.actor}, not by the clock"
        yield from _TELLS[event.code](self.story, event, facts)

    def _move(self, event: Event, facts: _Facts) -> _Found:
        story, to = self.story, event.code.removeprefix("call.")
        if story.status == "pending" and story.decided not in ("", to):
            yield f"makes it {to}, but those who decided had {story.decided} it"
        source, story.status, story.moved_at = story.status, to, event.at
        story.reason = str(facts.get("reason", ""))
        if to not in self.moves.get(source, ()):
            yield f"goes from {source} to {to}, and no arrow leads there"
        if facts.get("source") != source:
            yield f"says the call was {facts.get('source')!r}, but it was {source}"
        if check := _ON_ARRIVAL.get(to):
            yield from check(story, event, facts, source)
        if "result_digest" in facts:
            story.ended = facts
        elif "settled" in facts and to == "failed":
            story.ended = story.ended | {"failure_kind": "not_run"}

    def _may_not_approve(self, person: str) -> bool:
        facts = self.story.facts
        return bool(facts.get("four_eyes")) and person in (
            facts.get("owner"),
            facts.get("acts_for"),
        )


def _reminded(story: Story, event: Event, facts: _Facts) -> _Found:
    due = policy.REMIND_AT[story.reminders : story.reminders + 1]
    story.reminders += 1
    if not due:
        yield f"is reminder {story.reminders}, but there are {len(policy.REMIND_AT)}"
    elif facts.get("percent") != due[0]:
        yield f"reminds at {facts.get('percent')!r} per cent, but {due[0]} were due"
    else:
        yield from _at_another_time(story, event, due[0])


def _escalated(story: Story, event: Event, facts: _Facts) -> _Found:
    if story.escalated_to:
        yield "is a second escalation"
    story.escalated_to = str(facts.get("group"))
    if not story.escalate_to or story.escalated_to != story.escalate_to:
        yield f"escalates to {story.escalated_to!r}, which its rule does not name"
    elif facts.get("percent") != story.escalate_after:
        yield f"escalates at {facts.get('percent')!r} per cent, not at {story.escalate_after}"
    else:
        yield from _at_another_time(story, event, story.escalate_after)


def _out_of_reach(story: Story, event: Event, facts: _Facts) -> _Found:
    is_out = event.code == "call.out_of_reach"
    if is_out == story.is_out_of_reach:
        yield "tells what was told already"
    story.is_out_of_reach = is_out


def _at_another_time(story: Story, event: Event, percent: int) -> _Found:
    try:
        ends = datetime.fromisoformat(str(story.facts.get("decide_by_at")))
        begins = story.began_at or ends
        due = begins + (ends - begins) * percent / 100
        is_early, is_late = event.at < due, event.at >= ends
    except (OverflowError, TypeError, ValueError):
        yield f"is told at {percent} per cent of a time that cannot be read"
        return
    if is_early or is_late:
        yield f"is told {'before' if is_early else 'after'} its time"


_TELLS: dict[str, Callable[[Story, Event, _Facts], _Found]] = {
    "call.reminded": _reminded,
    "call.escalated": _escalated,
    "call.out_of_reach": _out_of_reach,
    "call.within_reach": _out_of_reach,
}


def _approved(story: Story, event: Event, facts: _Facts, source: str) -> _Found:
    approvals = story.given("approve")
    quorum = story.facts.get("quorum")
    if source == "pending" and not (isinstance(quorum, int) and approvals >= quorum):
        yield f"is approved by {approvals}, but {quorum} had to"
    given = [one.stage for one in story.signatures.values() if one.verdict == "approve"]
    for number, stage in enumerate(story.stages, 1):
        signed = given.count(number)
        if source == "pending" and signed < stage.quorum:
            yield f"is approved by {signed} of {stage.group}, but {stage.quorum} had to"


def _rejected(story: Story, event: Event, facts: _Facts, source: str) -> _Found:
    noes = story.given("reject")
    if not noes:
        yield "is rejected, but nobody said no"
    elif noes < story.deny_quorum:
        yield f"is rejected by {noes}, but {story.deny_quorum} had to"


def _claimed(story: Story, event: Event, facts: _Facts, source: str) -> _Found:
    story.claims += 1
    if facts.get("fence") != story.claims:
        yield f"is claim {story.claims}, but its fence is {facts.get('fence')!r}"


def _dispatched(story: Story, event: Event, facts: _Facts, source: str) -> _Found:
    if story.sent is not None:
        yield "is a second dispatch"
    story.sent = Sent(
        story.claims, event.actor.removeprefix("worker:"), str(facts.get("binding")),
        str(facts.get("definition_digest")), str(facts.get("answer_by_at")), event.at,
    )  # fmt: skip
    if facts.get("fence") != story.claims:
        yield f"its fence is {facts.get('fence')!r}, but claim {story.claims} sent it"
    for name in ("binding", "definition_digest"):
        if facts.get(name) != story.facts.get(name):
            yield f"its {name} is not the one that was decided on"


_ON_ARRIVAL = {
    "approved": _approved,
    "rejected": _rejected,
    "claimed": _claimed,
    "dispatched": _dispatched,
}


def _facts(event: Event) -> _Facts | None:
    try:
        read = json.loads(bytes(event.data))
    except (TypeError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _digest(value: object) -> str:
    try:
        return canonical.digest_of(value)
    except InvalidInput:
        return ""


def _wrong_rule(story: Story, *, is_held: bool) -> _Found:
    facts = story.facts
    try:
        rule = policy.Rule(**facts["rule"])  # type: ignore[arg-type]  # whatever is wrong raises
        digest = rule.digest()
    except (InvalidInput, KeyError, TypeError, ValueError):
        yield "its rule cannot be read"
        return
    story.stages, story.deny_quorum = rule.stages, rule.deny_quorum
    story.escalate_to, story.escalate_after = rule.escalate_to, rule.escalate_after
    if digest != facts.get("rule_digest"):
        yield "its rule is not the one its digest stands for"
    quorum = facts.get("quorum")
    if is_held and not (isinstance(quorum, int) and quorum >= 1):
        yield "is held, but asks for nobody's approval"
    if is_held and rule.stages and quorum != rule.quorum:
        yield f"asks for {quorum!r}, but its stages ask for {rule.quorum}"
    if not is_held and (quorum != 0 or rule.outcome != policy.Outcome.ALLOW):
        yield "is admitted, but no rule allows it"
