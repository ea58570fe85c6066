"""The deploys example moves one branch per call, whole or not at all, and trusts no name."""

import asyncio
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp.client import Client

from tests.examples.conftest import Connect
from tests.examples.driving import (
    Serving,
    ask_without_waiting,
    call_id,
    command,
    facts,
    over_http,
    over_stdio,
    run,
    said,
)

pytestmark = pytest.mark.anyio

DEPLOY: dict[str, Any] = {
    "service": "checkout-api",
    "release": "v3.18.0",
    "environment": "production",
}
ROLLBACK = {"service": "checkout-api", "environment": "production"}


def git(repo: Path, *arguments: str) -> str:
    """Ask the repository itself, past the server."""
    asked = ["git", "-C", str(repo), *arguments]
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(asked, env=environment, check=True, capture_output=True, text=True).stdout


def tip(repo: Path, environment: str = "production") -> str:
    return git(repo, "rev-parse", f"refs/heads/deployed/{environment}").strip()


def refs(repo: Path) -> str:
    return git(repo, "for-each-ref")


def environment_file(repo: Path, environment: str = "production") -> dict[str, Any]:
    path = f"deployed/{environment}:environments/{environment}.json"
    return dict(json.loads(git(repo, "show", path)))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "deploys"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    """Serve one repository to all tests that must leave it as it was."""
    path = tmp_path_factory.mktemp("deploys") / "repo"
    with over_http("deploys.py", "--repo", path) as serving:
        yield serving, path


async def test_deploy_moves_the_branch_and_commits_what_runs(connect: Connect, repo: Path) -> None:
    async with connect("deploys.py", "--repo", repo) as client:
        before = tip(repo)
        answer = facts(await client.call_tool("deploy", DEPLOY, meta=call_id("c-1")))

    assert answer["commit"] == tip(repo) != before
    assert (answer["release"], answer["previous"]) == ("v3.18.0", "v3.17.0")
    assert git(repo, "rev-parse", "deployed/production^1").strip() == before
    assert environment_file(repo)["services"]["checkout-api"]["release"] == "v3.18.0"
    deployed = git(repo, "rev-parse", "deployed/production:services/checkout-api")
    assert deployed == git(repo, "rev-parse", "v3.18.0:services/checkout-api")


async def test_deploying_one_service_leaves_the_others_as_they_run(repo: Path) -> None:
    async with Client(over_stdio("deploys.py", "--repo", repo)) as client:
        storefront = git(repo, "rev-parse", "deployed/production:services/storefront")
        staging = tip(repo, "staging")
        await client.call_tool("deploy", DEPLOY)

    assert git(repo, "rev-parse", "deployed/production:services/storefront") == storefront
    assert environment_file(repo)["services"]["storefront"]["release"] == "v3.17.1"
    assert tip(repo, "staging") == staging


async def test_rollbacks_step_back_through_what_ran_and_stop_at_the_first(repo: Path) -> None:
    async with Client(over_stdio("deploys.py", "--repo", repo)) as client:
        await client.call_tool("deploy", DEPLOY)
        await client.call_tool("deploy", DEPLOY)
        steps = [facts(await client.call_tool("rollback", ROLLBACK))["release"] for _ in range(2)]
        last = tip(repo)
        beyond = await client.call_tool("rollback", ROLLBACK)

    assert steps == ["v3.17.0", "v3.16.0"]
    assert beyond.is_error
    assert "Nothing ran in production before checkout-api v3.16.0" in said(beyond)
    assert tip(repo) == last


async def test_every_answer_follows_the_published_output_schema(
    connect: Connect, repo: Path
) -> None:
    calls: dict[str, dict[str, Any]] = {
        "list_releases": {"service": "storefront", "limit": 2},
        "diff_release": {"from": "v3.17.1", "to": "v3.18.0"},
        "deploy": DEPLOY,
        "rollback": ROLLBACK,
    }
    async with connect("deploys.py", "--repo", repo) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        answers = {name: await client.call_tool(name, given) for name, given in calls.items()}

    assert tools.keys() == calls.keys()
    for name, answer in answers.items():
        schema = tools[name].output_schema
        assert schema is not None
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(facts(answer))


