"""The history and the insights in a browser: an auditor finds, reads, counts and shares."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from approvals import lifecycle
from approvals.models import AuditEvent, ToolCall
from tests.support import world as worlds
from tests.support.history import unfold

pytestmark = pytest.mark.browser

S = ToolCall.Status
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def query_of(page):
    return {key: values[-1] for key, values in parse_qs(urlsplit(page.url).query).items()}


def assert_sound(page):
    """No violation of accessibility rules, and nothing wider than the screen."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]


def reads():
    return AuditEvent.objects.filter(stream="person:aud", code="call.read").count()


@pytest.fixture
def past(world, settings):
    """A past in which every end there is came about."""
    settings.SETTLE_QUARANTINE_SECONDS = 0
    return unfold(world)


def test_who_approved_that_on_what_information_under_which_rule(site, world, past, opened):
    """C1: found by a word, answered by one page."""
    page = opened(world.aud, "/history/")
    page.get_by_label("Search history").fill("two refund")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("heading", name="1 call")).to_be_visible()

    page.locator("tbody th a").click()
    drawer = page.get_by_role("complementary")

    expect(drawer.get_by_role("heading", level=2)).to_be_focused()
    expect(drawer).to_contain_text("Bo Tester approved")
    expect(drawer).to_contain_text("Cy Tester approved")
    expect(drawer).to_contain_text("“test”, rule 1 of policy version")
    expect(drawer).to_contain_text("same digest as approved")
    expect(drawer.locator(".args")).to_contain_text("customer")
    expect(drawer.locator(".chain li")).to_have_count(
        AuditEvent.objects.filter(stream=f"call:{past['two approvers'].pk}").count()
    )
    assert_sound(page)

    drawer.get_by_role("link", name="Its own page, in full").click()
    for words in ("Approved: every signature is there", "billing did it", "policy", "after"):
        expect(page.locator("main")).to_contain_text(words)


def test_fields_and_facets_narrow_and_the_address_can_be_shared(site, world, past, opened):
    """C2: another reader with the same address sees the same rows."""
    page = opened(world.aud, "/history/")
    for legend, label in (("Outcome", "Done"), ("Tool", "billing__refund"), ("Agent", "support")):
        facet = page.locator(".facet", has=page.get_by_role("heading", name=legend, exact=True))
        choice = facet.get_by_role("link").filter(has_text=label).first
        count = int(choice.locator(".count").inner_text().split()[0])
        choice.click()
        expect(page.get_by_role("heading", name=f"{count} call")).to_be_visible()
        expect(page.locator("tbody tr[data-call]")).to_have_count(count)
    assert query_of(page) == {"outcome": "succeeded", "tool": "billing__refund", "agent": "support"}

    other = opened(world.dee, page.url)
    ids = [page.locator("tr[data-call]").all(), other.locator("tr[data-call]").all()]
    mine, theirs = ([row.get_attribute("data-call") for row in rows] for rows in ids)
    assert mine == theirs

    page.locator(".chosen a", has_text="Done").click()
    expect(page.locator(".chosen a")).to_have_count(2)
    assert "outcome" not in query_of(page)


def test_every_field_of_the_form_applies(site, world, past, opened):
    page = opened(world.aud, "/history/")
    page.get_by_text("Narrow down by field").click()

    for label, value, key in (
        ("Outcome", "rejected", "outcome"),
        ("Trust domain", "billing", "domain"),
        ("Tool", "billing__refund", "tool"),
        ("Agent", "support", "agent"),
        ("Decided by", "bo", "decided"),
    ):
        page.get_by_role("combobox", name=label).select_option(value)
        page.wait_for_url(f"**{key}={value}*")
    expect(page.get_by_role("heading", name="1 call")).to_be_visible()
    today = past["rejected"].created_at.date()
    page.get_by_label("From").fill((today + timedelta(days=1)).isoformat())
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text("No such calls")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_role("heading", name=f"{len(past)} calls")).to_be_visible()


