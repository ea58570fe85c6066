"""Who gets which answer: each address and method, each person and key, own things and others'.

Columns: nobody; Bo, who approves in billing; Ann, who owns it and its agent; an auditor; an
administrator; Eve, who approves in deploys; then keys instead of a session: of billing's agent, a
revoked one, of the agent of deploys. "of" is whose call, tool, agent or security key is named.
"login" and "again" are redirects to where one signs in, or gives the password again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction

from tests.support import hostile, two_domains
from tests.support.two_domains import COLUMNS, Row, Two

NAMES = hostile.pages()
TABLE = {
    "REST": """
#    address                     of      none  bo    ann   aud   dee   eve   key   gone  away
GET  api_calls                   -       401   200   200   200   200   200   401   401   401
POST api_calls                   -       401   405   405   405   405   405   401   401   401
GET  api_call                    billing 401   200   200   200   200   404   401   401   401
GET  api_call                    deploys 401   404   404   200   200   200   401   401   401
POST api_call                    billing 401   405   405   405   405   405   401   401   401
POST api_call                    deploys 401   405   405   405   405   405   401   401   401
GET  api_decisions               billing 401   405   405   405   405   405   401   401   401
GET  api_decisions               deploys 401   405   405   405   405   405   401   401   401
POST api_decisions               billing 401   201   403   403   403   404   401   401   401
POST api_decisions               deploys 401   404   404   403   403   201   401   401   401
GET  api_settlement              billing 401   405   405   405   405   405   401   401   401
GET  api_settlement              deploys 401   405   405   405   405   405   401   401   401
POST api_settlement              billing 401   201   403   403   403   404   401   401   401
POST api_settlement              deploys 401   404   404   403   403   201   401   401   401
GET  api_withdrawal              billing 401   405   405   405   405   405   401   401   401
GET  api_withdrawal              deploys 401   405   405   405   405   405   401   401   401
POST api_withdrawal              billing 401   403   201   403   403   404   401   401   401
POST api_withdrawal              deploys 401   404   404   403   403   403   401   401   401
GET  api_events                  billing 401   200   200   200   200   404   401   401   401
GET  api_events                  deploys 401   404   404   200   200   200   401   401   401
POST api_events                  billing 401   405   405   405   405   405   401   401   401
POST api_events                  deploys 401   405   405   405   405   405   401   401   401
GET  api_tries                   -       401   405   405   405   405   405   401   401   401
POST api_tries                   -       401   403   403   403   202   403   401   401   401
GET  api_try                     -       401   404   404   404   200   404   401   401   401
POST api_try                     -       401   405   405   405   405   405   401   401   401
GET  api_schema                  -       200   200   200   200   200   200   200   200   200
POST api_schema                  -       405   405   405   405   405   405   405   405   405
""",
    "signing in": """
