"""Countersign as an operator runs it: real processes, a real port, commands, people and agents."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import psycopg
from psycopg import sql

from tests.support import services
from tests.support.agents import RawAgent, SdkAgent
from tests.support.wire import Era

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")

PASSWORD = "correct-horse-battery"
EXAMPLES = {
    "billing": ("get_customer:read", "list_invoices:read", "refund:write", "credit_note:write"),
    "deploys": (
        "list_releases:read",
        "diff_release:read",
        "deploy:destructive",
        "rollback:destructive",
    ),
}


def until(look: Callable[[], T | None], what: str, seconds: float = 30) -> T:
    """Return the first true answer of `look`; fail with `what` when none comes in time."""
    end = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """A command of ours in a process group of its own, its output in a file."""

    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start it and do not wait for anything."""
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                self.arguments, cwd=ROOT, env=dict(self.environment), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        return self.popen

    def start(self, ready: str, seconds: float = 60) -> None:
        """Start it and wait until its output says `ready`."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        popen = self.launch()

        def is_ready() -> bool:
            said = self.log.read_bytes()[begin:].decode(errors="replace")
            assert popen.poll() is None, f"{self.arguments} ended early:\n{said}"
            return ready in said

        until(is_ready, f"{self.arguments} saying {ready!r}", seconds)

    def kill(self) -> None:
        """SIGKILL it and whatever it started."""
        if self.popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
            self.popen = None

    def terminate(self) -> None:
        """SIGTERM it, and do not wait."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Wait for its end and return its exit code."""
        assert self.popen is not None
        code = self.popen.wait(seconds)
        # Whatever it started must not outlive it either.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen = None
        return code


