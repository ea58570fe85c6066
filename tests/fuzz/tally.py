"""Counts what was sent and answered, and keeps what must not have happened."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.inputs import Input

LEAST_VALID = 0.30
MOST_GROWTH_MB = 50
_MOST_KEPT = 200
# A line of ours at ERROR, the interpreter's own words, and asyncio's.
_EXCEPTION = re.compile(
    r"^\S+ \S+ (ERROR|CRITICAL) |^Traceback |never retrieved|Exception ignored|was never awaited"
)
# What uvicorn calls an error and is the client's: a text frame that is none.
_CLIENTS_FAULT = re.compile(r"ERROR uvicorn\.error Invalid UTF-8 sequence received from client")


@dataclass
class Surface:
    """What was sent to one kind of door."""

    inputs: int = 0
    valid: int = 0
    limited: int = 0  # answered 429
    statuses: Counter[str] = field(default_factory=Counter)
    of_valid: Counter[str] = field(default_factory=Counter)  # the statuses of those
    slowest_seconds: float = 0.0
    slowest_kind: str = ""
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass
class Tally:
    """All of it; `limit_seconds` is how long an answer may take that has nothing to wait for."""

    limit_seconds: float
    surfaces: dict[str, Surface] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    memory_mb: dict[str, float] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """Return how many were sent in all."""
        return sum(surface.inputs for surface in self.surfaces.values())

    def add(
        self, surface: str, one: Input, status: str, seconds: float, waits: float = 0.0
    ) -> None:
        """Count an answer."""
        found = self.surfaces.setdefault(surface, Surface())
        found.inputs += 1
        found.statuses[status] += 1
        found.kinds[one.kind] += 1
        is_limited = status.startswith("429")
        found.limited += is_limited
        # What was turned away at the door was not looked at, so it cannot count as understood.
        if one.is_valid and not is_limited:
            found.valid += 1
            found.of_valid[status] += 1
        if seconds - waits > found.slowest_seconds:
            found.slowest_seconds, found.slowest_kind = seconds - waits, one.kind
        if seconds > self.limit_seconds + waits:
            self.violation(f"{surface}: {seconds:.1f} s for {one.kind} of {one.who or 'nobody'}")

    def violation(self, what: str) -> None:
        """Keep what must not have happened."""
        if len(self.violations) < _MOST_KEPT:
            self.violations.append(what)

    def grown(self) -> None:
        """Judge the memory of the server's processes, before and after."""
        before, after = self.memory_mb.get("before", 0.0), self.memory_mb.get("after", 0.0)
        if after - before >= MOST_GROWTH_MB:
            self.violation(f"memory: from {before:.0f} to {after:.0f} MB")

    def logged(self, log: str) -> None:
        """Judge what the server wrote down."""
        for place, count in Counter(exceptions(log)).items():
            self.violation(f"log, {count} times: {place}")

    def too_little(self, wanted: int) -> list[str]:
        """Return why this run says nothing, if so: too few inputs, or too few right ones."""
        found = [
            f"{name}: {surface.valid} of {surface.inputs} were authenticated and valid"
            for name, surface in self.surfaces.items()
            if surface.valid < LEAST_VALID * surface.inputs
        ]
        if self.inputs < wanted or not self.surfaces:
            found.append(f"{self.inputs} inputs, and {wanted} were wanted")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return it as the report's JSON has it."""
        return {
            "surfaces": {name: vars(found) for name, found in sorted(self.surfaces.items())},
            "memory_mb": self.memory_mb,
            "violations": self.violations,
        }


def exceptions(log: str) -> Iterator[str]:
    """Yield each exception of a server's log, with the lines that say where."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if not _EXCEPTION.search(line) or _CLIENTS_FAULT.search(line):
            continue
        said = re.sub(r"^\S+ \S+ (?=ERROR|CRITICAL)", "", line)
        places = [x.strip() for x in lines[number + 1 : number + 60] if x.startswith("  ")]
        yield f"{said} … {places[-1]}" if places else said


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and all it has started, in MB."""
    parents: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            words = (folder / "status").read_text().split()
        except OSError:  # it has ended meanwhile
            continue
        own = int(folder.name)
        parents.setdefault(int(words[words.index("PPid:") + 1]), []).append(own)
        sizes[own] = int(words[words.index("VmRSS:") + 1]) if "VmRSS:" in words else 0
    tree, found = [pid], 0
    while tree:
        one = tree.pop()
        found += sizes.get(one, 0)
        tree += parents.get(one, [])
    return found / 1024
