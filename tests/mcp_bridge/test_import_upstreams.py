"""The command `import_upstreams`: rows from a file, each tool with its hints, down or not."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from approvals.models import AuditEvent, Domain, Tool, Upstream
from mcp_bridge import threads
from tests.support import upstreams as servers
from tests.support.upstreams import TOOLS, StdioUpstream
from tests.support.world import World, definition

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """End the database threads that a command would end with its process."""
    yield
    asyncio.run(threads.close())


def run(tmp_path: Path, document: object, domain: str = "billing") -> None:
    """Import a document."""
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    call_command("import_upstreams", str(file), domain=domain)


def test_it_lists_each_tool_with_its_hints(world: World, tmp_path: Path, capsys: Capture):
    child = StdioUpstream(tmp_path / "child")
    child.script["tools"] = [
        definition("look", annotations={"readOnlyHint": True, "destructiveHint": False}),
        {k: v for k, v in definition("wipe").items() if k != "annotations"},
        definition("broken", inputSchema={}),
    ]
    child.write()

    run(tmp_path, {"mcpServers": {"plain": child.launch}})

    said = capsys.readouterr()
    assert "plain (stdio, domain billing)" in said.out
    assert "plain__look: unreviewed; claims readOnlyHint=True, destructiveHint=False" in said.out
    assert "plain__wipe: unreviewed; claims nothing" in said.out
    assert "dropped broken: its input schema" in said.err
    assert "broken" not in said.out


def test_importing_again_updates(world: World, tmp_path: Path, capsys: Capture):
    with servers.serving() as server:
        run(tmp_path, {"mcpServers": {"plain": {"url": server.url}}})
        server.tools = [*TOOLS, definition("more")]
        entry = {"url": server.url + "?v=2", "headers": {"X-Team": "a"}}
        run(tmp_path, {"mcpServers": {"plain": entry}})

    upstream = Upstream.objects.get(name="plain")
    assert upstream.launch == entry
    assert upstream.tools.count() == 3
    assert AuditEvent.objects.filter(stream="upstream:plain", code="upstream.put").count() == 2


def test_an_upstream_that_is_down_is_imported_and_its_error_shown(
    world: World, tmp_path: Path, capsys: Capture
):
    entry = {"command": "/no/such/program"}

    run(tmp_path, {"mcpServers": {"down": entry, "also": {"url": "http://127.0.0.1:9/mcp"}}})

    said = capsys.readouterr().err
    assert "/no/such/program" in said
    assert "127.0.0.1:9 cannot be connected to" in said
    assert Upstream.objects.get(name="down").list_error
    assert Upstream.objects.get(name="also").list_error


def test_both_credential_sets_are_listed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("READ", "read-secret")
    monkeypatch.setenv("WRITE", "write-secret")
    with servers.serving() as server:
        headers = {"Authorization": "Bearer ${READ}"}
        write = {"headers": {"Authorization": "Bearer ${WRITE}"}}
        entry = {"url": server.url, "headers": headers, "countersign": {"write": write}}
        run(tmp_path, {"mcpServers": {"plain": entry}})

        lists = [post for post in server.posts if post.method == "tools/list"]
        used = [post.headers["authorization"] for post in lists]
    assert used == ["Bearer read-secret", "Bearer write-secret"]
    tools = Tool.objects.filter(upstream__name="plain")
    assert {frozenset(tool.listed_digests) for tool in tools} == {frozenset({"plain", "write"})}
    row = Upstream.objects.get(name="plain")
    kept = json.dumps([row.launch, row.write_credentials, row.list_error, row.server_info])
    assert "secret" not in kept


def test_a_refused_file_changes_nothing(world: World, tmp_path: Path):
    before = (Upstream.objects.count(), Domain.objects.count(), AuditEvent.objects.count())
    good, bad = {"command": "x"}, {"command": "x", "env": {"TOKEN": "plain"}}

    with pytest.raises(CommandError, match=r"mcpServers\.b\.env\.TOKEN: looks like a secret"):
        run(tmp_path, {"mcpServers": {"a": good, "b": bad}}, domain="new")

    assert before == (Upstream.objects.count(), Domain.objects.count(), AuditEvent.objects.count())


def test_a_name_of_another_domain_refuses_the_whole_file(world: World, tmp_path: Path):
    before = (Upstream.objects.count(), Domain.objects.count(), AuditEvent.objects.count())

    with pytest.raises(CommandError, match="belongs to billing already"):
        run(tmp_path, {"mcpServers": {"a": {"command": "x"}, "billing": {"command": "x"}}}, "new")

    assert before == (Upstream.objects.count(), Domain.objects.count(), AuditEvent.objects.count())


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "not JSON"), ('{"mcpServers": {}, "mcpServers": {}}', "twice"), ("[]", "mcpServers"),
     ('{"mcpServers": {"a": {"command": "x\\u0000"}}}', "U[+]0000")],
)  # fmt: skip
def test_a_file_that_is_not_strict_json_is_refused(
    world: World, tmp_path: Path, text: str, word: str
):
    file = tmp_path / "mcp.json"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(CommandError, match=word):
        call_command("import_upstreams", str(file), domain="billing")


def test_refresh_reads_lists_again(world: World, tmp_path: Path, capsys: Any):
    with servers.serving() as server:
        run(tmp_path, {"mcpServers": {"plain": {"url": server.url}}})
        server.tools = [TOOLS[0]]
        capsys.readouterr()

        call_command("refresh_upstreams", "plain")

        assert "plain: 1 tool" in capsys.readouterr().out
        with pytest.raises(CommandError, match="no upstream called nobody"):
            call_command("refresh_upstreams", "nobody")
