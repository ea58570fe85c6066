"""What a fault run asks for and how people answer: drawn from the seed and a call's number."""

from dataclasses import dataclass
from random import Random
from typing import Any

from tests.support.wire import Era


@dataclass(frozen=True)
class Asker:
    """One agent: how it speaks, and how long its requests are held open."""

    name: str
    era: Era
    grace_seconds: int = 0
    tasks: bool = False


ASKERS = (
    Asker("ticket-modern", "modern"),
    Asker("ticket-legacy", "legacy"),
    Asker("task-modern", "modern", tasks=True),
    Asker("patient-modern", "modern", grace_seconds=3),
    Asker("patient-legacy", "legacy", grace_seconds=3),
    Asker("second-modern", "modern"),
)
APPROVERS = ("bo", "cy", "di", "ed")
BY_REST = ("di", "ed")  # the others use the forms on the pages
OWNER, ADMINISTRATOR = "ann", "dee"
UPSTREAMS = ("ledger", "pipe")  # the same server over HTTP and over stdio
EFFECTS = {
    "pay": "write", "pay_twice_signed": "destructive", "stamp": "write", "hurry": "write",
    "fickle": "write", "look": "read",
}  # fmt: skip
_TOOLS = {"pay": 52, "pay_twice_signed": 15, "stamp": 15, "hurry": 3, "fickle": 5, "look": 10}
_WHAT = {"approve": 84, "race": 5, "reject": 4, "cancel": 4, "withdraw": 2, "ignore": 1}


@dataclass(frozen=True)
class Plan:
    """One call: who asks for what, and what people will do about it."""

    number: int
    asker: Asker
    upstream: str
    tool: str
    what: str  # see _WHAT
    people: tuple[str, ...]  # the approvers who look at it, in this order
    key: str  # of idempotency; empty: repeats are known by their arguments
    memo: str
    after_seconds: float  # when a canceller comes

    @property
    def exposed(self) -> str:
        """Return the tool as agents call it."""
        return f"{self.upstream}__{self.tool}"

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what is asked for; no two numbers ask for the same."""
        return {"number": self.number, "memo": self.memo}


def plan(seed: int, number: int) -> Plan:
    """Return the plan of one call."""
    drawn = Random(f"{seed}:plan:{number}")
    tool = drawn.choices(list(_TOOLS), list(_TOOLS.values()))[0]
    what = drawn.choices(list(_WHAT), list(_WHAT.values()))[0]
    if what == "ignore" and tool != "hurry":
        what = "approve"  # only those expire within a run
    if tool == "pay_twice_signed" and drawn.random() < 0.3:
        what = "race"
    if tool == "hurry":
        what = drawn.choice(["approve", "ignore"])
    return Plan(
        number=number,
        asker=drawn.choice(ASKERS),
        upstream=drawn.choices(UPSTREAMS, [4, 1])[0],
        tool=tool,
        what=what,
        people=tuple(drawn.sample(APPROVERS, 3)),
        key=f"{seed}-{number}" if drawn.random() < 0.7 else "",
        memo=drawn.choice(["", "für Zoë", "paid\nlate", "x" * 200, '"quoted" \\ and 日本語']),
        after_seconds=drawn.random() * 1.5,
    )


def rules(version: int) -> list[dict[str, Any]]:
    """Return the rules in force; every other version wants a second signature for some payments."""
    return [
        {"name": "reads pass", "effect": "read", "outcome": "allow"},
        {"name": "stamps pass", "tool": "*__stamp", "outcome": "allow"},
        {"name": "two of them", "tool": "*__pay_twice_signed", "outcome": "hold", "quorum": 2},
        {"name": "soon", "tool": "*__hurry", "outcome": "hold", "expires_seconds": 10},
        {
            "name": "strict now and then", "agent": "second-modern", "outcome": "hold",
            "quorum": 1 + version % 2,
        },
    ]  # fmt: skip
