"""Runs git for the deploys example: argument lists, no shell, bounded in time and size."""

import os
import subprocess
import tempfile
import threading
from pathlib import Path

TIMEOUT_SECONDS = 10.0
OUTPUT_BYTES = 1 << 20
ERROR_BYTES = 2000

# Nothing of the user's own set-up, no hooks, no pager; commits reach the disk before we answer.
OPTIONS = [
    "--no-pager",
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsync=all"),
    *("-c", "core.quotePath=false"),
    *("-c", "gc.auto=0"),
]
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_AUTHOR_NAME": "deploys",
    "GIT_AUTHOR_EMAIL": "deploys@example.com",
    "GIT_COMMITTER_NAME": "deploys",
    "GIT_COMMITTER_EMAIL": "deploys@example.com",
    "LC_ALL": "C",
}


class GitFailed(Exception):
    """git ended with an error, or had to be stopped; the message is its own."""


class Git:
    """The git binary on one repository."""

    def __init__(self, folder: Path) -> None:
        # A named GIT_DIR keeps git from looking in the folders above.
        self._folder = folder
        self._environment = ENVIRONMENT | {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.devnull,
            "GIT_DIR": str(folder / ".git"),
            "GIT_WORK_TREE": str(folder),
        }

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Return what git wrote.

        Raises:
            GitFailed: exit code other than 0, took too long, or wrote more than 1 MiB.
        """
        text, is_cut = self.run_bounded(*arguments, stdin=stdin, limit=OUTPUT_BYTES)
        if is_cut:
            raise GitFailed(f"git {arguments[0]} wrote more than {OUTPUT_BYTES} bytes.")
        return text

    def run_bounded(self, *arguments: str, limit: int, stdin: str = "") -> tuple[str, bool]:
        """Return the first `limit` bytes that git wrote, as text, and whether there was more.

        Raises:
            GitFailed: exit code other than 0, or took too long.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaints:
            # Files, not pipes: git can neither block on us nor we on git.
            given.write(stdin.encode())
            given.seek(0)
            process = subprocess.Popen(
                ["git", *OPTIONS, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
            output, is_cut, is_late = _read(process, limit)
            complaints.seek(0)
            complaint = complaints.read(ERROR_BYTES).decode(errors="replace").strip()
        if is_late:
            raise GitFailed(f"git {arguments[0]} took longer than {TIMEOUT_SECONDS:g} s.")
        if process.returncode != 0 and not is_cut:
            raise GitFailed(complaint or f"git {arguments[0]} failed.")
        return output.decode(errors="replace"), is_cut


def _read(process: subprocess.Popen[bytes], limit: int) -> tuple[bytes, bool, bool]:
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(TIMEOUT_SECONDS, give_up)
    timer.start()
    with process:
        output = process.stdout.read(limit + 1) if process.stdout else b""
        is_cut = len(output) > limit
        if is_cut:
            process.kill()
        process.wait()
        timer.cancel()
    return output[:limit], is_cut, late.is_set()
