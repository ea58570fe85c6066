"""The pure part of the verifier that walks chains: what breaks one, and where."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from approvals.audit import chain
from approvals.audit.chain import Event, Head

BEGAN = datetime(2026, 7, 28, 9, 30, tzinfo=UTC)


def linked(length: int, stream: str = "agent:support") -> list[Event]:
    """Return a whole stream."""
    events: list[Event] = []
    for seq in range(1, length + 1):
        previous = events[-1].digest if events else ""
        events.append(sealed(Event(
            stream, seq, "call.refused", stream, BEGAN + timedelta(seconds=seq),
            b'{"n":%d}' % seq, previous, "",
        )))  # fmt: skip
    return events


def sealed(event: Event) -> Event:
    return replace(event, digest=chain.digest_of(event))


def head_of(events: Sequence[Event]) -> Head:
    return Head(events[-1].seq, events[-1].digest)


def check(events: Sequence[Event], head: Head | None) -> list[str]:
    return [str(problem) for problem in chain.check(events, lambda _: head)]


def test_a_whole_chain_has_no_problem() -> None:
    events = linked(20)

    assert check(events, head_of(events)) == []


def test_streams_are_told_apart_and_each_has_its_own_head() -> None:
    first, second = linked(3, "agent:a"), linked(2, "agent:b")
    heads = {"agent:a": head_of(first), "agent:b": head_of(second)}

    assert list(chain.check([*first, *second], heads.get)) == []


CHANGES: dict[str, Callable[[Event], Event]] = {
    "code": lambda e: replace(e, code="call.held"),
    "actor": lambda e: replace(e, actor="person:bo"),
    "at": lambda e: replace(e, at=e.at + timedelta(microseconds=1)),
    "data": lambda e: replace(e, data=e.data + b" "),
    "digest": lambda e: replace(e, digest="0" * 64),
    "previous": lambda e: replace(e, previous="0" * 64),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("seq", [1, 7, 20])
def test_a_changed_event_is_named(what: str, seq: int) -> None:
    events = linked(20)
    head = head_of(events)
    events[seq - 1] = CHANGES[what](events[seq - 1])

    found = check(events, head)

    assert any(line.startswith(f"agent:support#{seq}: ") for line in found), found


@pytest.mark.parametrize("what", ["code", "actor", "at", "data"])
@pytest.mark.parametrize("seq", [1, 7, 20])
def test_a_changed_event_with_a_fresh_digest_shows_at_the_next_one(what: str, seq: int) -> None:
    events = linked(20)
    head = head_of(events)
    events[seq - 1] = sealed(CHANGES[what](events[seq - 1]))

    found = check(events, head)

    if seq == 20:
        assert found == ["agent:support#20: is not the event the stream's head stands for"]
    else:
        words = f"does not follow #{seq} as that stands: one of them was changed or put in"
        assert found == [f"agent:support#{seq + 1}: {words}"]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ({1}, "#2: #1 is missing before it"),
        ({7}, "#8: #7 is missing before it"),
        ({7, 8, 9}, "#10: #7 to #9 are missing before it"),
        ({20}, "#20: #20 is missing: the end was cut off"),
        ({19, 20}, "#20: #19 to #20 are missing: the end was cut off"),
    ],
)
def test_dropped_events_are_one_problem_that_names_them(gone: set[int], said: str) -> None:
    events = linked(20)

    found = check([event for event in events if event.seq not in gone], head_of(events))

    assert found == [f"agent:support{said}"]


def test_an_event_put_in_between_is_named() -> None:
    events = linked(5)
    twin = sealed(replace(events[2], data=b"{}"))

    found = check([*events[:3], twin, *events[3:]], head_of(events))

    assert found[0] == "agent:support#3: comes after #3, and does not belong there"


def test_an_event_put_in_at_the_end_is_named() -> None:
    events = linked(6)

    (found,) = check(events, head_of(events[:5]))

    assert found.startswith("agent:support#6: the stream's head knows 5 events only")


def test_a_beginning_that_was_cut_off_and_renumbered_is_named() -> None:
    events = [sealed(replace(event, seq=event.seq - 2)) for event in linked(5)[2:]]

    found = check(events, head_of(events))

    assert found[0] == (
        "agent:support#1: is the first, but names one before it: the beginning was cut off"
    )


def test_a_stream_without_a_head_is_named() -> None:
    assert check(linked(2), None) == ["agent:support: its head is missing, or holds no number"]


@pytest.mark.parametrize("seed", range(200))
def test_any_single_damage_to_a_chain_is_found(seed: int) -> None:
    chance = random.Random(seed)
    events = linked(chance.randint(2, 12))
    head, at = head_of(events), chance.randrange(len(events))
    match chance.choice(["change", "reseal", "drop", "double", "swap"]):
        case "change":
            events[at] = CHANGES[chance.choice(list(CHANGES))](events[at])
        case "reseal":
            what = chance.choice(["code", "actor", "at", "data"])
            events[at] = sealed(CHANGES[what](events[at]))
        case "drop":
            del events[at]
        case "double":
            events.insert(at, events[at])
        case "swap":
            beside = (at + 1) % len(events)
            events[at], events[beside] = events[beside], events[at]

    walk = chain.Walk("agent:support")
    found = [problem for event in events for problem in walk.step(event)]
    found += walk.end(head)

    assert found


@pytest.mark.parametrize(
    "odd",
    [
        {"data": "text"},
        {"at": None},
        {"actor": "\ud800"},
        {"code": "\0"},
        {"previous": b"bytes"},
    ],
)
def test_what_no_event_was_ever_written_with_is_a_finding_and_no_crash(
    odd: dict[str, object],
) -> None:
    events = linked(3)
    head = head_of(events)
    events[1] = replace(events[1], **odd)  # type: ignore[arg-type]  # wrong types are the point

    found = check(events, head)

    assert any(line.startswith("agent:support#2: its digest does not match") for line in found)
