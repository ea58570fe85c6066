"""MCP messages as they go over HTTP, for tests that write and read them themselves."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import httpx2

Era = Literal["modern", "legacy"]

VERSIONS: Mapping[Era, str] = {"modern": "2026-07-28", "legacy": "2025-11-25"}
TASKS = "io.modelcontextprotocol/tasks"
_META = "io.modelcontextprotocol/"


def message(
    number: int, method: str, params: Mapping[str, Any], *, era: Era, tasks: bool = False
) -> dict[str, Any]:
    """Return a JSON-RPC request with what its era wants in `_meta`."""
    given = dict(params)
    if era == "modern":
        capabilities: dict[str, Any] = {"extensions": {TASKS: {}}} if tasks else {}
        own = {
            f"{_META}protocolVersion": VERSIONS[era],
            f"{_META}clientInfo": {"name": "tests", "version": "1"},
            f"{_META}clientCapabilities": capabilities,
        }
        given["_meta"] = own | dict(given.get("_meta", {}))
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": given}


def headers(key: str, body: Mapping[str, Any], *, era: Era) -> dict[str, str]:
    """Return the HTTP headers that go with a request."""
    own = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSIONS[era],
    }
    if era == "modern":
        own["mcp-method"] = body["method"]
        if name := body["params"].get("name") or body["params"].get("taskId"):
            own["mcp-name"] = name
    return own


def answer_in(response: httpx2.Response) -> dict[str, Any]:
    """Return the JSON-RPC answer of a response: its body, or the last event of its stream."""
    if "text/event-stream" not in response.headers.get("content-type", ""):
        found: dict[str, Any] = response.json()
        return found
    events = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    last: dict[str, Any] = json.loads(events[-1])
    return last
