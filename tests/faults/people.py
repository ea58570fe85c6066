"""People of a fault run: they sign in, read pages, send the forms on them, and write it down."""

import asyncio
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.journal import Journal
from tests.faults.web import Answer, Broken, Web

AGAIN_SECONDS = 0.25
READING_SECONDS = 0.55  # a form younger than half a second is refused
_REASONS = {"approve": "", "reject": "Not this bill."}
_HIDDEN = re.compile(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"')


class NotYet(Exception):
    """The server is not there, or says that it cannot now."""


@dataclass
class Person:
    """Somebody with a browser."""

    name: str
    password: str
    port: int
    journal: Journal
    tabs: int = 4
    by_rest: bool = False  # decides through the REST interface, as a script of theirs would
    _idle: list[Web] = field(default_factory=list)
    _cookies: dict[str, str] = field(default_factory=dict)
    _signing_in: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._room = asyncio.Semaphore(self.tabs)

    async def decide(self, call: str, verdict: str) -> str:
        """Read the call's page and send its form, until it is known what became of that.

        Returns "decided", or why not.
        """
        while True:
            try:
                async with self._room:
                    if self.by_rest:
                        return await self._decide_by_rest(call, verdict)
                    return await self._decide(call, verdict)
            except NotYet:
                await asyncio.sleep(AGAIN_SECONDS)

    async def withdraw(self, call: str) -> None:
        """Withdraw a call of one's own agent, if it still can be."""
        answer = await self.send(f"/calls/{call}/withdraw/", {"reason": "Not wanted any more."})
        if answer is not None and answer.status == 302:
            self.journal.write("withdrew", call=call)

    async def settle(self, call: str, outcome: str, evidence: str) -> None:
        """Say what became of a call whose outcome is unknown."""
        fields = {"outcome": outcome, "evidence": evidence}
        answer = await self.send(f"/calls/{call}/settle/", fields)
        if answer is not None and answer.status == 302:
            self.journal.write("settled", call=call, outcome=outcome)

    async def review(self, tool_id: int, effect: str) -> bool:
        """Review a tool as its page shows it now; return whether that was acknowledged."""
        path = f"/catalogue/tools/{tool_id}/"
        page = await self.fetch(path)
        if page is None or page.status != 200:
            return False
        digest = _fields(page.text, f"{path}review/").get("digest", "")
        answer = await self.send(f"{path}review/", {"effect": effect, "digest": digest})
        if answer is None or answer.status != 302:
            return False
        self.journal.write("reviewed", tool=tool_id, effect=effect, digest=digest)
        return True

    async def pending(self) -> list[dict[str, Any]]:
        """Return calls that wait, as the REST interface lists them."""
        answer = await self.fetch("/api/v1/calls/?status=pending&page_size=100")
        if answer is None or answer.status != 200:
            return []
        found: list[dict[str, Any]] = json.loads(answer.body)["results"]
        return found

    async def fetch(self, path: str) -> Answer | None:
        """Return a page, signed in; None when no answer came."""
        return await self._request("GET", path, {})

    async def send(self, path: str, fields: Mapping[str, object]) -> Answer | None:
        """Send a form, signed in; None when no answer came."""
        return await self._request("POST", path, fields)

    async def _decide(self, call: str, verdict: str) -> str:
        path = f"/calls/{call}/"
        page = await self.fetch(path)
        if page is None or page.status >= 500:
            raise NotYet
        fields = _decision_form(page.text, f"{path}decide/", verdict)
        if fields is None:
            return "no form"
        await asyncio.sleep(READING_SECONDS)
        answer = await self.send(f"{path}decide/", fields)
        return self._became(answer, call, verdict, fields["binding"])

    async def _decide_by_rest(self, call: str, verdict: str) -> str:
        path = f"/api/v1/calls/{call}/"
        found = await self.fetch(path)
        if found is None or found.status >= 500:
            raise NotYet
        row = json.loads(found.body)
        if row["status"] != "pending" or self._has_signed(row):
            return "no form"
        binding = row["binding"]
        said = {"verdict": verdict, "binding": binding, "reason": _REASONS[verdict]}
        answer = await self._request("JSON", f"{path}decisions/", said)
        return self._became(answer, call, verdict, binding)

    def _became(self, answer: Answer | None, call: str, verdict: str, binding: object) -> str:
        """Return what became of a decision that was sent.

        Raises:
            NotYet: nobody can tell, or the call has changed; looking at it again tells.
        """
        if answer is not None and answer.status in (200, 201, 302):
            self.journal.write("decided", call=call, verdict=verdict, binding=binding)
            return "decided"
        if answer is None or answer.status >= 500:
            self.journal.write("unclear", call=call, verdict=verdict)
            raise NotYet
        if answer.status == 409:
            raise NotYet
        return f"refused: {answer.status}"

    def _has_signed(self, row: Mapping[str, Any]) -> bool:
        return any(decision["approver"] == self.name for decision in row["decisions"])

    async def _request(self, method: str, path: str, fields: Mapping[str, object]) -> Answer | None:
        web = self._idle.pop() if self._idle else Web(self.port)
        try:
            if not self._cookies:
                await self._sign_in(web)
            web.cookies.update(self._cookies)
            token = web.cookies.get("csrftoken", "")
            if method == "GET":
                answer = await web.get(path)
            elif method == "JSON":
                own = {"content-type": "application/json", "x-csrftoken": token}
                own |= {"origin": f"http://127.0.0.1:{self.port}"}
                answer = await web.request("POST", path, json.dumps(fields).encode(), own)
            else:
                answer = await web.form(path, {**fields, "csrfmiddlewaretoken": token})
            if answer.status == 302 and "/accounts/login" in answer.headers.get("location", ""):
                self._cookies = {}
                return None
        except (Broken, NotYet):
            web.close()
            return None
        self._idle.append(web)
        return answer

    async def _sign_in(self, web: Web) -> None:
        async with self._signing_in:
            if self._cookies:
                return
            web.cookies.clear()
            page = await web.get("/accounts/login/")
            token = _fields(page.text, "").get("csrfmiddlewaretoken", "")
            form = {"login": self.name, "password": self.password, "csrfmiddlewaretoken": token}
            answer = await web.form("/accounts/login/", form)
            if answer.status != 302:
                raise NotYet
            self._cookies = dict(web.cookies)


def _fields(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the first form with this action; of any form without one."""
    forms = re.findall(r"<form[^>]*>.*?</form>", page, re.DOTALL)
    found = next((form for form in forms if action in form), "")
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(found)}


def _decision_form(page: str, action: str, verdict: str) -> dict[str, object] | None:
    """Return what the form for a verdict sends; None where the page has no such form."""
    for form in re.findall(r"<form[^>]*>.*?</form>", page, re.DOTALL):
        fields = _fields(form, action)
        if fields.get("verdict") != verdict or "stamp" not in fields:
            continue
        ticks = [
            html.unescape(value) for value in re.findall(r'name="checked" value="([^"]*)"', form)
        ]
        wanted: dict[str, object] = {key: fields[key] for key in ("verdict", "binding", "stamp")}
        return wanted | {"checked": ticks, "reason": _REASONS[verdict]}
    return None
