"""How a dispatched call ended: what is kept of a result, late answers, answers from nowhere."""

import hashlib
import json
import math

import pytest

from approvals import lifecycle, outcomes
from approvals.errors import FenceLost
from approvals.models import ToolCall
from approvals.outcomes import Outcome
from tests.support import trail
from tests.support import world as worlds

S = ToolCall.Status
DONE = {"content": [{"type": "text", "text": "Refunded."}], "isError": False}


def _result_of(size: int) -> dict[str, object]:
    """Return a result whose JSON has this many bytes."""
    empty = {"content": [{"type": "text", "text": ""}]}
    text = "x" * (size - len(json.dumps(empty, separators=(",", ":"))))
    return {"content": [{"type": "text", "text": text}]}


# -- what is stored, pure


def test_a_result_is_stored_whole_with_its_digest():
    kept = outcomes.stored(DONE)

    assert kept.body is not None
    assert (json.loads(kept.body), kept.is_cut) == (DONE, False)
    assert kept.digest == hashlib.sha256(kept.body).hexdigest()


def test_no_result_is_stored_as_none():
    assert outcomes.stored(None) == outcomes.StoredResult(None, "", False)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_result_is_cut_above_a_mebibyte(extra):
    kept = outcomes.stored(_result_of(outcomes.MAX_RESULT_BYTES + extra))

    assert kept.is_cut is bool(extra)


@pytest.mark.parametrize("is_error", [True, False])
def test_a_cut_result_says_so_and_has_the_digest_of_the_whole(is_error):
    whole = {**_result_of(3_000_000), "isError": is_error, "structuredContent": {"a": 1}}
    body = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()

    kept = outcomes.stored(whole)

    assert kept.body is not None
    assert len(kept.body) < 100_000
    assert kept.digest == hashlib.sha256(body).hexdigest()
    cut = json.loads(kept.body)
    mark, head = (part["text"] for part in cut["content"])
    assert f"had {len(body)} bytes, SHA-256 {kept.digest}" in mark
    assert body.decode().startswith(head)
    assert cut["isError"] is is_error


def test_a_cut_does_not_fall_into_a_character():
    for offset in range(4):
        kept = outcomes.stored({"content": "a" * offset + "😀" * 300_000})

        assert kept.body is not None
        head = json.loads(kept.body)["content"][1]["text"]
        assert set(head[15:].strip("a")) <= {"😀"}, offset


ODD = ["\ud800", "a\0b", "\u2028", "é", "\x7f", '"\\', "\U0010ffff"]


@pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text)[:12])
def test_odd_text_of_an_upstream_is_kept_as_it_was(text):
    """Half a surrogate has no bytes; as an escape it is JSON all the same."""
    kept = outcomes.stored({"content": [{"type": "text", "text": text}]})

    assert kept.body is not None
    assert json.loads(kept.body.decode("utf-8"))["content"][0]["text"] == text


@pytest.mark.parametrize("number", [1e308, 5e-324, -0.0, 2**70, 1e16, 0.1])
def test_numbers_that_canonical_json_cannot_carry_are_kept(number):
    kept = outcomes.stored({"structuredContent": {"n": number}})

    assert kept.body is not None
    assert json.loads(kept.body)["structuredContent"]["n"] == number


def _refuse(word: str) -> object:
    raise AssertionError(word)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_number_is_kept_as_null(number):
    """Some servers write NaN; whoever is handed the result must be able to parse it."""
    result = {"structuredContent": {"n": [number, {"m": number}], "k": (1, number)}}

    kept = outcomes.stored(result)

    assert kept.body is not None
    read = json.loads(kept.body, parse_constant=_refuse)
    assert read == {"structuredContent": {"n": [None, {"m": None}], "k": [1, None]}}


# -- finish


@pytest.fixture
def claim(held_call):
    call = held_call(status=S.APPROVED)
    claim = lifecycle.claim(call.pk, worker="w1")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    return claim


FAILURES = ["tool_error", "upstream_error", "not_sent"]


def test_a_result_makes_the_call_succeed(claim):
    call = lifecycle.finish(claim, Outcome.succeeded(DONE))

    assert (call.status, call.failure_kind) == (S.SUCCEEDED, "")
    assert json.loads(bytes(call.result or b"")) == DONE
    assert (call.settled_at, call.result_is_cut) == (call.moved_at, False)
    event = trail.last(call)
    assert (event.code, event.actor) == ("call.succeeded", "worker:w1")
    facts = trail.facts(event)
    assert (facts["result_digest"], facts["fence"]) == (call.result_digest, 1)


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("result", [None, {"content": [], "isError": True}])
def test_a_definite_refusal_makes_the_call_fail_and_says_how(claim, kind, result):
    call = lifecycle.finish(claim, Outcome.failed(kind, "No such invoice.", result))

    assert (call.status, call.failure_kind) == (S.FAILED, kind)
    assert call.status_reason == "No such invoice."
    assert (call.result is None) is (result is None)
    assert trail.facts(trail.last(call))["failure_kind"] == kind


