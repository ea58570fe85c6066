"""Files of MCP clients: what is taken over, and every refusal with its place; whole or not."""

from typing import Any

import pytest

from approvals.errors import InvalidInput
from mcp_bridge.upstreams import importing

COMMAND = {"command": "server"}
URL = {"url": "https://mcp.example/mcp"}


def read(entry: object, name: str = "a") -> Any:
    """Return the one server of a file."""
    (spec,) = importing.read({"mcpServers": {name: entry}})
    return spec


def test_a_stdio_server_is_taken_over():
    spec = read(
        COMMAND
        | {"args": ["--log", "x y"], "env": {"TOKEN": "${TOKEN}", "LEVEL": "1"}, "cwd": "/srv"}
    )

    assert (spec.name, spec.transport, spec.write_credentials) == ("a", "stdio", None)
    assert spec.launch == {
        "command": "server", "args": ["--log", "x y"], "cwd": "/srv",
        "env": {"TOKEN": "${TOKEN}", "LEVEL": "1"},
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["http", "streamable-http", "streamableHttp", None])
def test_an_http_server_is_taken_over_whatever_clients_call_it(kind: str | None):
    headers = {"Authorization": "Bearer ${TOKEN}", "X-Team": "billing"}
    entry = URL | {"headers": headers} | ({"type": kind} if kind else {})

    spec = read(entry)

    assert spec.transport == "http"
    assert spec.launch == URL | {"headers": headers}


def test_a_second_set_of_credentials_is_taken_over():
    write = {"headers": {"Authorization": "Bearer ${WRITE}"}}

    assert read(URL | {"countersign": {"write": write}}).write_credentials == write


def test_loopback_and_private_addresses_are_the_operators_choice():
    for url in ("http://127.0.0.1:9/mcp", "http://[::1]:9/mcp", "http://10.0.0.1/mcp"):
        assert read({"url": url}).launch["url"] == url


