"""The REST interface: cases that schemathesis draws from our own OpenAPI document.

Of the right ones most are about a call that there is, and half of the decisions carry its binding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema

from tests.fuzz.inputs import Draws, Input, as_json, broken, wrong_typed

READERS = ("bo", "cy", "ann", "dee", "aud")
_WRITES = ("decisions", "settlement", "withdrawal")


@dataclass(frozen=True)
class Known:
    """A call that people can see, as the REST interface told it."""

    id: str
    binding: str


class Rest:
    """Draws requests; `document` is what /api/v1/schema/ answers."""

    def __init__(self, begin: int, document: Mapping[str, Any]) -> None:
        """Prepare; `begin` is the seed."""
        self._drawn = Random(f"{begin}:rest")
        self._document = document
        self._draws = Draws(document, begin)
        # Its own address answers with the document itself, which says nothing new.
        self._labels = [label for label in self._draws.labels if "schema" not in label]
        self.calls: list[Known] = []

    def __iter__(self) -> Iterator[Input]:
        """Draw without end: three right ones of five."""
        while True:
            label = self._drawn.choice(self._labels)
            is_right = self._drawn.random() < 0.6
            case = self._draws.case(label, is_right=is_right)
            if case is not None:
                yield self._right(label, case) if is_right else self._wrong(label, case)

    def _right(self, label: str, case: Any) -> Input:
        method, template = label.split(" ", 1)
        known = self._drawn.choice(self.calls) if self.calls else None
        parameters, query = dict(case.path_parameters or {}), dict(case.query or {})
        body = case.body if isinstance(case.body, dict) else None
        if known is not None and self._drawn.random() < 0.9:
            parameters = dict.fromkeys(parameters, known.id)
            query |= {"call": known.id} if "call" in query else {}
            if body is not None and "binding" in body and self._drawn.random() < 0.6:
                body |= {"binding": known.binding}
        is_valid = body is None or self._keeps_schema(template, body)
        return Input(
            kind=label, method=method, path=_address(template, parameters, query),
            who=self._drawn.choice(READERS), is_valid=is_valid,
            body=b"" if body is None else as_json(body), headers=_JSON if method == "POST" else {},
        )  # fmt: skip

    def _wrong(self, label: str, case: Any) -> Input:
        method, template = label.split(" ", 1)
        drawn = self._drawn
        who = drawn.choice([*READERS, *READERS, "", "no token", "agent"])
        body: Any = case.body
        raw = body if isinstance(body, bytes) else b""
        if method == "POST" and not isinstance(body, bytes):
            whole = isinstance(body, dict | list)
            raw = as_json(body if whole else {"verdict": "approve", "reason": "because"})
            raw = drawn.choice([raw, broken(drawn, raw), as_json(wrong_typed(drawn, body or {}))])
        method = drawn.choice([method] * 12 + ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
        parameters = dict(case.path_parameters or {})
        if self.calls and drawn.random() < 0.5:
            parameters = dict.fromkeys(parameters, drawn.choice(self.calls).id)
        kinds = ("application/json", "text/plain", "multipart/form-data", "", "application/xml")
        headers = {"content-type": drawn.choice([kinds[0]] * 6 + [*kinds])}
        path = _address(template, parameters, dict(case.query or {}))
        return Input(f"{label} wrong", method, path, who, raw, headers)

    def _keeps_schema(self, template: str, body: Mapping[str, Any]) -> bool:
        """Check independently of how it was made."""
        content = self._document["paths"][template]["post"]["requestBody"]["content"]
        schema = {
            **content["application/json"]["schema"],
            "components": self._document["components"],
        }
        return bool(jsonschema.Draft202012Validator(schema).is_valid(body))


def _address(template: str, parameters: Mapping[str, Any], query: Mapping[str, Any]) -> str:
    path = template
    for name, value in parameters.items():
        # schemathesis has quoted what it broke; to do so again costs nothing that matters here.
        path = path.replace("{" + name + "}", quote(_text(value), safe="%") or "%20")
    asked = urlencode({_text(key): _texts(value) for key, value in query.items()}, doseq=True)
    return f"{path}?{asked}" if asked else path


def _texts(value: Any) -> Any:
    return [_text(one) for one in value] if isinstance(value, list) else _text(value)


def _text(value: Any) -> str:
    return str(value).encode(errors="replace").decode()


_JSON = {"content-type": "application/json"}