def test_a_broken_answer_is_unknown_and_not_settled(claim):
    call = lifecycle.finish(claim, Outcome.unknown("The stream was cut."))

    assert (call.status, call.status_reason) == (S.UNKNOWN, "The stream was cut.")
    assert (call.settled_at, call.result, call.failure_kind) == (None, None, "")


@pytest.mark.parametrize(
    "outcome",
    [Outcome.succeeded(DONE), Outcome.failed("tool_error", "No.", DONE)],
    ids=["succeeded", "failed"],
)
def test_a_late_answer_under_the_same_fence_is_taken(claim, outcome):
    lifecycle.finish(claim, Outcome.unknown("Too slow."))

    call = lifecycle.finish(claim, outcome)

    assert (call.status, json.loads(bytes(call.result or b""))) == (outcome.status, DONE)
    assert call.status_reason == outcome.message
    assert trail.codes(call)[-2:] == ["unknown", outcome.status]


def test_a_late_answer_after_the_sweep_gave_up_is_taken_too(claim):
    lifecycle.lose(claim.call_id, reason="No answer came.", only_if=lambda call: True)

    assert lifecycle.finish(claim, Outcome.succeeded(DONE)).status == S.SUCCEEDED


def test_a_second_unknown_changes_nothing(claim):
    """The quarantine before a person may settle it must not begin again."""
    lifecycle.finish(claim, Outcome.unknown("Too slow."))

    with trail.nothing_changes(claim.call):
        call = lifecycle.finish(claim, Outcome.unknown("The stream was cut."))

    assert call.status_reason == "Too slow."


@pytest.mark.parametrize("end", [Outcome.succeeded(DONE), Outcome.failed("tool_error", "No.")])
@pytest.mark.parametrize(
    "late",
    [Outcome.succeeded(DONE), Outcome.failed("tool_error", "No."), Outcome.unknown("Too slow.")],
)
def test_an_answer_to_what_is_settled_changes_nothing(claim, end, late):
    lifecycle.finish(claim, end)

    with trail.nothing_changes(claim.call), pytest.raises(FenceLost):
        lifecycle.finish(claim, late)


@pytest.mark.parametrize("said", ["ran", "not-ran"])
def test_an_answer_after_a_person_settled_it_changes_nothing(world, claim, settings, said):
    settings.SETTLE_QUARANTINE_SECONDS = 0
    lifecycle.finish(claim, Outcome.unknown("Too slow."))
    lifecycle.settle(claim.call_id, person=world.bo, outcome=said, evidence="The ledger.")

    with trail.nothing_changes(claim.call), pytest.raises(FenceLost):
        lifecycle.finish(claim, Outcome.succeeded(DONE))


@pytest.mark.parametrize("fence", [0, 2])
def test_an_answer_under_another_fence_changes_nothing(claim, fence):
    stray = lifecycle.Claim(claim.call, fence, "w2")

    with trail.nothing_changes(claim.call), pytest.raises(FenceLost):
        lifecycle.finish(stray, Outcome.succeeded(DONE))


def test_only_what_was_sent_is_finished(held_call):
    for status in S:
        if status in (S.DISPATCHED, S.UNKNOWN):
            continue
        call = held_call(status=status, arguments={"customer": status, "amount": 1})
        claim = lifecycle.Claim(call, call.fence, "test")

        with trail.nothing_changes(call), pytest.raises(FenceLost):
            lifecycle.finish(claim, Outcome.succeeded(DONE))


def test_an_oversized_result_is_cut_in_the_row_and_told_in_the_trail(claim):
    call = lifecycle.finish(claim, Outcome.succeeded(_result_of(2_000_000)))

    assert call.result_is_cut
    assert len(bytes(call.result or b"")) < outcomes.MAX_RESULT_BYTES
    facts = trail.facts(trail.last(call))
    assert (facts["result_is_cut"], facts["result_digest"]) == (True, call.result_digest)
    assert facts["kept_digest"] == hashlib.sha256(bytes(call.result or b"")).hexdigest()


@pytest.mark.parametrize(
    "message", ["a\0b", "half \ud800", "x" * 300_000], ids=lambda text: ascii(text)[:12]
)
def test_a_definite_answer_in_odd_words_is_a_definite_answer(claim, message):
    """The words are an upstream's; refused by a database they would have made it unknown."""
    call = lifecycle.finish(claim, Outcome.failed("upstream_error", message))

    assert (call.status, call.failure_kind) == (S.FAILED, "upstream_error")
    assert 0 < len(call.status_reason) <= 1000
    assert trail.facts(trail.last(call))["reason"] == call.status_reason


def test_odd_words_about_a_connection_give_a_claim_back(held_call):
    claim = lifecycle.claim(held_call(status=S.APPROVED).pk, worker="w1")

    call = lifecycle.unclaim(claim, reason="HTTP 502 \0\udcff")

    assert (call.status, call.status_reason) == (S.APPROVED, "HTTP 502 \ufffd\ufffd")
