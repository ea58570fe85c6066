"""The approver's stories, as a new user would try them: A1 to A6 and A9 of what people ask for."""

import pytest
from playwright.sync_api import expect

from approvals import lifecycle, submission
from approvals.models import AuditEvent, Decision, ToolCall
from tests.browser.conftest import PHONE, READING_MS
from tests.support.visiting import attempts
from tests.support.world import PASSWORD, REFUND

pytestmark = pytest.mark.browser

S = ToolCall.Status
WITHIN = 2_000
WITHOUT_SCRIPT = {"java_script_enabled": False}


def status_of(call) -> str:
    return ToolCall.objects.get(pk=call.pk).status


def choose(page, verdict):
    page.wait_for_timeout(READING_MS)
    page.locator(".tile", has_text=verdict).click()


def test_a1_a_held_call_appears_for_who_may_decide_and_explains_itself_to_others(
    site, world, held_call, live, opened
):
    deciders = [live(person) for person in (world.bo, world.cy)]

    call = held_call(quorum=2)

    for page in deciders:
        row = page.locator(f"#call-{call.pk}")
        expect(row).to_be_visible(timeout=WITHIN)
        for words in ("42000", "cus_8241", "support", "for Ann Tester", "Low", "59m"):
            expect(row).to_contain_text(words)
    third = opened(world.aud, f"/calls/{call.pk}/")
    expect(third.get_by_text("Only an approver of this domain can decide.")).to_be_visible()
    expect(third.get_by_text("Bo Tester, Cy Tester can.")).to_be_visible()
    expect(third.locator(".tile, form.pane")).to_have_count(0)


