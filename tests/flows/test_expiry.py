"""Story: nobody decides in time."""

from tests.flows.errands import REFUND, refund


def test_call_expires_and_can_no_longer_be_approved(installation, bo):
    asked = refund()
    begun = installation.sdk("brief").begin(REFUND, asked)  # its rule gives people ten seconds
    call_id = bo.held(asked)
    binding = bo.call(call_id)["binding"]

    answer = begun.result(30)
    late = bo.post(f"calls/{call_id}/decisions/", verdict="approve", binding=binding, reason="")

    assert answer.is_error
    assert answer.text.startswith("NOT EXECUTED: the call expired.")
    assert answer.facts["kind"] == "expired"
    assert late.status_code == 409
    call = bo.call(call_id)
    assert call["status"] == "expired"
    assert call["settled_at"] >= call["decide_by_at"]
    assert call["decisions"] == []
    assert installation.refunds(call_id) == []
    assert [event["code"] for event in bo.events(call_id)] == ["call.held", "call.expired"]
