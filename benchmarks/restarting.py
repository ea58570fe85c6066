"""A start with a backlog: how soon the server serves, and whether it drains in order.

In order is: of each agent, the call that was approved first is claimed first. With several at an
upstream at once, two dispatches may pass each other on the way; further than that none may.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx2

from benchmarks.goals import Figure
from benchmarks.places import Outcome, Size, cpu_seconds, on_both, prepared, raised
from benchmarks.raw import Connection
from tests.support.running import ROOT, Installation, until

AGENTS = ("support", "busy", "quiet")
AT_ONCE = 8  # RELEASES_PER_UPSTREAM, unless set otherwise
_DRAIN_SECONDS = 7_200
_LEFT = ("approved", "claimed", "dispatched")


def run(folder: Path, size: Size) -> Outcome:
    """Measure on both databases."""
    found = on_both(_measure, folder, size)
    note = (
        f"Restarted with {size.pending} calls pending and {size.approved} approved;"
        f" caps raised for that: {raised()}."
    )
    return Outcome(found.figures, found.details, [*found.notes, note])


def _measure(folder: Path, place: str, size: Size) -> tuple[list[Figure], object]:
    with prepared(folder, place, {"agents": dict.fromkeys(AGENTS, 1)}) as installation:
        fill(installation, size.pending, size.approved)
        began = time.perf_counter()
        installation.start()
        asyncio.run(serves(installation))
        took, cpu = time.perf_counter() - began, cpu_seconds(installation)
        drain(installation, size.approved)
        drained = time.perf_counter() - began
        found = order(installation)
    figures = [
        Figure("restart", place, round(took, 2)),
        Figure("out_of_order", place, found.claimed_late + found.far_off(AT_ONCE)),
    ]
    details = {
        "restart_seconds": round(took, 2), "restart_cpu_seconds": cpu,
        "drained_per_second": round(size.approved / drained, 1),
        "furthest_dispatch": max(found.displaced, default=0), "claims": found.claims,
    }  # fmt: skip
    return figures, details


def fill(installation: Installation, pending: int, approved: int) -> None:
    """Hold that many calls, and approve some, while nothing runs."""
    wanted = {"pending": pending, "approved": approved, "agents": AGENTS}
    subprocess.run(
        [sys.executable, "-m", "benchmarks.backlog", json.dumps(wanted)], cwd=ROOT, check=True,
        env={**installation.environment(), "COUNTERSIGN_DATA": str(installation.data)},
    )  # fmt: skip


async def serves(installation: Installation) -> None:
    """Return once people and agents are served: it says it is ready, and a read passes."""

    def is_ready() -> bool:
        return bool(httpx2.get(f"{installation.url}/readyz", timeout=60).status_code == 200)

    await asyncio.to_thread(until, is_ready, "the server being ready", 300)
    connection = await Connection(f"{installation.agents_url}/mcp", installation.key).open()
    answer = await connection.call("billing__get_customer", {"customer": "cus_8241"})
    connection.close()
    if b"cus_8241" not in answer:
        raise RuntimeError(answer.decode())


def drain(installation: Installation, approved: int) -> None:
    """Return once every approved call has run; the others are still pending."""

    def is_drained() -> bool:
        states = [status for (status,) in installation.stored("toolcall", "status")]
        return not any(status in _LEFT for status in states)

    end = time.monotonic() + _DRAIN_SECONDS
    while not is_drained():
        if time.monotonic() > end:
            raise RuntimeError("the approved calls were not released")
        time.sleep(1)
    sent = len(installation.stored("dispatch", "id"))
    if sent != approved:
        raise RuntimeError(f"{sent} calls were dispatched, {approved} had been approved")


@dataclass(frozen=True)
class Order:
    """How a backlog was worked off.

    Attributes:
        claims: how many calls were claimed.
        claimed_late: calls that were not claimed in the order of their agent's approvals.
        displaced: of each call, by how many places its dispatch is off that order.
    """

    claims: int
    claimed_late: int
    displaced: Sequence[int]

    def far_off(self, places: int) -> int:
        """Return how many were dispatched so far from their turn as the limit does not explain."""
        return sum(off >= places for off in self.displaced)


def order(installation: Installation) -> Order:
    """Compare what the trail and the dispatches say with the order of approvals."""
    agents = {UUID(str(pk)): agent for pk, agent in installation.stored("toolcall", "id, agent_id")}
    told = sorted(installation.stored("auditevent", "id, code, stream"))

    def by_agent(calls: Sequence[UUID]) -> dict[int, list[UUID]]:
        found: dict[int, list[UUID]] = defaultdict(list)
        for call in dict.fromkeys(calls):  # the first time counts
            found[agents[call]].append(call)
        return found

    def of(code: str) -> list[UUID]:
        return [UUID(stream.removeprefix("call:")) for _, which, stream in told if which == code]

    approved, claimed = by_agent(of("call.approved")), by_agent(of("call.claimed"))
    sent = by_agent(
        [UUID(str(call)) for _, call in sorted(installation.stored("dispatch", "id, call_id"))]
    )
    late, displaced = 0, list[int]()
    for agent, turns in approved.items():
        place = {call: number for number, call in enumerate(turns)}
        late += sum(a != b for a, b in zip(claimed[agent], turns, strict=True))
        displaced += [abs(place[call] - number) for number, call in enumerate(sent[agent])]
    return Order(sum(map(len, claimed.values())), late, displaced)