def test_a2_from_the_keyboard_only_with_a_preset_and_own_words(site, world, held_call, live):
    call = held_call()
    page = live(world.bo)

    page.keyboard.press("j")
    expect(page.locator("#pane .callhead")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#c-h")).to_be_focused()
    until_focused(page, page.get_by_text("The arguments, byte for byte"))
    page.keyboard.press("Enter")
    expect(page.locator("pre", has_text="cus_8241")).to_be_visible()
    page.wait_for_timeout(READING_MS)
    page.keyboard.press("r")
    page.keyboard.type("Offer a lamp first.")
    until_focused(page, page.get_by_label("Wrong amount"))
    page.keyboard.press("Space")
    until_focused(page, page.get_by_role("button", name="Reject and tell the agent"))
    page.keyboard.press("Enter")

    expect(page.locator("#pane #state")).to_contain_text("“Wrong amount. Offer a lamp first.”")
    assert ToolCall.objects.get(pk=call.pk).status_reason == "Wrong amount. Offer a lamp first."


def until_focused(page, target):
    for _ in range(20):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("Tab does not reach it.")


def test_a3_of_my_own_agent_i_read_why_not_and_who_can_and_a_forged_form_is_noted(
    site, world, held_call, opened
):
    world.billing.approver_groups.get().people.add(world.ann)
    call = held_call()
    page = opened(world.ann, f"/calls/{call.pk}/", refused=403)

    expect(page.get_by_role("radio", name="Approve")).to_be_disabled()
    expect(page.get_by_text("cannot approve. Bo Tester, Cy Tester can.")).to_be_visible()
    page.wait_for_timeout(READING_MS)
    forged = page.locator("form.reject")
    forged.locator("[name=verdict]").evaluate("field => field.value = 'approve'")
    page.locator(".tile", has_text="Reject").click()
    page.get_by_label("Reason", exact=True).fill("x")
    with page.expect_response("**/decide/") as answer:
        page.get_by_role("button", name="Reject and tell the agent").click()

    assert answer.value.status == 403
    assert status_of(call) == S.PENDING
    assert attempts(world.ann) == ["decision.refused"]


def test_a4_one_of_two_is_shown_nobody_votes_twice_and_one_no_ends_it(site, world, held_call, live):
    call = held_call(quorum=2)
    tabs = [live(world.bo, f"/calls/{call.pk}/", refused=409) for _ in range(2)]
    old = tabs[1].content()

    choose(tabs[0], "Approve")
    tabs[0].get_by_role("button", name="Approve and wait for the others").click()

    expect(tabs[0].locator(".signers")).to_contain_text("You")
    expect(tabs[0].get_by_text("It waits for 1 more signature.")).to_be_visible()
    # The other tab hears of it, and its form is gone.
    expect(tabs[1].locator("form.pane")).to_have_count(0, timeout=WITHIN)
    assert "form" in old
    cy = live(world.cy, f"/calls/{call.pk}/")
    expect(cy.locator(".signers")).to_contain_text("Bo Tester")
    choose(cy, "Reject")
    cy.get_by_label("Reason").fill("Not this customer.")
    cy.get_by_role("button", name="Reject and tell the agent").click()
    expect(cy.locator("#state")).to_contain_text("Rejected by Cy Tester")
    expect(tabs[0].locator("#state")).to_contain_text("Rejected by Cy Tester", timeout=WITHIN)
    assert Decision.objects.count() == 2


def test_a4_two_tabs_without_script_still_make_one_vote(site, world, held_call, opened):
    call = held_call(quorum=2)
    tabs = [opened(world.bo, f"/calls/{call.pk}/", refused=409, **WITHOUT_SCRIPT) for _ in range(2)]

    for page in tabs:
        choose(page, "Approve")
        page.get_by_role("button", name="Approve and wait for the others").click()

    expect(tabs[1].get_by_role("alert")).to_contain_text("You have already decided on this call.")
    assert Decision.objects.count() == 1


def test_a5_of_two_in_the_same_second_one_wins_and_the_other_reads_who_when_and_why(
    site, world, held_call, opened
):
    call = held_call()
    bo, cy = (
        opened(person, f"/calls/{call.pk}/", refused=409, **WITHOUT_SCRIPT)
        for person in (world.bo, world.cy)
    )
    choose(bo, "Reject")
    bo.get_by_label("Reason").fill("Wrong customer.")
    choose(cy, "Approve")

    bo.get_by_role("button", name="Reject and tell the agent").click()
    bo.locator("#state").wait_for()
    cy.get_by_role("button", name="Approve and let it run").click()

    expect(cy.get_by_role("alert")).to_contain_text("Too late: the call is rejected already.")
    expect(cy.locator("#state")).to_contain_text("Rejected by Bo Tester")
    expect(cy.locator("#state time")).to_be_visible()
    expect(cy.locator("#state")).to_contain_text("“Wrong customer.”")
    assert status_of(call) == S.REJECTED
    assert not AuditEvent.objects.filter(code="call.dispatched").exists()


def test_a6_a_superseded_call_cannot_be_approved_and_leads_to_what_took_its_place(
    site, world, live
):
    def ask(arguments, supersedes=None):
        key = world.agent.keys.get().pk
        return submission.submit(
            submission.Request(
                agent_id=world.agent.pk, key_id=key, tool_id=world.refund.pk,
                arguments=arguments, supersedes=supersedes,
            )
        ).call  # fmt: skip

    old = ask(REFUND)
    page = live(world.bo, f"/calls/{old.pk}/")
    page.locator(".tile", has_text="Approve").click()

    new = ask({**REFUND, "amount": 4200}, old.pk)

    expect(page.locator("#state")).to_contain_text("Superseded", timeout=WITHIN)
    expect(page.locator("form.pane")).to_have_count(0)
    expect(page.locator(".differs tbody tr")).to_have_count(1)
    expect(page.locator(".differs")).to_contain_text("42000")
    page.get_by_role("link", name="Open the new call").click()
    expect(page.get_by_role("heading", name="It replaces an earlier call")).to_be_visible()
    assert page.url.endswith(f"/calls/{new.pk}/")
    expect(page.get_by_role("radio", name="Approve")).to_be_enabled()
    page.get_by_role("link", name="an earlier call").click()
    expect(page.locator("#state")).to_contain_text("Superseded")


@pytest.mark.parametrize("options", [{}, WITHOUT_SCRIPT], ids=["with script", "without script"])
def test_a9_a_link_on_a_phone_opens_the_call_after_sign_in_and_decides_nothing_by_itself(
    site, world, held_call, opened, options
):
    call = held_call()
    address = f"/calls/{call.pk}/"
    scanner = opened(world.bo, address, viewport=PHONE, **WITHOUT_SCRIPT)
    for part in ("", "parts/", "decide/", "settle/", "withdraw/", "presence/"):
        assert scanner.request.get(address + part).status == 200
    assert (status_of(call), ToolCall.objects.get().version) == (S.PENDING, 1)

    page = opened(None, address, viewport=PHONE, **options)
    page.get_by_label("Username").fill("bo")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).to_contain_text("cus_8241")
    choose(page, "Approve")
    page.get_by_role("button", name="Approve and let it run").click()

    expect(page.locator("#state")).to_contain_text("Approved, waiting to run")


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_without_script_every_decision_is_a_page_and_two_presses(
    site, world, held_call, opened, verdict
):
    call = held_call(arguments={"amount": 1, "memo": "a\u200bb"})
    page = opened(world.bo, **WITHOUT_SCRIPT)
    page.locator(f"#call-{call.pk} .what").click()

    choose(page, verdict.capitalize())
    if verdict == "approve":
        page.get_by_label("Memo").check()
        page.get_by_role("button", name="Approve and let it run").click()
        expect(page.locator("#state")).to_contain_text("Approved, waiting to run")
    else:
        page.get_by_label("Wrong target").check()
        page.get_by_role("button", name="Reject and tell the agent").click()
        expect(page.locator("#state")).to_contain_text("“Wrong target”")


def test_two_people_in_two_browsers_see_each_others_work(site, world, held_call, live):
    calls = [held_call(arguments={"amount": number}) for number in (1, 2)]
    bo, cy = live(world.bo, f"/?call={calls[0].pk}"), live(world.cy, f"/?call={calls[1].pk}")

    for page, amount in ((bo, 1), (cy, 2)):
        choose(page, "Approve")
        expect(page.locator("#pane .callhead")).to_contain_text(f"amount {amount}")
        page.get_by_role("button", name="Approve and let it run").click()

    expect(cy.locator(f"#call-{calls[0].pk}")).to_contain_text("by Bo Tester", timeout=WITHIN)
    expect(bo.locator(f"#call-{calls[1].pk}")).to_contain_text("by Cy Tester", timeout=WITHIN)
    lifecycle.cancel(calls[0].pk, actor="agent:support")
    expect(bo.locator("#pane #state")).to_contain_text("Withdrawn", timeout=WITHIN)
