"""The fuzz: a real server, and inputs by the ten thousand that it has to answer in good order.

`python -m tests.fuzz.machine --inputs N --seed N`, which is what `manage.py fuzz` runs. Exit code
0: every answer was in order; 1: something was not; 2: no run, or one that says nothing.

No 5xx, no JSON-RPC internal error, no exception in the server's log, no answer later than 2 s (plus
what it may rightly wait), memory of the server's processes grown by less than 50 MB.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from tests.faults.cluster import SETTINGS
from tests.fuzz import reporting
from tests.fuzz.inputs import Input
from tests.fuzz.messages import Messages
from tests.fuzz.pages import READERS, Pages
from tests.fuzz.rest import Known, Rest
from tests.fuzz.sending import PEOPLE, Sender
from tests.fuzz.sockets import Sockets
from tests.fuzz.tally import Tally, resident_mb
from tests.support.running import ROOT, Installation, postgres_database

# Of a hundred inputs; HTTP is the REST interface and the pages.
SHARES = {"mcp": 40, "rest": 25, "pages": 15, "websocket": 8, "files": 12}
_DOORS = {"http": ("rest", "pages"), "mcp": ("mcp",), "websocket": ("websocket",),
          "files": ("files",)}  # fmt: skip
_WARM = 1_500  # inputs, or a tenth; after them memory is measured first
_ROUND = 1_000  # inputs; between rounds is read what the next ones are about
_HELD = 12  # calls asked for before each round
_QUIET_SECONDS = 3.0
_AGENTS = {"support": 0, "patient": 1, "spare": 0, "revoked": 0, "looker": 0}  # seconds of grace
_RULES = [
    {"name": "reads pass", "effect": "read", "outcome": "allow"},
    {"name": "notes pass", "tool": "*__credit_note", "outcome": "allow"},
    {"name": "two of them", "tool": "deploys__*", "outcome": "hold", "quorum": 2},
    {"name": "no end of these", "outcome": "hold", "expires_seconds": 60},
]
_EXAMPLES = {
    "billing": ["get_customer:read", "list_invoices:read", "refund:write", "credit_note:write"],
    "deploys": ["list_releases:read", "deploy:destructive", "rollback:destructive"],
}


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="manage.py fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--only", choices=sorted(_DOORS), help="send to one kind of door")
    parser.add_argument("--limit-seconds", type=float, default=2.0, help="for an answer; 2")
    parser.add_argument("--keep", type=Path, help="keep everything in DIR, which must not exist")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run, judge, report; return the exit code."""
    options = arguments(argv)
    folder = options.keep.absolute() if options.keep else Path(tempfile.mkdtemp(prefix="fuzz-"))
    if options.keep and folder.exists():
        print(f"{folder} exists: name a folder that does not.", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time()
    tally = run(folder, options)
    too_little = tally.too_little(options.inputs)
    print(reporting.write(folder, tally, vars(options), time.time() - began), flush=True)
    for what in too_little:
        print(f"This run says nothing, seed {options.seed}: {what}.", file=sys.stderr)
    if tally.violations:
        print(f"Violations, seed {options.seed}: kept in {folder}.", file=sys.stderr)
        return 1
    if not options.keep:
        shutil.rmtree(folder)
    return 2 if too_little else 0


def run(folder: Path, options: argparse.Namespace) -> Tally:
    """Start the server, send everything, stop it; return what was counted."""
    tally, doors = Tally(options.limit_seconds), counts(options.inputs, options.only)
    with ExitStack() as stack:
        url = ""
        if options.database == "postgres":
            url = stack.enter_context(postgres_database(f"countersign_fuzz_{os.getpid()}"))
        own = {"COUNTERSIGN_NO_BOOTSTRAP": "1", **SETTINGS}
        if files := doors.pop("files", 0):
            read_files(folder, own, files, options.seed, tally)
        if doors:
            installation = Installation(folder / "data", database_url=url, settings=own)
            installation.populate(examples=_EXAMPLES, agents=_AGENTS, rules=_RULES)
            prefix = installation.key_of("revoked").split("_")[1]
            installation.manage("revoke_key", prefix)
            with installation.running():
                asyncio.run(Fuzz(installation, tally, doors, options.seed).go())
            tally.logged(installation.process.log.read_text(errors="replace"))
    return tally


def counts(inputs: int, only: str | None) -> dict[str, int]:
    """Return how many inputs go to each surface."""
    wanted = {name: SHARES[name] for name in (_DOORS[only] if only else SHARES)}
    whole = sum(wanted.values())
    found = {name: inputs * share // whole for name, share in wanted.items()}
    found[next(iter(found))] += inputs - sum(found.values())
    return found


def read_files(
    folder: Path, settings: dict[str, str], inputs: int, seed: int, tally: Tally
) -> None:
    """Let every command that reads a file read them, in a process of their own."""
    data = folder / "files"
    data.mkdir()
    own = {"PATH": os.environ["PATH"], "HOME": str(data), "LANG": "C.UTF-8"}
    own |= {**settings, "COUNTERSIGN_DATA": str(data)}
    wanted = json.dumps({"folder": str(data), "inputs": inputs, "seed": seed})
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.files", wanted], cwd=ROOT, env=own,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    for line in done.stdout.splitlines():
        read = json.loads(line)
        one = Input(read["kind"], "", "", is_valid=read["is_valid"])
        tally.add("files", one, f"exit {read['status']}", read["seconds"])
        if read["error"]:
            tally.violation(f"files: {read['kind']}: {read['error']}")


class Fuzz:
    """One run against one installation."""

    def __init__(
        self, installation: Installation, tally: Tally, doors: dict[str, int], seed: int
    ) -> None:
        """Prepare; `doors` says how many inputs go where."""
        self._installation, self._tally, self._doors = installation, tally, doors
        self._sender = Sender(installation, tally)
        keys = {
            name: installation.key_of(name) for name in _AGENTS if name not in ("spare", "looker")
        }
        self._messages = Messages(seed, keys, installation.raw().tools())
        document = installation.person("bo").http.get("/api/v1/schema/?format=json").json()
        self._rest, self._pages = Rest(seed, document), Pages(seed)
        self._readers: tuple[str, ...] = READERS  # whose pages are read before a round
        sockets: Iterator[Any] = iter(Sockets(seed, installation.port, READERS))
        self._drawn: dict[str, Iterator[Any]] = {
            "mcp": iter(self._messages), "rest": iter(self._rest), "pages": iter(self._pages),
            "websocket": sockets,
        }  # fmt: skip

    async def go(self) -> None:
        """Send everything, in rounds, and measure memory after the first of them and at the end."""
        whole = sum(self._doors.values())
        sent = 0
        while sent < whole:
            size = min(_ROUND, whole - sent)
            await self._round(size, sent, whole)
            sent += size
            if "before" not in self._tally.memory_mb and sent >= max(_WARM, whole / 10):
                self._tally.memory_mb["before"] = self._memory()
            reporting.progress(sent, whole)
        await asyncio.sleep(_QUIET_SECONDS)
        if "before" in self._tally.memory_mb:  # else it was too short to say anything of it
            self._tally.memory_mb["after"] = self._memory()
            self._tally.grown()
        await self._sender.close()

    async def _round(self, size: int, sent: int, whole: int) -> None:
        await self._look()
        for surface, wanted in self._doors.items():
            number = wanted * (sent + size) // whole - wanted * sent // whole
            # Drawn before any is sent: drawing would keep answers waiting, and they are timed.
            inputs = list(islice(self._drawn[surface], number))
            if surface == "websocket":
                await self._sender.sockets(inputs)
            else:
                await self._sender.requests(surface, inputs)

    async def _look(self) -> None:
        """Read what there is: calls, and forms on the pages about them; ask for some more."""
        for number in range(_HELD):
            word = {
                "service": "checkout-api",
                "environment": "staging",
                "release": f"v1.0.{number}",
            }
            # By an agent whose pages are left alone: on those of "spare" keys are revoked.
            await asyncio.to_thread(self._installation.raw("looker").call, "deploys__deploy", word)
        for who in PEOPLE:
            if (await self._sender.fetch(who, "/settings/")).status != 200:
                self._sender.sign_in_again(who)
        found = await self._sender.fetch("bo", "/api/v1/calls/?page_size=100")
        calls = json.loads(found.body)["results"] if found.status == 200 else []
        self._rest.calls = [Known(call["id"], call["binding"]) for call in calls]
        self._pages.calls = [call["id"] for call in calls]
        self._messages.tickets = [c["id"] for c in calls if c["agent"] in ("support", "patient")]
        if "pages" not in self._doors:
            return
        # All of their forms at first; later one person's, for there are many pages.
        for who in self._readers:
            for address in self._pages.addresses():
                page = await self._sender.fetch(who, address)
                if page.status == 200 and "text/html" in page.headers.get("content-type", ""):
                    self._pages.learn(who, address, page.text)
        self._readers = READERS[READERS.index(self._readers[-1]) - 1 :][:1]

    def _memory(self) -> float:
        popen = self._installation.process.popen
        return resident_mb(popen.pid) if popen is not None else 0.0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(sys.argv[1:]))
    except Exception:  # noqa: BLE001 - a run that breaks off is no verdict
        traceback.print_exc()
        sys.exit(2)
