"""The commands as an operator runs them: exit codes, locks, terminals, the very first start."""

import asyncio
import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from channels_redis.pubsub import (  # type: ignore[import-untyped]  # it has no stubs
    RedisPubSubChannelLayer,
)
from psycopg import sql

from tests.support import services
from tests.support.world import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
PERSON = ("create_person", "bo", "--role", "approver", "--password-stdin")


def environment(**more: str) -> dict[str, str]:
    """Return what an operator's shell has: nothing of the tests' own database."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "COUNTERSIGN_NO_BOOTSTRAP": "1", **more}


def start(data: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", *arguments, "--data", str(data)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(**more), text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def manage(data: Path, *arguments: str, stdin: str = "", **more: str) -> tuple[int, str, str]:
    """Run a command to its end; return exit code, stdout and stderr."""
    process = start(data, *arguments, **more)
    out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder in which the first command ever was to create a person."""
    data = tmp_path_factory.mktemp("installation") / "deep" / "folder"
    assert manage(data, *PERSON, stdin=f"{PASSWORD}\n") == (0, "Created bo, approver.\n", "")
    return data


def database(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(data / "countersign.sqlite3", isolation_level=None, timeout=10)


def test_the_first_command_makes_its_tables_and_guards(installed: Path) -> None:
    with closing(database(installed)) as connection:
        people = connection.execute("SELECT username FROM approvals_person").fetchall()
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")

        assert people == [("bo",)]
        assert "audit_event_never_changes" in {name for (name,) in triggers}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (PERSON, 2, "Error: $.name: is taken: there is a person called 'bo' already\n"),
        (("revoke_key", "x"), 1, "Error: There is no key 'x' to revoke.\n"),
        (
            ("load_rules", "/nowhere.json"), 2,
            "Error: Cannot read /nowhere.json: No such file or directory.\n",
        ),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence_on_stderr_and_an_exit_code(
    installed: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert manage(installed, *arguments, stdin=f"{PASSWORD}\n") == (code, "", said)


def test_what_cannot_be_parsed_is_exit_code_2_with_the_usage(installed: Path) -> None:
    code, out, err = manage(installed, "settle", "abc", "--outcome", "ran", "--evidence", "x")

    assert (code, out) == (2, "")
    assert err.startswith("usage: manage.py settle")
    assert "--settings" not in err
    assert "Traceback" not in err


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "countersign.sqlite3").write_bytes(b"not a database, but long enough " * 64)

    code, out, err = manage(tmp_path, "revoke_key", "x")

    assert (code, out) == (1, "")
    assert err.startswith("Error: The database could not be used, nothing was changed: ")
    assert len(err.splitlines()) == 1


def test_a_command_waits_while_a_server_writes(installed: Path) -> None:
    with closing(database(installed)) as server:
        server.execute("BEGIN IMMEDIATE")
        process = start(
            installed, "create_domain", "locked", "--purpose", "Waits.", "--owner", "bo"
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        server.execute("COMMIT")

    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "Created domain locked.\n", "")


def test_the_trail_is_verified_beside_a_server_that_writes(installed: Path) -> None:
    with closing(database(installed)) as server:
        server.execute("BEGIN IMMEDIATE")
        server.execute("INSERT INTO approvals_heartbeat (name, at) VALUES ('x', '2026-07-28')")

        code, out, err = manage(installed, "verify_audit")

        server.execute("ROLLBACK")
    assert (code, err) == (0, "")
    assert out.startswith("The audit trail is whole: ")


def test_a_trail_changed_by_hand_is_exit_code_1_and_the_place(tmp_path: Path) -> None:
    manage(tmp_path, *PERSON, stdin=f"{PASSWORD}\n")
    with closing(database(tmp_path)) as connection:
        connection.execute("DROP TRIGGER audit_event_never_changes")
        connection.execute("UPDATE approvals_auditevent SET actor = 'person:eve'")

    code, out, err = manage(tmp_path, "verify_audit")

    assert code == 1
    words = "its digest does not match: it was changed after it was written"
    assert out == f"person:bo#1: {words}\n"
    assert err.startswith("Error: The audit trail is broken in one place; looked at 1 event")


def test_a_password_is_asked_on_the_terminal_and_not_shown(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "create_person", "cy", "--role", "admin"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [*command, "--data", str(tmp_path)], environment())

    shown = b""
    for prompt in (b"Password: ", b"Again: "):
        shown += read_until(terminal, prompt)
        os.write(terminal, PASSWORD.encode() + b"\n")
    shown += read_until(terminal, b"Created cy, admin.")
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 0
    assert PASSWORD.encode() not in shown


def read_until(terminal: int, words: bytes) -> bytes:
    read, end = b"", time.monotonic() + 30
    while words not in read:
        assert time.monotonic() < end, read
        read += os.read(terminal, 1000)
    return read


def test_without_a_terminal_a_password_is_not_asked(installed: Path) -> None:
    code, out, err = manage(installed, "create_person", "cy", "--role", "admin", stdin=PASSWORD)

    assert (code, out) == (2, "")
    words = "There is no terminal to ask for the password on: use --password-stdin."
    assert err == f"Error: {words}\n"


def test_a_password_that_is_no_text_is_refused(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *PERSON, "--data", str(installed)], cwd=ROOT,
        env=environment(PYTHONIOENCODING="utf-8:strict"), input=b"\xff" * 12 + b"\n",
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"Error: The password must be UTF-8 text.\n"


UNKNOWN_CALL = """
import django
django.setup()
from django.core.management import call_command
from django.db import transaction
from tests.support import world as worlds
call_command("migrate", verbosity=0)
world = worlds.build()
with transaction.atomic():
    call = worlds.hold(world)
print(worlds.walk(call, world, "unknown").pk)
"""


@pytest.mark.redis
def test_pages_and_bridges_hear_of_a_settlement_before_the_command_ends(tmp_path: Path) -> None:
    redis = {"REDIS_URL": services.redis_url()}
    made = subprocess.run(
        [sys.executable, "-c", UNKNOWN_CALL], cwd=ROOT, capture_output=True, text=True, check=True,
        env=environment(
            COUNTERSIGN_DATA=str(tmp_path), DJANGO_SETTINGS_MODULE="config.settings", **redis
        ),
    )  # fmt: skip
    call = made.stdout.strip()

    async def heard() -> dict[str, object]:
        layer = RedisPubSubChannelLayer(hosts=[services.redis_url()], prefix="countersign")
        channel = await layer.new_channel()
        await layer.group_add("bridges", channel)
        arguments = ("--outcome", "ran", "--evidence", "The ledger.", "--as", "bo")
        code, _, err = await asyncio.to_thread(
            manage, tmp_path, "settle", call, *arguments, SETTLE_QUARANTINE_SECONDS="0", **redis
        )
        # With Redis the command's log is there too, in JSON: what was done, and nothing worse.
        assert (code, {json.loads(line)["level"] for line in err.splitlines()}) == (0, {"info"})
        message: dict[str, object] = {}
        async with asyncio.timeout(5):
            while message.get("call") != call:  # whoever else tests here is heard, too
                message = await layer.receive(channel)
        await layer.flush()
        return message

    message = asyncio.run(heard())

    assert (message["call"], message["status"]) == (call, "succeeded")


@pytest.mark.postgres
def test_a_server_database_is_never_migrated_by_the_way(tmp_path: Path) -> None:
    name = f"unmigrated_{os.getpid()}"
    server = urlsplit(services.postgres_url())._replace(path="/postgres").geturl()
    url = urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            code, out, err = manage(tmp_path, *PERSON, stdin=f"{PASSWORD}\n", DATABASE_URL=url)
            with psycopg.connect(url) as unmigrated:
                tables = unmigrated.execute("SELECT to_regclass('approvals_person')").fetchone()
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)

    assert (code, out) == (1, "")
    words = "The database is not up to date: run `manage.py migrate` or `manage.py up`."
    assert err == f"Error: {words}\n"
    assert tables == (None,)
