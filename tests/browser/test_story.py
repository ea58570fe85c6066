"""Story: two approvers have the queue open; an agent asks, one approves, the other sees it."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import READING_MS
from tests.flows.errands import EXAMPLES, REFUND, refund
from tests.support.running import PASSWORD, Installation

pytestmark = pytest.mark.browser

SOON = 2_000  # ms: a second, and as much again for a busy machine


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a whole Countersign in processes of its own."""
    installation = Installation(tmp_path_factory.mktemp("story"))
    installation.populate(examples=EXAMPLES, agents={"support": 25})
    with installation.running():
        yield installation


@pytest.fixture
def signed_in(browser: Browser, installation: Installation) -> Iterator[Callable[[str], Page]]:
    """Return a maker of browsers in which somebody has signed in by the form."""
    contexts: list[BrowserContext] = []

    def sign_in(name: str) -> Page:
        context = browser.new_context(base_url=installation.url)
        contexts.append(context)
        page = context.new_page()
        page.goto("/")
        page.locator("[name=login]").fill(name)
        page.locator("[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=10_000)
        # A reload would wipe this away.
        page.evaluate("window.isSamePage = true")
        return page

    yield sign_in
    for context in contexts:
        context.close()


def is_same(page: Page) -> bool:
    return bool(page.evaluate("window.isSamePage === true"))


def test_call_appears_live_in_both_one_approves_and_the_other_sees_it(installation, signed_in):
    bo, cy = signed_in("bo"), signed_in("cy")
    aud, asked = installation.person("aud"), refund()

    begun = installation.sdk().begin(REFUND, asked)
    call_id = aud.held(asked)
    rows = [page.locator(f"#call-{call_id}") for page in (bo, cy)]
    for row in rows:
        expect(row).to_contain_text("Refund a customer", timeout=SOON)
    assert is_same(bo)
    assert is_same(cy)

    rows[0].locator("a").first.click()
    bo.locator(".decide").wait_for()
    bo.wait_for_timeout(READING_MS)
    bo.locator(".tile", has_text="Approve").click()
    assert aud.call(call_id)["status"] == "pending"  # one press decides nothing
    assert installation.refunds(call_id) == []
    bo.get_by_role("button", name="Approve and let it run").click()

    expect(cy.locator("#lately")).to_contain_text("Bo Tester", timeout=SOON)
    expect(rows[1]).to_contain_text("by Bo Tester", timeout=SOON)
    expect(rows[1].locator(".ring")).to_have_count(0, timeout=SOON)
    answer = begun.result(30)
    expect(bo.locator("#state")).to_contain_text("Done", timeout=SOON)
    expect(bo.get_by_text("It runs as soon as a worker takes it.")).to_have_count(0)
    assert is_same(bo)
    assert is_same(cy)
    (paid,) = installation.refunds(call_id)
    assert paid["amount"] == asked["amount"]
    assert answer.facts["id"] == paid["id"]


def test_rejection_in_the_browser_reaches_the_agent_word_for_word(installation, signed_in):
    bo, paid = signed_in("bo"), len(installation.refunds())
    begun = installation.sdk().begin(REFUND, refund())

    bo.locator("[data-call] a").first.click()
    bo.locator(".decide").wait_for()
    bo.wait_for_timeout(READING_MS)
    bo.locator(".tile", has_text="Reject").click()
    bo.get_by_label("Reason").fill("Ask the customer for a photo first.")
    bo.get_by_role("button", name="Reject and tell the agent").click()

    assert "Ask the customer for a photo first." in begun.result(30).text
    assert len(installation.refunds()) == paid