SERVER = "$.mcpServers.a"
ENV, HEADERS = f"{SERVER}.env", f"{SERVER}.headers"
REFUSED: dict[str, tuple[object, str, str]] = {
    "no object": (5, SERVER, "object"),
    "a list of types": (URL | {"type": ["http"]}, f"{SERVER}.type", "http"),
    "an object of a type": (URL | {"type": {}}, f"{SERVER}.type", "http"),
    "nothing to start": ({}, SERVER, "command or a url"),
    "an empty command": ({"command": ""}, SERVER, "command"),
    "a command that is a list": ({"command": ["a"]}, SERVER, "command"),
    "a command and a url": (COMMAND | URL, f"{SERVER}.command", "unknown key"),
    "arguments as text": (COMMAND | {"args": "-x"}, f"{SERVER}.args", "list of text"),
    "an argument that is a number": (COMMAND | {"args": [1]}, f"{SERVER}.args", "list of text"),
    "a folder that is a number": (COMMAND | {"cwd": 1}, f"{SERVER}.cwd", "text"),
    "an unknown key": (COMMAND | {"retries": 1}, f"{SERVER}.retries", "unknown key"),
    "disabled": (COMMAND | {"disabled": True}, f"{SERVER}.disabled", "unknown"),
    "autoApprove": (COMMAND | {"autoApprove": ["x"]}, f"{SERVER}.autoApprove", "unknown key"),
    "envFile": (COMMAND | {"envFile": ".env"}, f"{SERVER}.envFile", "unknown key"),
    "server-sent events": (URL | {"type": "sse"}, f"{SERVER}.type", "Streamable HTTP"),
    "http with a command": (COMMAND | {"type": "http"}, f"{SERVER}.type", "stdio"),
    "another scheme": ({"url": "ftp://a/b"}, f"{SERVER}.url", "http or https"),
    "no host": ({"url": "https:///mcp"}, f"{SERVER}.url", "http or https"),
    "a broken address": ({"url": "http://[::1/mcp"}, f"{SERVER}.url", "http or https"),
    "an address that is a number": ({"url": 5}, f"{SERVER}.url", "text"),
    "a line break in an address": ({"url": "http://a/\nb"}, f"{SERVER}.url", "text"),
    "a password in an address": ({"url": "http://a:b@c/"}, f"{SERVER}.url", "no user"),
    "a key in an address": ({"url": "http://a/?api_key=x1"}, f"{SERVER}.url", "no secret"),
    "a reference in an address": ({"url": "http://a/${KEY}"}, f"{SERVER}.url", "no secret"),
    "a plain token": (COMMAND | {"env": {"GH_TOKEN": "ghp_1"}}, f"{ENV}.GH_TOKEN", "secret"),
    "a plain password": (COMMAND | {"env": {"PGPASSWORD": "x"}}, f"{ENV}.PGPASSWORD", "secret"),
    "a plain key": (COMMAND | {"env": {"AN_API_KEY": "x"}}, f"{ENV}.AN_API_KEY", "secret"),
    "a plain bearer": (
        URL | {"headers": {"Authorization": "Bearer x"}}, f"{HEADERS}.Authorization", "secret",
    ),
    "a reference and more": (
        COMMAND | {"env": {"TOKEN": "${A}b"}}, f"{ENV}.TOKEN", "secret",
    ),
    "a reference as VS Code writes it": (
        COMMAND | {"env": {"LEVEL": "${env:LEVEL}"}}, f"{ENV}.LEVEL", "${NAME}",
    ),
    "a reference with a default": (
        COMMAND | {"env": {"LEVEL": "${LEVEL:-1}"}}, f"{ENV}.LEVEL", "${NAME}",
    ),
    "a reference in an argument": (COMMAND | {"args": ["${A}"]}, f"{SERVER}.args", "env"),
    "a secret in an argument": (COMMAND | {"args": ["--token=x"]}, f"{SERVER}.args", "env"),
    "a secret after an argument": (COMMAND | {"args": ["--api-key", "x"]}, f"{SERVER}.args", "env"),
    "a variable that is none": (COMMAND | {"env": {"A=B": "x"}}, SERVER, "name of an environment"),
    "a value that is a number": (COMMAND | {"env": {"A": 5}}, f"{ENV}.A", "text"),
    "an environment as a list": (COMMAND | {"env": ["A=B"]}, ENV, "object of text"),
    "a header that is none": (URL | {"headers": {"a b": "x"}}, SERVER, "name of a header"),
    "a header with a line break": (URL | {"headers": {"X": "a\r\nb"}}, f"{HEADERS}.X", "line"),
    "a header of the protocol": (
        URL | {"headers": {"Mcp-Session-Id": "x"}}, SERVER, "set by Countersign",
    ),
    "a header of ours": (
        URL | {"headers": {"X-Countersign-Watch": "x"}}, SERVER, "set by Countersign",
    ),
    "a section that is text": (COMMAND | {"countersign": 5}, f"{SERVER}.countersign", "object"),
    "an unknown key of ours": (
        COMMAND | {"countersign": {"read": {}}}, f"{SERVER}.countersign.read", "unknown key",
    ),
    "write headers for stdio": (
        COMMAND | {"countersign": {"write": {"headers": {}}}}, f"{SERVER}.countersign.write", "env",
    ),
    "a plain write token": (
        COMMAND | {"countersign": {"write": {"env": {"TOKEN": "x"}}}},
        f"{SERVER}.countersign.write.env.TOKEN", "secret",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_each_refusal_names_the_place_and_the_reason(case: str):
    entry, path, word = REFUSED[case]

    with pytest.raises(InvalidInput) as caught:
        read(entry)

    told = [problem for problem in caught.value.problems if word in problem["message"]]
    assert told
    assert told[0]["path"].startswith(path)


@pytest.mark.parametrize("name", ["", "Billing", "my_server", "a.b", "-a", "x" * 41, "ä", "a\n"])
def test_an_odd_name_is_refused(name: str):
    with pytest.raises(InvalidInput, match="names have up to 40"):
        read(COMMAND, name)


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"mcpServers": []}, {"mcpServers": {}}, {"servers": {"a": COMMAND}},
     {"mcpServers": {"a": COMMAND}, "inputs": []}],
)  # fmt: skip
def test_another_kind_of_file_is_refused(document: object):
    with pytest.raises(InvalidInput):
        importing.read(document)


def test_what_only_looks_like_a_secret_is_taken_over():
    env = {"GIT_AUTHOR": "Ann", "AUTHORS": "2", "TOKEN_FILE": "/run/token", "KEYBOARD": "us"}

    assert read(COMMAND | {"env": env}).launch["env"] == env


def test_every_problem_of_a_file_is_told_at_once():
    with pytest.raises(InvalidInput) as caught:
        importing.read({"mcpServers": {"A": COMMAND, "b": {}, "c": URL | {"x": 1}}, "y": 2})

    paths = {problem["path"] for problem in caught.value.problems}
    assert paths == {"$.y", "$.mcpServers.A", "$.mcpServers.b", "$.mcpServers.c.x"}
