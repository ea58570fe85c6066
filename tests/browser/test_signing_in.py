"""Signing in with a second factor in a browser: an app, recovery codes, and passkeys."""

import pytest
from django.core.cache import cache

from approvals.models import AuditEvent
from tests.support.second_factor import code_for
from tests.support.world import PASSWORD

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _unlimited():
    cache.clear()


def sign_in(page, url=""):
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("Username").fill("bo")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def go_with_password(page, address):
    """Open a page that asks who it is, and answer."""
    page.goto(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(f"**{address.partition('/accounts')[2]}")


def test_an_app_is_set_up_and_asked_for(site, world, opened):
    page = opened(None, "/accounts/login/")
    sign_in(page)
    page.get_by_text("Nothing is waiting").first.wait_for()
    page.goto("/accounts/2fa/totp/activate/")
    go_with_password(page, "/accounts/2fa/totp/activate/")
    secret = page.locator("#secret").inner_text()
    page.get_by_label("Code the app shows").fill(code_for(secret))
    page.get_by_role("button", name="Set up").click()
    page.get_by_role("heading", name="10 of 10 left").wait_for()
    recovery = page.locator("#codes li").first.inner_text()

    page.get_by_role("button", name="Sign out").click()
    cache.clear()  # the app showed this code a moment ago, and a code works once
    sign_in(page)
    page.get_by_role("heading", name="One more step").wait_for()
    page.get_by_label("Code").fill(code_for(secret))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_text("Nothing is waiting").first.wait_for()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page)
    page.get_by_label("Code").fill(recovery)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_text("Nothing is waiting").first.wait_for()


def test_a_passkey_is_added_signs_in_alone_and_is_removed(site, world, opened):
    local = f"http://localhost:{site.port}"  # a browser gives passkeys to names, not to numbers
    page = opened(None, f"{local}/accounts/login/")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
        "hasUserVerification": True, "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }  # fmt: skip
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    sign_in(page, local)
    page.get_by_text("Nothing is waiting").first.wait_for()

    go_with_password(page, f"{local}/accounts/2fa/webauthn/add/")
    page.get_by_label("Name").fill("work laptop")
    page.get_by_role("button", name="Add it").click()
    page.wait_for_url("**/recovery-codes/")
    page.goto(f"{local}/accounts/2fa/webauthn/")
    page.get_by_text("work laptop").wait_for()
    page.get_by_role("link", name="Rename work laptop").click()
    page.get_by_label("Name").fill("old laptop")
    page.get_by_role("button", name="Rename").click()
    page.get_by_text("passkey, signs in by itself").wait_for()

    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{local}/accounts/login/")
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_text("Nothing is waiting").first.wait_for()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, local)
    page.get_by_role("button", name="Use a passkey or security key").click()
    page.get_by_text("Nothing is waiting").first.wait_for()

    page.goto(f"{local}/accounts/2fa/webauthn/")
    page.get_by_role("link", name="Remove old laptop").click()
    page.get_by_role("link", name="Use a security key").click()
    page.get_by_role("button", name="Use a passkey or security key").click()
    page.get_by_role("button", name="Remove it").click()
    page.get_by_text("The key is removed.").wait_for()

    codes = AuditEvent.objects.filter(stream="person:bo").values_list("code", flat=True)
    assert "person.second_factor_added" in codes
    assert "person.second_factor_removed" in codes


def test_a_passkey_that_is_not_there_is_told_in_words(site, world, opened):
    page = opened(None, f"http://localhost:{site.port}/accounts/login/")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    page.evaluate(
        "() => { navigator.credentials.get = () => "
        "Promise.reject(new DOMException('no', 'NotAllowedError')); }"
    )

    page.get_by_role("button", name="Use a passkey").click()

    page.get_by_text("No key was used.").wait_for()
