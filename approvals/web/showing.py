"""What templates show of a call, computed from rows that are read already; asks no database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy, ngettext

from approvals import canonical, policy, wording
from approvals.models import Decision, Person, ToolCall
from approvals.translating import translated

S = ToolCall.Status


@dataclass(frozen=True)
class Look:
    """How a state looks: a tone, an icon, and the words that carry the meaning without either."""

    tone: str
    icon: str
    message: Promise
    chip: Promise | None = None  # fewer words

    @property
    def words(self) -> str:
        """Return the words."""
        return str(self.message)

    @property
    def short(self) -> str:
        """Return the words of a chip."""
        return str(self.chip or self.message)


_APPROVED = gettext_lazy("Approved")
LOOKS = {
    S.PENDING: Look("warn", "clock", gettext_lazy("Held")),
    S.APPROVED: Look("", "check", gettext_lazy("Approved, waiting to run"), _APPROVED),
    S.CLAIMED: Look("", "check", gettext_lazy("Approved, about to run"), _APPROVED),
    S.DISPATCHED: Look("", "repeat", gettext_lazy("Running")),
    S.SUCCEEDED: Look("ok", "check", gettext_lazy("Done")),
    S.FAILED: Look("bad", "alert", gettext_lazy("Failed")),
    S.UNKNOWN: Look("doubt", "doubt", gettext_lazy("Outcome unknown")),
    S.REJECTED: Look("bad", "x", gettext_lazy("Rejected")),
    S.EXPIRED: Look("idle", "clock", gettext_lazy("Expired")),
    S.CANCELLED: Look("idle", "undo", gettext_lazy("Withdrawn")),
    S.VOID: Look("idle", "x", gettext_lazy("Void")),
}
_UNDECIDED = (S.PENDING, S.EXPIRED, S.CANCELLED, S.VOID)  # by people, whoever signed
_RISKS: dict[str, tuple[Promise, str, int]] = {
    "high": (gettext_lazy("High"), "bad", 3),
    "raised": (gettext_lazy("Raised"), "warn", 2),
    "low": (gettext_lazy("Low"), "idle", 1),
}


@dataclass(frozen=True)
class Risk:
    """The risk of a call: a word, its tone, and how many of three bars are filled."""

    level: str  # high, raised or low
    word: str
    tone: str
    bars: int


@dataclass(frozen=True)
class Ring:
    """The time left to decide, as an arc and as a number."""

    exact: float  # seconds
    of: int

    @property
    def seconds(self) -> int:
        """Return whole seconds; what is left is never overstated."""
        return int(self.exact)

    @property
    def share(self) -> str:
        """Return the length of the arc in hundredths of the circle."""
        return f"{100 * self.seconds / self.of:.1f}"

    @property
    def clock(self) -> str:
        """Return what stands inside."""
        return translated(wording.clock_left(timedelta(seconds=self.seconds)))

    @property
    def words(self) -> str:
        """Return the time left in words."""
        return translated(wording.duration(timedelta(seconds=self.seconds)))

    @property
    def tone(self) -> str:
        """Return warn under ten minutes, bad under five."""
        return "bad" if self.seconds < 300 else "warn" if self.seconds < 600 else ""


@dataclass(frozen=True)
class Slot:
    """A line for one signature: open, or signed by somebody."""

    decision: Decision | None = None
    group: str = ""  # whose it is; empty where the rule has no stages

    @cached_property
    def digest(self) -> str:
        """Return what the signer's stroke is drawn from; the same person, the same stroke."""
        assert self.decision is not None  # noqa: S101 - templates ask signed lines only
        return canonical.digest(self.decision.approver.get_username().encode())


@dataclass(frozen=True)
class Looking:
    """Who else has a call open."""

    names: tuple[str, ...]
    seconds: int  # until one of them is gone, unless they are seen again

    @property
    def who(self) -> str:
        """Return their names, or how many there are, in one line."""
        first, *others = self.names
        if not others:
            return first
        if len(others) == 1:
            return gettext("%(one)s and %(other)s") % {"one": first, "other": others[0]}
        words = ngettext(
            "%(one)s and %(number)s other", "%(one)s and %(number)s others", len(others)
        )
        return words % {"one": first, "number": len(others)}

    @property
    def do(self) -> str:
        """Return what they do."""
        return ngettext("is looking", "are looking", len(self.names))


