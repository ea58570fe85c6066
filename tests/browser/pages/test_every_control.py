"""Every control of every page is activated by a real pointer or key, and has an effect.

A control is anything a person can click, tick, choose or write into. Those that look alike in their
markup (rows of a list) are one; the same on two conditions of one address is activated once. A link
is activated up to its navigation, which is then held up; that its target answers is asked for once.
Forms are really sent, and the database is put back.
"""

import re

import pytest
from playwright.sync_api import Error, TimeoutError

from tests.browser.conftest import DESK, PHONE, READING_MS
from tests.browser.pages.table import PAGES
from tests.browser.pages.visiting import heard, visit

pytestmark = pytest.mark.browser

# Lists what can be activated, each with a signature and a way to find it again.
CONTROLS = """() => {
    const can = 'a[href], button, input:not([type=hidden]), select, textarea, summary, '
        + '[role=button]';
    const number = one => [...one.parentElement.children].indexOf(one) + 1;
    const place = one => {
        const parts = [];
        for (let at = one; at !== document.body; at = at.parentElement)
            parts.unshift(`${at.tagName}:nth-child(${number(at)})`);
        return 'body > ' + parts.join(' > ');
    };
    const plain = text => (text ?? '').replace(/[0-9a-f-]{36}|[0-9a-f]{10}|\\d+/g, '#');
    const within = one => one.closest('[id]')?.id.replace(/[0-9a-f-]{36}|\\d+/g, '#') ?? '';
    const said = one => one.closest('tr, li, dd') ? '' : plain(one.innerText).slice(0, 60);
    const dialog = document.querySelector('dialog[open]');
    const isOff = one => one.disabled || one.readOnly;
    const isThere = one => (one.labels?.[0] ?? one).checkVisibility({visibilityProperty: true})
        && !isOff(one) && (!dialog || dialog.contains(one));
    return [...document.querySelectorAll(can)].filter(isThere).map(one => ({
        place: place(one),
        kind: one.tagName === 'INPUT' ? one.type : one.tagName.toLowerCase(),
        sends: one.form && one.type === 'submit' && !one.hasAttribute('data-passkey')
            && one.form.method !== 'dialog' ? one.form.method.toUpperCase() : '',
        isStamped: Boolean(one.form?.elements.stamp), // not to be sent as soon as it is there
        isFrame: Boolean(one.form?.closest('.rail')), // the same forms on every page
        isSkip: one.className === 'skip',
        signature: [one.tagName, one.type, one.name, one.className, plain(one.getAttribute('href')),
            plain(one.ariaLabel), one.type === 'radio' ? one.value : '', within(one), said(one),
            plain(one.form?.getAttribute('action'))].join('|'),
    }));
}"""

# Notes what happens, and holds up what would leave the page by a link. What changes by itself (the
# time left, who looks) is no effect.
WATCH = """() => {
    window.went = [];
    navigation.addEventListener('navigate', event => {
        if (event.formData || window.isSending) return;
        window.went.push(event.destination.url);
        if (!event.destination.sameDocument) event.preventDefault();
    });
    const byItself = '.ring, [data-left], #presence, #live, #waiting, #say, #listening, #arrivals';
    const fields = () => [...document.querySelectorAll('input, select, textarea')]
        .map(one => one.value + one.checked).join();
    window.look = () => {
        const copy = document.body.cloneNode(true);
        for (const one of copy.querySelectorAll(byItself)) one.remove();
        const isOpen = document.querySelector('dialog[open]') !== null;
        return [copy.innerHTML, fields(), scrollY, document.activeElement.outerHTML,
            getSelection().toString(), isOpen].join('\\n');
    };
}"""
# Fills what a form asks for, as far as it is empty.
FILL = """button => {
    for (const field of button.form?.elements ?? []) {
        if (!field.required && !/^(reason|why|name)$/.test(field.name)) continue;
        if (['checkbox', 'radio'].includes(field.type)) field.checked = true;
        else field.value ||= field.name === 'name' ? 'laptop-2' : '123456';
    }
}"""
ANSWERS = {200, 302, 400, 409}  # of a form: done, or told why not
BY_ITSELF = re.compile("/presence/|/parts/|/changes/|/state/")  # what pages ask for unasked
WRITTEN = ("textarea", "text", "search", "password", "number")


def fresh(stage, entry, opened, viewport):
    """Return the page as it is at first, under watch."""
    tab = stage.page(entry.who)
    tab.set_viewport_size(viewport)
    tab.emulate_media(color_scheme="light", reduced_motion="reduce")
    tab = visit(stage, entry, opened)
    tab.set_viewport_size(viewport)
    tab.evaluate(WATCH)
    return tab


def activate(tab, control):
    """Do what a person would do with it."""
    one, kind = tab.locator(control["place"]), control["kind"]
    if kind in ("radio", "checkbox"):
        one.evaluate("one => (one.labels[0] ?? one).setAttribute('data-clicked', '')")
        tab.locator("[data-clicked]").click(position={"x": 9, "y": 9})
    elif kind == "select":
        count = one.evaluate("one => one.options.length")
        one.select_option(index=(one.evaluate("one => one.selectedIndex") + 1) % count)
    elif kind == "date":
        one.fill("2026-01-02")
    elif kind in WRITTEN:
        tab.keyboard.type("1")
    elif control["isSkip"]:
        tab.keyboard.press("Enter")  # it is in view for the keyboard only
    else:
        one.click()


