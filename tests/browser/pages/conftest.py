"""One installation for the tests of one module; its rows are put back, not made anew."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.pages.staging import Stage, staged


@pytest.fixture(scope="module")
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Take the place of pytest-django's, which empties the database after each test."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def stage(browser: Browser, transactional_db: None) -> Iterator[Stage]:
    """Return the installation with people in their browsers."""
    with staged(browser) as stage:
        yield stage


@pytest.fixture(autouse=True)
def _nothing_said_before(stage: Stage) -> None:
    """Keep what one test let a console say from the next."""
    stage.complaints.clear()