async def test_reads_tell_what_the_repository_holds(shared: tuple[Serving, Path]) -> None:
    async with Client(shared[0].url) as client:
        listed = facts(await client.call_tool("list_releases", {}))
        two = facts(await client.call_tool("list_releases", {"limit": 2}))
        changed = facts(
            await client.call_tool("diff_release", {"from": "v3.17.1", "to": "v3.18.0"})
        )

    names = [one["release"] for one in listed["releases"]]
    assert names == ["v3.18.0", "v3.17.1", "v3.17.0", "v3.16.0"]
    assert [one["release"] for one in two["releases"]] == names[:2]
    runs = {(r["environment"], r["service"]): r["release"] for r in listed["running"]}
    assert runs["production", "checkout-api"] == "v3.17.0"
    [file] = changed["files"]
    assert (file["path"], file["removed"]) == ("services/checkout-api/capture.py", 1)
    assert "+CAPTURE_ATTEMPTS = 3" in changed["patch"]
    assert not changed["is_cut"]


async def test_tools_say_honestly_which_of_them_replace_something(
    shared: tuple[Serving, Path],
) -> None:
    async with Client(shared[0].url) as client:
        hints = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}

    assert {n for n, h in hints.items() if h and h.read_only_hint} == {
        "list_releases",
        "diff_release",
    }
    assert {n for n, h in hints.items() if h and h.destructive_hint} == {"deploy", "rollback"}


REFUSED = {
    "unknown release": ("deploy", DEPLOY | {"release": "v9.9.9"}, "no release v9.9.9"),
    "unknown service": ("deploy", DEPLOY | {"service": "nope"}, "has no service nope"),
    "unknown environment": ("deploy", DEPLOY | {"environment": "prod"}, "'prod' is not one of"),
    "option for a release": ("deploy", DEPLOY | {"release": "--help"}, "does not match"),
    "option for a service": ("deploy", DEPLOY | {"service": "-rf"}, "does not match"),
    "branch for a release": ("deploy", DEPLOY | {"release": "main"}, "does not match"),
    "expression": ("deploy", DEPLOY | {"release": "v3.18.0^{tree}"}, "does not match"),
    "path": ("deploy", DEPLOY | {"service": "../main"}, "does not match"),
    "line break": ("deploy", DEPLOY | {"release": "v3.18.0\n"}, "is not a release name"),
    "break in a service": ("deploy", DEPLOY | {"service": "storefront\n"}, "is not a service name"),
    "shell": ("deploy", DEPLOY | {"release": "$(touch x)"}, "does not match"),
    "missing field": ("deploy", {"service": "storefront"}, "is a required property"),
    "extra field": ("deploy", DEPLOY | {"force": True}, "'force' was unexpected"),
    "number": ("deploy", DEPLOY | {"release": 318}, "is not of type 'string'"),
    "rollback of nothing": ("rollback", ROLLBACK | {"service": "nope"}, "Nothing ran in"),
    "diff with an option": ("diff_release", {"from": "--output=x", "to": "v3.18.0"}, "not match"),
    "diff of the unknown": ("diff_release", {"from": "v3.16.0", "to": "v0.0.1"}, "no release"),
    "limit of nothing": ("list_releases", {"limit": 0}, "limit: 0 is less than"),
    "unknown service listed": ("list_releases", {"service": "nope"}, "No release has a service"),
}


@pytest.mark.parametrize(("tool", "given", "why"), REFUSED.values(), ids=REFUSED.keys())
async def test_bad_input_is_an_error_in_plain_words_and_moves_nothing(
    shared: tuple[Serving, Path], tool: str, given: dict[str, Any], why: str
) -> None:
    serving, repo = shared
    before = refs(repo)

    async with Client(serving.url) as client:
        answer = await client.call_tool(tool, given)

    assert answer.is_error
    assert why in said(answer)
    assert refs(repo) == before


