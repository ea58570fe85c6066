"""Goes to a page of the table, as the person whose it is."""

from playwright.sync_api import Page as Tab
from playwright.sync_api import Response

from tests.browser.pages.opening import ARRIVALS, OPENS
from tests.browser.pages.staging import Stage
from tests.browser.pages.table import Page


def visit(stage: Stage, entry: Page, opened: str = "") -> Tab:
    """Return the page, loaded anew, with one thing open on it."""
    stage.put(entry.data)
    tab = stage.page(entry.who)
    if entry.arrive:
        stage.sign_in_again(entry.who)
    stage.refused = entry.status if entry.status >= 400 else 0
    documents: list[Response] = []

    def listen(answer: Response) -> None:
        if answer.request.resource_type == "document":
            documents.append(answer)

    tab.on("response", listen)
    tab.goto(entry.address.format(**stage.names))
    if entry.arrive:
        stage.touched()
        tab.evaluate("settled => { window.SETTLED = settled; }", str(stage.names["succeeded"]))
        ARRIVALS[entry.arrive](tab)
        tab.wait_for_load_state()
    tab.remove_listener("response", listen)
    assert documents[-1].status == entry.status, (documents[-1].url, documents[-1].status)
    if opened:
        OPENS[opened](tab)
    return tab


def heard(stage: Stage) -> list[str]:
    """Return what consoles said, and which requests left for elsewhere, since the last time."""
    said = list(stage.complaints)
    stage.complaints.clear()
    return said