#    address                     of      none  bo    ann   aud   dee   eve   key   gone  away
GET  account_login               -       200   302   302   302   302   302   200   200   200
POST account_login               -       302   302   302   302   302   302   302   302   302
GET  account_logout              -       302   200   200   200   200   200   302   302   302
POST account_logout              -       302   302   302   302   302   302   302   302   302
GET  account_inactive            -       200   200   200   200   200   200   200   200   200
POST account_inactive            -       405   405   405   405   405   405   405   405   405
GET  account_change_password     -       login 200   200   200   200   200   login login login
POST account_change_password     -       login 302   302   302   302   302   login login login
GET  account_reauthenticate      -       login 200   200   200   200   200   login login login
POST account_reauthenticate      -       login 302   302   302   302   302   login login login
GET  mfa_index                   -       login 200   200   200   200   200   login login login
POST mfa_index                   -       login 405   405   405   405   405   login login login
GET  mfa_authenticate            -       login 302   302   302   302   302   login login login
POST mfa_authenticate            -       login 302   302   302   302   302   login login login
GET  mfa_reauthenticate          -       login 200   again again again again login login login
POST mfa_reauthenticate          -       login 200   again again again again login login login
GET  mfa_activate_totp           -       login 302   200   200   200   200   login login login
POST mfa_activate_totp           -       login 302   200   200   200   200   login login login
GET  mfa_deactivate_totp         -       login 200   404   404   404   404   login login login
POST mfa_deactivate_totp         -       login 302   404   404   404   404   login login login
GET  mfa_view_recovery_codes     -       login 200   404   404   404   404   login login login
POST mfa_view_recovery_codes     -       login 405   405   405   405   405   login login login
GET  mfa_generate_recovery_codes -       login 200   200   200   200   200   login login login
POST mfa_generate_recovery_codes -       login 302   200   200   200   302   login login login
GET  mfa_download_recovery_codes -       login 200   404   404   404   404   login login login
POST mfa_download_recovery_codes -       login 405   404   404   404   404   login login login
GET  mfa_list_webauthn           -       login 200   200   200   200   200   login login login
POST mfa_list_webauthn           -       login 405   405   405   405   405   login login login
GET  mfa_add_webauthn            -       login 200   200   200   200   200   login login login
POST mfa_add_webauthn            -       login 200   200   200   200   200   login login login
GET  mfa_reauthenticate_webauthn -       login 200   again again again 200   login login login
POST mfa_reauthenticate_webauthn -       login login again again again login login login login
GET  mfa_remove_webauthn         billing login 200   404   404   404   404   login login login
GET  mfa_remove_webauthn         deploys login 404   404   404   404   200   login login login
POST mfa_remove_webauthn         billing login 302   404   404   404   404   login login login
POST mfa_remove_webauthn         deploys login 404   404   404   404   302   login login login
GET  mfa_edit_webauthn           billing login 200   404   404   404   404   login login login
GET  mfa_edit_webauthn           deploys login 404   404   404   404   200   login login login
POST mfa_edit_webauthn           billing login 302   404   404   404   404   login login login
POST mfa_edit_webauthn           deploys login 404   404   404   404   302   login login login
GET  mfa_login_webauthn          -       login 302   302   302   302   302   login login login
POST mfa_login_webauthn          -       login 302   302   302   302   302   login login login
""",
    "pages of calls": """
#    address                     of      none  bo    ann   aud   dee   eve   key   gone  away
GET  queue                       -       login 200   200   200   200   200   login login login
POST queue                       -       login 200   200   200   200   200   login login login
GET  queue_changes               -       login 200   200   200   200   200   login login login
POST queue_changes               -       login 200   200   200   200   200   login login login
GET  call                        billing login 200   200   200   200   404   login login login
GET  call                        deploys login 404   404   200   200   200   login login login
POST call                        billing login 200   200   200   200   404   login login login
POST call                        deploys login 404   404   200   200   200   login login login
GET  call_parts                  billing login 200   200   200   200   404   login login login
GET  call_parts                  deploys login 404   404   200   200   200   login login login
POST call_parts                  billing login 200   200   200   200   404   login login login
POST call_parts                  deploys login 404   404   200   200   200   login login login
GET  call_presence               billing login 200   200   200   200   404   login login login
GET  call_presence               deploys login 404   404   200   200   200   login login login
POST call_presence               billing login 200   200   200   200   404   login login login
POST call_presence               deploys login 404   404   200   200   200   login login login
GET  call_decide                 billing login 302   302   302   302   404   login login login
GET  call_decide                 deploys login 404   404   302   302   302   login login login
POST call_decide                 billing login 302   403   403   403   404   login login login
POST call_decide                 deploys login 404   404   403   403   302   login login login
GET  call_settle                 billing login 302   302   302   302   404   login login login
GET  call_settle                 deploys login 404   404   302   302   302   login login login
POST call_settle                 billing login 302   403   403   403   404   login login login
POST call_settle                 deploys login 404   404   403   403   302   login login login
GET  call_withdraw               billing login 302   302   302   302   404   login login login
GET  call_withdraw               deploys login 404   404   302   302   302   login login login
POST call_withdraw               billing login 403   302   403   403   404   login login login
POST call_withdraw               deploys login 404   404   403   403   403   login login login
GET  history                     -       login 200   200   200   200   200   login login login
POST history                     -       login 200   200   200   200   200   login login login
GET  history_changes             -       login 200   200   200   200   200   login login login
POST history_changes             -       login 200   200   200   200   200   login login login
GET  history_reads               -       login 200   200   200   200   200   login login login
POST history_reads               -       login 200   200   200   200   200   login login login
GET  insights                    -       login 200   200   200   200   200   login login login
POST insights                    -       login 200   200   200   200   200   login login login
""",
    "pages of the rest": """
