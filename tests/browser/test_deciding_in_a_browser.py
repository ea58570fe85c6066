"""Deciding with a mouse, with keys only, and without script; hostile text stays text."""

import pytest
from playwright.sync_api import expect

from approvals import lifecycle
from approvals.models import Decision, ToolCall
from tests.browser.conftest import READING_MS

pytestmark = pytest.mark.browser

S = ToolCall.Status
WITHOUT_SCRIPT = {"java_script_enabled": False}


@pytest.fixture(params=[{}, WITHOUT_SCRIPT], ids=["with script", "without script"])
def options(request):
    return request.param


def status_of(call) -> str:
    return ToolCall.objects.get(pk=call.pk).status


def test_approving_takes_two_presses_and_shows_what_the_server_did(
    site, world, held_call, opened, options
):
    call = held_call()
    page = opened(world.bo, **options)

    page.locator(f"#call-{call.pk} a").click()
    expect(page.locator("form.pane.approve")).to_be_hidden()
    page.locator(".decide").wait_for()
    page.wait_for_timeout(READING_MS)
    page.locator(".tile", has_text="Approve").click()
    assert status_of(call) == S.PENDING
    page.get_by_role("button", name="Approve and let it run").click()

    expect(page.get_by_text("Approved. It runs as soon as a worker takes it.")).to_be_visible()
    expect(page.locator("#state")).to_contain_text("Approved, waiting to run")
    assert status_of(call) == S.APPROVED


def test_rejecting_asks_for_a_reason_and_says_who_reads_it(site, world, held_call, opened, options):
    call = held_call()
    page = opened(world.bo, f"/calls/{call.pk}/", refused=400, **options)

    page.wait_for_timeout(READING_MS)
    page.locator(".tile", has_text="Reject").click()
    reject = page.get_by_role("button", name="Reject and tell the agent")
    reject.click()
    assert status_of(call) == S.PENDING  # the browser itself asks for the reason, or the server
    page.wait_for_timeout(READING_MS)
    expect(page.get_by_text("The agent will read it, word for word.")).to_be_visible()
    page.get_by_label("Reason").fill("Offer a lamp.")
    reject.click()

    expect(page.locator("#state")).to_contain_text("“Offer a lamp.”")
    assert Decision.objects.get().reason == "Offer a lamp."


def test_a_call_decided_meanwhile_is_refused_on_a_page_without_script(
    site, world, held_call, opened
):
    call = held_call()
    page = opened(world.bo, f"/calls/{call.pk}/", refused=409, **WITHOUT_SCRIPT)
    lifecycle.decide(
        call.pk, decider=world.cy, verdict="reject", binding=call.binding, reason="No."
    )

    page.wait_for_timeout(READING_MS)
    page.locator(".tile", has_text="Approve").click()
    with page.expect_response("**/decide/") as answer:
        page.get_by_role("button", name="Approve and let it run").click()

    assert answer.value.status == 409
    expect(page.get_by_role("alert")).to_contain_text("Too late: the call is rejected already.")
    expect(page.locator("#state")).to_contain_text("Rejected by Cy Tester")
    expect(page.locator("form.pane")).to_have_count(0)


def test_keys_alone_are_enough_and_enter_never_decides_by_itself(site, world, held_call, opened):
    call = held_call()
    page = opened(world.bo, f"/calls/{call.pk}/")
    assert page.evaluate("document.activeElement === document.body")

    page.keyboard.press("Enter")
    page.locator(".tile input[value=approve]").focus()
    page.keyboard.press("Enter")
    assert status_of(call) == S.PENDING
    page.keyboard.press("Space")
    page.wait_for_timeout(READING_MS)
    page.keyboard.press("Enter")
    assert status_of(call) == S.PENDING
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve and let it run")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("#state")).to_contain_text("Approved, waiting to run")


def test_a_form_is_sent_once_however_often_it_is_pressed(site, world, held_call, opened):
    call = held_call()
    page = opened(world.bo, f"/calls/{call.pk}/")
    page.wait_for_timeout(READING_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))

    page.locator(".tile", has_text="Approve").click()
    page.locator("form.pane.approve button").dblclick()

    expect(page.locator("#state")).to_contain_text("Approved, waiting to run")
    assert asked.count("POST") == 1


def test_an_unknown_outcome_is_settled_and_an_owner_withdraws(
    site, world, held_call, opened, settings, options
):
    settings.SETTLE_QUARANTINE_SECONDS = 0
    unknown, pending = held_call(S.UNKNOWN), held_call(arguments={"amount": 1})

    page = opened(world.bo, f"/calls/{unknown.pk}/", **options)
    page.get_by_label("It did not run").check()
    page.get_by_label("Evidence").fill("Nothing in the ledger.")
    page.get_by_role("button", name="Record what happened").click()
    hers = opened(world.ann, f"/calls/{pending.pk}/", **options)
    hers.get_by_text("Withdraw this call").click()
    hers.get_by_role("button", name="Withdraw it").click()

    expect(page.locator("#state")).to_contain_text("Did not run, says Bo Tester")
    expect(hers.locator("#state")).to_contain_text("Withdrawn by Ann Tester")


def test_hostile_text_stays_text(site, world, held_call, opened):
    hostile = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    call = held_call(arguments={"amount": 1, "customer": hostile, "memo": hostile})

    for address in ("/", f"/calls/{call.pk}/", "/history/"):
        page = opened(world.bo, address)
        expect(page.get_by_text("<img src=x").first).to_be_visible()
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img").count() == 0


def test_signing_in_and_out_by_hand(site, world, opened, options):
    page = opened(None, "/history/", **options)

    page.get_by_label("Username").fill("bo")
    page.get_by_label("Password").fill("correct-horse-battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_theme_is_switched_and_kept(site, world, opened, options):
    page = opened(world.bo, color_scheme="light", **options)
    ground = "getComputedStyle(document.body).backgroundColor"

    if options:
        page.get_by_role("button", name="Switch to dark").click()
        expect(page.get_by_role("button", name="Switch to light")).to_be_visible()
        return
    light = page.evaluate(ground)
    page.get_by_role("button", name="Switch to dark").click()
    page.goto("/history/")

    assert page.evaluate(ground) != light


def test_a_filter_of_the_history_applies_itself(site, world, held_call, opened):
    held_call(S.REJECTED)
    kept = held_call(arguments={"amount": 1})
    page = opened(world.bo, "/history/")

    page.get_by_text("Narrow down by field").click()
    page.get_by_role("combobox", name="Outcome").select_option("pending")

    expect(page.get_by_role("heading", name="1 call")).to_be_visible()
    expect(page.locator(f"#call-{kept.pk}")).to_be_visible()
    assert "outcome=pending" in page.url