@dataclass(frozen=True)
class Shown:
    """One call as a row or a page shows it."""

    call: ToolCall
    ring: Ring | None  # while people can still decide
    look: Look
    risk: Risk
    slots: tuple[Slot, ...]
    looking: Looking | None = None
    asks: str = (
        ""  # of a held call with stages, whom it asks: "1 of 2 of Finance, then 1 of Owners"
    )
    noes: int = 0  # who said no, and did not end it
    is_out_of_reach: bool = False  # there are not enough people left to approve it

    @property
    def reminder(self) -> str:
        """Return how much of the time to decide is over, once people were reminded of it."""
        if self.ring is None or not self.call.reminders:
            return ""
        if self.call.reminders == 1:
            return gettext("Half of the time is over")
        return gettext("Nearly all of the time is over")

    @property
    def signed(self) -> int:
        """Return how many have signed."""
        return sum(slot.decision is not None for slot in self.slots)

    @property
    def signers(self) -> tuple[str, ...]:
        """Return what each signer's stroke is drawn from; empty where a signature is missing."""
        return tuple(slot.digest if slot.decision else "" for slot in self.slots)

    @property
    def missing(self) -> int:
        """Return how many signatures the rule still asks for."""
        return len(self.slots) - self.signed

    @property
    def state(self) -> str:
        """Return the state in a few words; of a held call, also what is left to do."""
        if self.ring is None:
            return self.look.words
        words = ngettext(
            "Held, one signature to go", "Held, %(number)s signatures to go", self.missing
        )
        return words % {"number": self.missing}

    @property
    def short_id(self) -> str:
        """Return as much of the id as people read out to each other."""
        return str(self.call.pk)[:8]

    @property
    def ended_by(self) -> str:
        """Return whose decision it was, once it is one: who rejected, or all who approved."""
        decisions = self.call.decisions.all()
        rejected = [d for d in decisions if d.verdict == Decision.Verdict.REJECT]
        if self.call.status != S.REJECTED:
            # A no below the deny quorum did not decide.
            is_decided = self.call.status not in _UNDECIDED
            rejected = [d for d in decisions if d not in rejected] if is_decided else []
        deciders = rejected
        return ", ".join(decision.approver.display_name for decision in deciders)

    @property
    def decided_by(self) -> str:
        """Return who decided: names, a rule, or nobody."""
        names = [decision.approver.display_name for decision in self.call.decisions.all()]
        if self.call.quorum == 0:
            return gettext("Rule “%(name)s”") % {"name": self.call.rule.get("name", "")}
        is_open = self.call.status == S.PENDING
        return ", ".join(names) or (gettext("nobody yet") if is_open else gettext("nobody"))


def show(
    call: ToolCall,
    now: datetime,
    *,
    unusual: int = 0,
    looking: Looking | None = None,
    is_out_of_reach: bool = False,
) -> Shown:
    """Return a call as templates show it.

    Args:
        call: with agent, domain, owner, acts_for and decisions (with approvers) loaded.
        now: by the database's clock.
        unusual: how many of its arguments have something odd about them.
        looking: who else has it open.
        is_out_of_reach: not enough people are left to approve it.
    """
    ring = _ring(call, now)
    is_over = call.status == S.PENDING and ring is None
    slots = _slots(call)
    level = wording.risk(call.effect, unusual)
    _, tone, bars = _RISKS[level]
    return Shown(
        call=call,
        ring=ring,
        # The sweep will say so within a second or two; nobody can decide any more.
        look=LOOKS[S.EXPIRED] if is_over else LOOKS[S(call.status)],
        risk=Risk(level, risk_words(level), tone, bars),
        slots=slots,
        looking=looking,
        asks=_asks(call, slots) if ring else "",
        noes=len(call.decisions.all()) - sum(slot.decision is not None for slot in slots),
        is_out_of_reach=is_out_of_reach and ring is not None,
    )


def _slots(call: ToolCall) -> tuple[Slot, ...]:
    """Return the lines for signatures, stage by stage."""
    approved = [d for d in call.decisions.all() if d.verdict == Decision.Verdict.APPROVE]
    stages = policy.Rule(**call.rule).stages
    if not stages:
        signed = [Slot(decision) for decision in approved]
        return (*signed, *[Slot()] * (call.quorum - len(signed)))
    found: list[Slot] = []
    for number, stage in enumerate(stages, 1):
        signed = [Slot(d, stage.group) for d in approved if d.stage == number]
        found += [*signed, *[Slot(group=stage.group)] * (stage.quorum - len(signed))]
    return tuple(found)


def _asks(call: ToolCall, slots: tuple[Slot, ...]) -> str:
    """Return in words whom a held call asks, from the stage whose turn it is."""
    stages = policy.Rule(**call.rule).stages[max(0, call.stage - 1) :]
    if not stages:
        return ""
    first, *others = stages
    signed = sum(slot.decision is not None for slot in slots if slot.group == first.group)
    words = gettext("%(signed)s of %(quorum)s of %(group)s") % {
        "signed": signed, "quorum": first.quorum, "group": first.group,
    }  # fmt: skip
    for stage in others:
        then = {"before": words, "stage": translated(policy.to_stage(stage))}
        words = gettext("%(before)s, then %(stage)s") % then
    if call.escalated_to:
        words = gettext("%(before)s; %(group)s may sign too") % {
            "before": words, "group": call.escalated_to,
        }  # fmt: skip
    return words


def risk_words(level: str) -> str:
    """Return a risk in a word."""
    return str(_RISKS[level][0])


def _ring(call: ToolCall, now: datetime) -> Ring | None:
    left = (call.decide_by_at - now).total_seconds()
    if call.status != S.PENDING or left <= 0:
        return None
    return Ring(left, max(1, int((call.decide_by_at - call.created_at).total_seconds())))


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """Return the arguments, parsed from the stored bytes that people approve."""
    parsed: dict[str, Any] = json.loads(bytes(call.arguments))
    return parsed


def argument_rows(call: ToolCall, definition: Mapping[str, Any]) -> tuple[wording.Row, ...]:
    """Return the rows of the arguments table."""
    return wording.rows(arguments_of(call), definition.get("inputSchema"))


def unusual_in(rows: tuple[wording.Row, ...]) -> int:
    """Return how many rows have something odd about them."""
    return sum(bool(row.remarks) for row in rows)


def signed_by(call: ToolCall, person: Person) -> Decision | None:
    """Return the person's own decision on the call, if there is one."""
    return next((d for d in call.decisions.all() if d.approver_id == person.pk), None)
