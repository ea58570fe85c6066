"""What the ledger upstream promises: a line on the disk before each answer, and faults by seed."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as t
import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from tests.faults import journal, ledger
from tests.support.running import Process, free_port
from tests.support.wire import headers, message

SEED = 7
CALL = "00000000-0000-0000-0000-00000000000a"


def number_that_meets(fault: str, *, over_http: bool = True) -> int:
    """Return the first number of a call that meets a fault under SEED."""
    numbers = range(10_000)
    return next(n for n in numbers if ledger.fault_of(SEED, n, over_http=over_http) == fault)


@pytest.fixture
def url(tmp_path):
    """Return the address of a ledger that keeps its lines in tmp_path."""
    port = free_port()
    command = [sys.executable, ledger.__file__, "--folder", str(tmp_path), "--seed", str(SEED)]
    process = Process([*command, "--port", str(port)], tmp_path / "log", {})
    process.start("serves MCP at")
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()


def call(url: str, number: int) -> httpx2.Response:
    arguments = {"number": number, "memo": "für Zoë"}
    meta = {ledger.CALL_ID: CALL}
    params = {"name": "pay", "arguments": arguments, "_meta": meta}
    body = message(1, "tools/call", params, era="modern")
    content = json.dumps(body).encode()
    return httpx2.post(
        url, content=content, headers=headers("none", body, era="modern"), timeout=20
    )


def lines(folder: Path) -> dict[str, dict[str, Any]]:
    return {line["what"]: line for line in journal.read(folder / "ledger")}


def test_payment_stands_in_the_ledger_before_it_is_answered(url, tmp_path):
    answer = call(url, number_that_meets("")).json()

    assert answer["result"]["content"][0]["text"] == f"Done: {CALL}."
    found = lines(tmp_path)
    assert list(found) == ["received", "effect", "answered"]
    assert found["effect"]["call"] == CALL
    number = number_that_meets("")
    assert found["effect"]["arguments"] == f'{{"memo":"für Zoë","number":{number}}}'
    assert found["received"]["bytes"] > 100
    assert found["received"]["at"] <= found["effect"]["at"] <= found["answered"]["at"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("error", 200), ("tool_error", 200), ("input_required", 200), ("redirect", 307),
     ("unauthorized", 401), ("header_mismatch", 400)],
)  # fmt: skip
def test_fault_before_the_effect_leaves_no_effect(url, tmp_path, fault, status):
    assert call(url, number_that_meets(fault)).status_code == status
    assert list(lines(tmp_path)) == ["received", "answered"]


@pytest.mark.parametrize(
    ("fault", "has_effect"), [("drop", False), ("lost", True), ("reset", True)]
)
def test_broken_connection_says_nothing_of_the_effect(url, tmp_path, fault, has_effect):
    with pytest.raises(httpx2.TransportError):
        call(url, number_that_meets(fault))

    assert ("effect" in lines(tmp_path)) == has_effect


def test_garbage_is_no_json_though_the_effect_happened(url, tmp_path):
    with pytest.raises(ValueError, match="decode"):
        call(url, number_that_meets("garbage")).json()

    assert "effect" in lines(tmp_path)


def test_sdk_client_lists_and_calls_it_over_stdio(tmp_path):
    options = ["--folder", str(tmp_path), "--seed", str(SEED)]
    number = number_that_meets("", over_http=False)

    async def use() -> tuple[list[str], t.CallToolResult]:
        server = StdioServerParameters(command=sys.executable, args=[ledger.__file__, *options])
        async with Client(server) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            return tools, await client.call_tool("pay", {"number": number})

    tools, result = asyncio.run(use())

    assert tools == list(ledger.TOOLS)
    assert not result.is_error
    assert lines(tmp_path)["effect"]["arguments"] == f'{{"number":{number}}}'


def test_over_stdio_a_broken_line_is_the_end_of_the_process(tmp_path):
    number = number_that_meets("lost", over_http=False)
    params = {"name": "pay", "arguments": {"number": number}, "_meta": {ledger.CALL_ID: CALL}}
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})

    done = subprocess.run(
        [sys.executable, ledger.__file__, "--folder", str(tmp_path), "--seed", str(SEED)],
        input=f"{asked}\n", capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    assert "effect" in lines(tmp_path)


def test_every_fault_comes_by_the_seed_as_often_as_it_is_to():
    met = Counter(ledger.fault_of(SEED, number, over_http=True) for number in range(20_000))

    assert met.keys() == {"", *ledger.FAULTS}
    assert all(met[name] == pytest.approx(200 * share, rel=0.3)
               for name, share in ledger.FAULTS.items())  # fmt: skip
    assert [ledger.fault_of(SEED, n, over_http=True) for n in range(99)] != [
        ledger.fault_of(SEED + 1, n, over_http=True) for n in range(99)
    ]
