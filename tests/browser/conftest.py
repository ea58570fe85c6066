"""A real server in a thread of the test process, and browsers in which people are signed in."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from approvals.models import Person
from tests.support import services
from tests.support.running import until
from tests.support.visiting import visitor

# Playwright's synchronous interface runs a loop in the test's own thread, where Django would refuse
# to be asked for rows.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

HERE = Path(__file__).parent
READING_MS = 600  # a form that is younger than half a second is looked at again
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run browsers last: while one is open, `asyncio.run` is refused in the tests' own thread."""
    items.sort(key=lambda item: item.path.is_relative_to(HERE))


class Site:
    """The web application on a port of its own; it can be stopped and started again there."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve; return when the first request would be answered."""
        from config.asgi import web

        config = uvicorn.Config(
            web, host="127.0.0.1", port=self.port, ws="websockets-sansio", log_config=None,
            log_level="warning", lifespan="off", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, "the server serving")

    def stop(self) -> None:
        """Close every connection and stop."""
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Use the installed Chromium; as root it needs to run without its sandbox."""
    found = {"executable_path": services.chromium(), "args": ["--no-sandbox", "--disable-gpu"]}
    return {**browser_type_launch_args, **found}


@pytest.fixture
def site(transactional_db: None) -> Iterator[Site]:
    """Return the web application, serving the test's database."""
    site = Site()
    site.start()
    yield site
    site.stop()


@pytest.fixture
def opened(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Return a maker of pages: `opened(person, "/", viewport=PHONE)`; each is a browser of its own.

    What a page writes to its console, and what it breaks on, fails the test at its end; that an
    answer with the status `refused` came is the one thing it may write.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(
        person: Person | None, address: str = "/", refused: int = 0, **options: Any
    ) -> Page:
        def listen(message: ConsoleMessage) -> None:
            if f"responded with a status of {refused} " not in message.text:
                complaints.append(message.text)

        context = browser.new_context(base_url=site.url, **{"viewport": DESK, **options})
        contexts.append(context)
        if person is not None:
            context.add_cookies(cookies(person, site))
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def cookies(person: Person, site: Site) -> list[Any]:
    """Return the cookies of a browser in which somebody has signed in."""
    jar = visitor(person).cookies
    return [{"name": n, "value": morsel.value, "url": site.url} for n, morsel in jar.items()]


@pytest.fixture
def live(opened: Callable[..., Page]) -> Callable[..., Page]:
    """Return a maker of pages that hear of changes and have caught up."""

    def open_page(*args: Any, **options: Any) -> Page:
        page = opened(*args, **options)
        page.get_by_text("Live", exact=True).wait_for(timeout=5_000)
        page.wait_for_load_state("networkidle")
        return page

    return open_page
