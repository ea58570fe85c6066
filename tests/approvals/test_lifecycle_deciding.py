"""One person's decision: what it records, when it moves the call, and when it is refused."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from approvals import lifecycle
from approvals.administration import catalog
from approvals.errors import (
    AlreadyDecided,
    CallExpired,
    CallSettled,
    InvalidInput,
    NotAllowed,
    NotFound,
    StaleBinding,
)
from approvals.models import Person, ToolCall
from tests.support import trail
from tests.support import world as worlds

S = ToolCall.Status
HOUR = timedelta(hours=1)


def _decide(call, decider, verdict="approve", **options):
    options.setdefault("binding", call.binding)
    options.setdefault("reason", "" if verdict == "approve" else "Not this customer.")
    return lifecycle.decide(call.pk, decider=decider, verdict=verdict, **options)


def test_one_approval_is_enough_for_a_quorum_of_one(world, held_call):
    call = _decide(held_call(), world.bo)

    assert (call.status, call.version) == (S.APPROVED, 3)
    assert trail.codes(call) == ["held", "approve_signed", "approved"]


def test_a_quorum_of_two_needs_two_people(world, held_call):
    call = held_call(quorum=2)

    call = _decide(call, world.bo)
    assert (call.status, call.version) == (S.PENDING, 2)

    call = _decide(call, world.cy)
    assert (call.status, call.version) == (S.APPROVED, 4)
    assert trail.codes(call) == ["held", "approve_signed", "approve_signed", "approved"]


def test_the_first_no_ends_a_call_whatever_its_quorum(world, held_call):
    call = held_call(quorum=2)
    _decide(call, world.bo)

    call = _decide(call, world.cy, "reject", reason="  Wrong customer.\n")

    assert (call.status, call.status_reason) == (S.REJECTED, "Wrong customer.")
    assert call.settled_at == call.moved_at
    assert trail.codes(call) == ["held", "approve_signed", "reject_signed", "rejected"]


def test_a_decision_is_recorded_with_all_that_it_covers(world, held_call):
    call = held_call(quorum=2)

    _decide(call, world.bo, reason="Checked with Ann.", assurance="passkey")

    row = call.decisions.get()
    assert (row.approver, row.verdict, row.reason) == (world.bo, "approve", "Checked with Ann.")
    assert (row.binding, row.assurance) == (call.binding, "passkey")
    assert (row.owner, row.acts_for, row.four_eyes) == (call.owner, call.acts_for, True)
    event = trail.last(call)
    assert (event.actor, event.at) == ("person:bo", row.at)
    assert trail.facts(event) == {
        "version": 2,
        "verdict": "approve",
        "reason": "Checked with Ann.",
        "binding": call.binding,
        "assurance": "passkey",
    }


def test_an_approval_of_what_the_page_no_longer_shows_is_refused(world, held_call):
    call, other = held_call(), held_call(arguments={"customer": "other", "amount": 1})

    for binding in (other.binding, "", call.binding.upper(), call.binding[:-1]):
        with trail.nothing_changes(call), pytest.raises(StaleBinding):
            _decide(call, world.bo, binding=binding)


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_one_person_decides_once(world, held_call, verdict):
    call = held_call(quorum=2)
    _decide(call, world.bo)

    with trail.nothing_changes(call), pytest.raises(AlreadyDecided):
        _decide(call, world.bo, verdict)


def test_who_has_decided_is_told_so_even_when_the_call_is_over(world, held_call):
    call = held_call()
    _decide(call, world.bo, "reject")

    with trail.nothing_changes(call), pytest.raises(AlreadyDecided):
        _decide(call, world.bo)


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_vote_after_the_end_is_too_late_and_says_what_happened(world, held_call, verdict):
    for status in S:
        if status == S.PENDING:
            continue
        call = held_call(status=status, arguments={"customer": status, "amount": 1})

        with trail.nothing_changes(call), pytest.raises(CallSettled, match=status) as caught:
            _decide(call, world.cy, verdict)

        assert caught.value.call_id == str(call.pk)


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_vote_at_the_deadline_finds_the_call_expired(world, held_call, verdict):
    call = held_call(age=HOUR)

    with pytest.raises(CallExpired):
        _decide(call, world.bo, verdict)

    call.refresh_from_db()
    assert (call.status, call.status_reason) == (S.EXPIRED, "Nobody decided in time.")
    assert not call.decisions.exists()
    assert trail.codes(call) == ["held", "expired"]
    assert trail.last(call).actor == "clock"


def test_a_second_vote_after_the_deadline_is_too_late_like_any_other(world, held_call):
    call = held_call(age=HOUR)
    with pytest.raises(CallExpired):
        _decide(call, world.bo)

    with trail.nothing_changes(call), pytest.raises(CallSettled, match="expired"):
        _decide(call, world.bo)


def test_a_vote_just_before_the_deadline_counts(world, held_call):
    call = held_call(age=HOUR - timedelta(seconds=30))

    assert _decide(call, world.bo).status == S.APPROVED


@pytest.mark.parametrize("name", ["ann", "bo"])
def test_who_owns_the_agent_or_whom_it_acts_for_cannot_approve(world, held_call, name):
    catalog.add_approvers(world.billing, [world.ann], actor=worlds.ACTOR)
    world.agent.keys.update(acts_for=world.bo)
    call = held_call()

    with trail.nothing_changes(call), pytest.raises(NotAllowed, match="Four eyes"):
        _decide(call, getattr(world, name))


@pytest.mark.parametrize("name", ["ann", "bo"])
def test_four_eyes_let_them_reject(world, held_call, name):
    catalog.add_approvers(world.billing, [world.ann], actor=worlds.ACTOR)
    world.agent.keys.update(acts_for=world.bo)

    assert _decide(held_call(), getattr(world, name), "reject").status == S.REJECTED


def test_a_domain_may_do_without_four_eyes(world, held_call):
    catalog.add_approvers(world.billing, [world.ann], actor=worlds.ACTOR)
    type(world.billing).objects.update(four_eyes=False)
    call = held_call()

    assert _decide(call, world.ann).status == S.APPROVED
    assert call.decisions.get().four_eyes is False


def test_four_eyes_switched_off_later_do_not_free_what_was_held_under_them(world, held_call):
    catalog.add_approvers(world.billing, [world.ann], actor=worlds.ACTOR)
    call = held_call()
    type(world.billing).objects.update(four_eyes=False)

    with trail.nothing_changes(call), pytest.raises(NotAllowed, match="Four eyes"):
        _decide(call, world.ann)


@pytest.mark.parametrize("verdict", ["approve", "reject"])
@pytest.mark.parametrize("name", ["ann", "dee", "eve", "aud"])
def test_only_an_approver_of_the_domain_decides(world, held_call, name, verdict):
    """The agent's owner, an administrator, an approver of nothing and an auditor cannot."""
    call = held_call()

    with trail.nothing_changes(call), pytest.raises(NotAllowed, match="Only an approver"):
        _decide(call, getattr(world, name), verdict)


