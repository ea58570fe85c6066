"""Decision forms: shown to this person, half a second ago at least, and marked values ticked."""

from datetime import timedelta

import pytest

from approvals import lifecycle
from approvals.models import Decision, ToolCall, database_now
from approvals.tasks import sweep
from approvals.web import stamps
from tests.support import groups as staffing
from tests.support.visiting import attempts, form_of, page_of, text_of, visitor

S = ToolCall.Status
ODD = {"amount": 1, "memo": "all\u200bgood", "customer": "a\u202eb"}


def post(person, call, data):
    return visitor(person).post(page_of(call, "decide/"), data)


def status_of(call) -> str:
    return ToolCall.objects.get(pk=call.pk).status


def shown_ago(call, person, *ticks, **ago):
    return stamps.stamp(call, person, database_now() - timedelta(**ago), ticks)


def assert_looked_again(response, call):
    """Nothing was recorded, and the fresh page can be decided on."""
    assert response.status_code == 409
    assert "Look again" in text_of(response)
    assert response.content.decode().count('name="stamp"') == 2
    assert status_of(call) == S.PENDING
    assert not Decision.objects.exists()


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_form_that_was_shown_a_moment_ago_is_answered_with_look_again(world, held_call, verdict):
    call = held_call()
    just_now = shown_ago(call, world.bo, seconds=-20)  # so that a slow machine is not too late
    data = form_of(call, world.bo, verdict, reason="No.", stamp=just_now)

    assert_looked_again(post(world.bo, call, data), call)


def test_half_a_second_later_the_same_form_decides(world, held_call):
    call = held_call()
    stamp = shown_ago(call, world.bo, milliseconds=501)

    post(world.bo, call, form_of(call, world.bo, stamp=stamp))

    assert status_of(call) == S.APPROVED


@pytest.mark.parametrize("forged", ["", "nonsense", "a:b:c"])
def test_a_form_without_a_stamp_of_ours_decides_nothing(world, held_call, forged):
    call = held_call()

    assert_looked_again(post(world.bo, call, form_of(call, world.bo, stamp=forged)), call)


def test_a_stamp_that_was_changed_by_hand_decides_nothing(world, held_call):
    call = held_call()
    body, _, signature = shown_ago(call, world.bo, seconds=5).partition(":")

    stamp = f"{body[:-1]}{'A' if body[-1] != 'A' else 'B'}:{signature}"

    assert_looked_again(post(world.bo, call, form_of(call, world.bo, stamp=stamp)), call)


def test_what_somebody_else_was_shown_is_not_what_i_was_shown(world, held_call):
    call, other = held_call(), held_call(arguments={"amount": 2})

    for stamp in (shown_ago(call, world.cy, seconds=5), shown_ago(other, world.bo, seconds=5)):
        assert_looked_again(post(world.bo, call, form_of(call, world.bo, stamp=stamp)), call)


def test_a_forged_form_of_who_may_not_decide_is_refused_and_noted_stamp_or_not(world, held_call):
    call = held_call()

    response = post(world.ann, call, form_of(call, world.ann, stamp=""))

    assert response.status_code == 403
    assert attempts(world.ann) == ["decision.refused"]


def test_a_page_shows_a_stamp_that_decides_once_it_has_been_read(world, held_call):
    call = held_call()

    response = visitor(world.bo).get(page_of(call))

    stamps.check(
        response.context["stamp"], call, world.bo, database_now() + timedelta(milliseconds=500)
    )


def test_marked_values_are_ticked_before_an_approval(world, held_call):
    call = held_call(arguments=ODD)
    ticks = visitor(world.bo).get(page_of(call)).context["ticks"]
    names = [tick.value for tick in ticks]

    stamp = shown_ago(call, world.bo, *names, seconds=5)

    for checked in ([], names[:1], ["amount"]):
        response = post(world.bo, call, form_of(call, world.bo, stamp=stamp, checked=checked))
        assert response.status_code == 400
        assert "Tick what you have checked" in text_of(response)
        assert status_of(call) == S.PENDING
    post(world.bo, call, form_of(call, world.bo, stamp=stamp, checked=names))

    assert len(names) == 2
    assert status_of(call) == S.APPROVED


def test_what_was_ticked_stays_ticked_when_the_form_comes_back(world, held_call):
    call = held_call(arguments=ODD)

    stamp = shown_ago(call, world.bo, "memo", "customer", seconds=5)

    response = post(world.bo, call, form_of(call, world.bo, stamp=stamp, checked=["memo"]))

    body = response.content.decode()
    assert 'value="memo" autocomplete="off" required checked' in body
    assert 'value="customer" autocomplete="off" required>' in body


def test_what_must_be_ticked_is_what_the_form_asked_whatever_happened_since(world, held_call):
    call = held_call(arguments={"amount": 1})
    asked = shown_ago(call, world.bo, "amount", seconds=5)  # unusual then, and no more

    response = post(world.bo, call, form_of(call, world.bo, stamp=asked))

    assert response.status_code == 400
    post(world.bo, call, form_of(call, world.bo, stamp=asked, checked=["amount"]))
    assert status_of(call) == S.APPROVED


