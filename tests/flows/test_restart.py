"""Story: Countersign is stopped or killed while calls wait or run, and started again."""

import time
from collections.abc import Callable

import httpx2
import pytest

from tests.flows.errands import FRAGILE_REFUND, REFUND, refund
from tests.flows.test_upstream_dies import settle
from tests.support.running import Fragile, Installation, until

STOPS_WITHIN_SECONDS = 10.0


def terminate(installation: Installation) -> None:
    """SIGTERM it; it has ten seconds, and its exit code is that of a clean end."""
    began = time.monotonic()
    assert installation.stop() == 0
    assert time.monotonic() - began < STOPS_WITHIN_SECONDS


ENDS: dict[str, Callable[[Installation], None]] = {
    "terminated": terminate,
    "killed": Installation.kill,
}


@pytest.mark.parametrize("end", ENDS)
def test_pending_call_outlives_a_restart_with_its_ticket(stopped, end):
    stopped.start()
    agent, asked = stopped.raw("hasty"), refund()
    call_id = agent.call(REFUND, asked).call_id

    ENDS[end](stopped)
    stopped.start()
    bo = stopped.person("bo")
    assert agent.status(call_id).facts["state"] == "pending"
    assert agent.call(REFUND, asked).call_id == call_id
    bo.approve(call_id)
    answer = agent.status(call_id, wait_seconds=25)

    (row,) = stopped.refunds(call_id)
    assert answer.facts["id"] == row["id"]
    assert "The audit trail is whole" in stopped.manage("verify_audit")


def test_agent_that_waits_gets_its_ticket_when_the_server_stops(stopped):
    stopped.start()
    agent, asked = stopped.raw("patient"), refund()
    begun = agent.begin(REFUND, asked)
    call_id = stopped.person("bo").held(asked)

    terminate(stopped)
    answer = begun.result(5)

    assert answer.facts["ticket"] == call_id
    assert answer.text.startswith("HELD")


def test_agent_that_waits_while_the_server_is_killed_finds_its_call_again(stopped):
    stopped.start()
    agent, asked = stopped.raw("patient"), refund()
    begun = agent.begin(REFUND, asked)
    call_id = stopped.person("bo").held(asked)

    stopped.kill()
    with pytest.raises(httpx2.HTTPError):
        begun.result(5)
    stopped.start()
    again = agent.begin(REFUND, asked)
    stopped.person("bo").approve(call_id)

    assert again.result(30).call_id == call_id
    assert len(stopped.refunds(call_id)) == 1


@pytest.mark.parametrize("end", ENDS)
def test_release_that_runs_at_the_end_is_unknown_after_the_next_start(stopped, end):
    stopped.start()
    hands = Fragile(stopped.data / "fragile")
    hands.reset()
    call_id = stopped.raw("hasty").call(FRAGILE_REFUND, refund(f"waits {end}")).call_id
    stopped.person("bo").approve(call_id)
    hands.until_waiting()

    ENDS[end](stopped)

    assert stopped.stored_status(call_id) == "dispatched"
    hands.let_go()  # the upstream acts after all, and nobody is there to hear of it
    until(lambda: stopped.refunds(call_id), "the refund in the ledger")

    stopped.start()
    bo = stopped.person("bo")

    assert bo.call(call_id)["status"] == "unknown"
    assert settle(bo, call_id, "ran").json()["status"] == "succeeded"
    assert len(stopped.refunds(call_id)) == hands.acted()[call_id] == 1
    codes = [event["code"] for event in bo.events(call_id)]
    assert codes[-3:] == ["call.dispatched", "call.unknown", "call.succeeded"]


def test_release_that_ends_in_time_is_waited_for(stopped):
    stopped.start()
    hands = Fragile(stopped.data / "fragile")
    hands.reset()
    call_id = stopped.raw("hasty").call(FRAGILE_REFUND, refund("waits a little")).call_id
    stopped.person("bo").approve(call_id)
    hands.until_waiting()

    stopped.process.terminate()
    until(lambda: not stopped.answers(), "the server taking no more connections")
    hands.let_go()

    assert stopped.process.wait(STOPS_WITHIN_SECONDS) == 0
    assert stopped.stored_status(call_id) == "succeeded"
    assert len(stopped.refunds(call_id)) == 1


def test_call_approved_while_nothing_runs_is_released_by_the_next_start(stopped):
    stopped.start()
    bo = stopped.person("bo")
    hands, agent = Fragile(stopped.data / "fragile"), stopped.raw("hasty")
    call_ids = [agent.call(FRAGILE_REFUND, refund()).call_id for _ in range(5)]
    for call_id in call_ids:
        bo.approve(call_id)

    stopped.kill()  # whatever had been claimed, sent or answered by now
    stopped.start()

    for call_id in call_ids:
        status = answered(bo, call_id)
        assert hands.acted()[call_id] in ([1] if status == "succeeded" else [0, 1])


def answered(person, call_id):
    """Wait until an approved call has ended, and return how."""

    def look():
        status = person.call(call_id)["status"]
        return status if status in ("succeeded", "unknown") else None

    return until(look, f"the end of {call_id}")


def test_second_server_on_the_same_folder_is_refused(installation):
    said = installation.try_manage("up", "--port", "0")

    assert "is running on" in said
    assert "Traceback" not in said
