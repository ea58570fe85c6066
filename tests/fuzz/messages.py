"""MCP: messages drawn from the specification's schema in both eras, and broken ones.

The schema is the SDK's, whose models of each version are generated from the specification's own.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import UUID

import jsonschema
from mcp_types import methods
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema

from tests.fuzz.inputs import Draws, Input, as_json, broken, wrong_typed
from tests.support import wire
from tests.support.wire import Era

ERAS: tuple[Era, ...] = ("modern", "legacy")
_TASKS = {"tasks/get", "tasks/cancel", "tasks/update"}  # modern: an extension, not in the schema
_OFTEN = {"tools/call": 30, "tools/list": 3, "notifications/cancelled": 3}
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_LONGEST_GRACE = 1  # of the agents of a run


class Messages:
    """Draws messages; `tools` are what `tools/list` told, by name, `tickets` calls held so far."""

    def __init__(self, begin: int, keys: Mapping[str, str], tools: Mapping[str, Any]) -> None:
        """Prepare; `keys` are of agents by name, `begin` the seed."""
        self._drawn = Random(f"{begin}:mcp")
        self._keys, self._tools = dict(keys), dict(tools)
        self.tickets: list[str] = []
        self._models = {
            era: {
                method: model
                for (method, version), model in (
                    *methods.CLIENT_REQUESTS.items(), *methods.CLIENT_NOTIFICATIONS.items(),
                )
                if version == wire.VERSIONS[era]
            }
            for era in ERAS
        }  # fmt: skip
        self._draws = {era: Draws(_document(self._models[era]), begin) for era in ERAS}
        given = {name: {"schema": tool["inputSchema"]} for name, tool in self._tools.items()}
        self._arguments = Draws(_openapi(given, {}), begin)
        self._checks = {
            name: jsonschema.Draft202012Validator(tool["inputSchema"])
            for name, tool in self._tools.items()
        }

    def __iter__(self) -> Iterator[Input]:
        """Draw without end: three right ones of five."""
        while True:
            era = self._drawn.choice(ERAS)
            if self._drawn.random() < 0.6:
                yield self._right(era)
            else:
                yield self._wrong(era)

    def _right(self, era: Era) -> Input:
        message = self._message(era)
        who = self._drawn.choice([name for name in self._keys if name != "revoked"])
        headers = _headers(self._keys[who], message, era)
        return Input(
            kind=f"{era} {message.get('method')}", method="POST", path="/mcp", who=who,
            body=as_json(message), headers=headers, waits=_waits(message),
            is_valid=self._keeps_schema(message, era),
        )  # fmt: skip

    def _wrong(self, era: Era) -> Input:
        drawn = self._drawn
        message: Any = self._message(era)
        who = drawn.choice([*self._keys, "", "made up"])
        key = self._keys.get(who, drawn.choice(["", "cs_abc_def", "cs_" + "x" * 5_000]))
        headers, body = _headers(key, message, era), as_json(message)
        path, method, kind = "/mcp", "POST", "other credentials"
        how = drawn.random()
        if how < 0.4:
            body, kind = broken(drawn, body), "broken body"
        elif how < 0.65:
            message = wrong_typed(drawn, message)
            body, kind = as_json(message), "wrong type"
        elif how < 0.85:
            kind = "wrong header"
            name = drawn.choice([*headers, "origin", "mcp-session-id", "content-encoding"])
            headers[name] = drawn.choice(_ODD_HEADERS)
        elif how < 0.95:
            path, kind = drawn.choice(_ODD_PATHS), "other address"
            method = drawn.choice(["POST", "GET", "DELETE", "PUT", "OPTIONS", "HEAD", "PATCH"])
        waits = _waits(message if isinstance(message, dict) else {})
        return Input(f"{era} {kind}", method, path, who, body, headers, waits=waits)

    def _message(self, era: Era) -> dict[str, Any]:
        """Return a message that keeps the schema of its era, mostly about what there is."""
        drawn, models = self._drawn, self._models[era]
        often = {**dict.fromkeys(models, 1), **_OFTEN}
        if era == "modern":
            often |= dict.fromkeys(_TASKS, 2)
        method = drawn.choices(list(often), list(often.values()))[0]
        if method not in models:
            return self._of_tasks(method, era)
        message = dict(self._draws[era].body(f"POST /{quote(method, safe='')}"))
        params = message.get("params")
        if method == "tools/call" and isinstance(params, dict):
            message["params"] = params = self._call(params)
        if era == "modern" and isinstance(params, dict) and "_meta" in params:
            meta = wire.message(1, method, {}, era=era, tasks=drawn.random() < 0.3)
            if drawn.random() < 0.9:
                params["_meta"] = {**(params["_meta"] or {}), **meta["params"]["_meta"]}
        return message

    def _of_tasks(self, method: str, era: Era) -> dict[str, Any]:
        ticket = self._ticket()
        more: dict[str, Any] = {"inputResponses": {}} if method == "tasks/update" else {}
        number = self._drawn.randrange(10**6)
        return wire.message(number, method, {"taskId": ticket, **more}, era=era, tasks=True)

    def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters of a call, in most cases of a tool that there is."""
        drawn = self._drawn
        if drawn.random() < 0.1:
            return params
        name = drawn.choice(list(self._tools))
        arguments = dict(self._arguments.body(f"POST /{name}"))
        if "ticket" in arguments and drawn.random() < 0.8:
            arguments["ticket"] = self._ticket()
        if isinstance(arguments.get("wait_seconds"), int):
            arguments["wait_seconds"] = int(arguments["wait_seconds"]) % 2
        kept = {key: value for key, value in params.items() if key in ("_meta", "task")}
        return {**kept, "name": name, "arguments": arguments}

    def _ticket(self) -> str:
        made_up = str(UUID(int=self._drawn.getrandbits(128), version=4))
        return self._drawn.choice(self.tickets[-200:] or [made_up])

    def _keeps_schema(self, message: Mapping[str, Any], era: Era) -> bool:
        """Check independently of how it was made."""
        model = self._models[era].get(message["method"])
        params = message.get("params") or {}
        if model is not None:
            try:
                model.model_validate(message, by_alias=True)
            except ValidationError:
                return False
        check = self._checks.get(params.get("name", "")) if "arguments" in params else None
        return check is None or bool(check.is_valid(params["arguments"]))


