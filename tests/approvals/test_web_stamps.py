"""Decision forms: shown to this person, half a second ago at least, and marked values ticked."""

from datetime import timedelta

import pytest

from approvals import lifecycle
from approvals.models import Decision, ToolCall, database_now
from approvals.web import stamps
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