async def test_same_call_id_gets_the_same_deploy_again_and_one_commit(repo: Path) -> None:
    back = DEPLOY | {"release": "v3.17.0"}

    async with Client(over_stdio("deploys.py", "--repo", repo)) as client:
        first = facts(await client.call_tool("deploy", DEPLOY, meta=call_id("c-1")))
        await client.call_tool("deploy", back, meta=call_id("c-10"))
        last = tip(repo)
        again = facts(await client.call_tool("deploy", DEPLOY, meta=call_id("c-1")))

    assert again == first
    assert tip(repo) == last


async def test_same_call_id_for_something_else_is_refused(repo: Path) -> None:
    async with Client(over_stdio("deploys.py", "--repo", repo)) as client:
        await client.call_tool("deploy", DEPLOY, meta=call_id("c-1"))
        last = refs(repo)
        others = [
            await client.call_tool("deploy", DEPLOY | change, meta=call_id("c-1"))
            for change in (
                {"release": "v3.17.0"},
                {"environment": "staging"},
                {"service": "storefront"},
            )
        ]
        others.append(await client.call_tool("rollback", ROLLBACK, meta=call_id("c-1")))

    assert all("already stands for another" in said(other) for other in others)
    assert refs(repo) == last


async def test_deploys_at_once_on_two_servers_all_stand_in_one_line(repo: Path) -> None:
    wanted = [
        DEPLOY | {"service": service, "release": release}
        for service in ("checkout-api", "storefront")
        for release in ("v3.16.0", "v3.18.0")
    ]
    served = ("deploys.py", "--repo", repo)
    with over_http(*served) as one, over_http(*served) as two:
        before = tip(repo)
        async with Client(one.url) as first, Client(two.url) as second:
            answers = await asyncio.gather(
                *(client.call_tool("deploy", w) for w in wanted for client in (first, second))
            )

    commits = {facts(answer)["commit"] for answer in answers}
    line = git(repo, "rev-list", "--first-parent", f"{before}..deployed/production").split()
    assert len(commits) == 8
    assert set(line) == commits


async def test_one_call_id_on_two_servers_at_once_is_one_deploy(repo: Path) -> None:
    served = ("deploys.py", "--repo", repo)
    with over_http(*served) as one, over_http(*served) as two:
        before = tip(repo)
        async with Client(one.url) as first, Client(two.url) as second:
            answers = await asyncio.gather(
                *(
                    client.call_tool("deploy", DEPLOY, meta=call_id("c-1"))
                    for client in (first, second)
                    for _ in range(4)
                )
            )

    assert {facts(answer)["commit"] for answer in answers} == {tip(repo)}
    assert git(repo, "rev-list", "--first-parent", "--count", f"{before}..{tip(repo)}") == "1\n"


async def deploy_again_after_a_kill(repo: Path, before: str) -> None:
    async with Client(over_stdio("deploys.py", "--repo", repo)) as client:
        again = facts(await client.call_tool("deploy", DEPLOY, meta=call_id("c-1")))

    assert again["commit"] == tip(repo)
    assert git(repo, "rev-list", "--first-parent", "--count", f"{before}..{tip(repo)}") == "1\n"
    git(repo, "fsck", "--strict")


async def test_killed_as_soon_as_the_branch_moved_it_stays_one_deploy(repo: Path) -> None:
    with over_http("deploys.py", "--repo", repo) as serving:
        before = tip(repo)
        asking = ask_without_waiting(serving.url, "deploy", DEPLOY, "c-1")
        deadline = time.monotonic() + 10
        while tip(repo) == before:
            assert time.monotonic() < deadline, "no deploy within 10 s"
        serving.kill()
        asking.join()

    await deploy_again_after_a_kill(repo, before)


@pytest.mark.parametrize("milliseconds", [5, 15, 25])
async def test_killed_at_any_moment_a_repeated_call_is_one_deploy(
    repo: Path, milliseconds: int
) -> None:
    with over_http("deploys.py", "--repo", repo) as serving:
        before = tip(repo)
        asking = ask_without_waiting(serving.url, "deploy", DEPLOY, "c-1")
        asking.join(milliseconds / 1000)
        serving.kill()
        asking.join()

    await deploy_again_after_a_kill(repo, before)


