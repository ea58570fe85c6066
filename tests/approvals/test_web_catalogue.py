"""The catalogue: who may read of which domain, what it says of servers, and asking for a list."""

import pytest
from django.utils import timezone

from approvals import events
from approvals.administration import agents, catalog
from approvals.administration.catalog import Listing, UpstreamSpec
from approvals.models import Domain, Person, Tool, Upstream
from approvals.web import catalogue
from tests.support.visiting import attempts, elements, queries, text_of, visitor
from tests.support.world import ACTOR, definition, list_tools

HOSTILE = '<script>alert(1)</script>"><b onclick="x()">{{ 7|add:7 }}{% now "Y" %}\u202e'


def page(person: Person, **query: str):
    return visitor(person).get("/catalogue/", query)


def domains(person: Person) -> list[str]:
    return [boundary.domain.name for boundary in page(person).context["boundaries"]]


@pytest.fixture
def other(world):
    """Return a second domain that nobody of the first has to do with."""
    domain = catalog.create_domain("deploys", purpose="", owner=world.dee, actor=ACTOR)
    catalog.put_upstream(
        UpstreamSpec("git", "stdio", {"command": "git-server", "args": ["--here"]}),
        domain=domain,
        actor=ACTOR,
    )
    return domain


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("bo", ["billing"]),  # approves
        ("ann", ["billing"]),  # owns the domain, and an agent that reaches it
        ("eve", []),
        ("dee", ["billing", "deploys"]),
        ("aud", ["billing", "deploys"]),
    ],
)
def test_everybody_reads_of_the_domains_they_have_to_do_with(world, other, name, seen):
    assert domains(getattr(world, name)) == seen


def test_an_agents_owner_reads_of_the_domains_it_reaches(world, other):
    agents.create_agent("mine", owner=world.eve, domains=["deploys"], actor=ACTOR)

    assert domains(world.eve) == ["deploys"]


def test_a_stranger_is_sent_to_sign_in(world):
    assert visitor().get("/catalogue/").status_code == 302


def test_a_domain_says_who_answers_for_it_and_who_decides(world):
    shown = text_of(page(world.bo))

    for words in ("Refunds.", "Owner Ann Tester", "Approvers Bo Tester, Cy Tester", "eyes on"):
        assert words in shown


def test_a_domain_without_purpose_owner_or_approvers_is_warned_about(world, other):
    Domain.objects.filter(pk=other.pk).update(owner=None, four_eyes=False)

    shown = text_of(page(world.dee))

    for words in (
        "Nobody has said what it is for", "held calls can only expire", "off: an agent’s owner may",
        "Never listed", "git-server --here",
    ):  # fmt: skip
        assert words in shown


def test_a_server_tells_what_it_lists_by_effect_and_what_was_called(world):
    Tool.objects.filter(name="refund").update(last_called_at=timezone.now())

    shown = text_of(page(world.bo))

    for words in (
        "1 read, 1 other", "Writes 1", "Reads 1", "Healthy", "1 never called",
        "get_customer never called", "refund called",
    ):  # fmt: skip
        assert words in shown


def test_what_changed_since_review_stands_on_top(world):
    list_tools(
        world.upstream, definition("refund", description="Other."), definition("get_customer")
    )

    response = page(world.bo)

    assert "1 tool changed since it was reviewed." in text_of(response)
    assert f'href="/catalogue/tools/{world.refund.pk}/"' in response.content.decode()
    assert "Needs attention" in text_of(response)


def test_a_list_that_fails_and_tools_left_out_of_it_say_why(world):
    listing = Listing([], dropped=[{"name": "evil tool", "why": "its name is too long"}])
    catalog.record_listing(world.upstream.pk, listing, actor=ACTOR)
    catalog.record_list_failure(world.upstream.pk, "Connection refused")

    shown = text_of(page(world.bo))

    for words in ("Connection refused", "evil tool", "its name is too long", "No longer listed 2"):
        assert words in shown


