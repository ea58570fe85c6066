"""The sweep: what time, a crash or a lost message left behind is found within a second or two."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from approvals import lifecycle, tasks
from approvals.administration import catalog
from approvals.models import (
    AuditStream,
    Heartbeat,
    Tool,
    ToolCall,
    Upstream,
    database_now,
)
from tests.support import guarding, listening, trail
from tests.support import world as worlds

S = ToolCall.Status
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def _operate(call: ToolCall, **columns: Any) -> ToolCall:
    """Set columns of operation, or, past the guards, deadlines and times of moves."""
    with guarding.unguarded():
        ToolCall.objects.filter(pk=call.pk).update(**columns)
    return ToolCall.objects.get(pk=call.pk)


def _late_to_run(call: ToolCall) -> ToolCall:
    now = database_now()
    return _operate(call, decide_by_at=now, run_by_at=now)


def _unleased(call: ToolCall) -> ToolCall:
    return _operate(call, lease_until=database_now())


def _status(call: ToolCall) -> tuple[str, str]:
    call.refresh_from_db()
    return call.status, call.status_reason


# -- what is due


def test_a_call_nobody_decided_on_expires(held_call):
    call = held_call(age=HOUR)

    tasks.sweep()

    assert _status(call) == (S.EXPIRED, "Nobody decided in time.")


@pytest.mark.parametrize("status", [S.APPROVED, S.CLAIMED])
def test_a_call_that_did_not_run_in_time_expires(held_call, status):
    call = _unleased(_late_to_run(held_call(status=status)))

    tasks.sweep()

    assert _status(call) == (S.EXPIRED, "It did not run in time.")
    assert trail.codes(call)[-1] == "expired"


def test_a_worker_that_died_before_it_sent_loses_its_claim(held_call):
    call = _unleased(held_call(status=S.CLAIMED))

    tasks.sweep()

    status, reason = _status(call)
    assert (status, "nothing was sent" in reason) == (S.APPROVED, True)
    assert call.not_before is not None


def test_a_worker_that_died_after_it_sent_leaves_an_unknown_outcome(held_call):
    call = _unleased(held_call(status=S.DISPATCHED))

    tasks.sweep()

    assert _status(call) == (S.UNKNOWN, "No answer came in time; it may have happened.")
    assert call.settled_at is None


def test_an_answer_is_waited_for_its_time_and_a_grace(held_call, settings):
    call = held_call(status=S.DISPATCHED)
    patience = settings.UPSTREAM_TIMEOUT_SECONDS + settings.ANSWER_GRACE_SECONDS

    assert call.lease_until is not None
    assert call.lease_until - call.dispatch.at == timedelta(seconds=patience)


def test_nothing_that_is_not_due_is_touched(held_call):
    calls = [held_call(status=s, arguments={"customer": s, "amount": 1}) for s in S]
    before = [trail.snapshot(call) for call in calls]

    tasks.sweep()

    assert [trail.snapshot(call) for call in calls] == before


def test_a_settled_or_unknown_call_is_left_alone_whatever_its_times(held_call):
    for status in (*lifecycle.SETTLED, S.UNKNOWN):
        call = held_call(status=status, arguments={"customer": status, "amount": 1})
        call = _unleased(_late_to_run(call))

        with trail.nothing_changes(call):
            tasks.sweep()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"definition_digest": "0" * 64}, "definition changed"),
        ({"is_listed": False}, "no longer offered"),
    ],
    ids=["changed", "gone"],
)
def test_a_call_on_a_tool_that_changed_is_void(world, held_call, change, words):
    """The listing that found the change was interrupted before it voided what waits on it."""
    calls = {s: held_call(status=s, arguments={"customer": s, "amount": 1}) for s in S}
    Tool.objects.filter(pk=world.refund.pk).update(**change)

    tasks.sweep()

    for status, call in calls.items():
        now, reason = _status(call)
        if status in lifecycle.UNSENT:
            assert (now, words in reason) == (S.VOID, True), status
            assert trail.last(call).actor == "clock"
        else:
            assert now == status


def test_repeats_of_a_settled_call_make_new_calls_after_ten_minutes(held_call):
    old = held_call(status=S.CANCELLED)
    new = held_call(status=S.CANCELLED, arguments={"customer": "new", "amount": 1})
    unknown = held_call(status=S.UNKNOWN, arguments={"customer": "unknown", "amount": 1})
    ago = database_now() - timedelta(minutes=10, seconds=1)
    _operate(old, settled_at=ago)
    _operate(unknown, moved_at=ago)

    tasks.sweep()

    joins = {c.pk: c.joins_repeats for c in ToolCall.objects.all()}
    assert joins == {old.pk: False, new.pk: True, unknown.pk: True}


def test_a_second_sweep_finds_nothing_to_do(world, held_call):
    calls = [
        held_call(age=HOUR),
        _unleased(held_call(status=S.CLAIMED, arguments={"customer": "b", "amount": 1})),
        _unleased(held_call(status=S.DISPATCHED, arguments={"customer": "c", "amount": 1})),
        _late_to_run(held_call(status=S.APPROVED, arguments={"customer": "d", "amount": 1})),
    ]

    tasks.sweep()
    after = [trail.snapshot(call) for call in calls]
    tasks.sweep()

    assert [trail.snapshot(call) for call in calls] == after
    assert [call.version + 1 for call in calls] == [
        ToolCall.objects.get(pk=call.pk).version for call in calls
    ]


# -- wake-ups


@pytest.fixture
def releases(world):
    """Return what hears the wake-ups of two domains."""
    with listening.to(queues=["release.billing", "release.deploys"]) as heard:
        yield heard


def _waiting(call: ToolCall, **columns: Any) -> ToolCall:
    """Let an approved call have waited a while, so that its own wake-up must be lost."""
    return _operate(call, moved_at=database_now() - 2 * SECOND, **columns)


def _woken(releases) -> list[str]:
    return [message.arguments[0] for message in releases.releases]


def test_an_approved_call_whose_message_was_lost_is_woken(held_call, releases):
    call = _waiting(held_call(status=S.APPROVED))

    with trail.nothing_changes(call):
        tasks.sweep()

    assert _woken(releases) == [str(call.pk)]


def test_a_call_approved_just_now_has_its_own_message_under_way(held_call, releases):
    held_call(status=S.APPROVED)

    tasks.sweep()

    assert _woken(releases) == []


def test_a_parked_call_is_woken_when_its_pause_is_over(held_call, releases):
    call = _waiting(held_call(status=S.APPROVED), not_before=database_now() + 60 * SECOND)
    tasks.sweep()
    assert _woken(releases) == []

    _waiting(call, not_before=database_now())
    tasks.sweep()

    assert _woken(releases) == [str(call.pk)]


def test_nothing_but_an_approved_call_is_woken(held_call, releases):
    for status in set(S) - {S.APPROVED}:
        _waiting(held_call(status=status, arguments={"customer": status, "amount": 1}))

    tasks.sweep()

    assert _woken(releases) == []


def _other_domain(world) -> Tool:
    domain = catalog.create_domain("deploys", purpose="x", owner=world.ann, actor=worlds.ACTOR)
    catalog.add_approvers(domain, [world.bo], actor=worlds.ACTOR)
    upstream = Upstream.objects.create(
        domain=domain, name="deploys", transport="http", launch={"url": "http://127.0.0.1:9/"}
    )
    worlds.list_tools(upstream, worlds.definition("deploy"))
    return catalog.get_tool("deploys", "deploy")


def test_one_call_of_each_upstream_is_enough_to_wake_its_workers(world, held_call, releases):
    """However many wait: whoever is woken takes on all that is ready at the upstream."""
    upstream = Upstream.objects.create(
        domain=world.billing, name="ledger", transport="http", launch={"url": "http://127.0.0.1:9/"}
    )
    worlds.list_tools(upstream, worlds.definition("book"))
    _fill(held_call, 5)
    others = [
        _waiting(held_call(status=S.APPROVED, tool=tool))
        for tool in (catalog.get_tool("ledger", "book"), _other_domain(world))
    ]

    tasks.sweep()

    woken = _woken(releases)
    assert len(woken) == len(set(woken)) == 3
    assert {str(call.pk) for call in others} < set(woken)


def test_no_more_is_sent_to_a_queue_that_nobody_empties(held_call, releases, monkeypatch):
    """A worker that is dead must not fill the broker, a sweep a second, for as long as it is."""
    monkeypatch.setattr(tasks, "_LONGEST_QUEUE", 3)
    _fill(held_call, 5)

    for _ in range(5):
        tasks.sweep()
        listening.wait_until_sent()

    assert len(_woken(releases)) == 3


def _fill(held_call, count: int) -> None:
    for number in range(count):
        call = held_call(status=S.APPROVED, arguments={"customer": f"c{number}", "amount": 1})
        _waiting(call)
    listening.wait_until_sent()


def test_a_broker_that_is_down_keeps_nothing_else_waiting(held_call, world):
    late, lost = held_call(age=HOUR), held_call(arguments={"customer": "lost", "amount": 1})
    _waiting(worlds.walk(lost, world, S.APPROVED))

    with listening.broken_broker():
        tasks.sweep()
        listening.wait_until_sent()

    assert _status(late)[0] == S.EXPIRED
    assert Heartbeat.objects.filter(name=tasks.SWEEP).exists()


# -- rows that cannot be moved


def _poison(call: ToolCall) -> ToolCall:
    """Set the head of the call's stream back: no event will ever follow, so no move either."""
    AuditStream.objects.filter(name=f"call:{call.pk}").update(seq=0, digest="")
    return call


