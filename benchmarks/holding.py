"""How long a held call takes to reach people, and a decision to reach the upstream.

Run it as `python -m benchmarks.holding`.

A real Chromium shows the queue; a raw client asks for refunds. All clocks are this machine's.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks import report
from benchmarks.raw import Connection
from tests.support import services
from tests.support.running import Installation, until

CALLS = 40
HELD_AT_ONCE = 1_000
_ROOMY = {
    "PENDING_PER_AGENT": "5000",
    "PENDING_PER_DOMAIN": "5000",
    "SUBMITS_PER_SECOND": "1000",
    "SUBMITS_BURST": "5000",
}
# Notes, in the page, when each call's row was first there: milliseconds since 1970.
_NOTE_ROWS = """() => {
  window.seen = {};
  const note = () => document.querySelectorAll("[data-call]").forEach(row => {
    if (row.checkVisibility()) window.seen[row.dataset.call] ??= Date.now();
  });
  new MutationObserver(note).observe(document.body, {childList: true, subtree: true});
}"""


def refund(number: int) -> dict[str, object]:
    """Return the arguments of a refund nobody asked for before."""
    return {
        "customer": "cus_8241",
        "invoice": "in_2201",
        "amount": 100 + number,
        "currency": "usd",
        "reason": "duplicate",
    }


async def hold(installation: Installation, number: int) -> tuple[str, float]:
    """Ask for one refund; return its ticket and when the request left, seconds since 1970."""
    connection = await Connection(f"{installation.url}/mcp", installation.key).open()
    began = time.time()
    task = await connection.task("billing__refund", refund(number))
    connection.close()
    return task, began


def to_screen(installation: Installation, page: Page) -> list[float]:
    """Return the seconds from each request to its row on a page that shows the queue."""
    page.goto(f"{installation.url}/")
    until(lambda: page.get_by_text("Live", exact=True).is_visible(), "the page being live")
    page.evaluate(_NOTE_ROWS)
    took = []
    # Playwright keeps an event loop in this thread, so the client runs in another.
    with ThreadPoolExecutor(1) as apart:
        for number in range(CALLS):
            ticket, began = apart.submit(
                lambda n: asyncio.run(hold(installation, n)), number
            ).result()
            seen = until(partial(_seen, page, ticket), f"a row for {ticket}")
            took.append(seen / 1000 - began)
    return took


def _seen(page: Page, ticket: str) -> float:
    return float(page.evaluate("id => window.seen[id] ?? 0", ticket))


def to_upstream(installation: Installation, page: Page) -> list[float]:
    """Return the seconds from each click on the confirming button to the ledger's row."""
    bo = installation.person("bo")
    clicked: dict[str, float] = {}
    for call in bo.get("calls/", status="pending")["results"][:CALLS]:
        page.goto(f"{installation.url}/calls/{call['id']}/")
        page.locator("input[name=decision][value=approve]").check(force=True)
        for box in page.locator("form.approve input[type=checkbox]").all():
            box.check(force=True)  # a marked value has to be ticked
        button = page.locator("form.approve button").first
        button.wait_for()
        time.sleep(0.6)  # decisions within half a second of a page are refused by design
        clicked[call["id"]] = time.time()
        button.click()
        page.wait_for_load_state()
    rows = until(lambda: _rows(installation, set(clicked)), "every refund in the ledger")
    return [rows[call_id] - at for call_id, at in clicked.items()]


def _rows(installation: Installation, wanted: set[str]) -> dict[str, float]:
    found = {
        str(row["call_id"]): datetime.fromisoformat(row["recorded_at"]).timestamp()
        for row in installation.refunds()
    }
    return found if wanted <= found.keys() else {}


async def hold_many(installation: Installation) -> float:
    """Hold many requests open at once; return the process's memory then, in MB."""
    connections = []
    for number in range(HELD_AT_ONCE):
        connection = await Connection(f"{installation.url}/mcp", installation.key).open()
        connections.append((connection, number))
    waiting = [
        asyncio.create_task(connection.call("billing__refund", refund(10_000 + number)))
        for connection, number in connections
    ]
    is_full = partial(_holds, installation, HELD_AT_ONCE)
    await asyncio.to_thread(until, is_full, f"{HELD_AT_ONCE} calls held", 180)
    megabytes = resident_megabytes(installation)
    for task in waiting:
        task.cancel()
    return megabytes


def _holds(installation: Installation, wanted: int) -> bool:
    """Tell whether that many calls are pending; the database is asked, the server left alone."""
    counted = "SELECT count(*) FROM approvals_toolcall WHERE status = 'pending'"
    with closing(sqlite3.connect(installation.data / "countersign.sqlite3")) as database:
        return bool(database.execute(counted).fetchone()[0] >= wanted)


def resident_megabytes(installation: Installation) -> float:
    """Return the resident memory of the `up` process itself, in MB."""
    popen = installation.process.popen
    if popen is None:
        raise RuntimeError("it does not run")
    status = Path(f"/proc/{popen.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def measure(folder: Path) -> dict[str, object]:
    """Return every figure; each part has an installation of its own."""
    installation = Installation(folder / "latency", settings=_ROOMY)
    installation.populate(examples={"billing": ("refund:write",)}, grace_seconds=1)
    installation.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=services.chromium(), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_context(storage_state=_signed_in(installation)).new_page()
            screen, upstream = to_screen(installation, page), to_upstream(installation, page)
    finally:
        installation.kill()
    crowded = Installation(folder / "memory", settings=_ROOMY)
    crowded.populate(examples={"billing": ("refund:write",)}, grace_seconds=300)
    crowded.start()
    try:
        before = resident_megabytes(crowded)
        memory = asyncio.run(hold_many(crowded))
    finally:
        crowded.kill()
    return {
        "held_to_screen_ms": report.milliseconds(screen),
        "click_to_upstream_ms": report.milliseconds(upstream),
        "memory_idle_mb": before,
        "memory_with_1000_held_mb": memory,
    }


def _signed_in(installation: Installation) -> Any:
    jar = installation.person("bo").http.cookies.jar
    cookies = [{"name": c.name, "value": c.value, "url": installation.url} for c in jar]
    return {"cookies": cookies, "origins": []}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    lines = "\n".join(f"{name}: {value}" for name, value in figures.items())
    sys.stdout.write(f"{lines}\nKept in {report.keep('holding', figures)}\n")
