"""MCP servers nobody here wrote, each in a virtual environment of its own; for `thirdparty` tests.

Their dependencies clash with ours. Each has a lock file in `tests/thirdparty/`.
"""

from pathlib import Path

from config.environments import Environment

ROOT = Path(__file__).resolve().parent.parent.parent


def git_server() -> Path:
    """Return the program `mcp-server-git`, installed at its locked version.

    Raises:
        Stop: it cannot be installed (no network).
    """
    environment = Environment(ROOT / ".venv-mcp-server-git")
    python = environment.ensure(ROOT / "tests" / "thirdparty" / "mcp-server-git.txt")
    return python.with_name("mcp-server-git")
