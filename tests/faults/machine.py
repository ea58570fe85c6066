"""The fault machine: real processes, clients, a nemesis, and what is left of it all in a folder.

`python -m tests.faults.machine --calls N --database sqlite|postgres --seed N [--keep DIR]`, which
is what `manage.py fault_run` runs. Exit code 0: the checker found nothing; 1: it did; 2: no run, or
one that met too few faults to say anything.

The same seed asks for the same calls, lets them meet the same faults upstream, and does the same to
the same kinds of process after the same number of calls; the very instruction a kill hits is not
repeated.
"""

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.faults import nemesis as nemeses
from tests.faults import reporting
from tests.faults.clients import Clients
from tests.faults.cluster import Cluster
from tests.faults.journal import Journal, read
from tests.faults.ledger import LATE_SECONDS
from tests.faults.looking import Eyes

ROOT = Path(__file__).resolve().parents[2]
CHECKER = Path(__file__).with_name("fault_check.py")
QUIET_SECONDS = 90.0  # after the last answer, for everything to have ended
STALLED_SECONDS = 150.0  # without any call ending: nobody will be told any more


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="manage.py fault_run", description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="default: 22, 32 in a thousand calls")
    parser.add_argument("--stops", type=int, default=0, help="SIGSTOPs; default: 22 in 10,000")
    parser.add_argument("--outages", type=int, default=0, help="database stops; 12 in 10,000")
    parser.add_argument("--keep", type=Path, help="keep everything in DIR, which must not exist")
    parser.add_argument("--bugs", action="store_true", help="find each planted bug instead")
    parser.add_argument("--bug", action="append", default=[], help="only this one; with --bugs")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run, check, report; return the exit code."""
    options = arguments(argv)
    if options.bugs:
        from tests.faults import planted  # it runs this module again, on another tree

        return planted.find_all(options)
    folder = options.keep.absolute() if options.keep else Path(tempfile.mkdtemp(prefix="faults-"))
    if options.keep and folder.exists():
        say(f"{folder} exists: name a folder that does not.")
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL's own user has to reach its folder in it
    try:
        ended = run(folder, options)
        verdict = check(folder)
        print(reporting.write(folder, ended, verdict), flush=True)
        too_little = reporting.too_little(folder)
        if not verdict["violations"] and not options.keep:
            shutil.rmtree(folder)
        elif verdict["violations"]:
            say(f"Violations, seed {options.seed}: everything is kept in {folder}.")
        if verdict["violations"]:
            return 1
        for what in too_little:
            say(f"This run says nothing, seed {options.seed}: {what}.")
        return 2 if too_little else 0
    except BaseException:
        say(f"No verdict, seed {options.seed}; everything is kept in {folder}.")
        raise


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Start everything, let it be used and broken, stop it; return what run.json says."""
    is_sqlite = options.database == "sqlite"
    kills = options.kills or max(round(options.calls * 0.032), min(22, options.calls // 8))
    cluster = Cluster(ROOT, folder, options.database, options.seed)
    counts = nemeses.Counts(
        kills,
        options.stops or max(2, round(options.calls * 0.0022)),
        0 if is_sqlite else options.outages or max(2, round(options.calls * 0.0012)),
    )
    faults = nemeses.schedule(options.seed, options.calls, counts, is_sqlite=is_sqlite)
    progress = nemeses.Progress()
    journal = Journal(folder / "faults.jsonl")
    nemesis = nemeses.Nemesis(cluster, faults, progress, journal, options.seed)
    facts: dict[str, Any] = {
        "seed": options.seed, "database": options.database, "calls": options.calls,
        "faults": len(faults), "planned": dict(Counter(fault.kind for fault in faults)),
        "began": time.time(),
    }  # fmt: skip
    try:
        cluster.start()
        facts["serving"] = time.time()
        clients = Clients(cluster, nemesis, progress, options.seed, options.calls)
        bar = threading.Thread(target=reporting.progress, args=(clients, progress), daemon=True)
        bar.start()
        nemesis.start()
        facts |= asyncio.run(use(clients, nemesis, cluster))
        facts["ended"] = time.time()
        eyes = Eyes(cluster)
        eyes.dump(folder / "database")
        eyes.close()
        facts["dumped"] = time.time()
    finally:
        progress.is_over = True
        cluster.stop()
    (folder / "run.json").write_text(json.dumps(facts, indent=1))
    return facts


async def use(clients: Clients, nemesis: nemeses.Nemesis, cluster: Cluster) -> dict[str, Any]:
    """Ask everything, wait until all is quiet, learn every end."""
    facts: dict[str, Any] = {"stalled": False}
    asking = asyncio.create_task(clients.ask_everything())
    last, since = -1, time.monotonic()
    while not asking.done():
        await asyncio.wait([asking], timeout=1)
        if clients.ended != last:
            last, since = clients.ended, time.monotonic()
        if time.monotonic() - since > STALLED_SECONDS:
            facts["stalled"] = True
            asking.cancel()
            break
    await asyncio.gather(asking, return_exceptions=facts["stalled"])
    facts["asked"] = time.time()
    nemesis.progress.is_over = True
    await asyncio.to_thread(nemesis.join)
    facts["quiet"] = await quiet(cluster)
    eyes = Eyes(cluster)
    unknown = eyes.rows("SELECT id FROM approvals_toolcall WHERE status = 'unknown' ORDER BY id")
    eyes.close()
    settling = clients.finish_up([str(UUID(str(row[0]))) for row in unknown])
    try:
        await asyncio.wait_for(settling, STALLED_SECONDS)
    except TimeoutError:
        facts["stalled"] = True
    return facts


async def quiet(cluster: Cluster) -> bool:
    """Wait until nothing is on its way and no late answer can come any more."""
    eyes, end = Eyes(cluster), time.monotonic() + QUIET_SECONDS
    still = time.monotonic()
    while time.monotonic() < end:
        await asyncio.sleep(0.2)
        if not cluster.is_healthy() or eyes.in_flight():
            still = time.monotonic()
        if time.monotonic() - still > LATE_SECONDS + 2:
            break
    is_quiet = time.monotonic() < end
    eyes.close()
    return is_quiet


def check(folder: Path) -> dict[str, Any]:
    """Return the verdict of the checker, which is a program of its own."""
    command = [sys.executable, "-I", "-S", str(CHECKER), str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    verdict: dict[str, Any] = json.loads(done.stdout)
    return verdict


def say(words: str) -> None:
    """Tell whoever runs this."""
    print(words, file=sys.stderr, flush=True)


def kept(folder: Path) -> list[dict[str, Any]]:
    """Return the faults of a run."""
    return list(read(folder / "faults.jsonl"))


if __name__ == "__main__":
    # As after Ctrl-C, whatever was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(sys.argv[1:]))
    except Exception:  # noqa: BLE001 - a run that breaks off is no verdict
        traceback.print_exc()
        sys.exit(2)
