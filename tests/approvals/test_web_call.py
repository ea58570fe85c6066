"""The page of one call: what it shows in each state, to whom, and how it writes hostile text."""

import json
import uuid
from datetime import timedelta

import pytest

from approvals import canonical, lifecycle, submission
from approvals.models import AgentKey, Domain, Tool, ToolCall
from approvals.outcomes import Outcome
from approvals.templatetags import presentation
from tests.support import world as worlds
from tests.support.visiting import elements, page_of, queries, text_of, visitor

S = ToolCall.Status
HOSTILE = {
    "customer": "<script>alert(document.cookie)</script>",
    "memo": "</td></tr></table><form action=//evil><button>Approve</button></form>",
    "invoice": "{{ 7|add:7 }}{% now 'Y' %}&lt;b&gt;\" onmouseover=\"x()",
    "amount": 1,
}
HARMLESS = {
    "customer": "a customer of ours, one with a name..",
    "memo": "some words of the same kind and about the same length, but not in any markup.",
    "invoice": "another quite harmless value with several words in it",
    "amount": 1,
}


def shown(person, call, **query):
    return visitor(person).get(page_of(call), query)


@pytest.mark.parametrize("name", ["bo", "cy", "ann", "aud", "dee"])
def test_who_may_see_a_call_sees_it(world, held_call, name):
    assert shown(getattr(world, name), held_call()).status_code == 200


def test_a_call_that_is_not_mine_to_see_looks_like_one_that_never_was(world, held_call):
    foreign = shown(world.eve, held_call())
    absent = visitor(world.eve).get(f"/calls/{uuid.uuid4()}/")

    assert foreign.status_code == absent.status_code == 404
    assert text_of(foreign) == text_of(absent)


def test_the_page_shows_what_is_approved_and_by_which_digest(world, held_call):
    call = held_call()

    body = shown(world.bo, call).content.decode()

    for words in ("42000", "cus_8241", "in_2201", call.arguments_digest, call.definition_digest):
        assert words in body
    assert body.count(f'name="binding" value="{call.binding}"') == 2
    assert body.count(call.binding) == 3  # and once in full, to read


def test_hostile_text_makes_no_element(world, held_call):
    held_call()  # a first call has a line of its own
    harmless = shown(world.bo, held_call(arguments=HARMLESS))
    hostile = shown(world.bo, held_call(arguments=HOSTILE))

    assert elements(hostile) == elements(harmless)
    assert "<script>alert" not in hostile.content.decode()
    assert "&lt;script&gt;alert(document.cookie)&lt;/script&gt;" in hostile.content.decode()
    assert "{{ 7|add:7 }}" in hostile.content.decode()


def test_hostile_text_in_a_row_makes_no_element(world, held_call):
    call = held_call(arguments=HARMLESS)
    harmless = elements(visitor(world.bo).get("/"))
    lifecycle.cancel(call.pk, actor="agent:support")
    held_call(arguments=HOSTILE)

    assert elements(visitor(world.bo).get("/")) == harmless


def test_what_cannot_be_seen_is_spelled_out_wherever_the_value_stands(world, held_call):
    call = held_call(arguments={"amount": 1, "memo": "a\u202eb\u200bc"})

    body = shown(world.bo, call).content.decode()

    assert "\u202e" not in body
    assert "\u200b" not in body
    # In the line above, in the table and in the bytes.
    assert body.count("U+202E RIGHT-TO-LEFT OVERRIDE") == 3
    assert "hidden characters" in text_of(shown(world.bo, call))


def test_a_long_text_is_folded_in_the_table_and_whole_in_the_bytes(world, held_call):
    memo = "".join(f"{n:05}" for n in range(200))

    body = shown(world.bo, held_call(arguments={"amount": 1, "memo": memo})).content.decode()

    assert "440 characters in between" in body
    assert memo in body


def test_the_bytes_are_the_stored_bytes(world, held_call):
    call = held_call(arguments={"amount": 7, "memo": 'say "hi"'})

    text = shown(world.bo, call).content.decode().partition("<pre>")[2].partition("</pre>")[0]

    assert text.replace("&quot;", '"') == bytes(call.arguments).decode()


def test_the_agents_own_words_stand_in_a_claim(world):
    request = submission.Request(
        agent_id=world.agent.pk,
        key_id=world.agent.keys.get().pk,
        tool_id=world.refund.pk,
        arguments=worlds.REFUND,
        claimed_acts_for="the CEO <b>herself</b>",
    )
    call = submission.submit(request).call

    body = shown(world.bo, call).content.decode()

    claim = body.partition("What the agent says")[2].partition("</section>")[0]
    assert "Claim, not verified" in claim
    assert "the CEO &lt;b&gt;herself&lt;/b&gt;" in claim