def test_an_auditor_reads_all_changes_nothing_and_every_read_is_kept(site, world, past, opened):
    """C5: what was read is in the reader's own stream."""
    page = opened(world.aud, "/history/?outcome=pending")
    before = reads()

    page.locator("tbody th a").first.click()
    page.locator(".drawer .chain").wait_for()
    assert reads() == before + 1
    page.keyboard.press("Escape")
    expect(page.locator(".drawer")).to_be_hidden()
    expect(page.locator("tbody th a").first).to_be_focused()
    assert "open" not in query_of(page)

    page.goto(f"/calls/{past['pending'].pk}/")
    assert reads() == before + 2
    expect(page.locator(".tile, form.approve, form.reject")).to_have_count(0)
    page.goto("/history/")
    page.get_by_role("link", name="What you read").click()
    expect(page.locator(".timeline li")).to_have_count(before + 2)
    page.locator(".timeline a").first.click()
    page.wait_for_url("**/calls/**")


def test_on_a_phone_and_without_scripts_a_row_opens_its_own_page(site, world, held_call, opened):
    call = held_call(S.SUCCEEDED)
    for options in ({"viewport": PHONE}, {"java_script_enabled": False}):
        page = opened(world.bo, "/history/", **options)
        page.locator("tbody th a").click()
        page.wait_for_url(f"**/calls/{call.pk}/")


def test_back_closes_the_drawer_and_an_open_one_can_be_shared(site, world, held_call, opened):
    held_call(S.SUCCEEDED)
    page = opened(world.bo, "/history/?q=refund")
    page.locator("tbody th a").click()
    page.locator(".drawer .chain").wait_for()

    shared = opened(world.cy, page.url)
    expect(shared.locator(".drawer .chain")).to_be_visible()
    shared.get_by_role("link", name="Close").click()
    expect(shared.locator(".drawer")).to_be_hidden()
    page.go_back()

    expect(page.locator(".drawer")).to_be_hidden()
    assert query_of(page) == {"q": "refund"}


def test_pages_of_the_history_follow_each_other(site, world, held_call, opened, monkeypatch):
    monkeypatch.setattr("approvals.web.history.PER_PAGE", 2)
    for number in range(1, 4):
        held_call(arguments={"amount": number})
    page = opened(world.bo, "/history/")

    page.get_by_role("link", name="Older").click()
    expect(page.locator("tr[data-call]")).to_have_count(1)
    page.get_by_role("link", name="Newest").click()
    expect(page.locator("tr[data-call]")).to_have_count(2)


def test_insights_change_with_period_and_domain_and_every_chart_has_a_table(
    site, world, held_call, opened
):
    held_call(S.EXPIRED, age=timedelta(days=40))
    call = worlds.hold(world, age=timedelta(minutes=2), arguments={"amount": 7})
    lifecycle.decide(call.pk, decider=world.bo, verdict="approve", binding=call.binding)
    page = opened(world.aud, "/history/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Insights").click()
    held = page.locator(".kpis div", has_text="Calls held").locator("dd").first

    expect(held).to_have_text("1")
    page.get_by_label("Period").select_option("90")
    page.get_by_label("Trust domain").select_option("billing")
    page.get_by_role("button", name="Show").click()
    expect(held).to_have_text("2")
    assert query_of(page) == {"days": "90", "domain": "billing"}
    for fold in page.get_by_text("As a table").all():
        fold.click()
    expect(page.get_by_role("row", name="2 to 5 min 1")).to_be_visible()
    page.get_by_role("link", name="billing__refund").click()
    expect(page.get_by_role("heading", name="2 calls")).to_be_visible()


def test_empty_pages_are_sound(site, world, opened):
    for address in ("/history/", "/history/?q=nothing", "/insights/", "/history/reads/"):
        assert_sound(opened(world.aud, address, viewport=PHONE))
