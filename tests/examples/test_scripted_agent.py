"""The scripted agent says what happens to its call, waits for people, and ends with a true code."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.examples.driving import EXAMPLES, command, over_http, run
from tests.examples.fake_bridge import (
    APPROVAL_URL,
    KEY,
    TICKET,
    FakeBridge,
    error_result,
    serving,
    text_result,
)

REFUND = ("refund", "--amount", "420")
REFUNDED = text_result("Refunded 420.00 USD as re_5501.", {"id": "re_5501"})
REJECTED = error_result(
    "NOT EXECUTED: rejected by a person: “Ask for a photo first.” Do not retry the same call.",
    {"state": "rejected", "reason": "Ask for a photo first.", "retryable": False},
)
VIEWS = {
    "modern, by ticket": ("--era", "modern", "--view", "ticket"),
    "modern, as a task": ("--era", "modern", "--view", "task"),
    "legacy, by ticket": ("--era", "legacy"),
}
each_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())


class Agent:
    """The agent as a process, whose lines can be waited for."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command("agent.py", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, beginning: str) -> str:
        """Return the first line that begins so, waiting for it up to 20 s."""
        return wait_until(
            lambda: next((line for line in self.lines if line.startswith(beginning)), ""),
            lambda: f"no line {beginning!r} in {self.lines}",
        )

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Return the exit code."""
        code = self._process.wait(30)
        self._reader.join(10)
        return code

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def wait_until(true: Callable[[], str], complaint: Callable[[], str]) -> str:
    """Poll until something non-empty comes back."""
    deadline = time.monotonic() + 20
    while not (found := true()):
        assert time.monotonic() < deadline, complaint()
        threading.Event().wait(0.02)
    return found


@contextmanager
def running(*arguments: str) -> Iterator[Agent]:
    agent = Agent(*arguments)
    try:
        yield agent
    finally:
        agent.close()


@pytest.fixture
def bridge() -> FakeBridge:
    return FakeBridge()


@pytest.fixture
def url(bridge: FakeBridge) -> Iterator[str]:
    with serving(bridge) as address:
        yield address


@each_view
def test_approved_refund_is_told_from_the_call_to_the_result(
    bridge: FakeBridge, url: str, view: tuple[str, ...]
) -> None:
    with running(*REFUND, "--url", url, "--key", KEY, *view) as agent:
        agent.wait_for("Ticket ")
        bridge.decide(REFUNDED)
        code = agent.ended()

    told = "\n".join(agent.lines)
    assert code == 0
    assert "Connected to Countersign" in agent.lines[0]
    assert "cs_k7f3_…" in agent.lines[0]
    assert "sec_ret" not in "".join(agent.lines)
    assert "secret" not in told
    assert agent.lines[1].startswith("Calling billing__refund {")
    assert told.index("HELD.") < told.index(f"Ticket {TICKET}") < told.index("Done.")
    assert APPROVAL_URL in told
    assert "  | Refunded 420.00 USD as re_5501." in agent.lines
    assert bridge.calls[0].arguments["amount"] == 42000


@each_view
def test_rejection_is_told_with_its_reason_and_ends_with_1(
    bridge: FakeBridge, url: str, view: tuple[str, ...]
) -> None:
    with running(*REFUND, "--url", url, "--key", KEY, *view) as agent:
        agent.wait_for("Ticket ")
        bridge.decide(REJECTED)
        code = agent.ended()

    assert code == 1
    assert any("Ask for a photo first." in line for line in agent.lines)
    assert "NOT EXECUTED. The model reads:" in agent.lines
    assert bridge.asked.count("billing__refund") == 1


@each_view
def test_unknown_outcome_ends_with_3(bridge: FakeBridge, url: str, view: tuple[str, ...]) -> None:
    with running(*REFUND, "--url", url, "--key", KEY, *view) as agent:
        agent.wait_for("Ticket ")
        bridge.decide(error_result("OUTCOME UNKNOWN: it may have happened; do not retry."))
        code = agent.ended()

    assert code == 3
    assert "OUTCOME UNKNOWN. The model reads:" in agent.lines


def test_the_grace_period_shows_progress_and_a_quick_decision_needs_no_ticket(
    bridge: FakeBridge, url: str
) -> None:
    bridge.hold({}).answer = REFUNDED

    ended = run("agent.py", *REFUND, "--url", url, "--key", KEY)

    assert ended.returncode == 0
    assert "  waiting for approval" in ended.stdout.splitlines()
    assert "HELD" not in ended.stdout


def test_a_read_is_answered_at_once(url: str) -> None:
    ended = run("agent.py", "read", "--url", url, "--key", KEY)

    assert ended.returncode == 0
    assert "cus_8241 is Dana Whitfield." in ended.stdout


@each_view
def test_not_waiting_leaves_a_ticket_to_ask_about_later(
    bridge: FakeBridge, url: str, view: tuple[str, ...]
) -> None:
    place = ("--url", url, "--key", KEY, *view)

    asked = run("agent.py", *REFUND, "--no-wait", *place)
    held = run("agent.py", "status", TICKET, *place)
    bridge.decide(REFUNDED)
    done = run("agent.py", "status", TICKET, *place)

    assert (asked.returncode, held.returncode, done.returncode) == (0, 4, 0)
    assert f"agent.py status {TICKET}" in asked.stdout
    assert "Still held" in held.stdout
    assert "Refunded 420.00 USD" in done.stdout


def test_not_waiting_is_answered_without_the_grace_period(bridge: FakeBridge, url: str) -> None:
    ended = run("agent.py", *REFUND, "--no-wait", "--url", url, "--key", KEY)

    assert ended.returncode == 0
    assert f"Ticket {TICKET}." in ended.stdout
    assert "waiting for approval" not in ended.stdout  # the progress of the grace period


@each_view
def test_cancel_withdraws_the_held_call(
    bridge: FakeBridge, url: str, view: tuple[str, ...]
) -> None:
    bridge.hold({})

    ended = run("agent.py", "cancel", TICKET, "--url", url, "--key", KEY, *view)

    assert ended.returncode == 0
    assert bridge.calls[0].state == "cancelled"


def test_unknown_ticket_is_told_and_ends_with_1(url: str) -> None:
    by_ticket = run("agent.py", "status", "0000", "--url", url, "--key", KEY)
    as_task = run("agent.py", "status", "0000", "--url", url, "--key", KEY, "--view", "task")

    assert (by_ticket.returncode, as_task.returncode) == (1, 1)
    assert "no such ticket" in by_ticket.stdout
    assert as_task.stderr == "Refused: Task not found\n"


def test_unknown_tool_is_refused_and_ends_with_1(url: str) -> None:
    ended = run("agent.py", "call", "billing__steal", "{}", "--url", url, "--key", KEY)

    assert ended.returncode == 1
    assert ended.stderr == "Refused: Unknown tool: billing__steal\n"


def test_tools_are_listed_with_what_they_say_of_themselves(url: str) -> None:
    ended = run("agent.py", "tools", "--url", url, "--key", KEY)

    assert ended.returncode == 0
    assert "  billing__get_customer: Look up a customer (says it only reads)" in ended.stdout
    assert "  billing__refund: Refund a customer (says it may destroy)" in ended.stdout


@each_view
def test_broken_connection_is_mended_and_the_call_is_asked_once(
    bridge: FakeBridge, view: tuple[str, ...]
) -> None:
    with serving(bridge) as url:
        agent = Agent(*REFUND, "--url", url, "--key", KEY, *view)
        agent.wait_for("Ticket ")
    try:
        agent.wait_for("The connection broke")
        bridge.decide(REFUNDED)
        with serving(bridge, port=int(url.split(":")[2].split("/")[0])):
            code = agent.ended()
    finally:
        agent.close()

    assert code == 0
    assert "  | Refunded 420.00 USD as re_5501." in agent.lines
    assert not [line for line in agent.lines if "termination" in line]  # of the SDK's log
    assert bridge.asked.count("billing__refund") == 1


def test_bridge_that_stays_away_leaves_the_outcome_unknown(bridge: FakeBridge) -> None:
    with serving(bridge) as url:
        agent = Agent(*REFUND, "--url", url, "--key", KEY, "--patience", "0")
        agent.wait_for("Ticket ")
    try:
        code = agent.ended()
    finally:
        agent.close()

    assert code == 3
    assert TICKET in agent.lines[-1]
    assert agent.lines[-1].startswith("OUTCOME UNKNOWN")


def test_key_revoked_while_waiting_is_one_sentence(bridge: FakeBridge, url: str) -> None:
    with running(*REFUND, "--url", url, "--key", KEY, "--view", "task") as agent:
        agent.wait_for("Ticket ")
        bridge.keys.clear()
        code = agent.ended()

    assert code == 2
    assert "does not accept the key cs_k7f3_…" in agent.lines[-1]


def test_a_reader_that_went_away_does_not_change_the_end(bridge: FakeBridge, url: str) -> None:
    bridge.hold({}).answer = REJECTED
    asked = [*command("agent.py", *REFUND, "--url", url, "--key", KEY)]

    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
        code = process.wait(30)

    assert (code, complaint) == (1, b"")


def test_text_in_any_script_reaches_a_terminal_that_knows_one(
    bridge: FakeBridge, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.hold({}).answer = text_result("Zurückgezahlt ₂ 退款")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    ended = run("agent.py", *REFUND, "--url", url, "--key", KEY)

    assert ended.returncode == 0
    assert "Zur\\xfcckgezahlt" in ended.stdout


def test_interrupt_ends_the_agent_and_not_the_held_call(bridge: FakeBridge, url: str) -> None:
    with running(*REFUND, "--url", url, "--key", KEY) as agent:
        agent.wait_for("Ticket ")
        agent.interrupt()
        code = agent.ended()

    assert code == 130
    assert agent.lines[-1].startswith("Stopped.")
    assert bridge.calls[0].state == "pending"


def test_hostile_text_cannot_drive_the_terminal(bridge: FakeBridge, url: str) -> None:
    bridge.hold({}).answer = error_result("NOT EXECUTED: \x1b[2J\u202egone\x07")

    ended = run("agent.py", *REFUND, "--url", url, "--key", KEY)

    assert "\\u001b[2J\\u202egone\\u0007" in ended.stdout
    assert not {"\x1b", "\u202e", "\x07"} & set(ended.stdout)


NO_CONNECTION = {
    "wrong key": (("--key", "cs_k7f3_wrong"), "does not accept the key cs_k7f3_…"),
    "key of another kind": (("--key", "hunter2"), "does not accept the key it was given"),
    "wrong path": (("--key", KEY, "--url", "{base}/elsewhere"), "There is no MCP server at"),
    "nobody there": (("--key", KEY, "--url", "http://127.0.0.1:1/mcp"), "Nothing answers at"),
    "no address": (("--key", KEY, "--url", "bridge"), "is not an address like"),
    "no port": (("--key", KEY, "--url", "http://127.0.0.1:x/mcp"), "is not an address like"),
    "no key": ((), "No key: give --key-file"),
    "empty key": (("--key", ""), "No key: give --key-file"),
    "key with a line break": (("--key", "cs_a\nb"), "characters that no key has"),
    "key that is no ASCII": (("--key", "cs_é"), "characters that no key has"),
    "absent key file": (("--key-file", "/nowhere/key"), "Cannot read the key from /nowhere/key"),
    "task in the old era": (("--key", KEY, "--view", "task", "--era", "legacy"), "modern"),
}


@pytest.mark.parametrize(("given", "why"), NO_CONNECTION.values(), ids=NO_CONNECTION.keys())
def test_what_keeps_it_from_connecting_is_one_sentence(
    url: str, given: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COUNTERSIGN_KEY", raising=False)
    place = () if "--url" in given else ("--url", url)
    filled = [word.format(base=url.removesuffix("/mcp")) for word in given]

    ended = run("agent.py", "read", *place, *filled)

    assert ended.returncode == 2
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_web_server_that_is_no_bridge_is_one_sentence(tmp_path: Path, era: str) -> None:
    site = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*site, "--directory", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split()[5].decode()
        ended = run(
            "agent.py", "read", "--key", KEY, "--url", f"http://127.0.0.1:{port}/", "--era", era
        )
        process.kill()

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("amount", ["NaN", "4.205", "420 USD", "٤٢٠"])
def test_an_amount_that_is_none_is_a_usage_error(amount: str) -> None:
    ended = run("agent.py", "refund", "--amount", amount, "--key", KEY)

    assert ended.returncode == 2
    assert "is not an amount like 420 or 19.99" in ended.stderr


def test_the_key_may_come_from_the_environment_or_the_end_of_a_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(f"Created the agent support-triage. Its key, shown once:\n{KEY}\n")

    from_file = run("agent.py", "read", "--url", url, "--key-file", file)
    monkeypatch.setenv("COUNTERSIGN_KEY", KEY)
    from_environment = run("agent.py", "read", "--url", url)

    assert (from_file.returncode, from_environment.returncode) == (0, 0)


def test_the_connection_may_stand_before_the_command(
    bridge: FakeBridge, url: str, tmp_path: Path
) -> None:
    bridge.hold({})
    file = tmp_path / "key"
    file.write_text(KEY)

    ended = run("agent.py", "--key-file", file, "--url", url, *REFUND, "--no-wait")

    assert ended.returncode == 0


def test_the_sent_arguments_are_the_ones_on_the_command_line(bridge: FakeBridge, url: str) -> None:
    bridge.hold({}).answer = REFUNDED
    words = "--customer cus_7719 --invoice in_2188 --currency eur --reason duplicate --memo twice"

    ended = run(
        "agent.py", "refund", "--amount", "18.50", *words.split(), "--url", url, "--key", KEY
    )

    [calling] = [line for line in ended.stdout.splitlines() if line.startswith("Calling")]
    assert json.loads(calling.removeprefix("Calling billing__refund ")) == {
        "customer": "cus_7719",
        "invoice": "in_2188",
        "amount": 1850,
        "currency": "eur",
        "reason": "duplicate",
        "memo": "twice",
    }


def test_against_a_server_that_holds_nothing_it_works_as_any_client() -> None:
    with over_http("echo.py") as echo:
        ended = run(
            "agent.py", "call", "echo", '{"text": "héllo"}', "--url", echo.url, "--key", "x"
        )

    assert ended.returncode == 0
    assert "  | héllo" in ended.stdout


def bare_interpreter(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script where the MCP SDK cannot be imported: without any site-packages."""
    asked = [sys.executable, "-S", str(script), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        asked, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a checkout with the examples in it and no .venv."""
    folder = tmp_path / "copy" / "examples"
    folder.mkdir(parents=True)
    for path in EXAMPLES.glob("*.py"):
        (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return folder.parent


@pytest.mark.parametrize("script", ["agent.py", "billing.py", "deploys.py", "echo.py"])
def test_it_continues_in_the_projects_environment(project: Path, script: str) -> None:
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)

    ended = bare_interpreter(project / "examples" / script, "--help")

    assert ended.returncode == 0
    assert "usage: " in ended.stdout


def test_without_an_environment_it_says_how_to_get_one(project: Path) -> None:
    ended = bare_interpreter(project / "examples" / "agent.py", "tools")

    assert ended.returncode == 2
    assert "python3 manage.py demo" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