def _due_calls(held_call, prefix: str) -> list[ToolCall]:
    """Return one call of each kind that the sweep moves."""
    names = [{"customer": f"{prefix}{n}", "amount": 1} for n in range(4)]
    return [
        held_call(age=HOUR, arguments=names[0]),
        _unleased(held_call(status=S.CLAIMED, arguments=names[1])),
        _unleased(held_call(status=S.DISPATCHED, arguments=names[2])),
        _late_to_run(held_call(status=S.APPROVED, arguments=names[3])),
    ]


def test_one_row_that_cannot_be_moved_keeps_no_other_waiting(held_call):
    bad = [_poison(call) for call in _due_calls(held_call, "bad")]
    good = _due_calls(held_call, "good")
    before = [_status(call) for call in bad]

    tasks.sweep()

    assert [_status(call)[0] for call in good] == [S.EXPIRED, S.APPROVED, S.UNKNOWN, S.EXPIRED]
    assert [_status(call) for call in bad] == before
    assert all("follows the one before" in call.needs_attention for call in bad)
    assert Heartbeat.objects.filter(name=tasks.SWEEP).exists()


def test_a_row_on_a_changed_tool_that_cannot_be_moved_keeps_no_other_waiting(world, held_call):
    bad = _poison(held_call())
    good = held_call(arguments={"customer": "good", "amount": 1})
    Tool.objects.filter(pk=world.refund.pk).update(is_listed=False)

    tasks.sweep()

    assert (_status(bad)[0], _status(good)[0]) == (S.PENDING, S.VOID)
    assert "follows the one before" in bad.needs_attention
    assert Heartbeat.objects.filter(name=tasks.SWEEP).exists()


