"""What is true of every page: sign-in, the policy of its content, light and dark, refusals."""

import re

import pytest
from django.contrib.messages import get_messages
from django.core.paginator import Paginator

from approvals.models import Person
from tests.support.visiting import page_of, text_of, visitor
from tests.support.world import PASSWORD

PAGES = ["/", "/history/", "/accounts/password/change/", "/nowhere/"]
PAGES += ["/insights/", "/catalogue/", "/policies/", "/settings/"]


def sign_in(client, name="bo", password=PASSWORD, **more):
    return client.post("/accounts/login/", {"login": name, "password": password, **more})


def test_signing_in_leads_where_one_was_going(world, held_call):
    address = page_of(held_call())
    client = visitor()

    asked = client.get(address, follow=True)
    response = sign_in(client, next=address)

    assert "You were about to look at a call." in text_of(asked)
    assert f'value="{address}"' in asked.content.decode()
    assert response["Location"] == address
    assert client.get(address).status_code == 200


@pytest.mark.parametrize(("name", "password"), [("bo", "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_look_the_same(world, name, password):
    response = sign_in(visitor(), name, password)

    assert response.status_code == 200
    assert "The username and/or password you specified are not correct." in text_of(response)


def test_signing_in_leads_nowhere_else(world):
    assert sign_in(visitor(), next="https://evil.example/")["Location"] == "/"


def test_somebody_switched_off_cannot_sign_in_and_loses_their_session(world):
    client = visitor(world.bo)
    Person.objects.filter(pk=world.bo.pk).update(is_active=False)

    assert client.get("/").status_code == 302
    assert not sign_in(visitor()).wsgi_request.user.is_authenticated


def test_signing_out_takes_a_post(world):
    client = visitor(world.bo)

    assert client.get("/accounts/logout/").status_code == 200
    assert client.get("/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("page", ["signup/", "password/reset/", "email/", "login/code/confirm/"])
def test_there_is_no_sign_up_and_no_page_that_sends_mail(world, page):
    assert visitor().get(f"/accounts/{page}").status_code == 404


def test_a_password_is_changed_and_a_poor_one_refused(world):
    client = visitor(world.bo)
    good = {
        "oldpassword": PASSWORD,
        "password1": "a new long phrase",
        "password2": "a new long phrase",
    }

    poor = client.post("/accounts/password/change/", {**good, "password1": "1", "password2": "1"})
    client.post("/accounts/password/change/", good)

    assert "too short" in text_of(poor)
    assert sign_in(visitor(), password="a new long phrase").status_code == 302


@pytest.mark.parametrize("page", PAGES)
def test_every_page_forbids_what_it_does_not_need(world, page):
    response = visitor(world.bo).get(page)

    policy = response["Content-Security-Policy"]
    for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert response["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_what_its_policy_forbids(world, held_call, page):
    held_call()
    body = visitor(world.bo).get(page).content.decode()

    # No inline style, script or handler, and nothing from elsewhere.
    for forbidden in (" style=", "<style", "javascript:", "<script>", '="//', '="http'):
        assert forbidden not in body, forbidden
    assert not re.search(r"<[^>]* on[a-z]+=", body)


def test_a_page_is_never_kept_by_the_browser(world):
    assert "no-store" in visitor(world.bo).get("/")["Cache-Control"]


def test_the_theme_is_kept_and_given_back(world):
    client = visitor(world.bo)

    client.post("/theme/", {"theme": "dark", "next": "/history/"})
    dark = client.get("/").content.decode()
    client.post("/theme/", {"theme": "whatever"})

    assert 'data-theme="dark"' in dark
    assert "data-theme" not in client.get("/").content.decode()


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("/history/?a=b", "/history/?a=b"), ("//evil.example", "/"), ("https://evil.example/", "/")],
)
def test_the_theme_form_leads_back_and_nowhere_else(world, wanted, given):
    assert visitor().post("/theme/", {"theme": "dark", "next": wanted})["Location"] == given
    assert visitor().get("/theme/").status_code == 405


def test_the_frame_says_who_is_signed_in_and_as_what(world):
    roles = {"bo": "Approves billing", "aud": "Auditor", "dee": "Administrator", "eve": "No role"}
    roles["ann"] = "Owns agents"

    for name, role in roles.items():
        text = text_of(visitor(getattr(world, name)).get("/history/"))
        assert f"{name.capitalize()} Tester" in text
        assert role in text


def test_navigation_shows_pages_that_exist_only(world):
    client = visitor(world.bo)
    nav = client.get("/").content.decode().partition("<nav")[2].partition("</nav>")[0]

    addresses = re.findall(r'href="([^"#]+)"', nav)

    assert addresses == ["/", "/history/", "/insights/", "/catalogue/", "/policies/"]
    assert {client.get(address).status_code for address in addresses} == {200}


def test_a_page_that_is_not_there_says_so_in_the_frame_of_the_house(world):
    response = visitor(world.bo).get("/nowhere/")

    assert response.status_code == 404
    assert "There is no such page" in text_of(response)
    assert "approvals/app.css" in response.content.decode()


def test_something_broken_is_told_without_a_traceback(world, monkeypatch):
    monkeypatch.setattr(Paginator, "get_page", None)
    client = visitor(world.bo)
    client.raise_request_exception = False

    response = client.get("/")

    assert response.status_code == 500
    assert "Something broke here" in text_of(response)
    assert "Traceback" not in response.content.decode()


def test_a_fragment_of_somebody_signed_out_leads_to_the_sign_in_page(world):
    response = visitor().get("/history/", headers={"HX-Request": "true"})

    assert response["HX-Redirect"] == "/accounts/login/"


def test_signing_in_and_out_leaves_no_notices_behind(world):
    client = visitor()

    response = sign_in(client)

    assert list(get_messages(response.wsgi_request)) == []