def prepare(tab, control):
    """Give it focus, and undo a choice that is made already: what follows is its own effect."""
    one = tab.locator(control["place"])
    if control["kind"] == "radio":
        one.evaluate("one => { one.checked = false; }")
    elif control["kind"] in ("submit", "button"):
        one.evaluate(FILL)
    one.focus()
    for label in tab.locator("[data-clicked]").all():
        label.evaluate("one => one.removeAttribute('data-clicked')")


def effect_of(tab, control, patience=5_000):
    """Activate it and wait for an effect; return the addresses it leads to."""
    prepare(tab, control)
    before = tab.evaluate("look()")
    activate(tab, control)
    try:
        tab.wait_for_function(
            "before => !window.went || went.length || look() !== before",
            arg=before, timeout=patience,
        )  # fmt: skip
        return tab.evaluate("window.went?.splice(0) ?? []")
    except Error as error:
        if "context was destroyed" in str(error):
            return []  # it led to another page
        raise


def send(tab, control):
    """Fill a form and send it by its button; return the status of the answer."""
    prepare(tab, control)
    tab.wait_for_timeout(READING_MS if control["isStamped"] else 0)
    tab.evaluate("window.isSending = true")

    def answers(answer):
        return answer.request.method == control["sends"] and not BY_ITSELF.search(answer.url)

    with tab.expect_response(answers) as answer:
        tab.locator(control["place"]).click()
    status = answer.value.status
    tab.wait_for_load_state()
    return status


class Walk:
    """Goes through the controls of one page in one condition."""

    def __init__(self, stage, entry, opened, viewport):
        self.stage, self.entry, self.opened, self.viewport = stage, entry, opened, viewport
        self.tab = fresh(stage, entry, opened, viewport)
        self.is_fresh, self.dead = True, []

    def narrow(self):
        """Go on in the width of a phone."""
        self.viewport = PHONE
        if self.is_fresh:
            self.tab.set_viewport_size(PHONE)
        else:
            self.tab = fresh(self.stage, self.entry, self.opened, PHONE)

    def controls(self):
        """Return what is there to activate now, by place."""
        return {one["place"]: one for one in self.tab.evaluate(CONTROLS)}

    def through(self, done):
        """Activate each control whose like was not activated yet."""
        for place, control in self.controls().items():
            known = FRAME if control["isFrame"] else done
            if control["signature"] not in known:
                known.add(control["signature"])
                self.is_fresh = False
                self._restore(place, control["signature"])
                self._try(control)

    def _restore(self, place, signature):
        there = self.tab.evaluate("typeof look === 'function'") and self.controls().get(place)
        if not there:
            self.stage.touched()
        if not there or there["signature"] != signature:
            self.tab = fresh(self.stage, self.entry, self.opened, self.viewport)

    def _try(self, control):
        try:
            if control["sends"]:
                self._send(control)
            else:
                for address in effect_of(self.tab, control):
                    self._follow(address, control)
        except Error as error:
            self.dead.append((self.opened, control["signature"], str(error)[:300]))
            self.tab = fresh(self.stage, self.entry, self.opened, self.viewport)

    def _send(self, control):
        status = send(self.tab, control)
        if status not in ANSWERS:
            self.dead.append((self.opened, control["signature"], status))
        if control["sends"] == "POST":
            self.stage.touched()
            self.stage.sign_in_again(self.entry.who)
        self.tab = fresh(self.stage, self.entry, self.opened, self.viewport)

    def _follow(self, address, control):
        """Ask once whether what a link leads to is there, and here."""
        assert address.startswith(self.stage.site.url), address
        if address.partition("#")[0] == self.tab.url.partition("#")[0] and "#" in address:
            return  # a place on this page
        known = (self.entry.who, address.partition("#")[0])
        if known not in FOLLOWED:
            FOLLOWED.add(known)
            answer = self.tab.context.request.get(known[1])
            if answer.status != 200:
                self.dead.append((self.opened, control["signature"], address, answer.status))


# What answers a form that was refused is the page of the form.
LIKE = {
    "call_decide": "call", "call_settle": "call", "call_withdraw": "call",
    "tool_review": "tool", "tool_template": "tool", "tool_preview": "tool",
    "group": "groups",
}  # fmt: skip
FRAME: set[str] = set()
FOLLOWED: set[tuple[str, str]] = set()
DONE: dict[tuple[str, str], set[str]] = {}  # by page and person


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_control_of_a_page_has_an_effect(stage, entry):
    done = DONE.setdefault((LIKE.get(entry.name, entry.name), entry.who), set())
    dead = []
    for opened in ("", *entry.opens):
        walk = Walk(stage, entry, opened, DESK)
        walk.through(done)
        walk.narrow()
        walk.through(done)
        dead += walk.dead
    stage.touched()

    assert dead == []
    assert [said for said in heard(stage) if not said.startswith("Failed to load resource")] == []
    assert done


def test_all_of_them_were_many(stage):
    """Of a whole run: that the lists of controls are not empty by mistake."""
    if {(LIKE.get(entry.name, entry.name), entry.who) for entry in PAGES} == DONE.keys():
        assert sum(len(done) for done in DONE.values()) >= 700


def test_a_control_without_effect_is_noticed(stage):
    walk = Walk(stage, PAGES[1], "", DESK)
    walk.tab.evaluate(
        """() => { const dead = document.createElement('button');
        dead.textContent = 'Nothing'; dead.type = 'button';
        document.querySelector('.inbox-head').append(dead); }"""
    )
    (control,) = (one for one in walk.controls().values() if "Nothing" in one["signature"])

    with pytest.raises(TimeoutError):
        effect_of(walk.tab, control, patience=2_500)  # clocks tick meanwhile