def test_what_the_upstream_says_of_its_tool_is_a_claim_too(world, held_call):
    hints = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": "yes"}
    described = worlds.definition("wipe", description="Harmless!", annotations=hints)
    worlds.list_tools(world.upstream, worlds.definition("refund"), described)
    call = held_call(tool=Tool.objects.get(name="wipe"))

    body = shown(world.bo, call).content.decode()

    claim = body.partition("What billing says")[2].partition("</section>")[0]
    assert "Harmless!" in claim
    assert "Its hints: only reads: yes, destroys: no<" in claim
    assert "Nobody has reviewed this tool." in text_of(shown(world.bo, call))


def test_the_rule_reads_as_a_sentence(world, held_call):
    text = text_of(shown(world.bo, held_call(quorum=2)))

    assert "“test”, rule 1 of policy 0 : Hold everything for 2 approvers within 60 minutes" in text


def test_the_rule_leads_to_the_rules_as_they_were(world, held_call):
    page = shown(world.bo, held_call())
    rules = visitor(world.bo).get("/policies/0/")

    assert '<a class="linky" href="/policies/0/">rule 1 of policy 0</a>' in page.content.decode()
    assert "these are the rules Countersign begins with" in text_of(rules)


@pytest.mark.parametrize("part", ["/calls/{}/", "/?call={}"])
def test_the_tool_leads_to_its_page_for_whoever_may_see_that(world, held_call, part):
    AgentKey.objects.update(acts_for=world.eve)
    call = held_call()
    link = f'href="/catalogue/tools/{call.tool_id}/"'

    found = {
        name: link in visitor(getattr(world, name)).get(part.format(call.pk)).content.decode()
        for name in ("bo", "ann", "aud", "dee", "eve")
    }

    assert found == {"bo": True, "ann": True, "aud": True, "dee": True, "eve": False}
    assert visitor(world.eve).get(f"/catalogue/tools/{call.tool_id}/").status_code == 404


def test_the_trail_names_each_event_with_its_number_and_the_beginning_of_its_digest(
    world, held_call
):
    call = held_call(S.REJECTED)

    text = text_of(shown(world.bo, call))

    for words in (
        "support asked; rule “test” held it",
        "#1 call.held agent:support",
        "Bo Tester rejected it “Not needed.”",
        "#2 call.reject_signed person:bo",
        "#3 call.rejected person:bo",
    ):
        assert words in text


STATES = {
    S.APPROVED: "Approved, waiting to run",
    S.CLAIMED: "Approved, about to run",
    S.DISPATCHED: "Nobody can stop it now. After 30 s without an answer",
    S.SUCCEEDED: "What was sent has the digest that was approved.",
    S.FAILED: "only billing knows how far it came",
    S.UNKNOWN: "It may have run.",
    S.REJECTED: "Rejected by Bo Tester",
    S.EXPIRED: "with 0 of 1 signatures",
    S.CANCELLED: "Withdrawn by support",
    S.VOID: "What was asked is no longer what would run.",
}


@pytest.mark.parametrize("status", STATES)
def test_each_state_says_what_happened(world, held_call, status):
    response = shown(world.bo, held_call(status))

    assert STATES[status] in text_of(response)
    assert 'name="verdict"' not in response.content.decode()


def test_only_a_call_that_was_never_sent_says_that_nothing_changed(world, held_call):
    call = held_call(S.APPROVED)
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    lifecycle.finish(claim, Outcome.failed("not_sent", "Connection refused."))
    answered = held_call(S.FAILED, arguments={"amount": 1})

    assert "Failed, and nothing changed" in text_of(shown(world.bo, call))
    assert "nothing changed" not in text_of(shown(world.bo, answered))


def test_a_call_that_could_not_be_sent_says_how_often_it_was_tried(world, held_call):
    call = held_call(S.APPROVED)
    lifecycle.unclaim(lifecycle.claim(call.pk, worker="test"), reason="Connection refused.")

    text = text_of(shown(world.bo, call))

    assert "could not be reached 1 time; nothing was sent" in text
    assert "Given back by the worker; nothing was sent “Connection refused.”" in text


def test_an_unknown_outcome_can_be_settled_only_once_no_answer_can_come(world, held_call, settings):
    call = held_call(S.UNKNOWN)
    early = shown(world.bo, call)
    settings.SETTLE_QUARANTINE_SECONDS = 0

    late = shown(world.bo, call)

    assert 'name="evidence"' not in early.content.decode()
    assert "Its answer may still come." in text_of(early)
    assert 'name="evidence"' in late.content.decode()
    assert 'name="evidence"' not in shown(world.ann, call).content.decode()


