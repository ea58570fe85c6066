"""Stages of a hold rule: whose turn it is, and whether enough people are left to sign."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

REMIND_AT = (50, 90)  # per cent of the time to decide


@dataclass(frozen=True)
class Stage:
    """One step of a hold: so many distinct approvals by members of one group."""

    group: str  # the name of an approver group of the call's domain
    quorum: int = 1


@dataclass(frozen=True)
class Signed:
    """What is recorded of people's decisions on one call.

    Attributes:
        by_group: how many approvals were given in a stage of that group.
        rejections: how many said no.
        by_theirs: whether somebody approved whom four eyes would forbid it.
    """

    by_group: Mapping[str, int] = field(default_factory=dict)
    rejections: int = 0
    by_theirs: bool = False


def read(value: Iterable[object]) -> tuple[Stage, ...]:
    """Return stages from values or from JSON, `[{"group": …, "quorum": …}, …]`.

    Raises:
        TypeError: it is something else.
    """
    return tuple(one if isinstance(one, Stage) else _stage(one) for one in value)


def _stage(value: object) -> Stage:
    if not isinstance(value, Mapping):
        raise TypeError(f"not a stage: {value!r}")
    quorum = value.get("quorum", Stage.quorum)
    if not isinstance(quorum, int) or quorum < 1:
        raise TypeError(f"not a quorum: {quorum!r}")
    return Stage(**value)


def turn(stages: Sequence[Stage], approved: Iterable[int]) -> int:
    """Return the number of the stage whose turn it is; the last one when all are full.

    Args:
        approved: of each approval, the number of the stage it was given in, from 1.

    Returns:
        0 where there are no stages.
    """
    given = list(approved)
    for number, stage in enumerate(stages, 1):
        if given.count(number) < stage.quorum:
            return number
    return len(stages)


def can_be_filled(missing: Sequence[int], eligible: Sequence[Set[int]]) -> bool:
    """Tell whether people can be found for every place, nobody in two.

    Somebody in two groups counts in one stage only, so counting each group for itself would not do.

    Args:
        missing: how many signatures each stage still lacks.
        eligible: who could give one in that stage, by any id.
    """
    places = [stage for stage, number in enumerate(missing) for _ in range(number)]
    taken: dict[int, int] = {}  # person → index in places
    return all(_seat(place, places, eligible, taken, set()) for place in range(len(places)))


def _seat(
    place: int,
    places: Sequence[int],
    eligible: Sequence[Collection[int]],
    taken: dict[int, int],
    tried: set[int],
) -> bool:
    # An augmenting path: whoever sits there moves on where they can.
    for person in eligible[places[place]]:
        if person in tried:
            continue
        tried.add(person)
        if person not in taken or _seat(taken[person], places, eligible, taken, tried):
            taken[person] = place
            return True
    return False
