"""Starts what docker-compose.yml lists as plain processes, with the environment it gives each."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.support.running import ROOT, Process, free_port, until

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVED = {"web": "8000", "bridge": "8001"}  # the ports in the commands
_REFERENCE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")
_PROGRAMS = Path(sys.executable).parent


@dataclass
class Composed:
    """The services of the compose file, on a PostgreSQL and a Redis that are there already.

    Attributes:
        folder: stands for the project's folder on the server: `.env`, `credentials/`.
        places: DATABASE_URL and REDIS_URL, whose hosts have names only inside compose.
    """

    folder: Path
    places: Mapping[str, str]
    processes: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def environment(self, service: str) -> dict[str, str]:
        """Return all that a service sees: the image's own, its files, and what compose sets."""
        image = (ROOT / "Dockerfile").read_text()
        seen = dict(re.findall(r"^ +(\w+)=(\w+)", image, re.MULTILINE))  # the lines of its ENV
        seen["PATH"] = f"{_PROGRAMS}:/usr/bin:/bin"
        # Its file system is read-only: whatever a service would write there must fail here too.
        seen["COUNTERSIGN_DATA"] = "/dev/null/var"
        for file in COMPOSE["services"][service]["env_file"]:
            seen |= self._variables(file if isinstance(file, str) else file["path"])
        set_by_compose = COMPOSE["services"][service]["environment"]
        assert self.places.keys() <= set_by_compose.keys()
        known = self._variables(".env")
        seen |= {
            name: _REFERENCE.sub(lambda found: known[found[1]], value)
            for name, value in set_by_compose.items()
        }
        return seen | dict(self.places)

    def run(self, service: str) -> None:
        """Run a service that ends by itself."""
        done = subprocess.run(
            self._command(service), cwd=ROOT, env=self.environment(service),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def start(self, service: str, name: str = "") -> None:
        """Start a service, by another name where it is not the only one; wait until it serves."""
        name = name or service
        port = self.ports[name] = self.ports.get(name) or free_port()
        log = self.folder / f"{name}.log"
        process = Process(self._command(service, port), log, self.environment(service))
        self.processes[name] = process
        if service == "worker":
            process.start("is ready for")
            return
        popen = process.launch()
        if service in SERVED:

            def is_healthy() -> bool:
                assert popen.poll() is None, log.read_text()
                return _answers(f"http://127.0.0.1:{port}/healthz")

            until(is_healthy, f"{name} being healthy", 60)

    def url(self, name: str) -> str:
        """Return where a service is reached."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def seen_by(self, name: str) -> str:
        """Return the environment of a running process, as the kernel keeps it."""
        popen = self.processes[name].popen
        assert popen is not None
        return Path(f"/proc/{popen.pid}/environ").read_text()

    def said(self) -> str:
        """Return everything the services wrote, for a failure's sake."""
        return "\n".join(f"{name}: {p.log.read_text()}" for name, p in self.processes.items())

    def kill(self) -> None:
        """SIGKILL every process."""
        for process in self.processes.values():
            process.kill()

    def _command(self, service: str, port: int = 0) -> list[str]:
        words = shlex.split(COMPOSE["services"][service]["command"])
        moved = {"0.0.0.0": "127.0.0.1", SERVED.get(service, ""): str(port)}
        return [moved.get(word, word) for word in words]

    def _variables(self, file: str) -> dict[str, str]:
        path = self.folder / file
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines)


@contextmanager
def composed(folder: Path, places: Mapping[str, str]) -> Iterator[Composed]:
    """Yield the services of the compose file, none started; kill all in the end."""
    services = Composed(folder, places)
    try:
        yield services
    finally:
        services.kill()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).is_success
    except httpx2.TransportError:
        return False
