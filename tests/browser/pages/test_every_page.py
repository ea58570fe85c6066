"""Every page, in each look and with each thing open: sound, in view, by keyboard, within limits."""

from pathlib import Path
from typing import Literal

import axe_playwright_python
import httpx2
import pytest
from playwright.sync_api import ViewportSize

from approvals.models import Decision, ToolCall
from tests.browser.conftest import READING_MS
from tests.browser.pages.opening import ARRIVALS, OPENS
from tests.browser.pages.table import NO_PAGES, PAGES, Page
from tests.browser.pages.visiting import heard, visit
from tests.support import hostile

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RUN_AXE = """async () => {
    const found = await axe.run(document, {resultTypes: ["violations"], preload: false});
    return found.violations.map(one => [one.id, ...one.nodes.map(node => node.html)]);
}"""
SIZES = {"phone": (390, 844), "small": (1024, 768), "desk": (1440, 900)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
ZOOMED: ViewportSize = {"width": 320, "height": 256}  # 1280 × 1024 at 400 %
MOST_BYTES = 120_000  # of style and script on a first load, compressed
ERRORS = {"400", "403", "403_csrf", "404", "429", "500"}

each = pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)


def test_every_address_has_a_page_here_or_a_reason():
    names = {entry.name for entry in PAGES}

    assert sorted(hostile.pages()) == sorted((names - ERRORS) | NO_PAGES.keys())
    assert names >= ERRORS
    assert not names & NO_PAGES.keys()


def test_every_way_to_open_something_is_gone():
    assert {opened for entry in PAGES for opened in entry.opens} == OPENS.keys()
    assert {entry.arrive for entry in PAGES if entry.arrive} == ARRIVALS.keys()


def test_so_many_combinations_are_looked_at():
    views = sum(1 + len(entry.opens) for entry in PAGES)

    assert views * len(SIZES) * len(SCHEMES) == 684


def width_of(tab):
    return tab.evaluate("document.documentElement.scrollWidth")


def violations(tab):
    if not tab.evaluate("typeof axe === 'object'"):
        tab.evaluate(AXE)
    return tab.evaluate(RUN_AXE)


@each
def test_a_page_is_sound_in_every_look(stage, entry):
    for opened in ("", *entry.opens):
        tab = visit(stage, entry, opened)
        for width, height in SIZES.values():
            tab.set_viewport_size(ViewportSize(width=width, height=height))
            for scheme in SCHEMES:
                tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                assert violations(tab) == [], (opened, width, scheme)
            assert width_of(tab) <= width, opened
        tab.set_viewport_size(ZOOMED)
        assert width_of(tab) <= ZOOMED["width"], opened
        assert tab.evaluate("document.getAnimations().length") == 0, opened

    assert heard(stage) == []


# What can have focus; of radio buttons of one name, Tab reaches one. A part of a page may be
# replaced by its like meanwhile, so things are known by place and markup.
TABBABLE = """() => {
    const can = 'a[href], button, input:not([type=hidden]), select, textarea, summary, '
        + '[tabindex="0"]';
    const all = () => [...document.querySelectorAll(can)].filter(one => !one.disabled
        && one.tabIndex >= 0 && one.checkVisibility({visibilityProperty: true}));
    const looks = one => {
        const said = [];
        for (let at = one, up = 0; at && up < 4; at = at.parentElement, up++) {
            const style = getComputedStyle(at);
            said.push(style.outline, style.boxShadow, style.borderColor, style.backgroundColor);
        }
        return said.join();
    };
    const key = (one, place) => one.type === 'radio' ? `radio ${one.name}`
        : `${place} ${one.outerHTML.slice(0, 120)}`;
    const before = new Map(all().map((one, place) => [place, looks(one)]));
    window.reached = () => {
        const one = document.activeElement, place = all().indexOf(one);
        if (place < 0) return null;
        const box = (one.labels?.[0] ?? one).getBoundingClientRect();
        const isIn = box.bottom > 0 && box.top < innerHeight && box.right > 0;
        return [key(one, place), looks(one) !== before.get(place), isIn];
    };
    return [...new Set(all().map(key))];
}"""


@each
def test_everything_on_a_page_is_reached_by_tab_and_shows_it(stage, entry):
    tab = visit(stage, entry)
    expected = set(tab.evaluate(TABBABLE))
    unseen, out, hidden = set(expected), set(), set()
    for _ in range(2 * len(expected) + 20):  # the parts of a date are places of their own
        if not unseen:
            break
        tab.keyboard.press("Tab")
        if found := tab.evaluate("reached()"):
            key, is_marked, is_in = found
            unseen.discard(key)
            hidden |= set() if is_marked else {key}
            out |= set() if is_in else {key}

    assert (unseen, hidden, out) == (set(), set(), set())
    assert expected


def weight(address, seen):
    """Return how many bytes a style sheet or a script is on its way to a browser."""
    if address not in seen:
        with httpx2.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
            seen[address] = sum(len(part) for part in answer.iter_raw())
    return seen[address]


def test_first_loads_are_light(stage):
    seen: dict[str, int] = {}
    weights: dict[str, int] = {}
    for entry in PAGES:
        tab = visit(stage, entry)
        loaded = tab.evaluate(
            "performance.getEntriesByType('resource').map(one => one.name)"
            ".filter(name => /[.](js|css)$/.test(name))"
        )
        weights[entry.title] = sum(weight(address, seen) for address in set(loaded))

    assert max(weights.values()) <= MOST_BYTES, weights
    assert min(weights.values()) > 0
    assert any(address.endswith(".js") for address in seen)


def test_zoomed_to_400_percent_a_call_is_read_and_decided(stage):
    tab = visit(stage, Page("call", "bo", "/calls/{plain}/"))
    tab.set_viewport_size(ZOOMED)
    stage.touched()
    tab.wait_for_timeout(READING_MS)
    tab.locator(".tile", has_text="Reject").click()
    tab.get_by_label("Reason").fill("Too small.")
    tab.get_by_role("button", name="Reject and tell the agent").click()
    tab.get_by_text("Rejected").first.wait_for()

    assert Decision.objects.get(call_id=stage.names["plain"]).reason == "Too small."
    assert ToolCall.objects.get(pk=stage.names["plain"]).status == "rejected"
