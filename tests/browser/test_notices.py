"""The browser's own notices of new calls: wished for, allowed, and nobody is looking."""

import pytest
from playwright.sync_api import expect

from approvals.models import Person

pytestmark = pytest.mark.browser

# What the browser would show is kept instead; whether a tab has focus is said by the test.
WATCHED = """
window.notices = [];
window.focused = false;
Document.prototype.hasFocus = () => window.focused;
window.Notification = class {
  static permission = "granted";
  constructor(title, options) { window.notices.push({ title, ...options }); }
  close() {}
};
"""


@pytest.fixture
def tabs(site, world, live):
    """Return a maker of tabs of Bo's one browser, each with the notices it gave."""

    def open_tabs(wants, number=1, permission="granted"):
        Person.objects.filter(pk=world.bo.pk).update(wants_notices=wants)
        first = live(world.bo)
        pages = [first, *[first.context.new_page() for _ in range(number - 1)]]
        for page in pages:
            page.add_init_script(WATCHED.replace("granted", permission))
            page.goto("/")
            page.get_by_text("Live", exact=True).wait_for()
        return pages

    return open_tabs


def arrive(page, call):
    expect(page.locator(f"#call-{call.pk}")).to_be_visible()
    page.wait_for_timeout(400)
    return page.evaluate("window.notices")


def test_a_new_call_is_told_with_its_sentence_when_no_tab_has_focus(held_call, tabs):
    (page,) = tabs(wants=True)

    call = held_call()

    (notice,) = arrive(page, call)
    assert notice["title"] == "A call waits for you"
    assert notice["body"].startswith("Refund · amount 42000")
    assert notice["tag"] == str(call.pk)
    expect(page).to_have_title("Queue, 1 waiting · Countersign")


@pytest.mark.parametrize("focused", [0, 1])
def test_while_a_tab_of_mine_has_focus_no_tab_tells(held_call, tabs, focused):
    pages = tabs(wants=True, number=2)
    pages[focused].evaluate("window.focused = true")

    call = held_call()

    assert [arrive(page, call) for page in pages] == [[], []]
    expect(pages[0]).to_have_title("Queue, 1 waiting · Countersign")


@pytest.mark.parametrize(("wants", "permission"), [(False, "granted"), (True, "denied")])
def test_who_does_not_want_it_or_did_not_allow_it_has_none(held_call, tabs, wants, permission):
    (page,) = tabs(wants=wants, permission=permission)

    assert arrive(page, held_call()) == []
