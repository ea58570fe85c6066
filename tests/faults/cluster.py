"""The processes of a fault run, started as an operator would, watched, and started again."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import setting_up
from tests.faults.journal import Journal
from tests.support.composing import COMPOSE
from tests.support.running import free_port, until

PASSWORD = "correct-horse-battery"
# Short, so that a run of an hour sees thousands of them pass; their proportions are the defaults'.
SETTINGS = {
    "UPSTREAM_TIMEOUT_SECONDS": "5", "ANSWER_GRACE_SECONDS": "1", "CLAIM_LEASE_SECONDS": "3",
    "SETTLE_QUARANTINE_SECONDS": "2", "CATALOG_REFRESH_SECONDS": "5",
    "SUBMITS_PER_SECOND": "5000", "SUBMITS_BURST": "5000",
    "PENDING_PER_AGENT": "5000", "PENDING_PER_DOMAIN": "20000",
}  # fmt: skip
_PROGRAMS = Path(sys.executable).parent


@dataclass
class Part:
    """One process that is to run all the time."""

    name: str
    role: str  # up, web, bridge, worker, beat, postgres, redis or upstream
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    folder: Path
    user: str = ""
    is_wanted: bool = True  # whether the watch starts it again
    popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and wait for nothing."""
        who = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                self.command, cwd=self.folder, env=dict(self.environment), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True, **who,
            )  # type: ignore[call-overload]  # fmt: skip

    @property
    def pid(self) -> int:
        """Return its process id; 0 while it does not run."""
        return self.popen.pid if self.is_running and self.popen else 0

    @property
    def is_running(self) -> bool:
        """Tell whether it runs."""
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal, and only it: what it started finds out by itself."""
        if self.popen is not None:
            with suppress(ProcessLookupError):
                self.popen.send_signal(number)

    def end(self) -> None:
        """SIGKILL it and whatever it started."""
        self.is_wanted = False
        if self.popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()


class Cluster:
    """Everything that runs, on one database."""

    def __init__(self, tree: Path, folder: Path, database: str, seed: int) -> None:
        """Prepare; `tree` is the project that is run, `folder` where it keeps everything."""
        self.tree, self.folder, self.database, self.seed = tree, folder, database, seed
        self.parts: dict[str, Part] = {}
        self.is_sqlite = database == "sqlite"
        self._ports = {
            name: free_port() for name in ("web", "bridge", "bridge-2", "postgres", "redis", "up")
        }
        self.upstream_port = free_port()
        self._journal = Journal(folder / "processes.jsonl")
        self._stopping = threading.Event()

    @property
    def web_port(self) -> int:
        """Return where people go."""
        return self._ports["up" if self.is_sqlite else "web"]

    @property
    def bridge_ports(self) -> list[int]:
        """Return where agents go."""
        return [self._ports[name] for name in (["up"] if self.is_sqlite else _BRIDGES)]

    @property
    def postgres_url(self) -> str:
        """Return the address of the database."""
        return f"postgres://postgres@127.0.0.1:{self._ports['postgres']}/countersign"

    @property
    def redis_port(self) -> int:
        """Return where Redis listens."""
        return self._ports["redis"]

    @property
    def sqlite_path(self) -> Path:
        """Return the file of the database."""
        return self.folder / "data" / "countersign.sqlite3"

    def start(self) -> None:
        """Start everything, in an operator's order, and wait until it serves."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        command = [sys.executable, str(setting_up.LEDGER), "--folder", str(self.folder)]
        command += ["--seed", str(self.seed), "--port", str(self.upstream_port)]
        self._add("ledger", "upstream", command, {"PATH": os.environ["PATH"]}).start()
        if not self.is_sqlite:
            self._start_services()
        self._set_up()
        for part in self._ours():
            part.start()
        until(self.is_healthy, "every process being healthy", 60)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        """End everything."""
        self._stopping.set()
        for part in reversed(list(self.parts.values())):
            part.end()

    def is_healthy(self) -> bool:
        """Tell whether everything that listens does."""
        ports = [self.upstream_port, self.web_port, *self.bridge_ports]
        ports += [] if self.is_sqlite else [self._ports["postgres"], self.redis_port]
        return all(listens(port) for port in ports)

    def of_role(self, role: str) -> list[Part]:
        """Return the parts of a role."""
        return [part for part in self.parts.values() if part.role == role]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command as an administrator on the server would."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=self.tree, env=self._environment(),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def _set_up(self) -> None:
        done = self.manage("migrate", "--no-input")
        assert done.returncode == 0, done.stderr
        wanted = {
            "folder": str(self.folder), "password": PASSWORD, "seed": self.seed,
            "port": self.upstream_port,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.setting_up", json.dumps(wanted)], cwd=self.tree,
            env=self._environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _start_services(self) -> None:
        binaries = postgres_binaries()
        data, user = self.folder / "postgres", "postgres" if os.geteuid() == 0 else ""
        data.mkdir()
        if user:
            owner = pwd.getpwnam(user)
            os.chown(data, owner.pw_uid, owner.pw_gid)
            for parent in (self.folder, *self.folder.parents):
                assert parent.stat().st_mode & 0o001, f"{parent} is closed to {user}"
        who = {"user": user, "group": user, "extra_groups": []} if user else {}
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
        subprocess.run(  # type: ignore[call-overload]
            [*initdb, "-E", "UTF8", "--locale", "C.UTF-8"], check=True, capture_output=True,
            cwd=self.folder, **who,
        )  # fmt: skip
        port = self._ports["postgres"]
        server = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        server += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
        server += ["-c", "max_connections=200", "-c", "recovery_init_sync_method=syncfs"]
        self._add("postgres", "postgres", server, {"PATH": os.environ["PATH"]}, user).start()
        redis = [shutil.which("redis-server") or "redis-server", "--port", str(self.redis_port)]
        redis += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        redis += ["--maxmemory-policy", "noeviction", "--dir", str(self.folder)]
        self._add("redis", "redis", redis, {"PATH": os.environ["PATH"]}).start()
        until(lambda: listens(port) and listens(self.redis_port), "the services", 30)
        create = [str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port)]

        def is_created() -> bool:
            again = [*create, "-U", "postgres", "countersign"]
            done = subprocess.run(again, capture_output=True, text=True, check=False)
            return done.returncode == 0 or "already exists" in done.stderr

        until(is_created, "a database", 30)

    def _ours(self) -> list[Part]:
        if self.is_sqlite:
            up = [sys.executable, "manage.py", "up", "--port", str(self.web_port)]
            return [self._add("up", "up", up, self._environment())]
        return [
            self._add(name, role, self._composed(role, self._ports.get(name, 0)),
                      self._environment())
            for name, role in _PROCESSES.items()
        ]  # fmt: skip

    def _composed(self, service: str, port: int) -> list[str]:
        """Return the command of the compose file, on a port of ours."""
        words = str(COMPOSE["services"][service]["command"]).split()
        own = {"0.0.0.0": "127.0.0.1", "8000": str(port), "8001": str(port)}
        own |= {name: str(_PROGRAMS / name) for name in ("uvicorn", "celery", "python")}
        return [own.get(word, word) for word in words]

    def _environment(self) -> dict[str, str]:
        own = {
            "PATH": f"{_PROGRAMS}:{os.environ['PATH']}", "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "COUNTERSIGN_NO_BOOTSTRAP": "1", "COUNTERSIGN_DATA": str(self.folder / "data"),
            "PUBLIC_URL": f"http://127.0.0.1:{self.web_port}", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        if not self.is_sqlite:
            own |= {"DATABASE_URL": self.postgres_url, "SECRET_KEY": "0" * 50}
            own |= {"REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0"}
        return own | SETTINGS

    def _add(
        self, name: str, role: str, command: Sequence[str], environment: Mapping[str, str],
        user: str = "",
    ) -> Part:  # fmt: skip
        log = self.folder / "logs" / f"{name}.log"
        part = Part(name, role, command, log, environment, self.tree, user)
        self.parts[name] = part
        return part

    def _watch(self) -> None:
        """Start again what ended, as `restart: unless-stopped` would."""
        while not self._stopping.wait(0.1):
            for part in list(self.parts.values()):
                if part.is_wanted and not part.is_running:
                    code = part.popen.returncode if part.popen else None
                    if part.role == "postgres":
                        (self.folder / "postgres" / "postmaster.pid").unlink(missing_ok=True)
                    part.start()
                    self._journal.write("started again", name=part.name, ended=code, pid=part.pid)
                    if code != -signal.SIGKILL:
                        time.sleep(0.2)  # whatever ends by itself must not spin


_BRIDGES = ("bridge", "bridge-2")
_PROCESSES = {
    "web": "web", "bridge": "bridge", "bridge-2": "bridge", "worker": "worker",
    "worker-2": "worker", "beat": "beat",
}  # fmt: skip


def postgres_binaries() -> Path:
    """Return where initdb and postgres are, which Debian keeps out of everybody's PATH.

    Raises:
        FileNotFoundError: they are not on this machine.
    """
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not places and (found := shutil.which("initdb")):
        places = [Path(found).parent]
    if not places:
        raise FileNotFoundError("PostgreSQL's own programs are absent: `apt install postgresql`.")
    return places[-1]


def listens(port: int) -> bool:
    """Tell whether anybody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def worker_name(pid: int) -> str:
    """Return what a worker of that process id signs with."""
    return f"{socket.gethostname()}-{pid}"