def test_however_many_rows_cannot_be_moved_the_others_have_their_turn(held_call, monkeypatch):
    """A round takes so many rows; those that failed before come last."""
    monkeypatch.setattr(tasks, "_AT_ONCE", 2)
    bad = [
        _poison(held_call(age=2 * HOUR, arguments={"customer": f"bad{n}", "amount": 1}))
        for n in range(4)
    ]
    good = held_call(age=HOUR)

    for _ in range(3):
        tasks.sweep()

    assert _status(good)[0] == S.EXPIRED
    assert {_status(call)[0] for call in bad} == {S.PENDING}


def test_a_row_that_cannot_be_moved_is_told_once(held_call, caplog):
    """A sweep a second would write the same traceback 86,400 times a day."""
    _poison(held_call(age=HOUR))

    with caplog.at_level(logging.ERROR, logger="approvals.tasks"):
        for _ in range(3):
            tasks.sweep()

    assert [record.message for record in caplog.records if "cannot be moved" in record.message]
    assert len(caplog.records) == 1


def test_a_row_that_was_mended_is_moved_and_needs_no_attention_any_more(held_call):
    call = held_call(age=HOUR)
    (head,) = AuditStream.objects.filter(name=f"call:{call.pk}").values_list("seq", "digest")
    _poison(call)
    tasks.sweep()

    AuditStream.objects.filter(name=f"call:{call.pk}").update(seq=head[0], digest=head[1])
    tasks.sweep()

    assert _status(call)[0] == S.EXPIRED
    assert call.needs_attention == ""


def test_whatever_the_database_says_of_a_row_the_others_have_their_turn(held_call):
    """Not only what breaks a constraint: here a trigger that raises as it likes."""
    bad = held_call(age=HOUR)
    good = held_call(age=HOUR, arguments={"customer": "good", "amount": 1})
    _forbid_moves_of(bad)

    tasks.sweep()

    assert (_status(bad)[0], _status(good)[0]) == (S.PENDING, S.EXPIRED)
    assert "not this one" in bad.needs_attention


def _forbid_moves_of(call: ToolCall) -> None:
    if guarding.vendor() == "sqlite":
        guarding.execute(
            "CREATE TRIGGER not_this_one BEFORE UPDATE OF version ON approvals_toolcall"
            f" WHEN NEW.id = '{call.pk.hex}' BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
        return
    guarding.execute("SET CONSTRAINTS ALL IMMEDIATE")
    guarding.execute(
        "CREATE FUNCTION not_this_one() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
    )
    guarding.execute(
        "CREATE TRIGGER not_this_one BEFORE UPDATE OF version ON approvals_toolcall FOR EACH ROW"
        f" WHEN (NEW.id = '{call.pk}') EXECUTE FUNCTION not_this_one()"
    )


# -- heartbeats


def test_a_sweep_that_came_to_its_end_leaves_a_heartbeat(db):
    before = database_now()

    tasks.sweep()
    first = Heartbeat.objects.get(name=tasks.SWEEP).at
    tasks.sweep()

    assert before <= first <= Heartbeat.objects.get(name=tasks.SWEEP).at <= database_now()


def test_a_sweep_that_did_not_come_to_its_end_leaves_none(db):
    with guarding.undone():
        guarding.execute("ALTER TABLE approvals_domain RENAME TO elsewhere")
        with pytest.raises(Exception, match="approvals_domain"):
            tasks.sweep()

    assert not Heartbeat.objects.exists()
