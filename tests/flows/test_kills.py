"""Story: everything is killed (-9) at seeded moments of the refund story, again and again.

COUNTERSIGN_KILLS says how often (a few in an ordinary run), COUNTERSIGN_SEED at which moments.
"""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from threading import Timer
from typing import Any

import httpx2
import pytest

from tests.flows.errands import FRAGILE_REFUND, refund
from tests.support.running import Fragile, Installation, Person, until

KILLS = int(os.environ.get("COUNTERSIGN_KILLS", "4"))
SEED = int(os.environ.get("COUNTERSIGN_SEED", "20261121"))
# Stages of the story, in their order; each kill falls a little after one of them.
STAGES = (
    "starting", "asking", "held", "deciding", "approved", "claimed", "dispatched", "succeeded",
)  # fmt: skip
ANSWERED = {
    "succeeded", "failed", "unknown", "rejected", "expired", "cancelled", "void",
}  # fmt: skip


@dataclass
class Journal:
    """What the agent and the approver know for sure, because it was acknowledged to them."""

    tickets: set[str] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)  # calls that Bo approved
    results: dict[str, dict[str, Any]] = field(default_factory=dict)  # by ticket
    found: Counter[str] = field(default_factory=Counter)  # in which state kills left calls


@pytest.mark.timeout(120 + 25 * KILLS)
def test_killed_at_any_moment_it_pays_at_most_once_and_forgets_nothing(stopped, capsys):
    seeded, journal = Random(SEED), Journal()
    stopped.start()
    stopped.person("bo")  # signs in once; the session is kept like everything else
    stopped.kill()

    for _ in range(KILLS):
        one_kill(stopped, seeded, journal)

    stopped.start()
    bo = stopped.person("bo")
    approve_all(bo, journal)
    until(lambda: is_quiet(stopped), f"every call being answered (seed {SEED})", seconds=60)
    check(stopped, bo, journal)
    with capsys.disabled():
        print(f"\n{KILLS} kills, seed {SEED}, left calls as {dict(journal.found)};", end=" ")
        print(f"in the end {dict(ends(stopped))}, {len(stopped.refunds())} refunds.")


class Killer:
    """Kills everything a moment after the story has reached a stage, or a later one."""

    def __init__(self, installation: Installation, seeded: Random) -> None:
        self._stage = STAGES.index(seeded.choice(STAGES))
        # Most stages take milliseconds; starting and connecting take a second or two.
        self._timer = Timer(seeded.choice([0.005, 0.05, 0.5]) * seeded.random(), installation.kill)
        self._is_armed = False

    def reached(self, stage: str) -> None:
        """Learn how far the story is."""
        if STAGES.index(stage) >= self._stage and not self._is_armed:
            self._is_armed = True
            self._timer.start()

    def join(self) -> None:
        """Return once everything is killed."""
        self.reached(STAGES[-1])
        self._timer.join()


def one_kill(installation: Installation, seeded: Random, journal: Journal) -> None:
    """Start, let the story run until it is cut off, and note where that left the calls."""
    killer = Killer(installation, seeded)
    installation.process.launch()
    killer.reached("starting")
    try:
        # Whatever breaks here was cut off by the kill; what was acknowledged is in the journal.
        with suppress(httpx2.HTTPError):
            until(lambda: installation.answers() or is_killed(installation), "the port", 60)
            story(installation, journal, killer)
    finally:
        killer.join()
    journal.found.update(unfinished(installation).values())


def story(installation: Installation, journal: Journal, killer: Killer) -> None:
    """Ask for a refund, let Bo approve what waits, and wait for the result."""
    agent = installation.raw("hasty")
    killer.reached("asking")
    ticket = agent.call(FRAGILE_REFUND, refund()).call_id
    journal.tickets.add(ticket)
    killer.reached("held")
    bo = installation.person("bo")
    killer.reached("deciding")
    approve_all(bo, journal)
    until(lambda: is_over(installation, ticket, killer), "the end of the call", 60)
    answer = agent.status(ticket, wait_seconds=20)
    if not answer.is_error and "ticket" not in answer.facts:
        journal.results[ticket] = answer.facts


def is_over(installation: Installation, ticket: str, killer: Killer) -> bool:
    """Tell whether there is nothing more to watch, and the killer how far the call is."""
    status = installation.stored_status(ticket)
    if status in STAGES:
        killer.reached(status)
    return status in ANSWERED or is_killed(installation)


def is_killed(installation: Installation) -> bool:
    return installation.process.popen is None


def approve_all(bo: Person, journal: Journal) -> None:
    """Let Bo approve every call of this story that waits."""
    for call in bo.get("calls/", status="pending", page_size="100")["results"]:
        if call["agent"] == "hasty":
            bo.approve(call["id"])
            journal.decisions.add(call["id"])


def stored(installation: Installation) -> dict[str, str]:
    """Return the status of every call of this story's agent."""
    agents = dict(installation.stored("agent", "id, name"))
    rows = installation.stored("toolcall", "id, status, agent_id")
    return {as_id(key): status for key, status, agent in rows if agents[agent] == "hasty"}


def as_id(key: object) -> str:
    text = str(key).replace("-", "")  # SQLite keeps it without hyphens
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def unfinished(installation: Installation) -> dict[str, str]:
    return {key: status for key, status in stored(installation).items() if status not in ANSWERED}


def is_quiet(installation: Installation) -> bool:
    return not unfinished(installation)


def ends(installation: Installation) -> Counter[str]:
    return Counter(stored(installation).values())


def check(installation: Installation, bo: Person, journal: Journal) -> None:
    """Compare what people and agents were told with the rows, the ledger and the trail."""
    calls = stored(installation)
    acted = Fragile(installation.data / "fragile").acted()
    assert max(acted.values(), default=0) <= 1, f"seed {SEED}: sent twice: {acted.most_common(3)}"
    rows = Counter(row["call_id"] for row in installation.refunds())
    assert rows.keys() <= acted.keys()
    assert journal.tickets <= calls.keys(), f"seed {SEED}: lost {journal.tickets - calls.keys()}"
    unpaid = {key for key, status in calls.items() if status == "succeeded" and rows[key] != 1}
    assert not unpaid, f"seed {SEED}: succeeded without a row: {unpaid}"
    allowed = {key for key, status in calls.items() if status in ("succeeded", "unknown")}
    astray = {key for key in rows if key in calls} - allowed
    assert not astray, f"seed {SEED}: a row, but told otherwise: {[calls[key] for key in astray]}"
    for call_id in journal.decisions:
        deciders = [one["approver"] for one in bo.call(call_id)["decisions"]]
        assert deciders == ["bo"], f"seed {SEED}: the decision on {call_id} is lost"
    for ticket, facts in journal.results.items():
        (row,) = installation.refunds(ticket)
        assert facts["id"] == row["id"], f"seed {SEED}: {ticket} was told another result"
    said = installation.try_manage("verify_audit")
    assert "The audit trail is whole" in said, f"seed {SEED}: {said}"