def test_an_approver_of_another_domain_cannot_decide(world, held_call):
    catalog.create_domain("deploys", purpose="Deploys.", owner=world.ann, actor=worlds.ACTOR)
    fay = worlds.person("fay", role="approver", domain="deploys")
    call = held_call()

    with trail.nothing_changes(call), pytest.raises(NotAllowed):
        _decide(call, fay)


def test_who_was_switched_off_since_the_page_was_asked_for_cannot_decide(world, held_call):
    """The person a request carries was read before; what counts is the row."""
    call = held_call()
    Person.objects.filter(pk=world.bo.pk).update(is_active=False)
    assert world.bo.is_active

    with trail.nothing_changes(call), pytest.raises(NotAllowed):
        _decide(call, world.bo)


def test_a_stranger_at_the_deadline_does_not_end_the_call(world, held_call):
    call = held_call(age=HOUR)

    with trail.nothing_changes(call), pytest.raises(NotAllowed):
        _decide(call, world.eve)


@pytest.mark.parametrize("reason", ["", "   ", "\n\t"])
def test_a_rejection_needs_a_reason(world, held_call, reason):
    call = held_call()

    with trail.nothing_changes(call), pytest.raises(InvalidInput) as caught:
        _decide(call, world.bo, "reject", reason=reason)

    assert caught.value.path == "$.reason"


@pytest.mark.parametrize("verdict", ["approve", "reject"])
@pytest.mark.parametrize("reason", ["x" * 1001, "a\0b", "a\ud800b"], ids=["long", "null", "half"])
def test_a_reason_that_cannot_be_kept_is_refused(world, held_call, verdict, reason):
    call = held_call()

    with trail.nothing_changes(call), pytest.raises(InvalidInput) as caught:
        _decide(call, world.bo, verdict, reason=reason)

    assert caught.value.path == "$.reason"


def test_a_reason_is_kept_word_for_word(world, held_call):
    reason = "é\u202e" + "x" * 996 + "\n😀"

    call = _decide(held_call(), world.bo, "reject", reason=reason)

    assert call.status_reason == reason == call.decisions.get().reason
    assert trail.facts(trail.last(call))["reason"] == reason


@pytest.mark.parametrize("verdict", ["", "maybe", "APPROVE", "approved"])
def test_no_other_verdict_is_known(world, held_call, verdict):
    call = held_call()

    with trail.nothing_changes(call), pytest.raises(InvalidInput) as caught:
        _decide(call, world.bo, verdict, reason="Because.")

    assert caught.value.path == "$.verdict"


def test_no_decision_is_made_on_nothing(world):
    decide = partial(lifecycle.decide, decider=world.bo, verdict="approve", binding="0" * 64)

    with pytest.raises(NotFound):
        decide(uuid4())


def test_an_approval_binds_the_call_of_that_moment_only(world, held_call):
    """Two calls with the same arguments have two bindings; one approval covers one of them."""
    first = held_call()
    ToolCall.objects.filter(pk=first.pk).update(joins_repeats=False)
    second = held_call()
    assert first.arguments_digest == second.arguments_digest

    _decide(first, world.bo)

    with trail.nothing_changes(second), pytest.raises(StaleBinding):
        _decide(second, world.bo, binding=first.binding)
