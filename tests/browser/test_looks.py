"""Every page on a desk and on a phone, light and dark: accessible, within its width, in view."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from approvals import lifecycle, observations, submission
from approvals.models import Domain, ToolCall
from tests.browser.conftest import READING_MS

pytestmark = pytest.mark.browser

S = ToolCall.Status
SIZES = {
    "desk": {"width": 1440, "height": 900},
    "small": {"width": 1024, "height": 768},
    "phone": {"width": 390, "height": 844},
}
LONG = {"amount": 1, "customer": "cus_" + "8241" * 100, "memo": "a\u202eb\n" * 30 + "W" * 700}


@pytest.fixture(
    params=[(size, scheme) for size in SIZES for scheme in ("light", "dark")], ids="-".join
)
def look(request):
    size, scheme = request.param
    return {"viewport": SIZES[size], "color_scheme": scheme}


def assert_sound(page):
    """No violation of accessibility rules, and nothing wider than the screen."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]


def test_sign_in_is_sound(site, world, opened, look):
    page = opened(None, "/accounts/login/", **look)
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()

    assert_sound(page)


def test_the_queue_is_sound(site, world, held_call, opened, look):
    held_call(quorum=2)
    held_call(arguments=LONG)
    held_call(S.UNKNOWN, arguments={"amount": 2})
    held_call(S.REJECTED, arguments={"amount": 3})

    assert_sound(opened(world.bo, **look))


def test_a_call_to_decide_is_sound(site, world, held_call, opened, look):
    Domain.objects.update(four_eyes=False)
    page = opened(world.bo, f"/calls/{held_call(arguments=LONG).pk}/", **look)
    assert_sound(page)

    page.locator(".tile", has_text="Reject").click()
    for fold in page.locator("details").all():
        fold.evaluate("fold => fold.open = true")
    assert_sound(page)


def test_a_call_beside_the_queue_is_sound(site, world, held_call, opened, look):
    call = held_call(arguments=LONG, quorum=2)
    lifecycle.decide(call.pk, decider=world.cy, verdict="approve", binding=call.binding)
    observations.looked(call, world.cy)
    page = opened(world.bo, f"/?call={call.pk}", **look)
    assert_sound(page)

    for choice in ("Approve", "Reject"):
        page.locator(".tile", has_text=choice).click()
        assert_sound(page)
    page.locator("#c-h").click()
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    assert_sound(page)


def test_what_a_call_replaces_is_sound(site, world, opened, look):
    def ask(amount, supersedes=None):
        request = submission.Request(
            agent_id=world.agent.pk, key_id=None, tool_id=world.refund.pk,
            arguments={**LONG, "amount": amount}, supersedes=supersedes,
        )  # fmt: skip
        return submission.submit(request).call

    old = ask(1)
    new = ask(2, old.pk)

    for call in (old, new):
        assert_sound(opened(world.bo, f"/calls/{call.pk}/", **look))


def test_the_history_is_sound(site, world, held_call, opened, look):
    for number, status in enumerate(S.values, 1):
        held_call(status, arguments={"amount": number})
    held_call(arguments=LONG)

    assert_sound(opened(world.bo, "/history/", **look))


@pytest.mark.parametrize("status", sorted(set(S.values) - {"pending"}))
def test_each_state_is_sound(site, world, held_call, opened, settings, status):
    settings.SETTLE_QUARANTINE_SECONDS = 0

    assert_sound(opened(world.bo, f"/calls/{held_call(status).pk}/", viewport=SIZES["phone"]))


def test_empty_lists_are_sound(site, world, opened):
    assert_sound(opened(world.bo))
    assert_sound(opened(world.bo, "/history/"))


def test_what_stands_beside_the_main_pages_is_sound(site, world, opened):
    for address in ("/accounts/password/change/", "/accounts/logout/", "/nowhere/"):
        assert_sound(opened(world.bo, address, refused=404, viewport=SIZES["phone"]))


def test_a_refusal_is_sound(site, world, held_call, opened):
    call = held_call(quorum=2)
    page = opened(world.bo, f"/calls/{call.pk}/", refused=409)
    page.locator("form.approve input[name=binding]").evaluate("field => field.value = 'stale'")
    page.wait_for_timeout(READING_MS)
    page.locator(".tile", has_text="Approve").click()
    page.locator("form.approve button").click()

    page.get_by_role("alert").wait_for()
    assert_sound(page)


def test_on_a_phone_what_has_focus_is_never_under_the_dock(site, world, held_call, opened):
    page = opened(world.bo, f"/calls/{held_call().pk}/", viewport=SIZES["phone"])
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
    page = opened(world.bo, f"/calls/{held_call().pk}/", viewport=SIZES["phone"])

    for target in page.locator(".tile, .rail .btn, .rail .me").all():
        if target.is_visible():
            box = target.bounding_box()
            assert min(box["width"], box["height"]) >= 24, target
    for tile in page.locator(".tile").all():
        assert tile.bounding_box()["height"] >= 44


def test_zoomed_to_400_percent_everything_reflows(site, world, held_call, opened):
    call = held_call(arguments=LONG)

    for address in ("/", f"/calls/{call.pk}/", "/history/"):
        page = opened(world.bo, address, viewport={"width": 320, "height": 256})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_without_motion_nothing_moves(site, world, held_call, opened):
    call = held_call(S.DISPATCHED)
    page = opened(world.bo, f"/calls/{call.pk}/", reduced_motion="reduce")

    assert page.evaluate("document.getAnimations().length") == 0


def test_both_choices_have_the_same_weight(site, world, held_call, opened):
    page = opened(world.bo, f"/calls/{held_call().pk}/")
    looks = """tile => {
        const style = getComputedStyle(tile), box = tile.getBoundingClientRect();
        return [box.width, box.height, style.fontWeight, style.fontSize, style.borderColor,
                style.backgroundColor, style.color, style.boxShadow].join();
    }"""

    approve, reject = (tile.evaluate(looks) for tile in page.locator(".tile.big").all())

    assert approve == reject
