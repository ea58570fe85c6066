"""What will run, and what is unusual about it: every fold opens, every link leads where it says."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support import world as worlds

pytestmark = pytest.mark.browser

SIZES = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
MEMO = "Sorry about the lamp. " + "It was the post. " * 60 + "Pay \u202e00.024$\u202c now."
NESTED = {"parts": [{"sku": f"LAMP-{n}", "count": n} for n in range(9)]}
DEEP = {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": "W" * 300}}}}}}}}


@pytest.fixture
def odd_call(world, held_call):
    """Return a call that is unusual in several ways, after twelve usual ones."""
    for day in range(1, 13):
        usual = {**worlds.REFUND, "amount": 8_400 + day, "invoice": f"in_{day}"}
        held_call(age=timedelta(days=day), arguments=usual)
    odd = {**worlds.REFUND, "currency": "eur", "memo": MEMO, "order": NESTED, "more": DEEP}
    return held_call(arguments={**odd, "n" * 90: True})


def test_what_is_folded_opens_and_each_line_leads_to_what_it_compares_with(
    site, world, odd_call, opened
):
    page = opened(world.bo, f"/calls/{odd_call.pk}/")
    checks = page.locator(".checks li")
    expect(checks).to_have_count(5)
    expect(checks.first).to_contain_text("they change the order of reading")

    checks.first.get_by_role("link", name="The value").click()
    row = page.locator("tr:target")
    expect(row).to_contain_text("memo")
    expect(row).to_be_in_viewport()

    middle = row.locator(".middle")
    expect(middle.locator("bdi")).to_be_hidden()
    middle.locator("summary").click()
    expect(middle.locator("bdi")).to_be_visible()

    part = page.get_by_text("LAMP-8", exact=True)
    expect(part).to_be_hidden()  # many parts, and none of them marked
    page.get_by_text("The 1 field of order", exact=True).click()
    expect(page.get_by_text("9 items", exact=True)).to_be_visible()
    page.get_by_text("The 9 items of order.parts", exact=True).click()
    expect(part).to_be_visible()

    page.get_by_text("All of its name").click()
    expect(page.get_by_text("n" * 90, exact=True)).to_be_visible()
    page.get_by_text("The arguments, byte for byte").click()
    expect(page.locator("pre").first).to_contain_text('"currency":"eur"')

    page.get_by_role("link", name="Its earlier calls").click()
    expect(page).to_have_url(f"{site.url}/history/?tool=billing__refund&agent=support")


def test_a_link_opens_the_fold_its_value_is_in(site, world, held_call, opened):
    held_call()
    many = [*("x" * n for n in range(1, 20)), "a\u200bb"]
    page = opened(world.bo, f"/calls/{held_call(arguments={'amount': 1, 'memo': many}).pk}/")
    page.locator("details", has_text="The 20 items of memo").last.evaluate("d => d.open = false")
    expect(page.locator("#arg-22")).to_be_hidden()

    page.get_by_role("link", name="The value").first.click()

    expect(page.locator("#arg-22")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_sound_with_every_fold_open(site, world, odd_call, opened, size, scheme):
    page = opened(
        world.bo, f"/calls/{odd_call.pk}/#arg-1", viewport=SIZES[size], color_scheme=scheme
    )
    for fold in page.locator("details").all():
        fold.evaluate("fold => fold.open = true")

    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
