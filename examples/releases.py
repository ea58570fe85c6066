"""The deploys example's repository: tagged releases, and one branch per environment.

Used by deploys.py only. What runs in an environment is the tip of `deployed/<environment>`: the
files of each service as they were released, and `environments/<environment>.json`. A deploy is one
commit there, made from plumbing and published by one compare-and-set of the branch, so it happens
whole or not at all.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from git_command import Git, GitFailed
from serving import Refused

RELEASE_FORM = re.compile(r"v[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}")
SERVICE_FORM = re.compile(r"[a-z][a-z0-9-]{0,39}")
ENVIRONMENTS = ("staging", "production")
NOTHING = "0" * 40  # git's name for "this branch does not exist yet"
ATTEMPTS = 10  # each round somebody wins, and the bridge sends at most eight at once
REMEMBERED = 20  # earlier releases a rollback can step through
PATCH_BYTES = 32 * 1024
FILES_SHOWN = 200
TAGS_READ = 200


@dataclass(frozen=True)
class State:
    """An environment as its branch says: the tip, and per service what runs and ran before."""

    tip: str
    services: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Wish:
    """What somebody wants to run where; without a release, whatever ran there before."""

    action: str
    service: str
    environment: str
    release: str | None
    call_id: str | None


class Releases:
    """Reads releases from one repository and deploys them there, from many processes at once."""

    def __init__(self, folder: Path) -> None:
        self._git = Git(folder)

    def listed(self, service: str | None, limit: int) -> list[dict[str, Any]]:
        """Return the newest releases that have this service, newest first.

        Raises:
            Refused: no release has the service.
        """
        described = map(self._described, self._tags())
        having = (one for one in described if service is None or service in one["services"])
        newest = list(islice(having, limit))
        if service is not None and not newest:
            raise Refused(f"No release has a service {service}.")
        return newest

    def running(self, service: str | None) -> list[dict[str, str]]:
        """Return which release of each service runs where."""
        return [
            {"environment": environment, "service": name, "release": entry["release"]}
            for environment in ENVIRONMENTS
            for name, entry in sorted(self._state(environment).services.items())
            if service in (None, name)
        ]

    def difference(self, older: str, newer: str) -> dict[str, Any]:
        """Return the changed files between two releases, and the patch as far as it fits.

        Raises:
            Refused: one of them does not exist.
        """
        pair = (self._commit_of(older), self._commit_of(newer))
        plain = ("diff", "--no-ext-diff", "--no-textconv", "--no-renames")
        counted = self._git.run(*plain, "--numstat", "-z", *pair, "--")
        patch, is_cut = self._git.run_bounded(*plain, *pair, "--", limit=PATCH_BYTES)
        files = [_counted(line) for line in counted.split("\0") if line]
        return {
            "from": older,
            "to": newer,
            "files": files[:FILES_SHOWN],
            "patch": patch,
            "is_cut": is_cut or len(files) > FILES_SHOWN,
        }

    def deploy(
        self, service: str, release: str, environment: str, call_id: str | None
    ) -> dict[str, Any]:
        """Make a release of a service the one that runs, and return what was done.

        The same call id gets the same answer, without a second deploy.

        Raises:
            Refused: no such release or service, or too many others deploy at this moment.
        """
        return self._carry_out(Wish("deploy", service, environment, release, call_id))

    def roll_back(self, service: str, environment: str, call_id: str | None) -> dict[str, Any]:
        """Return a service to the release that ran before it, as `deploy` does.

        Raises:
            Refused: nothing ran before, or too many others deploy at this moment.
        """
        return self._carry_out(Wish("rollback", service, environment, None, call_id))

    def _carry_out(self, wish: Wish) -> dict[str, Any]:
        for _ in range(ATTEMPTS):
            with _nothing_deployed():
                done = self._done(wish)
                if done is not None:
                    return done
                state = self._state(wish.environment)
                commit, move = self._commit(wish, state)
            if self._publish(wish.environment, commit, state):
                return _answer(move, commit)
        raise Refused("Others are deploying at this moment; nothing was deployed. Try again.")

    def _done(self, wish: Wish) -> dict[str, Any] | None:
        if wish.call_id is None:
            return None
        said = f"Call-Id: {wish.call_id}"
        log = ("log", "--first-parent", "--fixed-strings", "--format=%H")
        found = self._git.run(*log, f"--grep={said}", "--branches=deployed/*")
        for commit in found.splitlines():
            move = self._move_at(commit)
            if move["call_id"] == wish.call_id:
                _check_same(move, wish)
                return _answer(move, commit)
        return None

    def _move_at(self, commit: str) -> dict[str, Any]:
        environment = self._git.run("ls-tree", "--name-only", commit, "environments/").strip()
        move: dict[str, Any] = json.loads(
            self._git.run("cat-file", "blob", f"{commit}:{environment}")
        )
        return dict(move["last"])

    def _state(self, environment: str) -> State:
        branch = f"refs/heads/deployed/{environment}"
        tip = self._git.run("for-each-ref", "--format=%(objectname)", branch).strip()
        if not tip:
            return State("", {})
        path = f"{tip}:environments/{environment}.json"
        return State(tip, json.loads(self._git.run("cat-file", "blob", path))["services"])

    def _commit(self, wish: Wish, state: State) -> tuple[str, dict[str, Any]]:
        entry = state.services.get(wish.service, {"release": None, "before": []})
        release, before = _next(wish, entry)
        released, files = self._files_of(wish.service, release)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        move = asdict(wish) | {"release": release, "previous": entry["release"], "at": now}
        fresh = {"release": release, "commit": released, "at": now, "before": before[:REMEMBERED]}
        facts = {
            "environment": wish.environment,
            "services": state.services | {wish.service: fresh},
            "last": move,
        }
        tree = self._tree(wish, state, files, json.dumps(facts, indent=2, sort_keys=True) + "\n")
        parents = [*(("-p", state.tip) if state.tip else ()), "-p", released]
        commit = self._git.run("commit-tree", tree, *parents, stdin=_message(move))
        return commit.strip(), move

    def _tree(self, wish: Wish, state: State, files: str, facts: str) -> str:
        fact_file = self._git.run("hash-object", "-w", "--stdin", stdin=facts).strip()
        trees = {wish.service: files}
        if state.tip:
            others = self._git.run("ls-tree", "-d", state.tip, "services/").splitlines()
            trees = {name: tree for tree, name in map(_tree_line, others)} | trees
        services = self._made("".join(f"040000 tree {t}\t{n}\n" for n, t in trees.items()))
        environments = self._made(f"100644 blob {fact_file}\t{wish.environment}.json\n")
        return self._made(
            f"040000 tree {environments}\tenvironments\n040000 tree {services}\tservices\n"
        )

    def _made(self, lines: str) -> str:
        return self._git.run("mktree", stdin=lines).strip()

    def _publish(self, environment: str, commit: str, state: State) -> bool:
        branch = f"refs/heads/deployed/{environment}"
        try:
            self._git.run("update-ref", branch, commit, state.tip or NOTHING)
        except GitFailed as failure:
            # Lost against another deploy: either it moved the branch, or it holds the lock now.
            if self._state(environment).tip != state.tip or "File exists" in str(failure):
                return False
            raise
        return True

    def _tags(self) -> list[list[str]]:
        fields = "%(refname:strip=2)%09%(creatordate:iso-strict)%09%(contents:subject)"
        newest = ("--sort=-version:refname", f"--count={TAGS_READ}", f"--format={fields}")
        lines = self._git.run("for-each-ref", *newest, "refs/tags/v*").splitlines()
        rows = [line.split("\t", 2) for line in lines]
        return [row for row in rows if RELEASE_FORM.fullmatch(row[0])]

    def _described(self, row: list[str]) -> dict[str, Any]:
        release, released_at, summary = row
        commit = self._commit_of(release)
        folders = self._git.run("ls-tree", "-d", commit, "services/").splitlines()
        return {
            "release": release,
            "commit": commit,
            "released_at": released_at,
            "summary": summary,
            "services": [name for _, name in map(_tree_line, folders)],
        }

    def _commit_of(self, release: str) -> str:
        # A whole match: nothing that git could take for an option or another kind of ref.
        if RELEASE_FORM.fullmatch(release) is None:
            raise Refused(f"{release!r} is not a release name like v3.18.0.")
        name = f"refs/tags/{release}^{{commit}}"
        try:
            return self._git.run("rev-parse", "--verify", "--quiet", name).strip()
        except GitFailed as failure:
            raise Refused(f"There is no release {release}; list_releases has them.") from failure

    def _files_of(self, service: str, release: str) -> tuple[str, str]:
        if SERVICE_FORM.fullmatch(service) is None:
            raise Refused(f"{service!r} is not a service name like checkout-api.")
        commit = self._commit_of(release)
        lines = self._git.run("ls-tree", "-d", commit, f"services/{service}").splitlines()
        if not lines:
            raise Refused(f"Release {release} has no service {service}.")
        return commit, _tree_line(lines[0])[0]


@contextmanager
def _nothing_deployed() -> Iterator[None]:
    # Before the branch moves, a failure of git is a definite answer.
    try:
        yield
    except GitFailed as failure:
        raise Refused(f"Nothing was deployed; git said: {failure}") from failure


def _next(wish: Wish, entry: dict[str, Any]) -> tuple[str, list[str]]:
    running, before = entry["release"], entry["before"]
    if wish.release is None:
        if not before:
            what = f"{wish.service} {running}" if running else wish.service
            raise Refused(f"Nothing ran in {wish.environment} before {what}.")
        return before[0], before[1:]
    # Deploying what already runs must not make it the release to roll back to.
    return wish.release, before if running in (None, wish.release) else [running, *before]


def _check_same(move: dict[str, Any], wish: Wish) -> None:
    asked = asdict(wish)
    same = [move[name] == asked[name] for name in ("action", "service", "environment")]
    if not all(same) or wish.release not in (None, move["release"]):
        raise Refused("This call id already stands for another deploy; nothing was deployed.")


def _answer(move: dict[str, Any], commit: str) -> dict[str, Any]:
    shown = ("action", "service", "environment", "release", "previous", "at")
    branch = f"deployed/{move['environment']}"
    return {name: move[name] for name in shown} | {"branch": branch, "commit": commit}


def _message(move: dict[str, Any]) -> str:
    verb = "Deploy" if move["action"] == "deploy" else "Roll back to"
    subject = f"{verb} {move['service']} {move['release']} in {move['environment']}"
    trailer = f"\n\nCall-Id: {move['call_id']}" if move["call_id"] else ""
    return f"{subject}{trailer}\n"


def _tree_line(line: str) -> tuple[str, str]:
    """Return a tree's id and its last name from a line of `git ls-tree -d`."""
    facts, path = line.split("\t", 1)
    return facts.split()[2], path.rpartition("/")[2]


def _counted(line: str) -> dict[str, Any]:
    # git counts no lines in binary files and writes "-".
    added, removed, path = line.split("\t", 2)
    return {
        "path": path,
        "added": 0 if added == "-" else int(added),
        "removed": 0 if removed == "-" else int(removed),
    }