def test_a_rejection_asks_for_no_ticks(world, held_call):
    call = held_call(arguments=ODD)

    post(world.bo, call, form_of(call, world.bo, "reject", reason="Odd."))

    assert status_of(call) == S.REJECTED


def test_very_many_marked_values_are_ticked_as_one_at_the_end(world, held_call):
    arguments = {"amount": 1, **{f"x{number}": "a\u200bb" for number in range(40)}}
    call = held_call(arguments=arguments)

    ticks = visitor(world.bo).get(page_of(call)).context["ticks"]

    assert len(ticks) == 12
    assert ticks[-1].label == "29 more marked values"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ({"preset": "Wrong amount"}, "Wrong amount"),
        ({"preset": "Wrong target", "reason": " Offer a lamp. "}, "Wrong target. Offer a lamp."),
        ({"preset": ["Not needed", "Wrong amount"]}, "Wrong amount. Not needed"),
        ({"preset": "Made up", "reason": "No."}, "No."),
    ],
)
def test_presets_and_own_words_are_one_reason(world, held_call, typed, kept):
    call = held_call()

    post(world.bo, call, form_of(call, world.bo, "reject", **typed))

    assert Decision.objects.get().reason == kept


def test_a_made_up_preset_alone_is_no_reason(world, held_call):
    call = held_call()

    response = post(world.bo, call, form_of(call, world.bo, "reject", preset="Made up"))

    assert response.status_code == 400
    assert status_of(call) == S.PENDING


def test_what_was_typed_is_there_to_copy_when_the_call_moved_on(world, held_call):
    changed, over = held_call(quorum=2), held_call(arguments={"amount": 2})
    forms = {
        call: form_of(call, world.bo, "reject", reason="My long <b>reason</b>.")
        for call in (changed, over)
    }
    for call in (changed, over):
        lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)

    for call, data in forms.items():
        response = post(world.bo, call, data)
        assert response.status_code == 409
        assert "What you had written My long &lt;b&gt;reason&lt;/b&gt;." in text_of(response)
        assert 'name="stamp"' not in response.content.decode()


def test_a_second_vote_from_a_second_tab_says_that_the_first_one_counts(world, held_call):
    call = held_call(quorum=3)
    tabs = [form_of(call, world.bo) for _ in range(2)]

    answers = [post(world.bo, call, data) for data in tabs]

    assert [answer.status_code for answer in answers] == [302, 409]
    assert "You have already decided on this call." in text_of(answers[1])
    assert Decision.objects.count() == 1


# -- news that is about no decision ----------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_form_from_before_people_were_reminded_or_others_asked_still_decides(
    world, held_call, verdict
):
    staffing.hire(world)
    hour = timedelta(minutes=55)
    call = held_call(stages=[{"group": "Finance"}], escalate_to="Heads", age=hour)
    stamp = shown_ago(call, world.bo, seconds=5)
    for _ in range(4):
        sweep()
    call.refresh_from_db()
    assert (call.version, call.reminders, call.escalated_to) == (4, 2, "Heads")

    post(world.bo, call, form_of(call, world.bo, verdict, reason="No.", stamp=stamp))

    assert status_of(call) == (S.APPROVED if verdict == "approve" else S.REJECTED)


def test_a_form_from_before_somebody_signed_is_refused_however_often_people_were_reminded(
    world, held_call
):
    call = held_call(quorum=2, age=timedelta(minutes=31))
    stamp = shown_ago(call, world.bo, seconds=5)
    sweep()
    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)

    response = post(world.bo, call, form_of(call, world.bo, stamp=stamp))

    assert response.status_code == 409
    assert "This call has changed since you opened it." in text_of(response)
    assert status_of(call) == S.PENDING


def test_a_version_without_an_event_of_its_own_is_a_change(world, held_call):
    """Whoever wrote it: fewer reminders than versions mean that something else happened."""
    call = held_call(age=timedelta(minutes=31))
    stamp = shown_ago(call, world.bo, seconds=5)
    sweep()
    ToolCall.objects.filter(pk=call.pk).update(version=3)

    response = post(world.bo, call, form_of(call, world.bo, stamp=stamp))

    assert (response.status_code, status_of(call)) == (409, S.PENDING)


def test_a_version_that_is_not_there_yet_is_none_that_was_shown(held_call):
    call = held_call()

    assert [stamps.is_same(call, version) for version in (-1, 0, 1, 2)] == [
        False, False, True, False,
    ]  # fmt: skip


def test_parts_of_the_page_keep_the_forms_until_somebody_signs(world, held_call):
    call = held_call(quorum=2, age=timedelta(minutes=31))
    client = visitor(world.bo)
    sweep()

    reminded = client.get(page_of(call, "parts/?seen=1")).content.decode()
    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)
    signed = client.get(page_of(call, "parts/?seen=2")).content.decode()

    assert "data-same" in reminded
    assert "Half of the time is over" in reminded
    assert "data-same" not in signed
    assert "This call has changed. Read it again." in signed
