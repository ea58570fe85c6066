"""Builds virtual environments from hash-locked requirements; for `bootstrap`, make and tests.

Standard library only; for Linux and macOS.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STAMP = "countersign.json"  # inside an environment: {"<lock file>": "<SHA-256 when installed>"}
SECONDS_BETWEEN_LOG_LINES = 3
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
NO_VENV = (
    "this Python cannot make virtual environments: install its venv module"
    " (Debian and Ubuntu: `apt install python3-venv`) and run the same command again."
)


class Stop(Exception):
    """One sentence that tells the person at the keyboard what is wrong and what to do."""


class ToolFailed(Exception):
    """A tool that builds the environment gave up; the message is its last words."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is right when its stamp names the digest of the wanted lock file.

    The stamp is taken away before anything is installed and written back last, so a build that
    was killed at any moment is seen, and done anew, by the next start.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"

    def is_current(self) -> bool:
        """Tell whether this process runs in the environment."""
        return self.folder.exists() and self.folder.samefile(sys.prefix)

    def is_ready(self, requirements: Path) -> bool:
        """Tell whether what the lock file lists was installed completely."""
        is_installed = (self.stamp() or {}).get(requirements.name) == _digest(requirements)
        return is_installed and self.python.exists() and not self.is_broken()

    def is_broken(self) -> bool:
        """Tell, from inside, that since the build its Python changed or packages were taken out."""
        if not (self.is_current() and self.stamp()):
            return False
        packages = self.folder / "lib" / PYTHON
        return not packages.is_dir() or importlib.util.find_spec("django") is None

    def stamp(self) -> dict[str, str] | None:
        """Return what was installed: {} in an unfinished environment, None in a hand-made one."""
        path = self.folder / STAMP
        try:
            stamp = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def ensure(self, requirements: Path) -> Path:
        """Return the environment's interpreter, after building or updating it if it must be.

        Raises:
            Stop: it cannot be built; the message says what to do.
        """
        digest = _digest(requirements)
        with _one_at_a_time(self.folder.parent) as lock:
            # Asked under the lock: another start may have built it while we waited.
            if not self.is_ready(requirements):
                try:
                    self._build(requirements, digest, lock)
                except OSError as error:
                    raise Stop(
                        f"{self.folder} cannot be written ({error.strerror}): put the project into"
                        " a folder of your own, with room to write, and run the same command again."
                    ) from error
        return self.python

    def _build(self, requirements: Path, digest: str, lock: int) -> None:
        say(f"installing what {requirements.name} lists into {self.folder.name}; a minute or two.")
        began = time.monotonic()
        is_unfinished = self.stamp() == {}
        if is_unfinished or self.is_broken() or not self.python.exists():
            self._create(lock)
        (self.folder / STAMP).write_text("unfinished", encoding="utf-8")
        try:
            self._install(requirements, lock)
        except ToolFailed as failure:
            raise Stop(
                f"what it needs could not be installed ({failure}):"
                " check the network and the disk, then run the same command again."
            ) from failure
        self._write_stamp(requirements, digest)
        say(f"done in {time.monotonic() - began:.0f} s; later starts skip this.")

    def _create(self, lock: int) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir()
        (self.folder / STAMP).write_text("unfinished", encoding="utf-8")
        # Not sys.executable: that may be the interpreter of the very environment removed above.
        base = getattr(sys, "_base_executable", None) or sys.executable
        if _uv(["venv", "--allow-existing", "--python", base, self.folder], lock):
            return
        if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
            raise Stop(NO_VENV)
        try:
            _run([base, "-m", "venv", self.folder], lock)
        except ToolFailed as failure:
            if "ensurepip" in str(failure):
                raise Stop(NO_VENV) from failure
            raise Stop(
                f"no virtual environment could be made in {self.folder} ({failure}):"
                " check the disk, then run the same command again."
            ) from failure

    def _install(self, requirements: Path, lock: int) -> None:
        wanted = ["--require-hashes", "--no-deps", "-r", str(requirements)]
        into_this = ["--compile-bytecode", "--python", str(self.python)]
        if _uv(["pip", "install", *into_this, *wanted], lock):
            return
        pip = [str(self.python), "-m", "pip"]
        try:
            _run([*pip, "--version"], lock)
        except ToolFailed:
            _run([self.python, "-m", "ensurepip"], lock)
        _run([*pip, "install", "--no-user", "--progress-bar", "off", *wanted], lock)

    def _write_stamp(self, requirements: Path, digest: str) -> None:
        stamp = {requirements.name: digest}
        if requirements.name == "requirements-dev.txt":  # holds everything the product needs, too
            product = requirements.with_name("requirements.txt")
            stamp[product.name] = _digest(product)
        fresh = self.folder / (STAMP + ".new")
        fresh.write_text(json.dumps(stamp), encoding="utf-8")
        fresh.replace(self.folder / STAMP)


def _digest(path: Path) -> str:
    return hashlib.sha256(read(path).encode()).hexdigest()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[int]:
    """Hold the folder's lock, whose descriptor the tools inherit: an orphan of a kill keeps it."""
    try:
        import fcntl
    except ImportError as error:
        raise Stop("it runs on Linux and macOS; on Windows, use WSL.") from error
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is setting up; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _uv(arguments: Iterable[str | Path], lock: int) -> bool:
    """Tell whether uv is there and did it."""
    uv = shutil.which("uv")
    if uv is None:
        return False
    try:
        _run([uv, *arguments], lock)
    except ToolFailed as failure:
        say(f"uv gave up ({failure}); going on without it.")
        return False
    return True


def _run(command: Iterable[str | Path], lock: int) -> None:
    """Run a tool to its end, showing where it is.

    Raises:
        ToolFailed: it ended with an error.
    """
    quiet = {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PYTHONUNBUFFERED": "1",
    }
    lines: deque[str] = deque(maxlen=200)
    shown_at = time.monotonic()
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=(lock,),
        env={**os.environ, **quiet},
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.strip())
                # On a terminal the line is written over; a log gets one now and then.
                if sys.stderr.isatty() or time.monotonic() - shown_at > SECONDS_BETWEEN_LOG_LINES:
                    shown_at = time.monotonic()
                    _show(lines[-1])
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise ToolFailed(_last_words(lines))


def _show(line: str) -> None:
    line = re.sub(r" \(from -r .*", "", line)[:90]
    sys.stderr.write(f"\r\x1b[K  {line}" if sys.stderr.isatty() else f"  {line}\n")
    sys.stderr.flush()


def _last_words(lines: Iterable[str]) -> str:
    said = [line for line in lines if line]
    if any("Retrying (" in line or "error sending request" in line for line in said):
        return "the package index cannot be reached"
    errors = [line for line in said if re.match(r"error\b", line, re.IGNORECASE)]
    return (errors or said or ["no word why"])[-1].rstrip(".")


def say(text: str) -> None:
    """Tell the person at the keyboard one thing; stdout belongs to the command."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # what `_show` left on the line
    sys.stderr.write(f"{clear}Countersign: {text}\n")
    sys.stderr.flush()


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Stop(f"{path} cannot be read ({error.strerror}): clone the project anew.") from error


if __name__ == "__main__":
    try:
        root = Path(__file__).resolve().parent.parent
        for name in sys.argv[1:]:
            Environment(root / ".venv").ensure(root / name)
    except Stop as problem:
        say(str(problem))
        sys.exit(2)