#    address                     of      none  bo    ann   aud   dee   eve   key   gone  away
GET  catalogue                   -       login 200   200   200   200   200   login login login
POST catalogue                   -       login 200   200   200   200   200   login login login
GET  upstream_refresh            billing 405   405   405   405   405   405   405   405   405
GET  upstream_refresh            deploys 405   405   405   405   405   405   405   405   405
POST upstream_refresh            billing login 403   403   403   302   404   login login login
POST upstream_refresh            deploys login 404   404   403   302   403   login login login
GET  tool                        billing login 200   200   200   200   404   login login login
GET  tool                        deploys login 404   404   200   200   200   login login login
POST tool                        billing login 200   200   200   200   404   login login login
POST tool                        deploys login 404   404   200   200   200   login login login
GET  tool_review                 billing 405   405   405   405   405   405   405   405   405
GET  tool_review                 deploys 405   405   405   405   405   405   405   405   405
POST tool_review                 billing login 403   302   403   302   404   login login login
POST tool_review                 deploys login 404   404   403   302   403   login login login
GET  tool_template               billing 405   405   405   405   405   405   405   405   405
GET  tool_template               deploys 405   405   405   405   405   405   405   405   405
POST tool_template               billing login 403   302   403   302   404   login login login
POST tool_template               deploys login 404   404   403   302   403   login login login
GET  tool_preview                billing 405   405   405   405   405   405   405   405   405
GET  tool_preview                deploys 405   405   405   405   405   405   405   405   405
POST tool_preview                billing login 403   200   403   200   404   login login login
POST tool_preview                deploys login 404   404   403   200   403   login login login
GET  policies                    -       login 200   200   200   200   200   login login login
POST policies                    -       login 200   200   200   200   200   login login login
GET  policy_version              -       login 200   200   200   200   200   login login login
POST policy_version              -       login 200   200   200   200   200   login login login
GET  policy_try                  -       login 404   404   404   200   404   login login login
POST policy_try                  -       login 404   404   404   302   404   login login login
GET  policy_try_state            -       login 404   404   404   200   404   login login login
POST policy_try_state            -       login 404   404   404   200   404   login login login
GET  agents                      -       login 404   200   200   200   404   login login login
POST agents                      -       login 404   200   200   200   404   login login login
GET  agent_new                   -       login 404   404   403   200   404   login login login
POST agent_new                   -       login 404   404   403   302   404   login login login
GET  agents_stop                 -       login 404   200   403   200   404   login login login
POST agents_stop                 -       login 404   302   403   302   404   login login login
GET  agents_resume               -       login 404   200   403   200   404   login login login
POST agents_resume               -       login 404   302   403   302   404   login login login
GET  agent                       billing login 404   200   200   200   404   login login login
GET  agent                       deploys login 404   404   200   200   404   login login login
POST agent                       billing login 404   200   200   200   404   login login login
POST agent                       deploys login 404   404   200   200   404   login login login
GET  agent_pause                 billing 405   405   405   405   405   405   405   405   405
GET  agent_pause                 deploys 405   405   405   405   405   405   405   405   405
POST agent_pause                 billing login 404   302   403   302   404   login login login
POST agent_pause                 deploys login 404   404   403   302   404   login login login
GET  agent_keys                  billing login 404   302   302   302   404   login login login
GET  agent_keys                  deploys login 404   404   302   302   404   login login login
POST agent_keys                  billing login 404   200   403   200   404   login login login
POST agent_keys                  deploys login 404   404   403   200   404   login login login
GET  agent_revoke                billing login 404   200   403   200   404   login login login
GET  agent_revoke                deploys login 404   404   403   200   404   login login login
POST agent_revoke                billing login 404   302   403   302   404   login login login
POST agent_revoke                deploys login 404   404   403   302   404   login login login
GET  first_run                   -       login 404   404   404   200   404   login login login
POST first_run                   -       login 404   404   404   200   404   login login login
GET  first_run_state             -       login 404   404   404   200   404   login login login
POST first_run_state             -       login 404   404   404   200   404   login login login
GET  settings                    -       login 200   200   200   200   200   login login login
POST settings                    -       login 302   302   302   302   302   login login login
GET  theme                       -       405   405   405   405   405   405   405   405   405
POST theme                       -       302   302   302   302   302   302   302   302   302
GET  alive                       -       200   200   200   200   200   200   200   200   200
POST alive                       -       200   200   200   200   200   200   200   200   200
GET  ready                       -       200   200   200   200   200   200   200   200   200
POST ready                       -       200   200   200   200   200   200   200   200   200
GET  metrics                     -       401   401   401   401   401   401   401   401   401
POST metrics                     -       401   401   401   401   401   401   401   401   401
""",
}


def rows(area: str) -> Iterator[tuple[Row, list[str]]]:
    for line in TABLE[area].splitlines():
        if line and not line.startswith("#"):
            method, name, place, *answers = line.split()
            yield (method, name, place), answers


@pytest.fixture
def two(db: None, settings: Any) -> Two:
    settings.SETTLE_QUARANTINE_SECONDS = 0
    cache.clear()  # where tries to sign in are counted
    return two_domains.build()


@pytest.fixture(autouse=True)
def _metrics(settings: Any) -> None:
    settings.METRICS_TOKEN = "nobody in the table has this one"


@contextmanager
def forgotten() -> Iterator[None]:
    savepoint = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(savepoint)


def answer(two: Two, row: Row, column: str) -> str:
    with forgotten():
        response = two_domains.ask(two, row, NAMES[row[1]], column)
    leads_to = response.get("Location", "")
    for word, begins in (("login", "/accounts/login/"), ("again", "/accounts/reauthenticate/")):
        if leads_to.startswith(begins):
            return word
    return str(response.status_code)


def test_every_address_has_its_rows() -> None:
    """Of both methods, and of both domains where the address names something of one."""
    wanted = {
        (method, name, place)
        for name, route in NAMES.items()
        for method in ("GET", "POST")
        for place in (("billing", "deploys") if two_domains.names_something(name, route) else "-")
    }
    found = [row for area in TABLE for row, _ in rows(area)]

    assert len(found) == len(set(found))
    assert set(found) == wanted


@pytest.mark.parametrize("area", TABLE)
def test_everybody_gets_the_answer_that_the_table_says(two: Two, area: str) -> None:
    wrong = []
    for row, wanted in rows(area):
        assert len(wanted) == len(COLUMNS), row
        found = [answer(two, row, column) for column in COLUMNS]
        if found != wanted:
            wrong.append(f"{row}: {found}, not {wanted}")
    assert not wrong, "\n".join(wrong)


def test_no_other_method_does_more_than_reading(two: Two) -> None:
    """Each is refused, or answered as GET is."""
    wrong = []
    for name, route in NAMES.items():
        place = "billing" if two_domains.names_something(name, route) else "-"
        read = answer(two, ("GET", name, place), "dee")
        for method in ("PUT", "PATCH", "DELETE", "HEAD"):
            found = answer(two, (method, name, place), "dee")
            if found not in (read, "405"):
                wrong.append(f"{method} {name}: {found}, by GET {read}")
    assert not wrong, "\n".join(wrong)


# The addresses that name nothing and yet tell of calls, tools or agents of another domain, asked
# by an administrator; of whoever has no business there, none may.
TELLING = {
    "api_calls", "queue", "queue_changes", "history", "history_changes", "catalogue",
    "agents", "insights",
}  # fmt: skip


@pytest.mark.parametrize(("column", "telling"), [("dee", TELLING), ("bo", set()), ("none", set())])
def test_what_is_shown_without_being_named_is_ones_own(
    two: Two, column: str, telling: set[str]
) -> None:
    call = two.deploys.calls["pending"]
    asked = {"id": str(call.pk), "call": str(call.pk), "show": "all", "domain": "deploys"}
    tool = f"/catalogue/tools/{two.deploys.tool.pk}/"
    marks = ("deploys__ship", "deployer", f'"{call.pk}"', tool)
    told = set()
    for name, route in NAMES.items():
        if "<" in route or name == "api_events":
            continue
        with forgotten():
            body = two.client(column).get(f"/{route}", asked).content.decode()
        if any(mark in body for mark in marks):
            told.add(name)

    assert told == telling
