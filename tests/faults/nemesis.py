"""The nemesis of a fault run: a seeded schedule of kills and stops, each aimed at a moment.

When a fault falls is counted in calls asked, not in seconds, so that a slow machine meets as many.
"""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.faults.cluster import SETTINGS, Cluster, Part, worker_name
from tests.faults.journal import Journal
from tests.faults.looking import Eyes

AIM_SECONDS = 3.0  # how long to wait for the moment a fault is aimed at
STOPPED_SECONDS = float(SETTINGS["CLAIM_LEASE_SECONDS"]) + 0.7
BREATH_SECONDS = 15.0
_POLL_SECONDS = 0.003
_BREATH = 3  # answers to clients
_LAST_CALLS = 60
_AHEAD = 25  # calls that may be asked before a fault that is due has happened
_WORKERS = ("up", "worker")


@dataclass(frozen=True)
class Fault:
    """One thing to be done to one process.

    Attributes:
        after: how many calls have been asked by then.
        aim: the state of a call that must be in flight, "acknowledged", "starting" or "any".
    """

    after: int
    kind: str  # kill, stop, database stop, flush, redis stop
    role: str
    aim: str


@dataclass
class Progress:
    """What clients have done so far; they write it, the nemesis reads it."""

    asked: int = 0
    acknowledged: int = 0
    reads: int = 0
    is_over: bool = False


@dataclass(frozen=True)
class Counts:
    """How many faults of each kind a run has."""

    kills: int
    stops: int
    outages: int  # of the database; Redis is emptied as often


