"""Runs an example in the project's virtual environment; imported first by every example.

Importing this module re-executes the script in ``.venv`` when the MCP SDK is missing here, so that
``python3 examples/agent.py …`` works from any interpreter once the project has been set up.
"""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _interpreter() -> Path:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return ROOT / ".venv" / folder / name


def _enter() -> None:
    # mcp_types came with version 2 of the SDK; version 1 would not do.
    if importlib.util.find_spec("mcp_types") is not None:
        return
    python = _interpreter()
    # Compare prefixes, not files: the environment's python is a link to the system's.
    if not python.exists() or Path(sys.prefix).resolve() == python.parent.parent.resolve():
        print(
            "The MCP SDK is missing. Run `python3 manage.py demo` once: it sets up .venv, "
            "which the examples use.",
            file=sys.stderr,
        )
        raise SystemExit(2)
    os.execv(python, [str(python), *sys.argv])


_enter()
