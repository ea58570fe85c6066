"""Second factors: set up, asked for at sign-in, taken away; each is told in the trail."""

import json
import re
from datetime import UTC, datetime

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.management import call_command
from django.utils import timezone

from approvals.models import AuditEvent, Person
from tests.support.second_factor import code_for
from tests.support.visiting import text_of, visitor
from tests.support.world import PASSWORD

PAGES = ["", "totp/activate/", "webauthn/", "webauthn/add/"]


@pytest.fixture(autouse=True)
def _unlimited():
    """Begin each test with no tries counted; they live in the process's cache."""
    cache.clear()


def signed_in(person):
    """Return a browser that signed in with the password, and gave it again just now."""
    client = visitor()
    client.post("/accounts/login/", {"login": person.username, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def with_app(person):
    """Set up an app through the pages; return the browser and the secret."""
    client = signed_in(person)
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    found = re.search(r'id="secret">(\w+)<', page)
    assert found
    response = client.post("/accounts/2fa/totp/activate/", {"code": code_for(found[1])})
    assert response.status_code == 302, text_of(response)
    return client, found[1]


def codes(person):
    events = AuditEvent.objects.filter(stream=f"person:{person.username}").order_by("seq")
    return [(e.code, json.loads(bytes(e.data)).get("kind")) for e in events][1:]


def test_the_pages_ask_for_the_password_again(world):
    client = visitor(world.bo)

    response = client.get("/accounts/2fa/totp/activate/")

    assert response["Location"].startswith("/accounts/reauthenticate/")
    assert "Is it you?" in text_of(client.get(response["Location"]))
    assert client.get("/accounts/2fa/").status_code == 200


@pytest.mark.parametrize("address", PAGES)
def test_no_page_has_what_the_policy_of_its_content_forbids(world, address):
    response = signed_in(world.bo).get(f"/accounts/2fa/{address}")
    body = response.content.decode()

    assert response.status_code == 200
    for forbidden in (" style=", "<style", "javascript:", "<script>", "data:image"):
        assert forbidden not in body
    assert not re.search(r"<[^>]* on[a-z]+=", body)


def test_an_app_is_set_up_with_a_code_it_shows(world):
    client = signed_in(world.bo)
    page = client.get("/accounts/2fa/totp/activate/").content.decode()

    wrong = client.post("/accounts/2fa/totp/activate/", {"code": "000000"})

    assert "<svg" in page
    assert "Incorrect code." in text_of(wrong)
    assert not Authenticator.objects.exists()


def test_with_an_app_the_password_alone_signs_nobody_in(world):
    with_app(world.bo)
    client = visitor()

    asked = client.post("/accounts/login/", {"login": "bo", "password": PASSWORD}, follow=True)
    inside = client.get("/").status_code
    wrong = client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    still = client.get("/").status_code

    assert "One more step" in text_of(asked)
    assert (inside, still) == (302, 302)
    assert "Incorrect code." in text_of(wrong)


def test_a_code_signs_in_and_a_recovery_code_does_so_once(world):
    client, secret = with_app(world.bo)
    listed = client.get("/accounts/2fa/recovery-codes/").content.decode()
    recovery = re.findall(r"<li>(\d{8})</li>", listed)
    cache.clear()  # the app's code was used in this half minute already

    def enter(code):
        client = visitor()
        client.post("/accounts/login/", {"login": "bo", "password": PASSWORD})
        client.post("/accounts/2fa/authenticate/", {"code": code})
        return client.get("/").status_code

    assert len(recovery) == 10
    assert enter(code_for(secret)) == 200
    assert [enter(recovery[0]), enter(recovery[0])] == [200, 302]


def test_tries_are_limited(world):
    with_app(world.bo)
    client = visitor()
    client.post("/accounts/login/", {"login": "bo", "password": PASSWORD})

    answers = [
        text_of(client.post("/accounts/2fa/authenticate/", {"code": "000000"})) for _ in range(12)
    ]

    assert "Incorrect code." in answers[0]
    assert "Too many failed login attempts" in answers[-1]


def test_an_app_is_taken_away_after_a_second_step_and_all_of_it_is_told(
    world, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        client, _ = with_app(world.bo)

    asked = client.get("/accounts/2fa/totp/deactivate/")
    before = Authenticator.objects.count()
    client.post("/accounts/2fa/totp/deactivate/")

    assert "Take the authenticator app away?" in text_of(asked)
    assert before == 2
    assert not Authenticator.objects.exists()
    assert sorted(codes(world.bo)[:2]) == [
        ("person.second_factor_added", "recovery_codes"),
        ("person.second_factor_added", "totp"),
    ]
    assert codes(world.bo)[2:] == [
        ("person.second_factor_removed", "totp"),
        ("person.second_factor_removed", "recovery_codes"),
    ]


def test_recovery_codes_are_made_anew_and_downloaded(world, django_capture_on_commit_callbacks):
    client, _ = with_app(world.bo)
    listed = client.get("/accounts/2fa/recovery-codes/").content.decode()

    asked = text_of(client.get("/accounts/2fa/recovery-codes/generate/"))
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/2fa/recovery-codes/generate/")
    again = client.get("/accounts/2fa/recovery-codes/").content.decode()
    file = client.get("/accounts/2fa/recovery-codes/download/")

    assert "The 10 you have left stop working." in asked
    assert set(re.findall(r"<li>(\d{8})", listed)) != set(re.findall(r"<li>(\d{8})", again))
    assert "attachment" in file["Content-Disposition"]
    assert ("person.second_factor_renewed", "recovery_codes") in codes(world.bo)


def test_whoever_lost_everything_is_helped_from_the_shell(world, capsys):
    with_app(world.bo)

    call_command("forget_second_factor", "bo")

    assert "recovery_codes, totp" in capsys.readouterr().out
    assert signed_in(world.bo).get("/").status_code == 200
    assert codes(world.bo)[-1] == ("person.second_factor_forgotten", None)


def test_a_passkey_nobody_has_signs_nobody_in(world):
    client = visitor()

    begun = client.get("/accounts/2fa/webauthn/login/", headers={"Accept": "application/json"})
    client.post("/accounts/2fa/webauthn/login/", {"credential": "{}"})

    assert "challenge" in begun.json()["request_options"]["publicKey"]
    assert client.get("/").status_code == 302


def test_there_is_no_sign_up_by_passkey(world):
    assert visitor().get("/accounts/2fa/webauthn/signup/").status_code == 404


def test_when_a_key_was_added_and_used_is_told_in_the_readers_zone(world):
    client = signed_in(world.bo)
    key = Authenticator.objects.create(
        user=world.bo,
        type=Authenticator.Type.WEBAUTHN,
        data={"name": "blue", "credential": {"clientExtensionResults": {}}},
    )
    added = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)
    Authenticator.objects.filter(pk=key.pk).update(created_at=added, last_used_at=added)

    plain = text_of(client.get("/accounts/2fa/webauthn/"))
    Person.objects.filter(pk=world.bo.pk).update(time_zone="Asia/Kolkata")
    theirs = text_of(client.get("/accounts/2fa/webauthn/"))

    assert plain.count("5 Jan 2026, 23:30 ") == 2
    assert theirs.count("6 Jan 2026, 05:00 +05:30") == 2
    assert timezone.get_current_timezone_name() == "UTC"
