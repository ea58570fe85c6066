"""Story: two approvers press the button in the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx2
import pytest

from tests.flows.errands import REFUND, refund
from tests.support.running import Person

ROUNDS = 8
REASON = "Not this one."


def at_once(*acts: Callable[[], httpx2.Response]) -> list[int]:
    """Send several requests in the same moment, and return the status codes in their order."""
    barrier = Barrier(len(acts))

    def act(one: Callable[[], httpx2.Response]) -> int:
        barrier.wait(10)
        return one().status_code

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


def deciding(person: Person, call_id: str, verdict: str) -> Callable[[], httpx2.Response]:
    """Return what sends a decision on the call as it is now, without looking again."""
    body = {"verdict": verdict, "binding": person.call(call_id)["binding"], "reason": REASON}
    return lambda: person.post(f"calls/{call_id}/decisions/", **body)


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_one_of_two_is_first_and_the_other_learns_it(installation, bo, cy, second):
    agent = installation.raw("hasty")
    for _ in range(ROUNDS):
        call_id = agent.call(REFUND, refund()).call_id

        codes = at_once(deciding(bo, call_id, "approve"), deciding(cy, call_id, second))

        assert sorted(codes) == [201, 409]
        won = "approve" if codes[0] == 201 else second
        call = bo.sees(call_id, "succeeded" if won == "approve" else "rejected")
        assert [decision["verdict"] for decision in call["decisions"]] == [won]
        assert len(installation.refunds(call_id)) == (won == "approve")


def test_one_person_in_three_tabs_has_one_voice(installation, bo):
    call_id = installation.raw("careful").call(REFUND, refund()).call_id

    codes = at_once(*[deciding(bo, call_id, "approve")] * 3)

    assert sorted(codes) == [201, 409, 409]
    call = bo.call(call_id)
    assert (call["status"], len(call["decisions"])) == ("pending", 1)
