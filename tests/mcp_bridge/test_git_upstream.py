"""A real upstream nobody here wrote: mcp-server-git, imported, read, and released to for real."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from approvals.administration import catalog
from approvals.models import ToolCall
from mcp_bridge import release, threads
from tests.support import world as worlds
from tests.support.asking import asking
from tests.support.thirdparty import git_server
from tests.support.world import ACTOR, World

pytestmark = pytest.mark.thirdparty
S = ToolCall.Status


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one commit, and one change that is staged."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ann")
    git(folder, "config", "user.email", "ann@example.org")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Begin.")
    (folder / "note").write_text("A change.\n", encoding="utf-8")
    git(folder, "add", "note")
    return folder


@pytest.fixture(autouse=True)
def _worker(world: World) -> Iterator[None]:
    yield
    release.stop_claiming()
    release.wait_idle(10)
    release._work.is_stopping = False
    asyncio.run(threads.close())


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_it_is_imported_read_and_released_to(
    world: World, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    entry: dict[str, Any] = {
        "command": str(git_server()), "args": ["--repository", str(repository)],
    }  # fmt: skip
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"git": entry}}), encoding="utf-8")

    call_command("import_upstreams", str(file), domain="billing")

    said = capsys.readouterr().out
    assert "git__git_status" in said
    assert "git__git_commit" in said

    status, commit = (catalog.get_tool("git", f"git_{name}") for name in ("status", "commit"))
    with asking() as bridge:
        for tool, word in ((status, "note"), (catalog.get_tool("git", "git_log"), "Begin.")):
            arguments = {"repo_path": str(repository)}
            work = bridge.sessions.read(tool.upstream_id, tool.name, arguments, {})
            assert word in bridge.run(work)["content"][0]["text"]

    catalog.review_tool(commit, effect="write", actor=ACTOR)
    arguments = {"repo_path": str(repository), "message": "Note it."}
    call = worlds.walk(worlds.hold(world, tool=commit, arguments=arguments), world, S.APPROVED)
    assert git(repository, "log", "--format=%s").splitlines() == ["Begin."]

    release.release(str(call.pk))

    call = ToolCall.objects.get(pk=call.pk)
    assert call.status == S.SUCCEEDED
    assert git(repository, "log", "--format=%s").splitlines() == ["Note it.", "Begin."]

    release.release(str(call.pk))
    assert len(git(repository, "log", "--format=%s").splitlines()) == 2
