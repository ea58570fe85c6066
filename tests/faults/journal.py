"""Journals of the fault machine: JSON Lines, each on the disk before its writer goes on."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """What one client, or the nemesis, knows for sure."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self._lock = threading.Lock()

    def write(self, what: str, **facts: object) -> None:
        """Append one line with the time."""
        line = json.dumps({"at": time.time(), "what": what, **facts}).encode() + b"\n"
        with self._lock:
            os.write(self._file, line)
            os.fsync(self._file)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a journal, or of every journal in a folder."""
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path] * path.exists():
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):  # a writer that was killed may leave half a line
                    yield json.loads(line)
