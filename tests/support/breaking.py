"""Releases calls in processes of their own, which may be killed at a failpoint.

Run as a program it reads lines `CALL_ID FAILPOINTS` and answers each with how that process ended.
Django is set up once; each release is a fork of a process that has no thread and no connection.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]


class Workers:
    """The hands on that program, for tests; on the database of this test session."""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        self._program = program

    def release(self, call_id: object, failpoints: str) -> int:
        """Release a call in a new process; return its exit code, negative for a signal."""
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.write(f"{call_id} {failpoints}\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())


@contextmanager
def workers(database: str, folder: Path) -> Iterator[Workers]:
    """Yield workers on a database.

    Args:
        database: its name, or the path of SQLite's file.
    """
    url = os.environ.get("DATABASE_URL", "")
    where = urlsplit(url)._replace(path=f"/{database}").geturl() if url else f"sqlite:///{database}"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.breaking"], cwd=ROOT, text=True,
        env={**os.environ, "DATABASE_URL": where, "COUNTERSIGN_DATA": str(folder)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    ) as program:  # fmt: skip
        yield Workers(program)
        assert program.stdin
        program.stdin.close()  # it ends with its input


def main() -> None:
    """Serve stdin until it ends."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    # Here, not in each child: it is most of what a start costs, and it starts nothing.
    from mcp_bridge.release import release

    for line in sys.stdin:
        call_id, points = line.split()
        child = os.fork()
        if child == 0:
            _release(release, call_id, points)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _release(release: Callable[[str], object], call_id: str, points: str) -> None:
    """Release one call in this process, and end it."""
    from approvals import failpoints

    failpoints.arm(points)
    code = 1
    try:
        release(call_id)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
