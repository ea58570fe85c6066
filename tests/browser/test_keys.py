"""Single keys: they read and choose, on the call that is shown, and never confirm."""

import pytest
from playwright.sync_api import expect

from approvals.models import Person, ToolCall

pytestmark = pytest.mark.browser


@pytest.fixture
def three(held_call):
    return [held_call(arguments={"amount": number}) for number in (1, 2, 3)]


def assert_read(page, call):
    expect(page.locator(f'#pane [data-shows="{call.pk}"]')).to_be_visible()
    expect(page.locator(f"#call-{call.pk} .what")).to_have_attribute("aria-current", "true")


def test_j_and_k_read_the_neighbour(site, world, three, live):
    page = live(world.bo)
    first, second, _ = three

    page.keyboard.press("j")
    assert_read(page, first)
    page.keyboard.press("j")
    assert_read(page, second)
    page.keyboard.press("k")

    assert_read(page, first)
    expect(page.locator(f"#call-{first.pk} .what")).to_be_focused()


def test_a_and_r_choose_escape_takes_it_back_and_nothing_confirms(site, world, three, live):
    page = live(world.bo)
    page.keyboard.press("j")
    assert_read(page, three[0])
    approve, reject = (
        page.locator(f".decide [name=decision][value={word}]") for word in ("approve", "reject")
    )

    page.keyboard.press("a")
    expect(approve).to_be_checked()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(approve).not_to_be_checked()
    page.keyboard.press("r")
    expect(reject).to_be_checked()
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("jar?")
    expect(page.get_by_label("Reason")).to_have_value("jar?")
    expect(reject).to_be_checked()

    assert ToolCall.objects.filter(status="pending").count() == 3


def test_keys_act_only_on_the_call_that_is_shown(site, world, three, live):
    page = live(world.bo)
    page.keyboard.press("j")
    assert_read(page, three[0])

    page.locator(f"#call-{three[2].pk} .what").focus()
    page.keyboard.press("a")

    expect(page.locator(".decide :checked")).to_have_count(0)


def test_the_list_of_keys_opens_and_closes(site, world, three, live):
    page = live(world.bo)
    dialog = page.get_by_role("dialog", name="Keys")

    page.keyboard.press("?")
    expect(dialog).to_be_visible()
    expect(page.get_by_role("heading", name="Keys")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("[data-shows]")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="All keys").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_who_switched_keys_off_has_none(site, world, three, live):
    Person.objects.filter(pk=world.bo.pk).update(uses_single_keys=False)
    page = live(world.bo, f"/?call={three[0].pk}")

    for key in ("j", "a", "r", "?"):
        page.keyboard.press(key)

    expect(page.locator(".decide :checked")).to_have_count(0)
    expect(page.locator("dialog")).to_have_count(0)
    assert page.url.endswith(str(three[0].pk))


def test_keys_with_a_modifier_are_the_browsers(site, world, three, live):
    page = live(world.bo, f"/?call={three[0].pk}")

    page.keyboard.press("Alt+a")
    page.keyboard.press("Control+j")

    expect(page.locator(".decide :checked")).to_have_count(0)
    assert page.url.endswith(str(three[0].pk))
