"""Every file that a command reads, whole and broken; read in one process, as `manage.py` would.

`python -m tests.fuzz.files JSON` (folder, inputs, seed) prints what came of each.
Thousands of interpreters would take hours to start. What `manage.py` itself makes of an error is
the same here: one sentence and an exit code, and anything else is a traceback.
"""

import contextlib
import io
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import django

from tests.fuzz.inputs import as_json, broken, wrong_typed

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


@dataclass(frozen=True)
class File:
    """One file, or what is piped into a command."""

    kind: str
    raw: bytes
    is_valid: bool


@dataclass(frozen=True)
class Read:
    """What a command made of a file: its exit code, and the error where there was a traceback."""

    kind: str
    is_valid: bool
    status: str
    seconds: float
    error: str = ""


def draw(begin: int) -> Iterator[File]:
    """Draw files without end: half of them right."""
    drawn = Random(f"{begin}:files")
    kinds, weights = list(_RIGHT), [_WEIGHTS[kind] for kind in _RIGHT]
    while True:
        kind = drawn.choices(kinds, weights)[0]
        right = _RIGHT[kind](drawn)
        raw = right if isinstance(right, bytes) else as_json(right)
        if drawn.random() < 0.5:
            yield File(kind, raw, is_valid=True)
        elif isinstance(right, bytes) or drawn.random() < 0.5:
            yield File(kind, broken(drawn, raw), is_valid=False)
        else:
            yield File(kind, as_json(wrong_typed(drawn, right)), is_valid=False)


def rules(drawn: Random) -> dict[str, Any]:
    """Return a policy that may be loaded."""

    def rule(number: int) -> dict[str, Any]:
        outcome = drawn.choice(["hold", "allow", "deny"])
        more: dict[str, Any] = {"tool": drawn.choice(["*", "billing__*", "a[bc]?"])}
        more |= {"effect": "write"} if drawn.random() < 0.4 else {}
        if outcome == "hold":
            more |= {"quorum": drawn.randint(1, 3), "expires_seconds": drawn.randint(60, 9_000)}
        return {"name": f"rule {number}", "outcome": outcome, **more}

    return {"rules": [rule(number) for number in range(drawn.randrange(6))]}


def upstreams(drawn: Random) -> dict[str, Any]:
    """Return servers that may be imported; nobody listens where they are."""
    names = [f"server-{drawn.randrange(20)}" for _ in range(drawn.randint(1, 2))]
    headers = drawn.choice([{}, {"authorization": "Bearer ${FUZZ_KEY}"}, {"x-team": "payments"}])
    entry = {"type": "http", "url": "http://127.0.0.1:9/mcp", "headers": headers}
    return {"mcpServers": dict.fromkeys(names, entry)}


def _password(drawn: Random) -> bytes:
    return f"correct-horse-{drawn.getrandbits(40)}-für\n".encode()


_RIGHT: dict[str, Callable[[Random], Any]] = {
    "load_rules FILE": rules,
    "import_upstreams FILE": upstreams,
    "create_person --password-stdin": _password,
    "demo.json": lambda drawn: {"password": f"word-{drawn.randrange(99)}"},
    "secret_key": lambda drawn: f"{drawn.getrandbits(256):x}\n".encode(),
    "the environment's stamp": lambda drawn: {"requirements": f"{drawn.getrandbits(99):x}"},
}
_WEIGHTS = {
    "load_rules FILE": 60, "import_upstreams FILE": 25, "create_person --password-stdin": 2,
    "demo.json": 5, "secret_key": 5, "the environment's stamp": 3,
}  # fmt: skip


class Commands:
    """Lets each file be read by what reads it."""

    def __init__(self, folder: Path) -> None:
        """Prepare; `folder` is the data folder."""
        self.folder = folder
        self._people = 0

    def read(self, file: File) -> Read:
        """Return what became of it."""
        began = time.monotonic()
        status, error = "0", ""
        try:
            with _quiet(file.raw):
                self._run(file)
        except SystemExit as end:
            status = str(end.code or 0)
        except Exception as problem:  # noqa: BLE001 - this is what is looked for
            place = traceback.extract_tb(problem.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            status, error = "traceback", f"{type(problem).__name__} at {where}"
        if file.is_valid and status != "0" and not error:
            error = f"a right file was refused with {status}"
        return Read(file.kind, file.is_valid, status, time.monotonic() - began, error)

    def _run(self, file: File) -> None:
        from django.core.management import CommandError, ManagementUtility

        from config import demo, env, environments

        path = self.folder / "given"
        path.write_bytes(file.raw)
        if file.kind == "demo.json":
            path.replace(self.folder / "demo.json")
            try:
                demo.prepare()
            except CommandError as error:
                sys.exit(error.returncode)
        elif file.kind == "secret_key":
            own = self.folder / "own"
            own.mkdir(exist_ok=True)
            path.replace(own / "secret_key")
            try:
                env.secret_key(own)
            except env.ConfigurationError:
                sys.exit(2)
        elif file.kind == "the environment's stamp":
            path.replace(self.folder / "countersign.json")
            environments.Environment(self.folder).stamp()
        else:
            ManagementUtility(["manage.py", *self._arguments(file.kind, path)]).execute()

    def _arguments(self, kind: str, path: Path) -> list[str]:
        self._people += 1
        return {
            "load_rules FILE": ["load_rules", str(path)],
            "import_upstreams FILE": ["import_upstreams", str(path), "--domain", "fuzz"],
            "create_person --password-stdin": [
                "create_person", f"p{self._people}", "--role", "approver", "--password-stdin",
            ],
        }[kind]  # fmt: skip


@contextlib.contextmanager
def _quiet(piped: bytes) -> Iterator[None]:
    """Keep what commands print to ourselves, and pipe into them."""
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(piped), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        sys.stdin = before


def main(wanted: dict[str, Any]) -> None:
    """Read them all, and print what came of each, one JSON object a line."""
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)  # so that no file's time is that of the first start
    commands = Commands(Path(wanted["folder"]))
    for file in islice(draw(wanted["seed"]), wanted["inputs"]):
        print(json.dumps(asdict(commands.read(file))))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
