"""What is more than sound: focus in view, targets large enough, choices of the same weight."""

import pytest

from tests.browser.conftest import PHONE

pytestmark = pytest.mark.browser


def test_on_a_phone_what_has_focus_is_never_under_the_dock(site, world, held_call, opened):
    page = opened(world.bo, f"/calls/{held_call().pk}/", viewport=PHONE)
    dock = page.locator(".decide").bounding_box()["y"]

    for _ in range(40):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
                const focused = document.activeElement;
                if (focused === document.body || focused.closest(".decide")) return null;
                const box = focused.getBoundingClientRect();
                return [box.top, box.bottom];
            }"""
        )
        if place:
            assert place[0] >= 0
            assert place[1] <= dock


def test_on_a_phone_targets_are_large_enough(site, world, held_call, opened):
    page = opened(world.bo, f"/calls/{held_call().pk}/", viewport=PHONE)

    for target in page.locator(".tile, .rail .btn, .rail .me").all():
        if target.is_visible():
            box = target.bounding_box()
            assert min(box["width"], box["height"]) >= 24, target
    for tile in page.locator(".tile").all():
        assert tile.bounding_box()["height"] >= 44


def test_both_choices_have_the_same_weight(site, world, held_call, opened):
    page = opened(world.bo, f"/calls/{held_call().pk}/")
    looks = """tile => {
        const style = getComputedStyle(tile), box = tile.getBoundingClientRect();
        return [box.width, box.height, style.fontWeight, style.fontSize, style.borderColor,
                style.backgroundColor, style.color, style.boxShadow].join();
    }"""

    approve, reject = (tile.evaluate(looks) for tile in page.locator(".tile.big").all())

    assert approve == reject