async def test_the_users_git_set_up_plays_no_part(repo: Path, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    trace = tmp_path / "hook-ran"
    hook = hooks / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {trace}\nexit 1\n")
    hook.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n[commit]\n\tgpgsign = true\n[user]\n\tname = Mallory\n"
    )
    elsewhere = tmp_path / "elsewhere"
    pointing = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE")
    mine = {"HOME": str(home)} | {name: str(elsewhere / name) for name in pointing}

    with over_http("deploys.py", "--repo", repo, environment=mine) as serving:
        async with Client(serving.url) as client:
            facts(await client.call_tool("deploy", DEPLOY))

    assert not trace.exists()
    assert not elsewhere.exists()
    assert git(repo, "log", "-1", "--format=%an", "deployed/production") == "deploys\n"


async def test_a_hook_in_the_repository_does_not_run(repo: Path, tmp_path: Path) -> None:
    trace = tmp_path / "hook-ran"

    async with Client(over_stdio("deploys.py", "--repo", repo)) as client:
        hooks = repo / ".git" / "hooks"
        hooks.mkdir(exist_ok=True)
        hook = hooks / "reference-transaction"
        hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
        hook.chmod(0o755)
        facts(await client.call_tool("deploy", DEPLOY))

    assert not trace.exists()


def test_git_that_takes_too_long_is_stopped(
    tmp_path: Path, example_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import git_command  # importable only through the fixture

    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(git_command, "TIMEOUT_SECONDS", 0.2)
    began = time.monotonic()

    with pytest.raises(git_command.GitFailed, match="took longer"):
        git_command.Git(tmp_path).run("status")

    assert time.monotonic() - began < 10


def test_git_that_never_ends_its_answer_is_cut(
    tmp_path: Path, example_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import git_command  # importable only through the fixture

    endless = tmp_path / "git"
    endless.write_text("#!/bin/sh\nexec yes\n")
    endless.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    output, is_cut = git_command.Git(tmp_path).run_bounded("log", limit=1000)

    assert (output, is_cut) == ("y\n" * 500, True)
    with pytest.raises(git_command.GitFailed, match="more than"):
        git_command.Git(tmp_path).run("log")


async def test_a_long_patch_is_cut_and_says_so(repo: Path) -> None:
    async with Client(over_stdio("deploys.py", "--repo", repo)) as client:
        long = "".join(f"line {number}\n" for number in range(20_000))
        (repo / "services" / "storefront" / "long.txt").write_text(long)
        git(repo, "add", ".")
        git(repo, "-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "Long")
        git(repo, "tag", "v4.0.0")
        changed = facts(await client.call_tool("diff_release", {"from": "v3.18.0", "to": "v4.0.0"}))

    assert changed["is_cut"]
    assert len(changed["patch"]) <= 32 * 1024
    assert changed["files"] == [
        {"path": "services/storefront/long.txt", "added": 20_000, "removed": 0}
    ]


def test_servers_starting_at_once_serve_only_a_whole_repository(repo: Path) -> None:
    served = command("deploys.py", "--http", "--repo", repo)
    started = [subprocess.Popen(served, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    with selectors.DefaultSelector() as ready:
        for process in started:
            assert process.stdout is not None
            ready.register(process.stdout, selectors.EVENT_READ)
        ready.select(timeout=20)  # the first of them serves
        tags = git(repo, "tag").split()
        branches = git(repo, "branch", "--list", "deployed/*").split()
    for process in started:
        with process:
            assert process.stdout is not None
            assert "serves MCP" in process.stdout.readline()
            process.kill()

    assert tags == ["v3.16.0", "v3.17.0", "v3.17.1", "v3.18.0"]
    assert branches == ["deployed/production", "deployed/staging"]
    assert [path.name for path in repo.parent.iterdir()] == [repo.name]
    assert git(repo, "status", "--short") == ""
    git(repo, "fsck", "--strict")


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    ended = run("deploys.py", "--repo", tmp_path)

    assert ended.returncode == 2
    assert "Cannot use" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
