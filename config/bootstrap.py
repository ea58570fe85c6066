"""Gets `manage.py` into an interpreter that has what its command needs; only `manage.py` calls it.

Standard library only: it runs on a machine that has Python and git and nothing else. Whatever goes
wrong becomes one sentence that says what to do (`Stop`), exit code 2 and no traceback.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from config.environments import Environment, Stop, read, say

ROOT = Path(__file__).resolve().parent.parent
# "<process id> <changes of interpreter>". Replacing the interpreter keeps the process id, so this
# tells "I was sent here" from "my parent was", and a damaged environment cannot make us loop.
TRAIL = "COUNTERSIGN_INTERPRETERS"


def start(argv: list[str]) -> list[str]:
    """Return the arguments for Django, in an interpreter that has what the command needs.

    Does not return when it changes the interpreter or when it has to give up.
    """
    try:
        arguments = take_data(argv)
        use(Environment(ROOT / ".venv"), requirements_for(arguments))
    except Stop as stop:
        say(str(stop))
        sys.exit(2)
    except KeyboardInterrupt:
        say("stopped while setting up; the next start does the rest.")
        sys.exit(130)
    return arguments


def take_data(argv: list[str]) -> list[str]:
    """Return the arguments without `--data DIR`, which goes to the settings by the environment."""
    kept: list[str] = []
    rest = iter(argv)
    for argument in rest:
        if argument == "--":
            kept += [argument, *rest]
        elif argument == "--data" or argument.startswith("--data="):
            value = next(rest, "") if argument == "--data" else argument.removeprefix("--data=")
            os.environ["COUNTERSIGN_DATA"] = str(_data_folder(value))
        else:
            kept.append(argument)
    return kept


def _data_folder(value: str) -> Path:
    if not value or value.startswith("-"):
        raise Stop("--data needs a folder after it, as in `--data /srv/countersign`.")
    folder = Path(os.path.expanduser(value)).absolute()
    if folder.exists() and not folder.is_dir():
        raise Stop(f"--data must name a folder and {folder} is a file: name another.")
    return folder


def requirements_for(arguments: list[str]) -> Path:
    """Return the lock file that a command needs: what tries and measures needs more."""
    words = ("test", "benchmark", "fault_run", "race_guards", "fuzz")
    is_development = len(arguments) > 1 and arguments[1] in words
    return ROOT / ("requirements-dev.txt" if is_development else "requirements.txt")


def use(environment: Environment, requirements: Path) -> None:
    """Return if this interpreter will do; else continue in the environment, built if need be."""
    if os.environ.get("COUNTERSIGN_NO_BOOTSTRAP"):
        if importlib.util.find_spec("django") is None:
            raise Stop(
                "Django is not installed and COUNTERSIGN_NO_BOOTSTRAP forbids installing it:"
                f" unset that, or run `pip install --require-hashes -r {requirements.name}`."
            )
        return
    is_ours = environment.is_current() and environment.stamp() is not None
    if environment.is_ready(requirements) if is_ours else provides(requirements):
        return
    hops = _changes_of_interpreter()
    if hops > 1:
        raise Stop(f"{environment.folder} is damaged: delete it and run the same command again.")
    environment.ensure(requirements)
    _continue_in(environment, hops + 1)


def provides(requirements: Path) -> bool:
    """Tell whether this interpreter has every direct requirement at its locked version."""
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", read(requirements), re.MULTILINE))
    try:
        return all(metadata.version(name) == pins.get(name) for name in _direct(requirements))
    except metadata.PackageNotFoundError:
        return False


def _direct(requirements: Path) -> Iterator[str]:
    for line in read(requirements.with_suffix(".in")).splitlines():
        if line.startswith("-r "):
            yield from _direct(requirements.with_name(line[3:].strip()))
        elif name := re.match(r"[A-Za-z0-9][\w.-]*", line):
            yield re.sub(r"[-_.]+", "-", name[0]).lower()


def _changes_of_interpreter() -> int:
    process, _, changes = os.environ.get(TRAIL, "").partition(" ")
    return int(changes) if process == str(os.getpid()) and changes.isdecimal() else 0


def _continue_in(environment: Environment, hops: int) -> NoReturn:
    os.environ[TRAIL] = f"{os.getpid()} {hops}"
    try:
        os.execv(environment.python, [str(environment.python), *sys.argv])
    except OSError as error:
        raise Stop(
            f"{environment.python} cannot be started ({error.strerror}):"
            f" delete {environment.folder} and run the same command again."
        ) from error