def test_a_server_that_is_switched_off_says_so(world):
    Upstream.objects.update(is_enabled=False)

    assert "Switched off" in text_of(page(world.bo))


def test_people_are_told_with_what_they_decide(world):
    members = {m.person.username: m for m in page(world.bo).context["members"]}

    assert set(members) == {"ann", "aud", "bo", "cy", "dee"}
    assert (members["bo"].approves, members["ann"].owns) == (["billing"], ["billing"])
    assert page(world.eve).context["members"] == []


def test_people_who_left_are_in_no_list(world):
    Person.objects.filter(username="cy").update(is_active=False)

    response = page(world.dee)

    assert "Cy Tester" not in text_of(response)


def test_without_a_domain_the_page_says_what_to_do(world):
    nobody = text_of(page(world.eve))
    Upstream.objects.all().delete()
    world.agent.delete()
    Domain.objects.all().delete()
    everybody = text_of(page(world.dee))

    assert "No trust domain is yours to read about" in nobody
    assert "manage.py create_domain" in everybody


def test_hostile_text_makes_no_element(world):
    def fill(text: str) -> None:
        Tool.objects.filter(pk=world.refund.pk).update(name=text, title=text)
        Upstream.objects.update(
            list_error=text, launch={"url": text}, dropped_tools=[{"name": text, "why": text}]
        )
        Domain.objects.update(purpose=text)

    fill("some harmless words\u202e")
    harmless = page(world.dee)
    fill(HOSTILE)
    hostile = page(world.dee)

    assert elements(hostile) == elements(harmless)
    assert "<script>alert" not in hostile.content.decode()
    assert "U+202E" in text_of(hostile)


def test_two_hundred_tools_need_no_more_queries_and_the_rest_is_a_page_away(world, monkeypatch):
    client = visitor(world.dee)
    few = queries(client, "/catalogue/")

    list_tools(world.upstream, *(definition(f"tool_{n}") for n in range(210)))
    many = queries(client, "/catalogue/")
    response = client.get("/catalogue/")
    alone = client.get("/catalogue/?server=billing")

    assert many == few
    assert "12 more: show every tool of billing" in text_of(response)
    assert sum(f"tool_{n} " in text_of(alone) for n in range(210)) == 210
    assert catalogue.MOST_TOOLS == 200


def test_a_server_that_is_not_mine_to_see_is_no_page(world, other):
    assert page(world.bo, server="billing").status_code == 200
    assert page(world.bo, server="git").status_code == 404
    assert page(world.bo, server="\0").status_code == 404


# -- asking for a list ---------------------------------------------------------------------------


def refresh(person: Person, upstream: Upstream, **options):
    return visitor(person, **options).post(f"/catalogue/servers/{upstream.pk}/refresh/")


@pytest.fixture
def asked(monkeypatch):
    """Return the tasks that were handed to the broker."""
    sent = []
    monkeypatch.setattr(
        "approvals.events.current_app.send_task",
        lambda name, args, **options: sent.append((name, args, options["queue"])),
    )
    return sent


def test_an_administrator_asks_a_worker_for_a_list(world, asked):
    response = refresh(world.dee, world.upstream)
    events.wait_until_sent(5)

    assert response["Location"] == "/catalogue/"
    assert asked == [("mcp_bridge.refresh", [world.upstream.pk], "release.billing")]


@pytest.mark.parametrize(("name", "status"), [("bo", 403), ("aud", 403), ("eve", 404)])
def test_nobody_else_does(world, asked, name, status):
    person = getattr(world, name)

    assert refresh(person, world.upstream).status_code == status
    assert attempts(person) == (["refresh.refused"] if status == 403 else [])
    assert asked == []


def test_a_list_is_asked_for_by_a_form_of_ours_only(world, asked):
    assert refresh(world.dee, world.upstream, csrf=True).status_code == 403
    address = f"/catalogue/servers/{world.upstream.pk}/refresh/"
    assert visitor(world.dee).get(address).status_code == 405
    assert visitor(world.dee).post(f"/catalogue/servers/{10**30}/refresh/").status_code == 404
    assert asked == []
