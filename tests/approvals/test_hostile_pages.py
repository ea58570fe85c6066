"""Every page with hostile text in every field has the elements it has with harmless text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from approvals.administration import backtests
from approvals.models import Backtest, Tool, database_now
from tests.support import hostile
from tests.support.dom import Element, read
from tests.support.hostile import PAYLOADS, S, Stage, harmless, set_up
from tests.support.visiting import page_of, visitor

Visit = Callable[[Stage], Iterator[Any]]  # yields responses


def get(name: str, *queries: dict[str, Any], who: str = "bo") -> Visit:
    """Return a visit of a page without an id, once for each query."""

    def visit(stage: Stage) -> Iterator[Any]:
        client = reader(stage, who)
        for query in queries or ({},):
            filled = {key: stage.text if value is TEXT else value for key, value in query.items()}
            yield client.get(reverse(name), filled)

    return visit


TEXT = object()  # stands for the payload in a query


def of_calls(part: str = "", *states: str, **query: Any) -> Visit:
    """Return a visit of a page of every call, or of those in some states."""

    def visit(stage: Stage) -> Iterator[Any]:
        client = reader(stage, "bo")
        for state in states or stage.calls:
            yield client.get(page_of(stage.calls[state], part), query)

    return visit


def beside_the_queue() -> Visit:
    """Return a visit of the queue with each call open beside it."""

    def visit(stage: Stage) -> Iterator[Any]:
        client = reader(stage, "bo")
        for call in stage.calls.values():
            yield client.get(reverse("queue"), {"call": str(call.pk)})

    return visit


def both(*visits: Visit) -> Visit:
    """Return one visit after the other."""
    return lambda stage: chain.from_iterable(visit(stage) for visit in visits)


def with_ids(name: str, *states: str) -> Visit:
    """Return a visit of a page that is asked for by the id of a call."""

    def visit(stage: Stage) -> Iterator[Any]:
        client = reader(stage, "bo")
        for state in states:
            yield client.get(reverse(name), {"id": str(stage.calls[state].pk), "show": "all"})

    return visit


def posted(name: str, status: str, who: str = "bo", **form: str) -> Visit:
    """Return a visit of the page that answers a form which is refused; it shows what was typed."""

    def visit(stage: Stage) -> Iterator[Any]:
        call = stage.calls[status]
        longer = stage.text * (1_100 // len(stage.text) + 1)  # than a reason may be
        typed = {key: longer if value == "…" else value for key, value in form.items()}
        typed["binding"] = call.binding
        response = reader(stage, who).post(reverse(name, args=[call.pk]), typed)
        assert response.status_code >= 400
        yield response

    return visit


def reader(stage: Stage, who: str) -> Client:
    return visitor(getattr(stage.world, who) if who else None)


def of_tools(name: str, who: str = "dee", method: str = "get", **form: Any) -> Visit:
    """Return a visit of a page of each tool."""

    def visit(stage: Stage) -> Iterator[Any]:
        client = reader(stage, who)
        for tool in Tool.objects.order_by("pk"):
            filled = {key: stage.text if value is TEXT else value for key, value in form.items()}
            yield getattr(client, method)(reverse(name, args=[tool.pk]), filled)

    return visit


def of_the_agent(name: str, who: str = "dee", method: str = "get", **form: Any) -> Visit:
    """Return a visit of a page of the agent, or of its one key."""

    def visit(stage: Stage) -> Iterator[Any]:
        agent = stage.world.agent
        ends = {"agent_revoke": [agent.name, agent.keys.get().prefix]}
        address = reverse(name, args=ends.get(name, [agent.name]))
        filled = {key: stage.text if value is TEXT else value for key, value in form.items()}
        yield getattr(reader(stage, who), method)(address, filled)

    return visit


def of_a_try(name: str) -> Visit:
    """Return a visit of a try under which every call would pass, or be one nobody can judge."""

    def visit(stage: Stage) -> Iterator[Any]:
        rules = [
            {"outcome": "hold", "tool": "billing__refund", "condition": "has(args.memo)"},
            {"outcome": "hold", "tool": "billing__refund", "condition": "args.amount > 5",
             "message": stage.text if stage.text.isprintable() else ""},
            {"outcome": "allow", "tool": "billing__*"},
        ]  # fmt: skip
        dee = stage.world.dee
        backtest = Backtest.objects.create(
            asked_by=dee, document={"rules": rules}, based_on=0, begun_at=database_now(),
            moved_at=database_now(),
        )  # fmt: skip
        backtests.run(backtest.pk)
        backtest.refresh_from_db()
        assert backtest.result["looser"]
        yield reader(stage, "dee").get(reverse(name, args=[backtest.pk]))

    return visit


# Whoever adds a page adds its line here; a page that shows nothing of anybody goes below.
PAGES: dict[str, Visit] = {
    "queue": both(
        get("queue", {}, {"show": "all"}, {"show": "signed"}, {"show": TEXT, "page": TEXT}),
        beside_the_queue(),
    ),
    "queue_changes": with_ids("queue_changes", S.PENDING, S.UNKNOWN),
    "call": of_calls(),
    "call_parts": of_calls("parts/", S.PENDING, S.FAILED, S.REJECTED, seen="1"),
    "call_decide": posted("call_decide", S.PENDING, verdict="reject", reason="…"),
    "call_settle": posted("call_settle", S.UNKNOWN, outcome="ran", evidence="…"),
    "call_withdraw": posted("call_withdraw", S.SUCCEEDED, who="ann", reason="…"),
    "history": get(
        "history", {}, {"status": TEXT, "domain": TEXT, "before": TEXT},
        {"q": TEXT, "tool": TEXT, "agent": TEXT}, {"status": "rejected"}, who="aud",
    ),
    "history_changes": with_ids("history_changes", S.PENDING, S.REJECTED),
    "history_reads": get("history_reads", who="aud"),
    "insights": get("insights", {}, {"domain": TEXT, "days": TEXT}, who="aud"),
    "call_presence": of_calls("presence/", S.PENDING),
    "catalogue": get("catalogue", {}, {"server": TEXT}, who="dee"),
    "tool": of_tools("tool"),
    "tool_review": of_tools("tool_review", method="post", effect=TEXT, digest=TEXT),
    "tool_template": of_tools("tool_template", method="post", template="{customer}", digest=TEXT),
    "tool_preview": of_tools("tool_preview", method="post", template="{customer} {to}"),
    "policies": get("policies", who="dee"),
    "policy_version": lambda stage: iter([reader(stage, "dee").get("/policies/0/")]),
    "policy_try": of_a_try("policy_try"),
    "policy_try_state": of_a_try("policy_try_state"),
    "agents": get("agents", who="dee"),
    "agent_new": get("agent_new", who="dee"),
    "agents_stop": get("agents_stop", who="dee"),
    "agents_resume": get("agents_resume", who="dee"),
    "agent": of_the_agent("agent"),
    "agent_keys": of_the_agent("agent_keys", method="post", label=TEXT, acts_for=TEXT, ends=TEXT),
    "agent_revoke": of_the_agent("agent_revoke"),
    "first_run": get("first_run", who="dee"),
    "first_run_state": get("first_run_state", who="dee"),
    "settings": get("settings"),
    "account_reauthenticate": get("account_reauthenticate", {"next": TEXT}),
    "mfa_index": get("mfa_index"),
    "mfa_list_webauthn": get("mfa_list_webauthn"),
    "account_login": get("account_login", {"next": TEXT}, who=""),
    "account_logout": get("account_logout", {"next": TEXT}),
    "account_inactive": get("account_inactive", who=""),
    "account_change_password": get("account_change_password", {"next": TEXT}),
}  # fmt: skip
# Addresses that never answer with a page, and why.
NO_PAGES = {
    "theme": "sets a cookie and leads back",
    "agent_pause": "leads back to the agent",
    "upstream_refresh": "leads back to the catalogue",
    "mfa_activate_totp": "asks for the password first; shows nothing but a secret of ours",
    "mfa_deactivate_totp": "asks for the password first; shows nothing of anybody",
    "mfa_generate_recovery_codes": "asks for the password first; shows nothing of anybody",
    "mfa_view_recovery_codes": "asks for the password first; shows codes of ours",
    "mfa_download_recovery_codes": "plain text of ours",
    "mfa_add_webauthn": "asks for the password first; shows nothing of anybody",
    "mfa_edit_webauthn": "one's own key; asks for the password first",
    "mfa_remove_webauthn": "one's own key; asks for the password first",
    "mfa_authenticate": "the second step of a sign-in; shows nothing of anybody",
    "mfa_reauthenticate": "asks for a code; shows nothing of anybody",
    "mfa_reauthenticate_webauthn": "asks for a key; shows nothing of anybody",
    "mfa_login_webauthn": "JSON for the browser",
    "alive": "plain text of ours",
    "ready": "JSON of ours",
    "metrics": "plain text of ours",
    "api_calls": "JSON",
    "api_call": "JSON",
    "api_decisions": "JSON",
    "api_settlement": "JSON",
    "api_withdrawal": "JSON",
    "api_events": "JSON",
    "api_tries": "JSON",
    "api_try": "JSON",
    "api_schema": "the schema of the REST interface",
}


def test_every_address_has_a_test_here() -> None:
    assert sorted(hostile.pages()) == sorted([*PAGES, *NO_PAGES])


@contextmanager
def forgotten() -> Iterator[None]:
    """Undo what is done within; verbs want no transaction around theirs, a savepoint is none."""
    savepoint = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(savepoint)


def seen_with(text: str, large: str = "") -> dict[str, tuple[list[str], str]]:
    """Return each page's elements and its text, with a text in every field."""
    found = {}
    with forgotten():
        stage = set_up(text, large=large)
        for name, visit in PAGES.items():
            for number, response in enumerate(visit(stage)):
                assert response.status_code != 500
                body = response.content.decode()
                found[f"{name} {number}"] = (read(body).outline() if body else [], body)
    return found


