"""What a call must do, told a second time and in few words: the state machine test compares.

Imports nothing of the project. A verb returns "" where the call allows it, else why it must not be:
"forbidden" (to this person) or "conflict" (in this state), and changes what must have changed.
"""

from dataclasses import dataclass, field

UNSENT = ("pending", "approved", "claimed")
APPROVERS = ("ann", "bo", "cy")  # Ann owns the agent, and it acts for her


@dataclass
class Call:
    """One call as it should be."""

    quorum: int = 1
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
        if who not in APPROVERS or (verdict == "approve" and who == "ann"):
            return "forbidden"
        if self.state == "pending" and self.is_late:
            self.move("expired")
            return "conflict"
        if self.state != "pending" or is_stale or who in self.votes:
            return "conflict"
        self.votes[who] = verdict
        self.version += 1
        if verdict == "reject":
            return self.move("rejected")
        if len(self.votes) >= self.quorum:
            return self.move("approved")
        return ""

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
        if who not in APPROVERS:
            return "forbidden"
        if self.state != "unknown" or is_early:
            return "conflict"
        return self.move("succeeded" if outcome == "ran" else "failed")

    def sweep(self) -> None:
        """Do what the clock asks for, whatever that is."""
        for verb in (self.expire, self.lapse, self.lose):
            if not verb():
                return

    def _park(self) -> str:
        self.is_parked = True
        return self.move("approved")

    def _is_held_by(self, fence: int) -> bool:
        return self.state == "claimed" and fence == self.fence
