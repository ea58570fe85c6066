"""Two groups beside the domain's approvers: Finance (Bo, Cy, Fay) and Owners (Gus, and Fay too)."""

from dataclasses import dataclass
from typing import Any

from approvals import lifecycle
from approvals.administration import groups
from approvals.models import ApproverGroup, Person, ToolCall
from tests.support import world as worlds
from tests.support.world import ACTOR, World

STAGES: list[dict[str, Any]] = [{"group": "Finance", "quorum": 2}, {"group": "Owners", "quorum": 1}]


@dataclass(frozen=True)
class Staff:
    """Who is in which group; Hal is in Heads, to whom rules escalate."""

    fay: Person
    gus: Person
    hal: Person
    finance: ApproverGroup
    owners: ApproverGroup
    heads: ApproverGroup


def hire(world: World) -> Staff:
    """Create the people and groups through the ordinary verbs."""
    fay, gus, hal = (worlds.person(name, role="approver") for name in ("fay", "gus", "hal"))

    def group(name: str, *people: Person) -> ApproverGroup:
        return groups.create_group(world.billing, name, owner=world.ann, people=people, actor=ACTOR)

    finance = group("Finance", world.bo, world.cy, fay)
    return Staff(fay, gus, hal, finance, group("Owners", gus, fay), group("Heads", hal))


def decide(call: ToolCall, person: Person, verdict: str = "approve") -> ToolCall:
    """Let a person decide on exactly this call."""
    return lifecycle.decide(
        call.pk, decider=person, verdict=verdict, binding=call.binding,
        reason="" if verdict == "approve" else "No.",
    )  # fmt: skip