def schedule(seed: int, calls: int, counts: Counts, *, is_sqlite: bool) -> list[Fault]:
    """Return what will happen, in order."""
    drawn = Random(f"{seed}:nemesis")
    faults = [_kill(drawn, is_sqlite) for _ in range(counts.kills)]
    stopped = ["up"] if is_sqlite else ["worker", "worker", "worker", "bridge", "web"]
    aims = ["claimed", "claimed", "dispatched"]
    faults += [("stop", drawn.choice(stopped), drawn.choice(aims)) for _ in range(counts.stops)]
    if counts.outages:
        faults += [("database stop", "postgres", "acknowledged")] * counts.outages
        faults += [("flush", "redis", "approved")] * counts.outages
        faults += [("redis stop", "redis", "approved")] * max(1, counts.outages // 3)
    drawn.shuffle(faults)
    # The last ones meet work too.
    step = max(calls * 0.95 - _LAST_CALLS, calls * 0.5) / len(faults)
    return [
        Fault(int(step * (number + drawn.random())), *what) for number, what in enumerate(faults)
    ]


def _kill(drawn: Random, is_sqlite: bool) -> tuple[str, str, str]:
    aim = drawn.choices(["dispatched", "claimed", "approved", "pending", "any"], [7, 5, 2, 2, 1])[0]
    if is_sqlite:
        role = drawn.choices(["up", "upstream"], [15, 1])[0]
        if role == "up" and (moment := drawn.random()) < 0.15:
            aim = "starting" if moment < 0.07 else "read"
        return ("kill", role, aim)
    role = drawn.choices(
        ["worker", "bridge", "web", "beat", "upstream", "redis"], [14, 5, 4, 1, 1, 1]
    )[0]
    if role == "bridge" and drawn.random() < 0.5:
        aim = "read"
    return ("kill", role, aim)


@dataclass
class Nemesis:
    """Carries the schedule out, from a thread of its own."""

    cluster: Cluster
    faults: Sequence[Fault]
    progress: Progress
    journal: Journal
    seed: int
    done: int = 0
    found: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._eyes = Eyes(self.cluster)
        self._drawn = Random(f"{self.seed}:moments")
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until every fault has happened, or clients have gone away."""
        self._thread.join()
        self._eyes.close()
        if self.error is not None:
            raise self.error

    def lets(self, number: int) -> bool:
        """Tell whether clients may ask for this call yet: no fault is to be run away from."""
        if self.done >= len(self.faults) or self.error is not None:
            return True
        return number <= self.faults[self.done].after + _AHEAD

    def _run(self) -> None:
        try:
            for fault in self.faults:
                while self.progress.asked < fault.after and not self.progress.is_over:
                    time.sleep(_POLL_SECONDS)
                if self.progress.is_over:
                    return
                self._carry_out(fault)
                self.done += 1
        except BaseException as error:  # noqa: BLE001 - handed to whoever joins
            self.error = error

    def _carry_out(self, fault: Fault) -> None:
        if fault.aim != "starting":
            # Each fault meets an installation that had begun to work again.
            self._until(self.cluster.is_healthy, 30)
            before = self.progress.acknowledged
            self._until(lambda: self.progress.acknowledged >= before + _BREATH, BREATH_SECONDS)
        parts = self.cluster.of_role(fault.role)
        part = self._drawn.choice(parts)
        part = self._aimed(fault, part, parts)
        if part.pid:
            act = {
                "kill": self._kill, "stop": self._stop, "database stop": self._stop_database,
                "flush": self._flush, "redis stop": self._kill,
            }  # fmt: skip
            act[fault.kind](fault, part)
            self.found[fault.kind] += 1

    def _aimed(self, fault: Fault, part: Part, parts: Sequence[Part]) -> Part:
        """Wait for the moment a fault is aimed at; return the process it then hits."""
        if fault.aim == "starting":
            time.sleep(self._drawn.random() * 2)
            return part
        seen, reads = self.progress.acknowledged, self.progress.reads
        names = {worker_name(one.pid): one for one in parts}
        hit: list[Part] = []

        def is_moment() -> bool:
            if fault.aim == "acknowledged":
                return self.progress.acknowledged > seen
            if fault.aim == "read":
                return self.progress.reads > reads
            flying = self._eyes.in_flight()
            for _, status, worker in flying:
                if fault.aim in ("any", status):
                    is_its = fault.role in _WORKERS and status in ("claimed", "dispatched")
                    if not is_its or worker in names:
                        hit.append(names[worker] if is_its else part)
                        return True
            return False

        self._until(is_moment, AIM_SECONDS)
        return hit[0] if hit else part

    def _kill(self, fault: Fault, part: Part) -> None:
        # Stopped first, so that what is written down is what the kill meets.
        part.signal(signal.SIGSTOP)
        at, pid, flying = time.time(), part.pid, self._eyes.in_flight()
        part.signal(signal.SIGKILL)
        if part.popen is not None:
            part.popen.wait()
        self._note(fault, part, pid, flying, at, time.time())

    def _stop(self, fault: Fault, part: Part) -> None:
        part.signal(signal.SIGSTOP)
        at, pid, flying = time.time(), part.pid, self._eyes.in_flight()
        me = worker_name(pid)
        mine = {call for call, status, worker in flying if worker == me and status == "claimed"}

        def is_taken_over() -> bool:
            """Tell whether another worker holds what this one held: the best moment to wake."""
            now = self._eyes.in_flight()
            return any(c in mine and s == "claimed" and w not in ("", me) for c, s, w in now)

        self._until(lambda: False, STOPPED_SECONDS)
        if mine and fault.role == "worker":
            self._until(is_taken_over, 6)
        part.signal(signal.SIGCONT)
        self._note(fault, part, pid, flying, at, time.time())

    def _stop_database(self, fault: Fault, part: Part) -> None:
        # What `pg_ctl stop -m immediate` sends.
        flying = self._eyes.in_flight()
        at, pid = time.time(), part.pid
        part.signal(signal.SIGQUIT)
        if part.popen is not None:
            part.popen.wait()
        self._eyes.close()
        self._until(self._database_answers, 30)
        self._note(fault, part, pid, flying, at, time.time())

    def _database_answers(self) -> bool:
        with suppress(Exception):
            return bool(self._eyes.rows("SELECT 1"))
        return False

    def _flush(self, fault: Fault, part: Part) -> None:
        flying = self._eyes.in_flight()
        at = time.time()
        with (
            suppress(OSError),
            socket.create_connection(
                ("127.0.0.1", self.cluster.redis_port), timeout=5
            ) as connection,
        ):
            connection.sendall(b"FLUSHALL\r\n")
            connection.recv(64)
        self._note(fault, part, part.pid, flying, at, time.time())

    def _note(
        self, fault: Fault, part: Part, pid: int, flying: list[tuple[str, str, str]],
        at: float, until: float,
    ) -> None:  # fmt: skip
        me = worker_name(pid)
        states = Counter(status for _, status, _ in flying)
        own = Counter(s for _, s, w in flying if w == me and s in ("claimed", "dispatched"))
        self.journal.write(
            "fault", number=self.done, kind=fault.kind, role=part.role, process=part.name, pid=pid,
            worker=me if part.role in _WORKERS else "", aim=fault.aim, begun=at, until=until,
            asked=self.progress.asked, states=dict(states), own=dict(own), seed=self.seed,
        )  # fmt: skip

    def _until(self, look: object, seconds: float) -> bool:
        assert callable(look)
        end = time.monotonic() + seconds
        while not look():
            if time.monotonic() > end or self.progress.is_over:
                return False
            time.sleep(_POLL_SECONDS)
        return True
