"""Reading over REST: calls, one call, the trail; to whom, in which pages, at what price."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from approvals import lifecycle
from approvals.api.values import SHORT_RESULT_BYTES
from approvals.models import AuditEvent, ToolCall
from approvals.outcomes import Outcome
from tests.support import world as worlds
from tests.support.visiting import queries, visitor

S = ToolCall.Status
FIELDS = {
    "id", "status", "version", "binding", "sentence", "tool", "domain", "agent", "owner",
    "acts_for", "arguments", "arguments_digest", "definition_digest", "quorum", "decisions",
    "decide_by_at", "run_by_at", "outcome", "failure_kind", "result",
}  # fmt: skip


def get(person, address):
    return visitor(person).get(f"/api/v1/{address}")


def finished(call, result):
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    return lifecycle.finish(claim, Outcome.succeeded(result))


def test_a_call_shows_all_that_an_approval_covers(world, held_call):
    call = held_call(quorum=2)
    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)

    shown = get(world.bo, f"calls/{call.pk}/").json()

    assert shown.keys() >= FIELDS
    assert shown["arguments"] == worlds.REFUND
    assert (shown["id"], shown["binding"]) == (str(call.pk), call.binding)
    assert (shown["agent"], shown["owner"], shown["acts_for"]) == ("support", "ann", "ann")
    assert (shown["tool"], shown["domain"]) == ("billing__refund", "billing")
    assert (shown["status"], shown["version"], shown["quorum"]) == ("pending", 2, 2)
    assert [shown["outcome"], shown["failure_kind"], shown["result"]] == [None, None, None]
    (decision,) = shown["decisions"]
    assert (decision["approver"], decision["verdict"]) == ("cy", "approve")


def test_a_list_has_the_same_fields_and_one_status(world, held_call):
    call = held_call()
    held_call(S.REJECTED, arguments={"amount": 1})

    (shown,) = get(world.bo, "calls/?status=pending").json()["results"]

    assert shown.keys() >= FIELDS
    assert shown["id"] == str(call.pk)


@pytest.mark.parametrize(
    ("status", "outcome", "kind"),
    [
        (S.SUCCEEDED, "succeeded", None),
        (S.FAILED, "failed", "tool_error"),
        (S.UNKNOWN, "unknown", None),
    ],
)
def test_an_end_is_told(world, held_call, status, outcome, kind):
    shown = get(world.bo, f"calls/{held_call(status).pk}/").json()

    assert (shown["status"], shown["outcome"], shown["failure_kind"]) == (status, outcome, kind)


def test_a_result_is_the_upstreams_answer(world, held_call):
    call = finished(held_call(S.APPROVED), {"content": [{"type": "text", "text": "done"}]})

    shown = get(world.bo, f"calls/{call.pk}/").json()

    assert shown["result"] == {"content": [{"type": "text", "text": "done"}]}


def test_half_a_character_in_a_result_is_a_question_mark(world, held_call):
    call = finished(held_call(S.APPROVED), {"half": "a\ud83d", "whole": "\U0001f600"})

    shown = get(world.bo, f"calls/{call.pk}/").json()

    assert shown["result"] == {"half": "a?", "whole": "\U0001f600"}


def test_a_long_result_is_left_out_of_lists_only(world, held_call):
    call = finished(held_call(S.APPROVED), {"text": "x" * SHORT_RESULT_BYTES})

    (listed,) = get(world.bo, "calls/").json()["results"]
    shown = get(world.bo, f"calls/{call.pk}/").json()

    assert listed["result"] is None
    assert listed["result_digest"] == shown["result_digest"] != ""
    assert len(shown["result"]["text"]) == SHORT_RESULT_BYTES


def test_a_call_that_is_not_mine_to_see_looks_like_one_that_never_was(world, held_call):
    foreign = get(world.eve, f"calls/{held_call().pk}/")
    absent = get(world.eve, "calls/00000000-0000-4000-8000-000000000000/")

    assert foreign.status_code == absent.status_code == 404
    assert foreign.json() == absent.json()
    assert foreign.json()["kind"] == "not_found"
    assert get(world.eve, "calls/").json()["results"] == []


def test_a_status_nobody_knows_is_named(world):
    response = get(world.bo, "calls/?status=nonsense")

    assert response.status_code == 400
    assert response.json()["kind"] == "invalid_input"
    assert response.json()["path"] == "status"


def test_pages_follow_each_other_without_a_gap(world, held_call):
    calls = [str(held_call(arguments={"amount": n}).pk) for n in range(1, 6)]
    client = visitor(world.bo)

    found, address = [], "/api/v1/calls/?page_size=2"
    while address:
        page = client.get(address).json()
        found += [call["id"] for call in page["results"]]
        address = page["next"]

    assert found == calls[::-1]


@pytest.mark.parametrize("query", ["page_size=0", "page_size=-1", "page_size=1e9", "page_size=x"])
def test_nonsense_about_pages_is_borne(world, held_call, query):
    held_call()

    assert get(world.bo, f"calls/?{query}").status_code == 200


def test_a_cursor_nobody_gave_is_refused(world):
    response = get(world.bo, "calls/?cursor=nonsense")

    assert response.status_code == 404
    assert response.json()["kind"] == "not_found"


def test_more_calls_need_no_more_queries(world, held_call):
    client = visitor(world.bo)
    held_call(S.SUCCEEDED)
    few = queries(client, "/api/v1/calls/")

    for n in range(1, 8):
        held_call(S.REJECTED, arguments={"amount": n})

    assert queries(client, "/api/v1/calls/") == few


def test_the_trail_of_a_call_is_a_chain(world, held_call):
    call = held_call(S.SUCCEEDED)

    page = get(world.bo, f"audit/events/?call={call.pk}").json()

    events = page["results"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0].keys() == {"stream", "seq", "code", "actor", "at", "digest", "previous"}
    assert [event["previous"] for event in events] == ["", *[e["digest"] for e in events[:-1]]]
    assert events[0]["code"] == "call.held"
    assert len(events) == AuditEvent.objects.filter(stream=f"call:{call.pk}").count()


def test_the_trail_is_guarded_like_the_call(world, held_call):
    call = held_call()

    assert get(world.eve, f"audit/events/?call={call.pk}").status_code == 404
    assert get(world.bo, "audit/events/").status_code == 400
    assert get(world.bo, "audit/events/?call=nonsense").status_code == 404
    assert get(world.aud, f"audit/events/?call={call.pk}").status_code == 200


def test_there_is_an_openapi_document_of_all_this(world):
    response = visitor().get("/api/v1/schema/?format=json")

    assert response.status_code == 200
    document = json.loads(response.content)
    assert document["openapi"].startswith("3.")
    assert document["paths"].keys() == {
        "/api/v1/calls/",
        "/api/v1/calls/{call_id}/",
        "/api/v1/calls/{call_id}/decisions/",
        "/api/v1/calls/{call_id}/settlement/",
        "/api/v1/calls/{call_id}/withdrawal/",
        "/api/v1/audit/events/",
        "/api/v1/policy/",
        "/api/v1/policy/versions/{number}/",
        "/api/v1/policy/draft/",
        *(
            f"/api/v1/policy/draft/{verb}/"
            for verb in ("rules", "rebase", "publication", "discard")
        ),
        "/api/v1/policy/proposals/",
        "/api/v1/policy/proposals/{proposal_id}/",
        *(
            f"/api/v1/policy/proposals/{{proposal_id}}/{verb}/"
            for verb in ("signature", "withdrawal")
        ),
    }
    assert document["components"]["schemas"]["Call"]["properties"].keys() >= FIELDS
    assert document["components"]["securitySchemes"]["session"]["in"] == "cookie"


def test_the_openapi_document_is_valid_and_leaves_nothing_to_guess(db):
    said = StringIO()

    call_command("spectacular", validate=True, fail_on_warn=True, stdout=said, stderr=said)

    assert "openapi: 3." in said.getvalue()
