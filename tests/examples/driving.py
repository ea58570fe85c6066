"""Starts the examples as real processes and reads their answers; for the tests of this folder."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import mcp_types as t
from mcp import StdioServerParameters

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass
class Serving:
    """One example server over HTTP."""

    process: subprocess.Popen[str]
    url: str

    def kill(self) -> None:
        """End it as the kernel would: at once, with nothing cleaned up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def command(script: str, *arguments: str | Path) -> list[str]:
    """Return the argument list that runs an example."""
    return [sys.executable, str(EXAMPLES / script), *map(str, arguments)]


def over_stdio(script: str, *arguments: str | Path) -> StdioServerParameters:
    """Return what the SDK's client needs to start an example itself."""
    program, *rest = command(script, *arguments)
    return StdioServerParameters(command=program, args=rest)


@contextmanager
def over_http(
    script: str, *arguments: str | Path, environment: dict[str, str] | None = None
) -> Iterator[Serving]:
    """Run an example server on a free port until the block ends."""
    with subprocess.Popen(
        command(script, "--http", *arguments),
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            yield Serving(process, address)
        finally:
            process.kill()


def run(
    script: str, *arguments: str | Path, seconds: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run an example to its end, with nothing on its stdin."""
    return subprocess.run(
        command(script, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def ask_without_waiting(
    url: str, tool: str, arguments: dict[str, Any], name: str
) -> threading.Thread:
    """Send one call as raw HTTP from a thread that does not mind how it ends."""
    params = {"name": tool, "arguments": arguments, "_meta": call_id(name)}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    def send() -> None:
        accept = {"Accept": "application/json, text/event-stream"}
        with suppress(httpx2.HTTPError):  # the server is killed while it answers
            httpx2.post(url, json=body, headers=accept)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def facts(answer: t.CallToolResult) -> dict[str, Any]:
    """Return the structured content of an answer that is no error."""
    assert not answer.is_error, said(answer)
    assert isinstance(answer.structured_content, dict)
    return answer.structured_content


def said(answer: t.CallToolResult) -> str:
    """Return the first thing the model reads."""
    first = answer.content[0]
    assert isinstance(first, t.TextContent)
    return first.text


def call_id(value: Any) -> t.RequestParamsMeta:
    """Return the `_meta` that a release through Countersign sends along."""
    return cast("t.RequestParamsMeta", {"countersign/call_id": value})