class Person:
    """Somebody signed in with a browser's cookies."""

    def __init__(self, url: str, name: str, password: str = PASSWORD) -> None:
        self.url = url
        self.name = name
        self.http = httpx2.Client(base_url=url, timeout=20)
        page = self.http.get("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text
        form = {"login": name, "password": password, "csrfmiddlewaretoken": token[1]}
        answer = self.http.post("/accounts/login/", data=form, headers={"Origin": url})
        assert answer.status_code == 302, answer.text

    def get(self, path: str, **query: str) -> Any:
        """Return what the REST interface says; the path is below /api/v1/."""
        answer = self.http.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    def post(self, path: str, **body: object) -> httpx2.Response:
        """Send JSON to the REST interface, with the CSRF token a page would carry."""
        headers = {
            "X-CSRFToken": self.http.cookies["csrftoken"],
            "Origin": self.url,
            "Referer": self.url,
        }
        return self.http.post(f"/api/v1/{path}", json=body, headers=headers)

    def call(self, call_id: str) -> Any:
        """Return one call as the REST interface shows it."""
        return self.get(f"calls/{call_id}/")

    def events(self, call_id: str) -> list[dict[str, Any]]:
        """Return the audit events of a call, oldest first."""
        return list(self.get("audit/events/", call=call_id)["results"])

    def decide(self, call_id: str, verdict: str, reason: str = "") -> httpx2.Response:
        """Decide on the call as it is shown now."""
        binding = self.call(call_id)["binding"]
        return self.post(
            f"calls/{call_id}/decisions/", verdict=verdict, binding=binding, reason=reason
        )

    def approve(self, call_id: str) -> None:
        """Approve the call as it is shown now; fails when that is refused."""
        answer = self.decide(call_id, "approve")
        assert answer.is_success, (answer.status_code, answer.text)

    def held(self, arguments: Mapping[str, Any]) -> str:
        """Wait for a call with these arguments to appear among the pending ones; return its id."""

        def look() -> str:
            pending = self.get("calls/", status="pending")["results"]
            return next((call["id"] for call in pending if call["arguments"] == arguments), "")

        return until(look, f"a pending call with {arguments}")

    def sees(self, call_id: str, status: str, seconds: float = 30) -> Any:
        """Wait until a call has a status; return it."""

        def look() -> Any:
            call = self.call(call_id)
            return call if call["status"] == status else None

        return until(look, f"call {call_id} being {status}", seconds)


@dataclass
class Installation:
    """One `manage.py up` on a data folder, on SQLite or on a PostgreSQL database of its own."""

    data: Path
    database_url: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    people: dict[str, Person] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "manage.py", "up", "--port", str(self.port)]
        log = self.data / "output"
        self.process = Process([*command, "--data", str(self.data)], log, self.environment())

    @property
    def url(self) -> str:
        """Return where people and agents reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def agents_url(self) -> str:
        """Return where agents reach it."""
        return self.url

    @property
    def ledger(self) -> Path:
        """Return the SQLite file of the billing example."""
        return self.data / "billing.sqlite3"

    def environment(self) -> dict[str, str]:
        """Return what its processes and commands see: nothing of the tests' own database."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.data), "LANG": "C.UTF-8"}
        own |= {"DATABASE_URL": self.database_url} if self.database_url else {}
        return own | dict(self.settings)

    def start(self, **settings: str) -> None:
        """Start it; return when web, bridge, worker and beat all run.

        Args:
            settings: environment variables of this run only.
        """
        self.process.environment = self.environment() | settings
        self.process.start("is ready at")

    def kill(self) -> None:
        """SIGKILL everything it consists of."""
        self.process.kill()

    def stop(self) -> int:
        """SIGTERM it and return its exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def answers(self) -> bool:
        """Tell whether anybody listens on its port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stored(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """Return rows as the database keeps them, whether anything runs or not."""
        select = f"SELECT {columns} FROM approvals_{table}"
        if self.database_url:
            with psycopg.connect(self.database_url) as connection:
                return connection.execute(select.encode()).fetchall()
        path = self.data / "countersign.sqlite3"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return connection.execute(select).fetchall()

    def stored_status(self, call_id: str) -> str:
        """Return a call's status from its row."""
        rows = {UUID(str(key)): status for key, status in self.stored("toolcall", "id, status")}
        return str(rows[UUID(call_id)])

    def read_events(self, stream: str) -> dict[int, str]:
        """Return the ids of the reads in a stream of the trail, by number."""
        rows = self.stored("auditevent", "stream, seq, data")
        return {
            seq: json.loads(bytes(data))["read_id"] for name, seq, data in rows if name == stream
        }

    @contextmanager
    def running(self, **settings: str) -> Iterator["Installation"]:
        """Start it, and end it whatever happens in the block."""
        try:
            self.start(**settings)
            yield self
        finally:
            self.close()

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Run a management command and return what it printed on stdout."""
        done = self._managed(arguments, stdin)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def try_manage(self, *arguments: str) -> str:
        """Run a management command that may fail; return everything it printed."""
        done = self._managed(arguments, "")
        return done.stdout + done.stderr

    def _managed(self, arguments: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments, "--data", str(self.data)],
            cwd=ROOT, env=self.environment(), input=stdin, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def populate(self, **changes: object) -> None:
        """Create people, domains, example upstreams and agents; see `tests.support.populate`."""
        wanted = json.dumps({"examples": EXAMPLES, "password": PASSWORD, **changes})
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.populate", wanted], cwd=ROOT,
            env={**self.environment(), "COUNTERSIGN_DATA": str(self.data)},
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    @property
    def key(self) -> str:
        """Return the key of the agent `support`."""
        return self.key_of("support")

    def key_of(self, agent: str) -> str:
        """Return the key of an agent that `populate` created."""
        return (self.data / f"{agent}.key").read_text().strip()

    def raw(self, agent: str = "support", *, era: Era = "modern") -> RawAgent:
        """Return an agent that speaks HTTP itself."""
        return RawAgent(self.agents_url, self.key_of(agent), era=era)

    def sdk(self, agent: str = "support", *, era: Era = "modern", tasks: bool = False) -> SdkAgent:
        """Return an agent that uses the SDK's client."""
        return SdkAgent(self.agents_url, self.key_of(agent), era=era, tasks=tasks)

    def person(self, name: str) -> Person:
        """Sign somebody in, once: sessions outlive restarts."""
        if name not in self.people:
            self.people[name] = Person(self.url, name)
        return self.people[name]

    def close(self) -> None:
        """End everything."""
        self.kill()
        for person in self.people.values():
            person.http.close()

    def refunds(self, call_id: str = "") -> list[dict[str, Any]]:
        """Return the rows of the ledger, or those of one call: what really happened."""
        with contextlib.closing(sqlite3.connect(self.ledger)) as ledger:
            ledger.row_factory = sqlite3.Row
            rows = [dict(row) for row in ledger.execute("SELECT * FROM refunds")]
        return [row for row in rows if not call_id or row["call_id"] == call_id]


@dataclass
class Fragile:
    """The hands on an upstream that breaks on request; see `tests.support.fragile`."""

    folder: Path

    def describe(self, text: str) -> None:
        """Change the description of its tools, as a new version of the server would."""
        (self.folder / "description").write_text(text)
        self.kill()

    def break_down(self) -> None:
        """Kill it, and let nobody start it until `repair`."""
        (self.folder / "broken").touch()
        self.kill()

    def repair(self) -> None:
        """Let it be started again."""
        (self.folder / "broken").unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL every server process that runs; whoever needs one starts another."""
        for file in (self.folder / "pids").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.name), signal.SIGKILL)
            file.unlink()

    def acted(self) -> Counter[str]:
        """Return how often it was asked for the refund of each call."""
        file = self.folder / "acted"
        return Counter(file.read_text().split() if file.exists() else [])

    def until_waiting(self) -> None:
        """Return once a refund that waits has arrived."""
        until((self.folder / "waiting").exists, "a refund that waits in the upstream")

    def let_go(self) -> None:
        """Let refunds that wait be written and answered."""
        (self.folder / "go").touch()

    def reset(self) -> None:
        """Forget what was asked of it: the next refund that waits does wait."""
        for name in ("go", "waiting", "broken"):
            (self.folder / name).unlink(missing_ok=True)


@contextmanager
def postgres_database(name: str) -> Iterator[str]:
    """Create an empty PostgreSQL database, yield its URL, drop it."""
    server = services.postgres_server_url()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and nobody asked about yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before, or while it was read
        return False
