"""Keys as bearer tokens: who gets in, what others are told, and what is never written down."""

import logging
from datetime import timedelta

import httpx2
import pytest

from approvals.administration import agents
from approvals.models import AgentKey, database_now
from tests.support.agent_view import BEFORE_SQL
from tests.support.bridging import LEGACY, MODERN
from tests.support.running import until
from tests.support.world import ACTOR

METADATA = "/.well-known/oauth-protected-resource"


def status_of(bridge, key, **more):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    authorization = f"Bearer {key}".encode("latin-1")
    return bridge.post(key, body, era=LEGACY, headers={"authorization": authorization}, **more)


@BEFORE_SQL
@pytest.mark.parametrize("path", ["/mcp", "/mcp/billing", "/mcp/nowhere", "/mcp/NO/such"])
def test_no_key_is_told_where_to_read_about_keys(bridge, path):
    answer = httpx2.post(bridge.url + path, content=b"{}")

    surface = path if path in ("/mcp/billing", "/mcp/nowhere") else "/mcp"
    expected = f'resource_metadata="http://127.0.0.1:8000{METADATA}{surface}"'
    assert answer.status_code == 401
    assert expected in answer.headers["www-authenticate"]


@BEFORE_SQL
@pytest.mark.parametrize("path", ["/mcp", "/mcp/billing"])
def test_the_metadata_names_its_resource(bridge, path):
    answer = httpx2.get(f"{bridge.url}{METADATA}{path}")

    assert answer.status_code == 200
    assert answer.json()["resource"] == f"http://127.0.0.1:8000{path}"
    assert answer.json()["bearer_methods_supported"] == ["header"]


def test_metadata_of_anything_else_is_not_found(bridge):
    assert httpx2.get(f"{bridge.url}{METADATA}/accounts").status_code == 404


def wrong_secret(key):
    return key[:-1] + ("a" if key[-1] != "a" else "b")


WRONG = {
    "wrong secret": wrong_secret,
    "unknown prefix": lambda key: "cs_0000000000_" + key.split("_", 2)[2],
    "no secret": lambda key: key.rpartition("_")[0],
    "other scheme": lambda key: key.replace("cs_", "xx_", 1),
    "one letter": lambda key: "x",
    "megabytes": lambda key: key + "x" * 10_000,
    "not ASCII": lambda key: key[:-1] + "\xe9",
}


@BEFORE_SQL
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_key_gets_401_and_is_not_logged(bridge, world, change, caplog):
    caplog.set_level(logging.DEBUG)
    key = change(world.key)

    answer = status_of(bridge, key)

    assert answer.status_code == 401
    # All that these keys have in common with the right one, and nobody may write down.
    assert world.key.split("_", 2)[2][:-1] not in caplog.text


def test_a_revoked_key_stops_within_two_seconds(bridge, world):
    assert status_of(bridge, world.key).status_code == 200

    agents.revoke_key(world.key.split("_")[1], actor=ACTOR)

    until(lambda: status_of(bridge, world.key).status_code == 401, "the key to stop", 2)


def test_a_paused_agents_key_stops_within_two_seconds(bridge, world):
    assert status_of(bridge, world.key).status_code == 200

    agents.set_paused(world.agent, True, actor=ACTOR)

    until(lambda: status_of(bridge, world.key).status_code == 401, "the key to stop", 2)


def test_a_key_that_ran_out_gets_401(bridge, world):
    AgentKey.objects.update(expires_at=database_now() - timedelta(seconds=1))

    assert status_of(bridge, world.key).status_code == 401


def test_a_new_key_works_within_two_seconds(bridge, world):
    assert status_of(bridge, world.key).status_code == 200

    key = agents.create_key(world.agent, acts_for=world.ann, actor=ACTOR)

    until(lambda: status_of(bridge, key).status_code == 200, "the key to work", 2)


def test_the_last_use_of_a_key_is_kept_to_the_minute(bridge, world):
    status_of(bridge, world.key)
    first = until(lambda: AgentKey.objects.get().last_used_at, "the first use")

    status_of(bridge, world.key)
    bridge.ask(world.key, "tools/list")

    assert AgentKey.objects.get().last_used_at == first


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_the_authorization_header_never_reaches_an_upstream(bridge, world, era):
    bridge.call(world.key, "billing__get_customer", {"customer": "cus_1", "amount": 1}, era=era)

    ((_, _, meta),) = bridge.upstreams.asked
    assert world.key not in str(meta)
