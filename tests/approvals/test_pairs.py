"""Every pair of states: where an arrow leads a call moves, everywhere else nothing changes."""

import re
from itertools import product
from typing import Any

import pytest
from django.db import connection

from approvals import guards, lifecycle
from approvals.errors import IllegalMove, LostRace
from approvals.lifecycle import moving
from approvals.models import AuditEvent, ToolCall
from tests.support import guarding

S = ToolCall.Status
PAIRS = list(product(S, S))
_ARROW = re.compile(r"'([a-z]+)>([a-z]+)'")


def _is_arrow(source: S, to: S) -> bool:
    return to in lifecycle.MOVES.get(source, ())


def _as_the_guards_want(call: ToolCall, world, to: S) -> dict[str, Any]:
    """Do what a verb does before such a move, and return the columns it sets with it."""
    if (call.status, to) == (S.PENDING, S.APPROVED):
        guarding.decision(call, world.bo).save()
    if to == S.DISPATCHED:
        guarding.dispatch(call).save()
    return {"fence": call.fence + 1} if to == S.CLAIMED else {}


def _events(call: ToolCall) -> list[tuple[int, str]]:
    stream = AuditEvent.objects.filter(stream=f"call:{call.pk}").order_by("seq")
    return list(stream.values_list("seq", "code"))


def _row(call: ToolCall) -> dict[str, Any]:
    return {**ToolCall.objects.filter(pk=call.pk).values().get()}


@pytest.fixture
def calls(held_call) -> dict[S, ToolCall]:
    """Return one call in each state."""
    return {s: held_call(status=s, arguments={"customer": s, "amount": 1}) for s in S}


@pytest.mark.parametrize("to", S)
def test_a_call_moves_where_an_arrow_leads_and_nowhere_else(world, calls, to):
    for source, call in calls.items():
        before, events = _row(call), _events(call)

        with guarding.undone():
            if _is_arrow(source, to):
                columns = _as_the_guards_want(call, world, to)
                moving.move(call, to, actor="test", columns=columns)

                version = before["version"] + 1
                assert _events(call) == [*events, (version, f"call.{to}")], (source, to)
                assert (_row(call)["status"], _row(call)["version"]) == (to, version)
            else:
                with pytest.raises(IllegalMove):
                    moving.move(call, to, actor="test")
                assert (_row(call), _events(call)) == (before, events), (source, to)


def test_a_move_from_what_the_row_no_longer_is_changes_nothing(world, held_call):
    call = held_call()
    stale = ToolCall.objects.get(pk=call.pk)
    lifecycle.cancel(call.pk, actor="agent:support")
    before, events = _row(call), _events(call)

    with pytest.raises(LostRace):
        moving.move(stale, S.VOID, actor="test")

    assert (_row(call), _events(call)) == (before, events)


def test_a_move_from_another_version_of_the_same_state_changes_nothing(world, held_call):
    """One vote of two keeps a call pending: who looked before it must look again."""
    call = held_call(quorum=2)
    stale = ToolCall.objects.get(pk=call.pk)
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
    before = _row(call)

    with pytest.raises(LostRace):
        moving.move(stale, S.VOID, actor="test")

    assert _row(call) == before


def test_every_arrow_of_the_life_cycle_is_accepted_by_the_database(world, calls):
    for source, to in PAIRS:
        if not _is_arrow(source, to):
            continue
        call = calls[source]

        with guarding.undone():
            columns = _as_the_guards_want(call, world, to)
            guarding.update(call, status=to, version=call.version + 1, **columns)

            assert _row(call)["status"] == to


def test_every_other_arrow_is_refused_by_the_database(calls):
    for source, to in PAIRS:
        if source == to or _is_arrow(source, to):
            continue
        call, before = calls[source], _row(calls[source])
        fence = call.fence

        with guarding.refused("no such arrow"):
            guarding.update(call, status=to, version=call.version + 1, fence=fence)

        assert _row(call) == before, (source, to)


def test_without_the_arrows_of_the_guard_an_illegal_move_goes_through(calls):
    for source, to in PAIRS:
        if source == to or _is_arrow(source, to):
            continue
        call = calls[source]

        with guarding.undone():
            guarding.weaken("tool_call_moves_legally", "no such arrow")
            if source in lifecycle.SETTLED:
                _weaken_twice()
            guarding.update(call, status=to, version=call.version + 1, fence=call.fence)


def _weaken_twice() -> None:
    """A settled call has two locks: no arrow leads from it, and no version follows its last."""
    sql = guards.expected(connection.vendor)["tool_call_moves_legally"]
    for words in ("no such arrow", "a settled call stays as it is"):
        sql = guarding.without_clause(sql, words)
    guarding.replace("tool_call_moves_legally", sql)


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_the_arrows_of_the_life_cycle_are_those_of_the_guards(vendor):
    literals = set(_ARROW.findall(guards.expected(vendor)["tool_call_moves_legally"]))

    assert literals == {(a.value, b.value) for a, bs in lifecycle.MOVES.items() for b in bs}


def test_the_states_that_stay_are_those_of_the_guards():
    for vendor in ("sqlite", "postgresql"):
        sql = guards.expected(vendor)["tool_call_moves_legally"]
        clause = sql[: sql.rindex("NEW.version <> OLD.version")]
        literals = re.findall(r"'([a-z]+)'", clause[clause.rindex("OLD.status IN") :])

        assert set(literals) == {status.value for status in lifecycle.SETTLED}


def test_every_state_is_reached_and_only_settled_ones_end():
    reached = {to for ends in lifecycle.MOVES.values() for to in ends} | {S.PENDING}

    assert reached == set(S)
    ends = {S.SUCCEEDED, S.FAILED, S.REJECTED, S.EXPIRED, S.CANCELLED, S.VOID}
    assert ends == lifecycle.SETTLED