def assert_alike(text: str, large: str = "") -> None:
    with_hostile = seen_with(text, large)
    with_harmless = seen_with(harmless(text), harmless(large))
    assert with_hostile.keys() == with_harmless.keys()
    for page, (elements, body) in with_hostile.items():
        assert elements == with_harmless[page][0], page
        if page.partition(" ")[0] not in TYPED:
            raw = {f"U+{ord(c):04X}" for c in hostile.hidden_in(text) if c in body}
            assert not raw, page


# A form gives back what its reader typed, into a field, as it was.
TYPED = {
    "call_decide", "call_settle", "call_withdraw", "account_login", "account_logout",
    "account_reauthenticate", "agent_keys", "history", "insights",
}  # fmt: skip


@pytest.mark.parametrize("kind", PAYLOADS)
def test_hostile_text_changes_no_element_of_any_page(db: None, settings: Any, kind: str) -> None:
    settings.SETTLE_QUARANTINE_SECONDS = 0

    assert_alike(PAYLOADS[kind])


@pytest.mark.parametrize("kind", ["an element", "the end of a table", "turned around"])
def test_large_hostile_definitions_and_results_change_no_element(db: None, kind: str) -> None:
    text = PAYLOADS[kind]

    assert_alike(text, large=text * (hostile.LARGE // len(text)))


def test_whatever_refers_to_a_place_of_its_own_page_has_that_place(db: None) -> None:
    found = seen_with(PAYLOADS["turned around"])

    whole = {page: read(body) for page, (_, body) in found.items() if "<html" in body}
    links = {link for page in whole.values() for link in referred(page)}
    assert {"main", "definition", "a-h", "versions", "keys", "i-clock"} <= links
    assert any(link.startswith("arg-") for link in links)
    for name, page in whole.items():
        ids = [e.attributes["id"] for e in page.all(lambda e: "id" in e.attributes)]
        assert referred(page) <= set(ids), name
        assert len(ids) == len(set(ids)), name


def referred(page: Element) -> set[str]:
    """Return the ids of its own elements that a page refers to."""
    found: set[str] = set()
    for element in page.all(lambda element: True):
        for name, value in element.attributes.items():
            if name in {"href", "hx-target", "hx-include", "hx-select"} and value.startswith("#"):
                found.add(value[1:])
            elif name in {"for", "commandfor"} or name in NAMING:
                found |= set(value.split())
    return found


NAMING = {"aria-labelledby", "aria-describedby", "aria-controls", "aria-details", "headers"}


def test_the_payloads_do_reach_the_pages(db: None) -> None:
    """Else the tests above would compare pages on which nothing hostile stands."""
    found = seen_with("<i>attack</i>")

    shown = {page for page, (_, body) in found.items() if "&lt;i&gt;attack" in body}
    assert {f"call {number}" for number in range(13)} <= shown
    assert {"queue 1", "history 0", "queue_changes 0", "history_changes 0"} <= shown
    assert {"call_decide 0", "call_settle 0"} <= shown


def test_what_is_made_harmless_is_so() -> None:
    for text in PAYLOADS.values():
        assert not set(harmless(text)) & set("<>&\"'{}:/=")
        assert len(harmless(text)) == len(text)
