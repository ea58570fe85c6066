"""The billing example acts once per call id, keeps its rules, and publishes what it is."""

import asyncio
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import MCPError
from mcp.client import Client

from tests.examples.conftest import Connect
from tests.examples.driving import (
    Serving,
    ask_without_waiting,
    call_id,
    command,
    facts,
    over_http,
    over_stdio,
    run,
    said,
)

pytestmark = pytest.mark.anyio

LAMP: dict[str, Any] = {
    "customer": "cus_8241",
    "invoice": "in_2201",
    "amount": 42000,
    "currency": "usd",
    "reason": "damaged",
}


def rows(ledger: Path) -> list[dict[str, Any]]:
    """Return what the ledger's file holds, read past the server."""
    with sqlite3.connect(ledger) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM ledger ORDER BY seq")]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    """Serve one ledger to all tests that must leave it as it was."""
    path = tmp_path_factory.mktemp("billing") / "ledger.sqlite3"
    with over_http("billing.py", "--ledger", path) as serving:
        yield serving, path


async def test_refund_writes_one_row_that_says_what_was_answered(
    connect: Connect, ledger: Path
) -> None:
    async with connect("billing.py", "--ledger", ledger) as client:
        before = await client.call_tool("list_invoices", {"customer": "cus_8241"})
        answer = await client.call_tool("refund", LAMP, meta=call_id("c-1"))
        after = await client.call_tool("list_invoices", {"customer": "cus_8241"})

    [row] = rows(ledger)
    told = facts(answer)
    assert {key: told[key] for key in LAMP} == LAMP
    assert {key: row[key] for key in LAMP} == LAMP
    assert (row["id"], row["kind"], row["call_id"]) == (told["id"], "refund", "c-1")
    assert facts(before)["invoices"][0]["left"] - 42000 == told["left_on_invoice"]
    assert facts(after)["invoices"][0]["left"] == told["left_on_invoice"]


async def test_every_answer_follows_the_published_output_schema(
    connect: Connect, ledger: Path
) -> None:
    calls: dict[str, dict[str, Any]] = {
        "get_customer": {"customer": "cus_8241"},
        "list_invoices": {"customer": "cus_8241", "limit": 1},
        "refund": LAMP,
        "credit_note": LAMP | {"memo": "goodwill"},
    }
    async with connect("billing.py", "--ledger", ledger) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        answers = {name: await client.call_tool(name, given) for name, given in calls.items()}

    assert tools.keys() == calls.keys()
    for name, answer in answers.items():
        schema = tools[name].output_schema
        assert schema is not None
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(facts(answer))


async def test_tools_say_honestly_which_of_them_write(shared: tuple[Serving, Path]) -> None:
    async with Client(shared[0].url) as client:
        hints = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}

    reads = {name for name, hint in hints.items() if hint is not None and hint.read_only_hint}
    assert reads == {"get_customer", "list_invoices"}
    assert hints["refund"] is not None
    assert hints["refund"].destructive_hint
    assert not hints["refund"].idempotent_hint


REFUSED = {
    "unknown customer": (LAMP | {"customer": "cus_1"}, "no customer cus_1"),
    "unknown invoice": (LAMP | {"invoice": "in_1"}, "no invoice in_1"),
    "another customer's invoice": (LAMP | {"customer": "cus_7719"}, "no invoice in_2201"),
    "more than is left": (LAMP | {"amount": 126001}, "more than the 1,260.00 USD left"),
    "far more than is left": (LAMP | {"amount": 2**70}, "more than the 1,260.00 USD left"),
    "another currency": (LAMP | {"currency": "eur"}, "is in USD, not EUR"),
    "nothing": (LAMP | {"amount": 0}, "amount: 0 is less than or equal to the minimum"),
    "negative": (LAMP | {"amount": -42000}, "amount: -42000 is less than"),
    "fraction": (LAMP | {"amount": 420.5}, "amount: 420.5 is not of type 'integer'"),
    "text for a number": (LAMP | {"amount": "42000"}, "amount: '42000' is not of type"),
    "unknown currency": (LAMP | {"currency": "xxx"}, "currency: 'xxx' is not one of"),
    "unknown reason": (LAMP | {"reason": "because"}, "reason: 'because' is not one of"),
    "unknown field": (LAMP | {"approved": True}, "'approved' was unexpected"),
    "missing field": ({"customer": "cus_8241"}, "'invoice' is a required property"),
    "long memo": (LAMP | {"memo": "x" * 501}, "memo: "),
    "SQL for an id": (LAMP | {"invoice": "in_1' OR '1'='1"}, "invoice: "),
    "line break in an id": (LAMP | {"invoice": "in_2201\n"}, "no invoice in_2201"),
}


@pytest.mark.parametrize(("given", "why"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("tool", ["refund", "credit_note"])
async def test_bad_refund_is_an_error_in_plain_words_and_writes_nothing(
    shared: tuple[Serving, Path], tool: str, given: dict[str, Any], why: str
) -> None:
    serving, path = shared

    async with Client(serving.url) as client:
        answer = await client.call_tool(tool, given)

    assert answer.is_error
    assert why in said(answer)
    assert rows(path) == []


async def test_unknown_tool_is_a_protocol_error(shared: tuple[Serving, Path]) -> None:
    async with Client(shared[0].url) as client:
        with pytest.raises(MCPError, match="Unknown tool: pay"):
            await client.call_tool("pay", {})


async def test_bad_call_id_is_refused_before_anything_is_written(
    shared: tuple[Serving, Path],
) -> None:
    serving, path = shared

    async with Client(serving.url) as client:
        for bad in ("", "a b", "x" * 129, 7, ["c-1"]):
            answer = await client.call_tool("refund", LAMP, meta=call_id(bad))
            assert answer.is_error

    assert rows(path) == []


async def test_open_invoice_takes_a_credit_note_but_no_refund(ledger: Path) -> None:
    unpaid = LAMP | {"customer": "cus_7719", "invoice": "in_2215", "amount": 900}

    async with Client(over_stdio("billing.py", "--ledger", ledger)) as client:
        refund = await client.call_tool("refund", unpaid)
        note = await client.call_tool("credit_note", unpaid)

    assert "is not paid" in said(refund)
    assert refund.is_error
    assert not note.is_error
    assert [row["kind"] for row in rows(ledger)] == ["credit_note"]


async def test_same_call_id_gets_the_same_refund_again_and_one_row(ledger: Path) -> None:
    async with Client(over_stdio("billing.py", "--ledger", ledger)) as client:
        first = await client.call_tool("refund", LAMP, meta=call_id("c-1"))
        await client.call_tool("refund", LAMP | {"amount": 1}, meta=call_id("c-2"))
        again = await client.call_tool("refund", LAMP, meta=call_id("c-1"))

    assert facts(again) == facts(first)
    assert [row["call_id"] for row in rows(ledger)] == ["c-1", "c-2"]


@pytest.mark.parametrize("change", [{"amount": 1}, {"memo": "other"}, {"reason": "duplicate"}])
async def test_same_call_id_for_something_else_is_refused(
    ledger: Path, change: dict[str, Any]
) -> None:
    async with Client(over_stdio("billing.py", "--ledger", ledger)) as client:
        await client.call_tool("refund", LAMP, meta=call_id("c-1"))
        other = await client.call_tool("refund", LAMP | change, meta=call_id("c-1"))

    assert other.is_error
    assert "already stands for" in said(other)
    assert len(rows(ledger)) == 1


async def test_calls_without_a_call_id_are_separate_refunds(ledger: Path) -> None:
    async with Client(over_stdio("billing.py", "--ledger", ledger)) as client:
        ids = {facts(await client.call_tool("refund", LAMP))["id"] for _ in range(2)}

    assert len(ids) == len(rows(ledger)) == 2


async def test_two_servers_at_once_never_refund_more_than_the_invoice(ledger: Path) -> None:
    served = ("billing.py", "--ledger", ledger)
    with over_http(*served) as one, over_http(*served) as two:
        async with Client(one.url) as first, Client(two.url) as second:
            answers = await asyncio.gather(
                *(client.call_tool("refund", LAMP) for client in (first, second) for _ in range(10))
            )

    assert sum(not answer.is_error for answer in answers) == 3
    assert sum(row["amount"] for row in rows(ledger)) == 126000


async def test_one_call_id_on_two_servers_at_once_is_one_refund(ledger: Path) -> None:
    served = ("billing.py", "--ledger", ledger)
    with over_http(*served) as one, over_http(*served) as two:
        async with Client(one.url) as first, Client(two.url) as second:
            answers = await asyncio.gather(
                *(
                    client.call_tool("refund", LAMP, meta=call_id("c-1"))
                    for client in (first, second)
                    for _ in range(10)
                )
            )

    assert len({facts(answer)["id"] for answer in answers}) == 1
    assert len(rows(ledger)) == 1


async def test_killed_as_soon_as_the_row_is_there_it_keeps_one_row(ledger: Path) -> None:
    with over_http("billing.py", "--ledger", ledger) as serving:
        asking = ask_without_waiting(serving.url, "refund", LAMP, "c-1")
        deadline = time.monotonic() + 10
        while not rows(ledger):
            assert time.monotonic() < deadline, "no refund within 10 s"
        serving.kill()
        asking.join()

    async with Client(over_stdio("billing.py", "--ledger", ledger)) as client:
        again = await client.call_tool("refund", LAMP, meta=call_id("c-1"))

    [row] = rows(ledger)
    assert facts(again)["id"] == row["id"]


@pytest.mark.parametrize("milliseconds", [0, 3, 9])
async def test_killed_at_any_moment_a_repeated_call_leaves_one_row(
    ledger: Path, milliseconds: int
) -> None:
    with over_http("billing.py", "--ledger", ledger) as serving:
        asking = ask_without_waiting(serving.url, "refund", LAMP, "c-1")
        asking.join(milliseconds / 1000)
        serving.kill()
        asking.join()

    async with Client(over_stdio("billing.py", "--ledger", ledger)) as client:
        await client.call_tool("refund", LAMP, meta=call_id("c-1"))

    assert len(rows(ledger)) == 1


def test_two_servers_starting_at_once_seed_the_ledger_once(ledger: Path) -> None:
    served = command("billing.py", "--http", "--ledger", ledger)
    started = [subprocess.Popen(served, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        with process:
            assert process.stdout is not None
            assert "serves MCP" in process.stdout.readline()
            process.kill()

    with sqlite3.connect(ledger) as db:
        assert db.execute("SELECT count(*) FROM invoices").fetchone() == (6,)


def test_busy_ledger_is_a_plain_error_and_writes_nothing(
    ledger: Path, example_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ledger as ledger_module  # importable only through the fixture
    from serving import Refused

    opened = ledger_module.Ledger(ledger)
    monkeypatch.setattr(ledger_module, "WAIT_SECONDS", 0.05)
    posting = ledger_module.Posting(kind="refund", memo="", **LAMP)

    with sqlite3.connect(ledger, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Refused, match="busy"):
            opened.record(posting, None)
        with pytest.raises(Refused, match="busy"):
            opened.customer("cus_8241")
        other.execute("ROLLBACK")

    assert rows(ledger) == []


def one_sentence(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    return ended.stderr


def test_useless_ledger_file_is_one_sentence(tmp_path: Path) -> None:
    not_a_database = tmp_path / "notes.txt"
    not_a_database.write_text("hello " * 1000)
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE theirs (x)")

    assert "not a database" in one_sentence(run("billing.py", "--ledger", not_a_database))
    assert "another program's" in one_sentence(run("billing.py", "--ledger", other))
    assert "Cannot use" in one_sentence(run("billing.py", "--ledger", tmp_path))
    with sqlite3.connect(other) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_taken_port_is_one_sentence(shared: tuple[Serving, Path], tmp_path: Path) -> None:
    port = shared[0].url.split(":")[2].split("/")[0]

    ended = run("billing.py", "--http", "--port", port, "--ledger", tmp_path / "l")

    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in one_sentence(ended)
