"""The verifier on what no program of ours would leave behind, and beside a server that goes on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from approvals import lifecycle
from approvals.audit.verify import Verification
from approvals.models import ToolCall
from tests.support.running import postgres_database
from tests.support.tampering import by_hand

ROOT = Path(__file__).resolve().parents[2]
S = ToolCall.Status
MOVES = {status.value: targets for status, targets in lifecycle.MOVES.items()}


# SQLite keeps whatever it is given, in any column.
NONSENSE = [
    ("auditevent", "seq", "'three'", "#three: its columns are not those of an event"),
    ("auditevent", "at", "'yesterday'", "#3: its columns are not those of an event"),
    ("auditevent", "at", "'2026-13-45 00:00:00'", "#3: its columns are not those of an event"),
    ("auditevent", "data", "'{}'", "#3: its columns are not those of an event"),
    ("auditevent", "data", "x'ff'", "#3: what it says cannot be read"),
    ("auditevent", "code", "x'00'", "#3: its columns are not those of an event"),
    ("auditevent", "actor", "7", "#3: its digest does not match"),
    ("auditevent", "digest", "x'00'", "#3: its columns are not those of an event"),
    ("auditstream", "seq", "'three'", ": its head"),
    ("auditstream", "digest", "x'00'", "#6: is not the event the stream's head stands for"),
    ("toolcall", "rule", "'no JSON'", ': rule is "no JSON" in the row'),
    ("toolcall", "rule", "'[1]'", ": rule is [1] in the row"),
    ("toolcall", "created_at", "'2026-13-45 00:00:00'", ": its row holds what no call has"),
    ("toolcall", "moved_at", "'yesterday'", ": moved_at is null in the row"),
    ("toolcall", "run_by_at", "'yesterday'", ": its row holds what no call has"),
    ("toolcall", "arguments", "'{}'", ": its row holds what no call has"),
    ("toolcall", "result", "7", ": "),
    ("toolcall", "four_eyes", "7", ": four_eyes is false in the row"),
    ("toolcall", "version", "'six'", ': version is "six" in the row'),
    ("toolcall", "status", "'lost'", ': status is "lost" in the row'),
    ("toolcall", "agent_id", "12345", ": its row is missing, or what that refers to"),
    ("toolcall", "owner_id", "'nobody'", ": its row is missing, or what that refers to"),
    ("toolcall", "id", "'no id'", ": its row is missing, or what that refers to"),
    ("decision", "at", "'yesterday'", ": the decision of bo is not the one in its event"),
    ("decision", "at", "'2026-13-45 00:00:00'", ": its row holds what no call has"),
    ("decision", "approver_id", "12345", ": "),
    ("dispatch", "fence", "'one'", ': dispatch: fence is "one" in the row'),
    ("dispatch", "answer_by_at", "'soon'", ": its row holds what no call has"),
]
WHERE = {
    "auditevent": "stream = 'call:{call}' AND seq = 3",
    "auditstream": "name = 'call:{call}'",
    "toolcall": "id = '{call.hex}'",
    "decision": "call_id = '{call.hex}'",
    "dispatch": "call_id = '{call.hex}'",
}


@pytest.mark.sqlite
@pytest.mark.parametrize(("table", "column", "value", "said"), NONSENSE)
def test_nonsense_in_a_column_is_a_finding_and_no_crash(
    held_call: Callable[..., ToolCall], table: str, column: str, value: str, said: str
) -> None:
    call, other = held_call(status=S.SUCCEEDED), held_call(status=S.REJECTED, arguments={"n": 1})

    with by_hand(), connection.cursor() as cursor:
        where = WHERE[table].format(call=call.pk)
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute(f"UPDATE approvals_{table} SET {column} = {value} WHERE {where}")
        found = [str(problem) for problem in Verification(MOVES).problems()]
        cursor.execute("PRAGMA ignore_check_constraints = OFF")

    assert any(line.startswith(f"call:{call.pk}{said}") for line in found), found
    assert not any(str(other.pk) in line for line in found)


@pytest.mark.sqlite
def test_nonsense_in_many_places_is_one_refusal_of_the_command(
    held_call: Callable[..., ToolCall],
) -> None:
    for number in range(3):
        held_call(status=S.SUCCEEDED, arguments={"n": number})

    with by_hand(), connection.cursor() as cursor:
        cursor.execute("UPDATE approvals_auditevent SET actor = x'00', at = 'then'")
        cursor.execute("UPDATE approvals_toolcall SET rule = '[]', run_by_at = 'never'")
        cursor.execute("UPDATE approvals_tooldefinition SET body = 'text'")
        with pytest.raises(CommandError, match="The audit trail is broken in") as refused:
            call_command("verify_audit")

    assert refused.value.returncode == 1


@pytest.mark.sqlite
def test_on_sqlite_a_call_that_moves_on_meanwhile_is_not_taken_for_a_broken_one(
    tmp_path: Path,
) -> None:
    assert verified_beside(COUNTERSIGN_DATA=str(tmp_path)) == EXPECTED


@pytest.mark.postgres
def test_on_postgresql_a_call_that_moves_on_meanwhile_is_not_taken_for_a_broken_one(
    tmp_path: Path,
) -> None:
    with postgres_database(f"verifying_{os.getpid()}") as url:
        found = verified_beside(COUNTERSIGN_DATA=str(tmp_path), DATABASE_URL=url)

    assert found == EXPECTED


EXPECTED = [
    "agent:support#1: its digest does not match: it was changed after it was written",
    "approved",
]


def verified_beside(**more: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.verifying"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **more},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
