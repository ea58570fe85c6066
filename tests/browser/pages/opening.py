"""How a page of the table is arrived at, and how what can be open on it is opened."""

from collections.abc import Callable

from playwright.sync_api import Page

from approvals.models import Upstream
from tests.support.world import PASSWORD

Act = Callable[[Page], None]


def _folds(page: Page) -> None:
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


def _choose(name: str) -> Act:
    def act(page: Page) -> None:
        page.locator(".decide .tile", has_text=name).click()

    return act


def _keys(page: Page) -> None:
    page.locator("body").press("?")
    page.get_by_role("dialog").wait_for()


def _drawer(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})  # below, a row opens its own page
    page.locator("a[data-drawer]").first.click()
    page.locator("#drawer h2").wait_for()
    _folds(page)


def _changed(page: Page) -> None:
    """Let the call move while its form is open; what was being written is kept."""
    _choose("Reject")(page)
    page.get_by_label("Reason").fill("Not like this, because")
    page.evaluate(
        """async () => {
            const shown = document.querySelector("[data-shows]");
            const address = shown.dataset.changes.replace(/seen=\\d+/, "seen=0");
            const html = await (await fetch(address)).text();
            const part = new DOMParser().parseFromString(html, "text/html").querySelector("#panel");
            const old = document.getElementById("panel");
            old.replaceWith(part);
            document.dispatchEvent(
                new CustomEvent("countersign:replaced", {detail: {part, old}}));
        }"""
    )
    page.get_by_text("This call has changed. Read it again.").wait_for()


def _tab(name: str) -> Act:
    return lambda page: page.locator(".connect .tabs label", has_text=name).click()


OPENS: dict[str, Act] = {
    "folds": _folds,
    "approve": _choose("Approve"),
    "reject": _choose("Reject"),
    "keys": _keys,
    "drawer": _drawer,
    "changed": _changed,
    "cursor": _tab("Cursor"),
    "vs code": _tab("VS Code"),
    "python": _tab("Python"),
    "typescript": _tab("TypeScript"),
}


TICK = "form => { for (const one of form.querySelectorAll('[name=checked]')) one.checked = true; }"


def _send(selector: str, *, spoil: str = "", **filled: str) -> Act:
    """Fill and send a form; `spoil` is script that breaks it first."""

    def act(page: Page) -> None:
        form = page.locator(selector)
        form.evaluate("form => form.closest('details')?.setAttribute('open', '')")
        for name, value in filled.items():
            field = form.locator(f"[name={name}]")
            if field.first.get_attribute("type") in ("radio", "checkbox"):
                form.locator(f"[name={name}][value={value}]").check()
            else:
                field.fill(value)
        form.evaluate(TICK)
        # By the browser alone, so that the whole page is the answer.
        form.evaluate(f"form => {{ {spoil}; form.noValidate = true; }}")
        with page.expect_navigation():
            form.evaluate("form => HTMLFormElement.prototype.submit.call(form)")

    return act


def _sign_in(who: str, password: str) -> Act:
    return _send("form.stack", login=who, password=password)


def _too_often(page: Page) -> None:
    for _ in range(6):
        _send("form.account", oldpassword="wrong", password1="x", password2="x")(page)
        if page.title().startswith("Too"):
            return


def _broken(page: Page) -> None:
    """Break a row as no verb could, and ask for the page that shows it."""
    Upstream.objects.update(dropped_tools=5)
    page.goto("/catalogue/")


STALE = "form.elements.digest.value = 'stale'"
ARRIVALS: dict[str, Act] = {
    "stale approval": _send("form.approve", spoil="form.elements.binding.value = 'stale'"),
    "no evidence": _send("form.settle", outcome="ran", evidence=" "),
    "too late to withdraw": _send(
        "form[action$='withdraw/']",
        spoil="form.action = form.action.replace(/calls.[^/]+/, 'calls/' + SETTLED)",
    ),
    "stale review": _send("form[action$='review/']", spoil=STALE, effect="write"),
    "stale sentence": _send("form[action$='template/']", spoil=STALE, template="{customer}"),
    "preview": lambda page: page.get_by_role("button", name="Preview").click(),
    "nobody so called": _send("form:has([value=add]) >> nth=0", person="zoe"),
    "bad name": _send("main form", name="No Such Name"),
    "key made": _send("form[action$='keys/']", label="nightly job"),
    "practice set up": _send("main form"),
    "wrong password": _sign_in("bo", "wrong"),
    "second step": _sign_in("cy", PASSWORD),
    "no token": _send("main form", spoil="form.elements.csrfmiddlewaretoken.remove()"),
    "wrong again and again": _too_often,
    "a broken row": _broken,
}
