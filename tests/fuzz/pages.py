"""The pages: their addresses with odd questions, and the forms on them, filled rightly and wrongly.

The addresses are those of the table of pages that the browser tests go through.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.browser.pages.table import PAGES
from tests.fuzz.inputs import ODD, Input
from tests.support import dom

READERS = ("bo", "ann", "dee", "aud")
# To sign out, to stop agents or to change a password would end what the other inputs stand on.
_LEFT_OUT = ("/logout/", "/-/stop/", "/agents/support/", "/agents/patient/", "/agents/looker/")
_NEVER_RIGHT = ("login", "password")
_ASKED = (
    "seen", "open", "before", "risk", "domain", "agent", "page", "to", "show", "call", "id", "days",
    "server", "pane", "q", "status", "tool", "from", "until", "next",
)  # fmt: skip
_FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Form:
    """A form as a page had it; `fields` are names and what each may hold (empty: free text)."""

    who: str
    action: str
    fields: Mapping[str, Sequence[str]]


@dataclass
class Pages:
    """Draws requests for pages; `calls` are ids of calls there are, `forms` those seen so far."""

    begin: int
    calls: list[str] = field(default_factory=list)
    forms: dict[tuple[str, str], Form] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._drawn = Random(f"{self.begin}:pages")

    def addresses(self) -> list[str]:
        """Return every address of the table with names of things that there are filled in."""
        found = (self._filled(page.address) for page in PAGES if page.status == 200)
        return sorted({address for address in found if "2fa/webauthn" not in address})

    def learn(self, who: str, address: str, html: str) -> None:
        """Remember the forms of a page."""
        for form in dom.read(html).all(lambda element: element.tag == "form"):
            action = form.attributes.get("hx-post") or form.attributes.get("action") or address
            path = urlsplit(urljoin(address, action)).path
            is_sent = form.attributes.get("method", "").lower() == "post"
            is_sent = is_sent or "hx-post" in form.attributes
            if is_sent and not any(word in path for word in _LEFT_OUT):
                self.forms[(who, path)] = Form(who, path, dict(_fields(form)))

    def __iter__(self) -> Iterator[Input]:
        """Draw without end: three right ones of five."""
        while True:
            is_form = self.forms and self._drawn.random() < 0.5
            yield self._form() if is_form else self._page()

    def _page(self) -> Input:
        drawn, who = self._drawn, self._drawn.choice(READERS)
        address = drawn.choice(self.addresses())
        if drawn.random() < 0.6:
            return Input(f"GET {_kind(address)}", "GET", address, who, is_valid=True)
        who = drawn.choice([who, who, ""])
        if drawn.random() < 0.3:
            parts = address.split("/")
            parts[drawn.randrange(len(parts))] = _encoded([("", self._odd())])[1:][:2_000]
            return Input("GET elsewhere", "GET", "/" + "/".join(parts).lstrip("/"), who)
        asked = [(drawn.choice(_ASKED), self._odd()) for _ in range(drawn.randint(1, 3))]
        path = urlsplit(address).path + "?" + _encoded(asked)[:8_000]
        method = drawn.choice(["GET"] * 8 + ["HEAD", "PUT", "DELETE", "OPTIONS", "POST"])
        headers = drawn.choice([{}, {}, {"hx-request": "true"}, {"accept-language": self._text()}])
        return Input(f"{method} {_kind(address)} odd", method, path, who, headers=headers)

    def _form(self) -> Input:
        drawn = self._drawn
        form = self.forms[drawn.choice(sorted(self.forms))]
        filled: list[tuple[str, Any]] = [
            (name, drawn.choice(list(held)) if held else "because of invoice in_2201")
            for name, held in form.fields.items()
        ]
        is_risky = any(word in form.action for word in _NEVER_RIGHT)
        if drawn.random() < 0.6 and not is_risky:
            body = _encoded(filled).encode()
            return Input(
                f"POST {_kind(form.action)}", "POST", form.action, form.who, body, _FORM, True
            )
        changed = [
            (name, self._odd() if drawn.random() < 0.5 else value)
            for name, value in filled
            if drawn.random() < 0.8
        ]
        changed += [(self._text(), self._odd())] * drawn.randrange(2)
        body = _encoded(changed).encode()
        if is_risky or drawn.random() < 0.2:
            body = drawn.randbytes(drawn.randrange(300)) + body[: drawn.randrange(len(body) + 1)]
        who = drawn.choice([form.who, form.who, *READERS, "", "no token"])
        return Input(f"POST {_kind(form.action)} odd", "POST", form.action, who, body, _FORM)

    def _filled(self, address: str) -> str:
        """Return an address of the table; what stands in braces there are mostly calls."""
        while "{" in address:
            name = address[address.index("{") + 1 : address.index("}")]
            other = {"tool": "1", "changed_tool": "2", "key": "abc", "passkey": "1"}
            call = self._drawn.choice(self.calls) if self.calls else "0" * 32
            address = address.replace("{" + name + "}", other.get(name, call))
        return address.replace("/support/", "/spare/")

    def _odd(self) -> str:
        return self._drawn.choice(
            [self._text(), *[str(odd)[:5_000] for odd in ODD if odd != 10**400]]
        )

    def _text(self) -> str:
        points = [self._drawn.choice((65, 0x3A9, 0x1F600, 0, 13, 0x202E)) for _ in range(6)]
        return "".join(map(chr, points)) if self._drawn.random() < 0.3 else str(points[0])


def _fields(form: dom.Element) -> Iterator[tuple[str, Sequence[str]]]:
    for part in form.all(lambda element: "name" in element.attributes):
        name, kind = part.attributes["name"], part.attributes.get("type", "")
        if part.tag == "select":
            chosen = part.all(lambda element: element.tag == "option")
            yield name, [option.attributes.get("value", option.text) for option in chosen]
        elif kind in ("hidden", "submit", "radio", "checkbox") or part.tag == "button":
            yield name, [part.attributes.get("value", "on")]
        elif part.tag in ("input", "textarea"):
            yield name, []


def _encoded(pairs: Sequence[tuple[str, Any]]) -> str:
    """Return names and values as a browser writes them, and half a character as none would."""
    return urlencode(pairs, errors="surrogatepass")


def _kind(address: str) -> str:
    """Return an address without what differs from call to call."""
    parts = urlsplit(address).path.split("/")
    return "/".join("*" if len(part) > 30 or part.isdecimal() else part for part in parts)
