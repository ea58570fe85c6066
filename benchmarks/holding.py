"""How long a held call takes to reach people, a decision the upstream, and an answer the agent.

A real Chromium shows the queue and clicks; a raw client asks for refunds. All clocks are this
machine's.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks import report
from benchmarks.goals import POSTGRES, REDIS, SQLITE, Figure
from benchmarks.places import Outcome, Size, installed, missing
from benchmarks.raw import Connection
from tests.support import services
from tests.support.running import Installation, until

# Notes, in the page, when each call's row was first there: milliseconds since 1970.
_NOTE_ROWS = """() => {
  window.seen = {};
  const note = () => document.querySelectorAll("[data-call]").forEach(row => {
    if (row.checkVisibility()) window.seen[row.dataset.call] ??= Date.now();
  });
  new MutationObserver(note).observe(document.body, {childList: true, subtree: true});
}"""


# The moment of the click itself: a driver scrolls to a button and looks whether it moves before.
_NOTE_CLICK = """() => addEventListener(
  "click", event => sessionStorage.clicked = performance.timeOrigin + event.timeStamp, true)"""


def run(folder: Path, size: Size) -> Outcome:
    """Measure on every database, and with Redis in place of what is in the process."""
    if services.chromium() is None:
        return Outcome([], {}, [f"No latencies: {services.SERVICES['browser'].absence()}."])
    figures, details, notes = list[Figure](), dict[str, object](), list[str]()
    calls = size.latencies + 1  # the first one opens sessions and connections, and does not count
    for number, place in enumerate((SQLITE, POSTGRES, REDIS)):
        if why := missing(place):
            notes.append(f"No latencies on {place}: {why}.")
            continue
        measured = measure(folder / f"latency_{number}", place, calls)
        found = {name: took[1:] for name, took in measured.items()}
        details[place] = {name: report.milliseconds(took) for name, took in found.items()}
        figures += [
            Figure(name, place, round(report.percentile(took, 0.95) * 1000))
            for name, took in found.items()
        ]
    return Outcome(figures, details, notes)


def measure(folder: Path, place: str, calls: int) -> dict[str, list[float]]:
    """Return the seconds of each way, by the names of the goals."""
    with installed(folder, place) as installation, _queue(installation) as page:
        screen = to_screen(installation, page, calls)
        upstream = to_upstream(installation, page, calls)
    # One that waits for minutes, so that every answer goes to an open request.
    patient = installed(folder / "patient", place, grace_seconds=300)
    with patient as installation:
        agent = asyncio.run(to_agent(installation, calls))
    return {"to_screen": screen, "to_upstream": upstream, "to_agent": agent}


@contextmanager
def _queue(installation: Installation) -> Iterator[Page]:
    """Yield a page of Bo's in a browser."""
    jar = installation.person("bo").http.cookies.jar
    cookies = [{"name": c.name, "value": c.value, "url": installation.url} for c in jar]
    signed_in: Any = {"cookies": cookies, "origins": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=services.chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser.new_context(storage_state=signed_in).new_page()
        browser.close()


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
    connection = await Connection(f"{installation.agents_url}/mcp", installation.key).open()
    began = time.time()
    task = await connection.task("billing__refund", refund(number))
    connection.close()
    return task, began


def to_screen(installation: Installation, page: Page, calls: int) -> list[float]:
    """Return the seconds from each request to its row on a page that shows the queue."""
    page.goto(f"{installation.url}/")
    until(lambda: page.get_by_text("Live", exact=True).is_visible(), "the page being live")
    page.evaluate(_NOTE_ROWS)
    took = []
    # Playwright keeps an event loop in this thread, so the client runs in another.
    with ThreadPoolExecutor(1) as apart:
        for number in range(calls):
            ticket, began = apart.submit(
                lambda n: asyncio.run(hold(installation, n)), number
            ).result()
            seen = until(partial(_seen, page, ticket), f"a row for {ticket}")
            took.append(seen / 1000 - began)
    return took


def _seen(page: Page, ticket: str) -> float:
    return float(page.evaluate("id => window.seen[id] ?? 0", ticket))


def to_upstream(installation: Installation, page: Page, calls: int) -> list[float]:
    """Return the seconds from each click on the confirming button to the ledger's row."""
    bo = installation.person("bo")
    clicked: dict[str, float] = {}
    for call in bo.get("calls/", status="pending")["results"][:calls]:
        page.goto(f"{installation.url}/calls/{call['id']}/")
        page.locator("input[name=decision][value=approve]").check(force=True)
        for box in page.locator("form.approve input[type=checkbox]").all():
            box.check(force=True)  # a marked value has to be ticked
        button = page.locator("form.approve button").first
        button.wait_for()
        time.sleep(0.6)  # decisions within half a second of a page are refused by design
        page.evaluate(_NOTE_CLICK)
        button.click()
        page.wait_for_load_state()
        clicked[call["id"]] = float(page.evaluate("sessionStorage.clicked")) / 1000
    rows = until(lambda: _rows(installation, set(clicked)), "every refund in the ledger")
    return [rows[call_id] - at for call_id, at in clicked.items()]


def _rows(installation: Installation, wanted: set[str]) -> dict[str, float]:
    """Return when the ledger wrote its rows, once it has all that are wanted."""
    found = {
        str(row["call_id"]): datetime.fromisoformat(row["recorded_at"]).timestamp()
        for row in installation.refunds()
    }
    return found if wanted <= found.keys() else {}


async def to_agent(installation: Installation, calls: int) -> list[float]:
    """Return the seconds from each row of the ledger to its answer at the agent that waited."""
    bo = installation.person("bo")
    took = []
    for number in range(calls):
        connection = await Connection(f"{installation.agents_url}/mcp", installation.key).open()
        waiting = asyncio.create_task(connection.call("billing__refund", refund(number)))
        call_id = await asyncio.to_thread(bo.held, refund(number))
        await asyncio.to_thread(bo.approve, call_id)
        await waiting
        answered = time.time()
        connection.close()
        took.append(answered - _rows(installation, {call_id})[call_id])
    return took
