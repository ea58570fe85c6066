"""`fault_run --bugs`: plants each bug of `tests/faults/bugs` in a copy, and the run must find it.

A patch begins with words for people and lines `Database:` and `Options:`, which say what the
unchanged fault_run is started with. A seed may miss a rare moment, so a bug has three.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUGS = Path(__file__).with_name("bugs")
SEEDS = 3
_LEFT_OUT = (".git", ".venv", "var", "node_modules", "__pycache__", ".*_cache", "reports")


@dataclass(frozen=True)
class Bug:
    """One patch, and how its run is started."""

    patch: Path
    database: str
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return what it is called."""
        return self.patch.stem


def bugs() -> list[Bug]:
    """Return every planted bug."""
    return [_read(patch) for patch in sorted(BUGS.glob("*.patch"))]


def _read(patch: Path) -> Bug:
    head = patch.read_text().partition("\ndiff ")[0].splitlines()
    said = dict(line.split(": ", 1) for line in head if ": " in line)
    return Bug(patch, said["Database"], tuple(said["Options"].split()))


def copy(folder: Path) -> Path:
    """Return a copy of the project in a folder."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    return tree


def plant(bug: Bug, folder: Path) -> Path:
    """Return a copy of the project with the bug in it.

    Raises:
        RuntimeError: the patch does not fit any more.
    """
    tree = copy(folder)
    # Where git finds a repository above, it would skip files that are not part of that one.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder)}
    done = subprocess.run(
        ["git", "apply", "--verbose", str(bug.patch)], cwd=tree, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{bug.name} cannot be planted any more: {done.stderr}")
    return tree


def is_found(bug: Bug, seed: int) -> bool:
    """Run the copy's own fault_run; return whether it found violations.

    Raises:
        RuntimeError: there was no verdict.
    """
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        os.chmod(folder, 0o755)  # PostgreSQL's own user has to reach its folder in it
        tree, kept = plant(bug, Path(folder)), Path(folder) / "kept"
        command = [sys.executable, "manage.py", "fault_run", "--database", bug.database]
        command += ["--seed", str(seed), "--keep", str(kept), *bug.options]
        own = {"COUNTERSIGN_NO_BOOTSTRAP": "1", "COUNTERSIGN_DATA": str(Path(folder) / "data")}
        running = subprocess.Popen(
            command, cwd=tree, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True
        )
        try:
            said = running.communicate()[0]
        finally:
            running.terminate()  # not killed: it has processes of its own to end
            running.wait()
        if running.returncode not in (0, 1):
            raise RuntimeError(f"{bug.name}, seed {seed}: exit code {running.returncode}")
        for line in [one for one in said.splitlines() if one.startswith(f"- seed {seed}: ")][:12]:
            print(f"    {line}", flush=True)
        return running.returncode == 1


def find_all(options: argparse.Namespace) -> int:
    """Plant and look for each bug; return 0 when all were found."""
    chosen = [bug for bug in bugs() if not options.bug or bug.name in options.bug]
    missed = []
    for bug in chosen:
        print(f"{bug.name} on {bug.database}:", flush=True)
        seeds = range(options.seed, options.seed + SEEDS)
        seed = next((seed for seed in seeds if is_found(bug, seed)), None)
        print(f"  {'MISSED' if seed is None else f'found with seed {seed}'}", flush=True)
        missed += [bug.name] if seed is None else []
    print(f"{len(chosen) - len(missed)} of {len(chosen)} planted bugs were found.", flush=True)
    return 0 if chosen and not missed else 1