def test_only_the_owner_of_the_agent_is_offered_to_withdraw(world, held_call):
    call, sent = held_call(), held_call(S.DISPATCHED, arguments={"amount": 1})

    assert "Withdraw this call" in text_of(shown(world.ann, call))
    assert "Withdraw this call" not in text_of(shown(world.bo, call))
    assert "Withdraw this call" not in text_of(shown(world.ann, sent))


def test_who_may_not_decide_is_told_why_and_given_no_form(world, held_call):
    call = held_call()
    Domain.objects.get().approver_groups.get().people.add(world.ann)

    owner, auditor = shown(world.ann, call), shown(world.aud, call)

    assert "Four eyes" in text_of(owner)
    assert 'value="approve"' in owner.content.decode()  # the tile, switched off
    assert "disabled" in owner.content.decode()
    assert owner.content.decode().count('name="verdict"') == 1  # she may reject
    assert "Only an approver of this domain can decide." in text_of(auditor)
    assert 'name="verdict"' not in auditor.content.decode()


def test_a_domain_without_four_eyes_says_so_on_the_page(world, held_call):
    Domain.objects.update(four_eyes=False)

    text = text_of(shown(world.bo, held_call()))

    assert text.count("Four eyes are off in this domain") == 2


def test_nothing_is_chosen_or_focused_at_first(world, held_call):
    body = shown(world.bo, held_call()).content.decode()

    assert "checked" not in body
    assert "autofocus" not in body


def test_approve_and_reject_weigh_the_same(world, held_call):
    body = shown(world.bo, held_call()).content.decode()

    assert body.count('<label class="tile big ok">') == 1
    assert body.count('<label class="tile big bad">') == 1


def test_a_page_whose_call_moved_on_gets_a_notice_in_place_of_its_forms(world, held_call):
    call = held_call(quorum=2)
    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)
    parts = page_of(call, "parts/")

    same = visitor(world.bo).get(parts, {"seen": 2}).content.decode()
    older = visitor(world.bo).get(parts, {"seen": 1}).content.decode()

    assert "This call has changed. Read it again." in older
    assert 'name="binding"' not in older
    assert 'name="binding"' in same


def test_parts_are_guarded_like_the_page(world, held_call):
    call = held_call()

    assert visitor(world.eve).get(page_of(call, "parts/")).status_code == 404
    assert visitor().get(page_of(call, "parts/")).status_code == 302
    assert visitor(world.bo).get(page_of(call, "parts/"), {"seen": "x" * 99}).status_code == 200


def test_a_pending_call_whose_time_is_over_has_no_form(world, held_call):
    response = shown(world.bo, held_call(age=timedelta(hours=2)))

    assert 'name="verdict"' not in response.content.decode()
    assert "Expired" in text_of(response)


def test_a_longer_story_needs_no_more_queries(world, held_call):
    short, long = held_call(), held_call(S.FAILED, quorum=2, arguments={"amount": 1})
    client = visitor(world.bo)

    # What a settled call does not ask: whether you may decide.
    assert queries(client, page_of(long)) <= queries(client, page_of(short)) + 1


def test_a_result_is_shown_as_text(world, held_call):
    call = held_call(S.APPROVED)
    claim = lifecycle.claim(call.pk, worker="test")
    lifecycle.dispatch(claim, seen=worlds.seen(call))
    said = {"content": [{"type": "text", "text": "<img src=x onerror=alert(1)>"}]}
    lifecycle.finish(claim, Outcome.succeeded(said))

    body = shown(world.bo, call).content.decode()

    assert "&lt;img src=x onerror=alert(1)&gt;" in body
    assert "<img" not in body


def test_a_call_of_the_greatest_size_is_shown(world, held_call):
    arguments = {"amount": 1, "memo": "\u200b\u202e" * 5_000}
    assert len(canonical.to_bytes(arguments)) > 30_000

    response = shown(world.bo, held_call(arguments=arguments))

    assert response.status_code == 200


def test_replaced_calls_name_each_other(world, held_call):
    first = held_call()
    second = submission.submit(
        submission.Request(
            agent_id=world.agent.pk,
            key_id=world.agent.keys.get().pk,
            tool_id=world.refund.pk,
            arguments={**worlds.REFUND, "amount": 1},
            supersedes=first.pk,
        )
    ).call

    assert page_of(second) in shown(world.bo, first).content.decode()
    assert page_of(first) in shown(world.bo, second).content.decode()
    assert json.loads(bytes(second.arguments))["amount"] == 1


@pytest.mark.parametrize(
    ("words", "html"),
    [
        ("Refund $420.00 to cus_8241", "Refund <b>$420.00</b> to <b>cus_8241</b>"),
        ("Refund a customer", "Refund a customer"),
        ("Send  <7>", "Send  <b>&lt;7&gt;</b>"),
    ],
)
def test_what_looks_like_a_value_is_bold_and_nothing_is_markup(words, html):
    assert presentation.marked(words) == html