def _waits(message: Mapping[str, Any]) -> float:
    """Return how long its answer may be held back: the grace of its agent, or what it asks for."""
    with contextlib.suppress(Exception):
        return max(_LONGEST_GRACE, min(25, float(message["params"]["arguments"]["wait_seconds"])))
    return _LONGEST_GRACE


def _headers(key: str, message: Mapping[str, Any], era: Era) -> dict[str, str]:
    params = message.get("params")
    params = params if isinstance(params, dict) else {}
    known = {"method": str(message.get("method")), "params": params}
    headers = wire.headers(key, known, era=era)
    name = str(headers.get("mcp-name", ""))  # it may be anything, where a message is broken
    if name and not _PRINTABLE.fullmatch(name):
        headers["mcp-name"] = quote(name.encode(errors="replace"))
    if not key:
        headers.pop("authorization")
    return headers


def _document(models: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return an OpenAPI document with one operation for each method."""
    places, defined = models_json_schema(
        [(model, "validation") for model in models.values()],
        ref_template="#/components/schemas/{model}",
    )
    schemas = {
        method: {"schema": _never_null(places[(model, "validation")])}
        for method, model in models.items()
    }
    return _openapi(schemas, _never_null(defined.get("$defs", {})))


def _never_null(schema: Any) -> Any:
    """Return a schema as the specification has it: what is optional there is absent, not null."""
    if isinstance(schema, list):
        return [_never_null(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _never_null(part) for key, part in schema.items()}
    return {k: v for k, v in kept.items() if not (k == "default" and v is None)}


def _openapi(schemas: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "messages", "version": "1"},
        "components": {"schemas": dict(components)},
        "paths": {
            f"/{quote(name, safe='')}": {
                "post": {
                    "requestBody": {"required": True, "content": {"application/json": media}},
                    "responses": {"200": {"description": "An answer."}},
                }
            }
            for name, media in schemas.items()
        },
    }


_ODD_HEADERS = (
    "", "x", "null", "text/plain", "application/json; charset=utf-16", "text/event-stream", "*/*",
    "2024-11-05", "2099-01-01", "tools/list", "http://evil.example", "evil.example:80", "gzip",
    "Bearer", "Basic eDp5", "=?base64?////?=", "x" * 4_000, "\xff\xfe", "a, b", "0", "-1",
)  # fmt: skip
_ODD_PATHS = (
    "/mcp/", "/mcp/billing", "/mcp/nowhere", "/mcp/billing/../deploys", "/mcp//", "/mcp?x=%00",
    "/mcp/%2e%2e", "/.well-known/oauth-protected-resource/mcp", "/mcp/billing/x",
    "/.well-known/oauth-protected-resource/mcp/billing", "/.well-known/oauth-protected-resource",
)  # fmt: skip
