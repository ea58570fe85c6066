"""The pane beside the queue: what it shows, what it keeps, and what a phone does instead."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from approvals import lifecycle
from approvals.models import ToolCall
from tests.browser.conftest import PHONE, READING_MS

pytestmark = pytest.mark.browser

S = ToolCall.Status
WITHIN = 1_000


def row(page, call):
    return page.locator(f"#call-{call.pk}")


def read(page, call):
    """Open a call in the pane, and take the time it takes to read it."""
    row(page, call).locator(".what").click()
    expect(page.locator(f'#pane [data-shows="{call.pk}"]')).to_be_visible()
    page.wait_for_timeout(READING_MS)


def status_of(call) -> str:
    return ToolCall.objects.get(pk=call.pk).status


def test_a_row_opens_beside_the_list_under_an_address_of_its_own(site, world, held_call, live):
    first, second = held_call(arguments={"amount": 1}), held_call(arguments={"amount": 2})
    page = live(world.bo, "/?show=all&domain=billing")
    before = row(page, second).bounding_box()

    read(page, first)
    read(page, second)

    assert row(page, second).bounding_box() == before
    expect(row(page, second).locator(".what")).to_have_attribute("aria-current", "true")
    expect(page.locator("[aria-current=true]")).to_have_count(1)
    assert page.url.endswith(f"/?show=all&domain=billing&call={second.pk}")
    page.reload()
    expect(page.locator(f'#pane [data-shows="{second.pk}"]')).to_be_visible()
    page.go_back()
    expect(page.locator(f'#pane [data-shows="{first.pk}"]')).to_be_visible()


def test_a_decision_in_the_pane_is_answered_there_and_the_list_stays(site, world, held_call, live):
    call, other = held_call(arguments={"amount": 1}), held_call(arguments={"amount": 2})
    page = live(world.bo)
    page.evaluate("window.isSamePage = true")
    read(page, call)

    page.locator(".tile", has_text="Approve").click()
    page.get_by_role("button", name="Approve and let it run").click()

    expect(page.locator("#pane #state")).to_contain_text("Approved, waiting to run")
    expect(page.get_by_text("Approved. It runs as soon as a worker takes it.")).to_be_visible()
    expect(row(page, call)).to_contain_text("by Bo Tester", timeout=WITHIN)
    expect(row(page, other)).to_be_visible()
    lifecycle.cancel(call.pk, actor="agent:support")
    expect(page.locator("#pane #state")).to_contain_text("Withdrawn by support", timeout=WITHIN)
    expect(page.get_by_text("It runs as soon as")).to_have_count(0)
    assert page.evaluate("window.isSamePage") is True


def test_the_head_of_the_pane_follows_the_call(site, world, held_call, live):
    call = held_call(quorum=2)
    page = live(world.bo)
    read(page, call)
    expect(page.locator("#chip")).to_contain_text("Held, 2 signatures to go")

    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)
    chip = page.locator("#chip")
    expect(chip).to_contain_text("Held, one signature to go", timeout=WITHIN)
    lifecycle.cancel(call.pk, actor="agent:support")

    expect(page.locator("#chip")).to_have_text("Withdrawn", timeout=WITHIN)


def test_the_head_of_the_pane_says_expired_before_any_sweep(site, world, held_call, live):
    call = held_call(age=timedelta(minutes=59, seconds=54))
    page = live(world.bo)
    read(page, call)

    expect(page.locator("#chip").get_by_text("Expired")).to_be_visible(timeout=8_000)
    expect(page.locator("#chip").get_by_text("Held")).to_be_hidden()


def test_a_form_that_comes_too_soon_is_looked_at_again(site, world, held_call, live):
    call = held_call()
    page = live(world.bo, refused=409)
    row(page, call).locator(".what").click()
    page.locator("#pane .decide").wait_for()
    # Faster than any hand: press the moment the form is there.
    page.evaluate(
        """async () => {
            const answer = await fetch(location.href,
                { headers: { "HX-Request": "true", "HX-Target": "pane" } });
            const html = new DOMParser().parseFromString(await answer.text(), "text/html");
            const stamp = html.querySelector("[name=stamp]").value;
            document.querySelector("form.approve [name=stamp]").value = stamp;
            document.querySelector(".decide [value=approve]").checked = true;
            document.querySelector("form.approve button").click();
        }"""
    )

    expect(page.locator("#pane [role=alert]")).to_contain_text("Look again")
    assert status_of(call) == S.PENDING
    expect(page.locator("#pane form.approve")).to_have_count(1)
    page.wait_for_timeout(READING_MS)
    page.get_by_role("button", name="Approve and let it run").click()
    expect(page.locator("#pane #state")).to_contain_text("Approved, waiting to run")


def test_marked_values_are_ticked_before_the_browser_lets_an_approval_go(
    site, world, held_call, live
):
    call = held_call(arguments={"amount": 1, "memo": "all\u200bgood"})
    page = live(world.bo)
    read(page, call)
    page.locator(".tile", has_text="Approve").click()
    approve = page.get_by_role("button", name="Approve and let it run")

    approve.click()
    assert status_of(call) == S.PENDING
    page.get_by_label("Memo").check()
    approve.click()

    expect(page.locator("#pane #state")).to_contain_text("Approved, waiting to run")


def test_words_of_a_reason_survive_what_happens_to_the_call(site, world, held_call, live):
    call = held_call(quorum=2)
    page = live(world.bo)
    read(page, call)
    page.locator(".tile", has_text="Reject").click()
    page.get_by_label("Reason").fill("Ask the customer first.")

    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)
    expect(page.get_by_label("What you had written")).to_have_value(
        "Ask the customer first.", timeout=WITHIN
    )
    page.get_by_role("link", name="Read it again").click()
    page.locator(".tile", has_text="Reject").click()
    expect(page.get_by_label("Reason")).to_have_value("Ask the customer first.")

    lifecycle.cancel(call.pk, actor="agent:support")
    expect(page.get_by_label("What you had written")).to_have_value(
        "Ask the customer first.", timeout=WITHIN
    )


def test_filters_and_tabs_keep_each_other(site, world, held_call, live):
    usual = held_call()
    odd = held_call(arguments={"amount": 1, "memo": "a\u200bb"})
    page = live(world.bo)

    read(page, usual)
    page.get_by_label("Risk").select_option("raised")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("[data-call]")).to_have_count(1)
    expect(page.locator(f'#pane [data-shows="{usual.pk}"]')).to_be_visible()
    page.get_by_role("link", name="Everyone").click()

    expect(page.get_by_label("Risk")).to_have_value("raised")
    expect(row(page, odd)).to_be_visible()
    page.get_by_role("link", name="Any", exact=True).click()
    expect(page.locator("[data-call]")).to_have_count(2)


def test_a_new_call_outside_the_filters_is_not_announced(site, world, held_call, live):
    page = live(world.bo, "/?risk=raised")

    quiet = held_call()
    odd = held_call(arguments={"amount": 1, "memo": "a\u200bb"})

    expect(row(page, odd)).to_be_visible(timeout=3 * WITHIN)  # two calls, one after the other
    expect(page.locator("#arrivals")).to_contain_text("1 new call arrived")
    expect(row(page, quiet)).to_have_count(0)


def test_on_a_phone_a_row_opens_the_page_and_tiles_dock_under_the_thumb(
    site, world, held_call, live
):
    call = held_call()
    page = live(world.bo, viewport=PHONE)

    row(page, call).locator(".what").click()
    page.locator("h1", has_text="Refund").wait_for()

    assert page.url.endswith(f"/calls/{call.pk}/")
    tiles = page.locator(".tiles").bounding_box()
    assert tiles["y"] + tiles["height"] > PHONE["height"] - 40
    page.goto(f"/?call={call.pk}")
    expect(page.locator("#calls")).to_be_hidden()
    expect(page.locator("#pane .callhead")).to_be_visible()


def test_two_people_at_one_call_see_each_other_come_and_a_third_in_the_list(
    site, world, held_call, live
):
    call = held_call()
    cy = live(world.cy)
    bo = live(world.bo)
    before = row(cy, call).bounding_box()

    read(bo, call)

    expect(row(cy, call)).to_contain_text("Bo Tester is looking", timeout=2 * WITHIN)
    assert row(cy, call).bounding_box() == before
    read(cy, call)
    expect(cy.locator("#presence")).to_contain_text("Bo Tester is looking")
    expect(row(bo, call)).to_contain_text("Cy Tester is looking", timeout=2 * WITHIN)


def test_a_look_that_is_over_leaves_the_row(site, world, held_call, live, monkeypatch):
    from datetime import timedelta

    from approvals import observations

    call = held_call()
    monkeypatch.setattr(observations, "LOOK_LASTS", timedelta(seconds=2))
    observations.looked(call, world.cy)
    page = live(world.bo)
    expect(row(page, call)).to_contain_text("Cy Tester is looking")

    expect(row(page, call)).not_to_contain_text("is looking", timeout=5 * WITHIN)
