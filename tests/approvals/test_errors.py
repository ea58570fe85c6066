"""Promises of `approvals.errors`: each refusal has a code of its own, a status and a sentence."""

from collections.abc import Iterator

import pytest

from approvals import errors

# What scripts and agents compare with; a change here breaks theirs.
CODES = {
    "ApprovalsError": ("error", 500, False),
    "InvalidInput": ("invalid_input", 400, False),
    "NotFound": ("not_found", 404, False),
    "NotAllowed": ("not_allowed", 403, False),
    "Conflict": ("conflict", 409, False),
    "PolicyChanged": ("policy_changed", 409, False),
    "IllegalMove": ("illegal_move", 409, False),
    "LostRace": ("lost_race", 409, False),
    "StaleBinding": ("stale_binding", 409, False),
    "LookAgain": ("look_again", 409, False),
    "AlreadyDecided": ("already_decided", 409, False),
    "CallSettled": ("settled", 409, False),
    "CallExpired": ("expired", 409, False),
    "QuarantineRunning": ("quarantine", 409, True),
    "IdempotencyMismatch": ("idempotency_mismatch", 409, False),
    "BindingBroken": ("void", 409, False),
    "FenceLost": ("fence_lost", 409, False),
    "DefinitionChanged": ("definition_changed", 409, True),
    "RateLimited": ("rate_limited", 429, True),
    "QueueFull": ("queue_full", 429, True),
    "TemporarilyUnavailable": ("temporarily_unavailable", 503, True),
    "UpstreamError": ("upstream_error", 502, False),
    "Misconfigured": ("configuration", 500, False),
}


def family(root: type[errors.ApprovalsError]) -> Iterator[type[errors.ApprovalsError]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


TREE = [kind for kind in family(errors.ApprovalsError) if kind.__module__ == errors.__name__]


def test_codes_statuses_and_retries_are_as_published() -> None:
    assert {kind.__name__: (kind.code, kind.http_status, kind.retryable) for kind in TREE} == CODES


def test_no_two_refusals_share_a_code() -> None:
    assert len({kind.code for kind in TREE}) == len(TREE)


@pytest.mark.parametrize("kind", TREE)
def test_a_refusal_without_words_says_a_sentence_of_its_own(
    kind: type[errors.ApprovalsError],
) -> None:
    assert str(kind()) == kind.__dict__["says"]
    assert [other for other in TREE if other.says == kind.says] == [kind]


def test_what_is_not_known_is_left_out() -> None:
    assert errors.NotFound("No such call.").as_dict() == {
        "kind": "not_found",
        "message": "No such call.",
        "retryable": False,
    }


def test_what_is_known_is_told() -> None:
    full = errors.QueueFull("Full.", call_id=7, retry_after_seconds=0, path="$.x")

    assert full.as_dict() == {
        "kind": "queue_full",
        "message": "Full.",
        "retryable": True,
        "call_id": "7",
        "retry_after_seconds": 0,
        "path": "$.x",
    }


def test_invalid_input_names_one_place_or_all_of_them() -> None:
    problems = [{"path": "$.a", "message": "is odd"}, {"path": "$.b", "message": "is even"}]

    one, several = errors.InvalidInput("is odd", path="$.a"), errors.InvalidInput(problems=problems)

    assert one.as_dict()["problems"] == [problems[0]]
    assert (several.path, str(several)) == ("$.a", "$.a: is odd; $.b: is even")
    assert several.as_dict()["problems"] == problems
    assert errors.InvalidInput().path == "$"
