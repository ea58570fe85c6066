"""A small MCP server without the SDK, so that it can do what no SDK lets a server do; for tests.

`answer` is what a good server says; `tests.support.upstreams` serves it over HTTP. Run as a program
it speaks stdio: `python plain_upstream.py FOLDER`. FOLDER/script.json says how it behaves and is
read again before each message; what it was sent goes to FOLDER/received, what it did to
FOLDER/effects, one line each, before it answers.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODERN, LEGACY = "2026-07-28", "2025-11-25"
_META = "io.modelcontextprotocol/"
_METHOD_NOT_FOUND = -32601

Message = dict[str, Any]


def answer(asked: Mapping[str, Any], script: Mapping[str, Any]) -> Message | None:
    """Return what a good server answers; None to a notification.

    Args:
        script: "era" and "tools"; the rest is how it misbehaves.
    """
    if "id" not in asked:
        return None
    method, is_modern = asked["method"], script.get("era", MODERN) == MODERN
    known = {"tools/list": _tools, "tools/call": _called}
    known |= {"server/discover": _discovered} if is_modern else {"initialize": _initialized}
    if method not in known:
        error = {"code": _METHOD_NOT_FOUND, "message": f"Method not found: {method}"}
        return {"jsonrpc": "2.0", "id": asked["id"], "error": error}
    result = known[method](asked.get("params", {}), script)
    if is_modern:
        result.setdefault("resultType", "complete")
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


def _discovered(params: Mapping[str, Any], script: Mapping[str, Any]) -> Message:
    return {
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {"listChanged": True}},
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {f"{_META}serverInfo": {"name": "plain", "version": "1"}},
    }


def _initialized(params: Mapping[str, Any], script: Mapping[str, Any]) -> Message:
    return {
        "protocolVersion": LEGACY,
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "plain", "version": "1"},
    }


def _tools(params: Mapping[str, Any], script: Mapping[str, Any]) -> Message:
    """List page by page where the script has "pages": [{"tools", "next"}]."""
    pages = script.get("pages")
    if not pages:
        return {"tools": script.get("tools", []), "ttlMs": 0, "cacheScope": "private"}
    page = pages[int(params.get("cursor", "0"))]
    cursor = {"nextCursor": page["next"]} if "next" in page else {}
    return {"tools": page["tools"], "ttlMs": 0, "cacheScope": "private", **cursor}


def _called(params: Mapping[str, Any], script: Mapping[str, Any]) -> Message:
    done = json.dumps({"tool": params["name"], "arguments": params.get("arguments", {})})
    return {
        "content": [{"type": "text", "text": done}],
        "_meta": {f"{_META}serverInfo": {"name": "plain", "version": "1"}},
    }


def main(folder: Path) -> None:
    """Serve stdin until it ends."""
    if "exit" in (script := _script(folder)):
        sys.stderr.write(script.get("last_words", "") + "\n")
        sys.exit(script["exit"])
    _note(folder, "started", str(os.getpid()))
    sys.stdout.write(script.get("greeting", ""))
    for line in sys.stdin:
        _note(folder, "received", line.rstrip("\n"))
        asked, script = json.loads(line), _script(folder)
        way = script.get("ways", {}).get(asked.get("method"), {})
        if asked.get("method") == "tools/call" and not way.get("before_effect"):
            _note(folder, "effects", json.dumps(asked["params"]["arguments"]))
        _misbehave(folder, way, asked, script)
        sys.stdout.flush()


def _misbehave(
    folder: Path, way: Mapping[str, Any], asked: Message, script: Mapping[str, Any]
) -> None:
    if "exit" in way:
        sys.stderr.write(way.get("last_words", "") + "\n")
        sys.stdout.write(way.get("half", ""))
        sys.stdout.flush()
        os._exit(way["exit"])
    while "until" in way and not (folder / way["until"]).exists():
        time.sleep(0.01)
    if "raw" in way:
        sys.stdout.write(way["raw"].replace("$ID", json.dumps(asked.get("id"))))
    elif "bytes" in way:
        _write_much(asked, way["bytes"])
    elif not way.get("is_silent") and (said := _said(way, asked, script)) is not None:
        for message in (*way.get("first", ()), said):
            sys.stdout.write(json.dumps(message) + "\n")


def _said(way: Mapping[str, Any], asked: Message, script: Mapping[str, Any]) -> Message | None:
    for key in ("result", "error"):
        if key in way:
            return {"jsonrpc": "2.0", "id": asked["id"], key: way[key]}
    return answer(asked, script)


def _write_much(asked: Message, size: int) -> None:
    head = {"jsonrpc": "2.0", "id": asked["id"], "result": {"content": []}}
    start = json.dumps(head)[: -len("]}}")] + '{"type": "text", "text": "'
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(start)
        for _ in range(size // 65_536 + 1):
            sys.stdout.write("x" * 65_536)
        sys.stdout.write('"}]}}\n')


def _script(folder: Path) -> Message:
    script: Message = json.loads((folder / "script.json").read_text(encoding="utf-8"))
    return script


def _note(folder: Path, name: str, line: str) -> None:
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
