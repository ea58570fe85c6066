"""What a call must do, told a second time and in few words: the state machine test compares.

Imports nothing of the project. A verb returns "" where the call allows it, else why it must not be:
"forbidden" (to this person) or "conflict" (in this state), and changes what must have changed.
"""

from dataclasses import dataclass, field
from itertools import permutations

UNSENT = ("pending", "approved", "claimed")
APPROVERS = ("ann", "bo", "cy")  # Ann owns the agent, and it acts for her
GROUPS = {"Finance": ("bo", "cy"), "Owners": ("cy", "ann", "hal"), "Heads": ("hal",)}
ALL = {*APPROVERS, "hal"}  # Hal is an approver of the domain, as he is in two of its groups
REMIND_AT = (50, 90)  # per cent


@dataclass
class Call:
    """One call as it should be."""

    quorum: int = 1
    stages: tuple[tuple[str, int], ...] = ()  # group and how many, in order; none: anybody
    deny_quorum: int = 1
    escalates_at: int = 0  # per cent of the time after which Heads may sign too; 0: never
    elapsed: int = 0  # per cent of the time to decide that is over
    reminders: int = 0
    is_escalated: bool = False
    is_stuck: bool = False  # too few are left to approve it, as was told last
    away: set[str] = field(default_factory=set)  # whose accounts are deactivated
    turns: dict[str, int] = field(default_factory=dict)  # in which stage who approved
    is_late: bool = False  # both deadlines have passed
    state: str = "pending"
    version: int = 1  # one more with each thing that happens to it, as the trail has one event more
    fence: int = 0
    is_parked: bool = False  # a claim was given back; the next one has to wait
    lease_is_over: bool = False  # of the claim, later of the answer
    dispatches: int = 0
    votes: dict[str, str] = field(default_factory=dict)

    def move(self, to: str) -> str:
        """Go to a state; returns that nothing forbids it."""
        self.state = to
        self.version += 1
        return ""

    def vote(self, who: str, verdict: str, *, is_stale: bool) -> str:
        """One person approves or rejects; those the agent belongs to may not approve."""
        if not self.may_vote(who, verdict):
            return "forbidden"
        if self.state == "pending" and self.is_late:
            self.move("expired")
            return "conflict"
        if self.state != "pending" or is_stale or who in self.votes:
            return "conflict"
        self.votes[who] = verdict
        if verdict == "approve":
            self.turns[who] = self.turn
        self.version += 1
        if self._count("reject") >= self.deny_quorum:
            return self.move("rejected")
        if self._count("approve") >= self.quorum:
            return self.move("approved")
        self.look_at_reach()
        return ""

    @property
    def turn(self) -> int:
        """The stage whose turn it is, from 1; 0 where there is none."""
        for number, (_, needed) in enumerate(self.stages, 1):
            if list(self.turns.values()).count(number) < needed:
                return number
        return len(self.stages)

    @property
    def asked(self) -> str:
        """The group whose turn it is."""
        return self.stages[self.turn - 1][0] if self.stages else ""

    def begin(self) -> "Call":
        """Hold it: it may be that there are too few people from the beginning."""
        self.is_stuck = not self._can_be_approved()
        return self

    def look_at_reach(self) -> str:
        """Tell once that too few are left, and once that there are enough again."""
        if self.state != "pending" or self.is_stuck != self._can_be_approved():
            return "conflict"
        self.is_stuck = not self.is_stuck
        self.version += 1
        return ""

    def attend(self) -> str:
        """Let the clock tell one thing that is due: another group first, then reminders."""
        if self.state != "pending" or self.is_late:
            return "conflict"
        if self.escalates_at and not self.is_escalated and self.elapsed >= self.escalates_at:
            self.is_escalated = True
        elif self.elapsed >= (*REMIND_AT, 101)[self.reminders]:
            self.reminders += 1
        else:
            return "conflict"
        self.version += 1
        return ""

    def may_vote(self, who: str, verdict: str) -> bool:
        """Tell whether somebody is asked for this verdict, whatever state it is in."""
        if who not in ALL - self.away or (verdict == "approve" and who == "ann"):
            return False
        asked = [group for group, _ in self.stages]
        turn = [self.asked] if verdict == "approve" else asked
        turn = [*turn, "Heads"] if self.is_escalated else turn
        return not asked or any(who in GROUPS[group] for group in turn)

    def _count(self, verdict: str) -> int:
        return list(self.votes.values()).count(verdict)

    def _can_be_approved(self) -> bool:
        """Try every way to fill what is open: there are few people."""
        left = ALL - {"ann"} - self.away - self.votes.keys()
        if not self.stages:
            return len(left) >= self.quorum - self._count("approve")
        places = [
            group
            for number, (group, needed) in enumerate(self.stages, 1)
            for _ in range(needed - list(self.turns.values()).count(number))
        ]
        return any(
            all(who in GROUPS[group] or (self.escalates_at and who == "hal")
                for who, group in zip(order, places, strict=True))
            for order in permutations(left, len(places))
        )  # fmt: skip

    def end_unsent(self, to: str) -> str:
        """Cancel or void it, which is possible until it is sent."""
        return self.move(to) if self.state in UNSENT else "conflict"

    def supersede(self) -> str:
        """Give its place to another call, while nobody has decided."""
        return self.move("void") if self.state == "pending" else "conflict"

    def expire(self) -> str:
        """End it because a deadline has passed."""
        is_due = self.is_late and self.state in ("pending", "approved")
        return self.move("expired") if is_due else "conflict"

    def claim(self, *, lease_is_over: bool) -> str:
        """Lease it to a worker, under a new fence."""
        if self.state != "approved" or self.is_late or self.is_parked:
            return "conflict"
        self.fence += 1
        self.lease_is_over = lease_is_over
        return self.move("claimed")

    def unclaim(self, fence: int) -> str:
        """Take a claim back from the worker that has it now."""
        return self._park() if self._is_held_by(fence) else "conflict"

    def lapse(self) -> str:
        """Take a claim back whose lease is over."""
        return self._park() if self.state == "claimed" and self.lease_is_over else "conflict"

    def dispatch(self, fence: int, *, is_changed: bool, lease_is_over: bool) -> str:
        """Send it, once, if what would run is what was approved."""
        if not self._is_held_by(fence):
            return "conflict"
        if is_changed:
            self.move("void")
            return "conflict"
        self.dispatches += 1
        self.lease_is_over = lease_is_over
        return self.move("dispatched")

    def answer(self, fence: int, outcome: str) -> str:
        """Record how it ended; a late answer of the same worker counts, no other's does."""
        if fence != self.fence or self.state not in ("dispatched", "unknown"):
            return "conflict"
        return "" if outcome == self.state else self.move(outcome)

    def lose(self) -> str:
        """Say that no answer came in time."""
        is_over = self.state == "dispatched" and self.lease_is_over
        return self.move("unknown") if is_over else "conflict"

    def settle(self, who: str, outcome: str, *, is_early: bool) -> str:
        """Let a person say what became of it."""
        if who not in ALL - self.away:
            return "forbidden"
        if self.state != "unknown" or is_early:
            return "conflict"
        return self.move("succeeded" if outcome == "ran" else "failed")

    def sweep(self) -> None:
        """Do what the clock asks for, whatever that is."""
        self.attend()
        for verb in (self.expire, self.lapse, self.lose):
            if not verb():
                break
        self.look_at_reach()

    def _park(self) -> str:
        self.is_parked = True
        return self.move("approved")

    def _is_held_by(self, fence: int) -> bool:
        return self.state == "claimed" and fence == self.fence
