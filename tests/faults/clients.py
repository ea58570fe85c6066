"""Everybody who uses a fault run's installation: agents, approvers, cancellers, operators."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import plans
from tests.faults.agents import ANSWERED, Agent, Told
from tests.faults.cluster import PASSWORD, Cluster
from tests.faults.journal import Journal, read
from tests.faults.looking import Eyes
from tests.faults.nemesis import Nemesis, Progress
from tests.faults.people import Person
from tests.faults.plans import Plan

LANES = 48  # calls on their way at once
_LOOK_SECONDS = 1.5
_FORGOTTEN_SECONDS = 30.0  # then somebody looks at it again
_MOST_SETTLED = 40
_CHANGED = "SELECT id, name FROM approvals_tool WHERE reviewed_digest <> definition_digest"


class Counting(Journal):
    """A journal that also tells the nemesis that something was acknowledged."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(path)
        self._progress = progress

    def write(self, what: str, **facts: object) -> None:
        super().write(what, **facts)
        self._progress.acknowledged += what in ("told", "decided")
        self._progress.reads += what == "read"


@dataclass
class Clients:
    """All of them, on one event loop."""

    cluster: Cluster
    nemesis: Nemesis
    progress: Progress
    seed: int
    calls: int
    ended: int = 0
    _met: dict[str, float] = field(default_factory=dict)  # when approvers heard of a call
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        folder = self.cluster.folder / "journals"
        self.agents = {
            asker.name: Agent(
                asker,
                (self.cluster.folder / f"{asker.name}.key").read_text().strip(),
                self.cluster.bridge_ports,
                Counting(folder / f"agent-{asker.name}.jsonl", self.progress),
            )
            for asker in plans.ASKERS
        }
        self.people = {
            name: Person(
                name, PASSWORD, self.cluster.web_port,
                Counting(folder / f"person-{name}.jsonl", self.progress),
                by_rest=name in plans.BY_REST,
            )
            for name in (*plans.APPROVERS, plans.OWNER, plans.ADMINISTRATOR)
        }  # fmt: skip
        self.eyes = Eyes(self.cluster)
        self.operator = Journal(folder / "operator.jsonl")

    async def ask_everything(self) -> None:
        """Ask for every call, and return when each has been answered."""
        numbers = iter(range(self.calls))
        beside = [asyncio.create_task(self._follow_queue()), asyncio.create_task(self._operate())]
        lanes = [asyncio.create_task(self._lane(numbers)) for _ in range(LANES)]
        try:
            await asyncio.gather(*lanes)
        finally:
            for task in (*beside, *lanes):
                task.cancel()
            await asyncio.gather(*beside, *lanes, return_exceptions=True)

    async def finish_up(self, unknown: list[str]) -> None:
        """Settle some calls by what the ledger says; then every agent learns the end of all."""
        effects = {line["call"] for line in read(self.cluster.folder / "ledger")
                   if line["what"] == "effect"}  # fmt: skip
        for call in unknown[::3][:_MOST_SETTLED]:  # the others stay unknown
            person = self.people[plans.APPROVERS[int(call[:2], 16) % 2]]
            ran = call in effects
            said = "The ledger has its line." if ran else "The ledger has no line of it."
            await person.settle(call, "ran" if ran else "not-ran", said)
        room = asyncio.Semaphore(LANES)

        async def learn(agent: Agent, call: str) -> None:
            async with room:
                await agent.learn_the_end(call)

        for agent in self.agents.values():
            loose = [call for call, state in agent.told.items()
                     if state not in {*ANSWERED, "gone"} or state == "unknown"]  # fmt: skip
            await asyncio.gather(*(learn(agent, call) for call in loose))

    async def _lane(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            while not self.nemesis.lets(number):  # noqa: ASYNC110 - it lives in a thread
                await asyncio.sleep(0.02)
            self.progress.asked += 1
            await self._one(plans.plan(self.seed, number))
            self.ended += 1

    async def _one(self, plan: Plan) -> None:
        """Ask for one call, have people answer it, and learn its end."""
        agent = self.agents[plan.asker.name]
        # Where the request is held open, approvers find the call in the queue meanwhile.
        told = await agent.ask(plan)
        if told.read and not told.call:
            return
        if not told.is_end:
            self._meet(told.call, plan)
            told = await self._end(agent, told, plan)

    async def _end(self, agent: Agent, told: Told, plan: Plan) -> Told:
        if plan.what == "cancel":
            await asyncio.sleep(plan.after_seconds)
            await agent.cancel(told.call)
        elif plan.what == "withdraw":
            await asyncio.sleep(plan.after_seconds)
            await self.people[plans.OWNER].withdraw(told.call)
        return await agent.learn_the_end(told.call)

    def _meet(self, call: str, plan: Plan) -> None:
        """Let approvers know of a call, once; by a link in a chat, or from the queue."""
        now = time.monotonic()
        if (
            plan.tool == "stamp"
            or now - self._met.get(call, -_FORGOTTEN_SECONDS) < _FORGOTTEN_SECONDS
        ):
            return
        self._met[call] = now
        task = asyncio.create_task(self._approve(call, plan))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _approve(self, call: str, plan: Plan) -> None:
        first, second, third = (self.people[name] for name in plan.people)
        if plan.what == "ignore":
            return
        if plan.what == "reject":
            await first.decide(call, "reject")
            return
        signing = [first.decide(call, "approve")]
        if plan.tool == "pay_twice_signed" or plan.asker.name == "second-modern":
            signing.append(second.decide(call, "approve"))  # at the same moment
        if plan.what == "race":
            signing.append(third.decide(call, "reject"))
        await asyncio.gather(*signing)

    async def _follow_queue(self) -> None:
        """Let approvers find calls whose ticket nobody has: their requests are held open."""
        looking = self.people[plans.APPROVERS[0]]
        while True:
            for call in await looking.pending():
                number = call["arguments"].get("number")
                if isinstance(number, int):
                    self._meet(call["id"], plans.plan(self.seed, number))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _operate(self) -> None:
        """Change rules and a definition now and then, and review what changed."""
        drawn, version = Random(f"{self.seed}:operator"), 0
        every = max(60, self.calls // 25)
        while True:
            version += 1
            while self.progress.asked < version * every:
                await asyncio.sleep(0.1)
                await self._review_changed()
            if drawn.random() < 0.5:
                await asyncio.to_thread(self._load_rules, version)
            else:
                (self.cluster.folder / "definition").write_text(f"version {version}")
                self.operator.write("definition", version=version)

    def _load_rules(self, version: int) -> None:
        path = self.cluster.folder / f"rules-{version}.json"
        path.write_text(json.dumps({"rules": plans.rules(version)}))
        done = self.cluster.manage("load_rules", str(path))
        if done.returncode == 0:
            self.operator.write("rules", source=str(path))

    async def _review_changed(self) -> None:
        """Review again what its upstream has changed, by the page of the tool."""
        try:
            rows = self.eyes.rows(_CHANGED)
        except Exception:  # noqa: BLE001 - the database is away, in the words of either engine
            return
        for tool_id, name in rows:
            await self.people[plans.ADMINISTRATOR].review(tool_id, plans.EFFECTS[name])
