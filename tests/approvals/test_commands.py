"""The commands: what they print where, what they write, and what they refuse in one sentence."""

import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.migrations.recorder import MigrationRecorder

from approvals.administration import agents
from approvals.management.commands import create_person
from approvals.models import (
    Agent,
    AgentKey,
    AuditEvent,
    Domain,
    Person,
    PolicyVersion,
    Revision,
    Tool,
    ToolCall,
)
from tests.support.commands import Said, run
from tests.support.tampering import by_hand
from tests.support.world import PASSWORD, World, definition, list_tools

S = ToolCall.Status
ROWS = (Person, Domain, Agent, AgentKey, PolicyVersion, AuditEvent)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a setter of what stands on stdin."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def rows() -> list[int]:
    return [model._default_manager.count() for model in ROWS]


def refuses(code: int, words: str, *arguments: str) -> None:
    """Run a command and see it refuse: one sentence, its code, nothing printed, nothing written."""
    before = rows()

    said = run(*arguments)

    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "Traceback" not in said.err
    assert rows() == before


# -- create_person -------------------------------------------------------------------------------


def test_a_person_is_created_with_the_first_line_of_stdin_as_password(
    world: World, typed: Any
) -> None:
    typed(f"{PASSWORD} \r\nnot this\n")

    said = run("create_person", "fay", "--role", "approver", "--domain", "billing",
               "--password-stdin")  # fmt: skip

    assert said == Said("Created fay, approver of billing.\n", "", 0)
    assert Person.objects.get(username="fay").check_password(f"{PASSWORD} ")


def test_a_password_is_asked_twice(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return PASSWORD

    monkeypatch.setattr(create_person, "getpass", answer)

    assert run("create_person", "fay", "--role", "admin").code == 0
    assert prompts == ["Password: ", "Again: "]
    assert Person.objects.get().check_password(PASSWORD)


def test_two_different_passwords_are_refused(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PASSWORD, "another-good-one"])
    monkeypatch.setattr(create_person, "getpass", lambda _: next(answers))

    refuses(2, "The two passwords are not the same.", "create_person", "fay", "--role", "admin")


BAD_PEOPLE: list[tuple[list[str], str, str]] = [
    (["bo", "--role", "approver"], PASSWORD, "$.name: is taken: there is a person called 'bo'"),
    (["Bo", "--role", "approver"], PASSWORD, "$.name: is taken"),
    (["f y", "--role", "approver"], PASSWORD, "$.name: must be 1 to 64 letters"),
    (["fay", "--role", "approver"], "", "$.password: This password is too short"),
    (["fay", "--role", "approver"], "short", "$.password: This password is too short"),
    (["fay", "--role", "approver", "--domain", "c"], PASSWORD, "'c' is reserved"),
    (["fay", "--role", "approver", "--domain", "No"], PASSWORD, "$.domains: the name of domain"),
    (["fay", "--role", "auditor", "--domain", "billing"], PASSWORD, "$.domains: Only an approver"),
]


@pytest.mark.parametrize(("arguments", "password", "words"), BAD_PEOPLE)
def test_a_person_who_cannot_be_is_refused(
    world: World, typed: Any, arguments: list[str], password: str, words: str
) -> None:
    typed(password + "\n")

    refuses(2, words, "create_person", *arguments, "--password-stdin")


def test_a_role_there_is_not_is_refused_with_those_there_are(db: None) -> None:
    refuses(1, "choose from 'approver', 'auditor', 'admin'", "create_person", "x", "--role", "king")


# -- create_domain -------------------------------------------------------------------------------


def test_a_domain_is_created_and_says_when_four_eyes_are_off(world: World) -> None:
    wanted = ["create_domain", "--purpose", " What runs. ", "--owner", "dee"]

    assert run(*wanted, "deploys").out == "Created domain deploys.\n"
    said = run(*wanted, "practice", "--no-four-eyes")

    assert "without four eyes: an agent's owner may approve its calls" in said.out
    deploys, practice = (Domain.objects.get(name=name) for name in ("deploys", "practice"))
    assert (deploys.purpose, deploys.owner, deploys.four_eyes) == ("What runs.", world.dee, True)
    assert not practice.four_eyes


def test_a_domain_named_in_passing_is_created_with_a_warning_until_it_has_a_purpose(
    world: World, typed: Any
) -> None:
    typed(PASSWORD)
    said = run("create_person", "fay", "--role", "approver", "--domain", "deploys",
               "--password-stdin")  # fmt: skip
    assert said.err.startswith("Warning: Domain deploys has no purpose yet; give it one:")

    run("create_domain", "deploys", "--purpose", "What runs.", "--owner", "dee")

    assert run("create_agent", "a", "--owner", "ann", "--domain", "deploys").err == ""


BAD_DOMAINS = [
    (["billing"], "$.name: is taken: there is one called 'billing' already"),
    (["c"], "$.name: 'c' is reserved"),
    (["Deploys"], "$.name: must be 2 to 31 lower-case letters"),
    (["d" * 32], "$.name: Ensure this value has at most 31 characters"),
    (["deploys", "--purpose", "p" * 141], "$.purpose: Ensure this value has at most 140"),
    (["deploys", "--purpose", "  "], "$.purpose: is empty"),
    (["deploys", "--owner", "nobody"], "There is no person called 'nobody'."),
    (["deploys", "--owner", "eve"], "There is no person called 'eve'."),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_DOMAINS)
def test_a_domain_that_cannot_be_is_refused(world: World, arguments: list[str], words: str) -> None:
    Person.objects.filter(username="eve").update(is_active=False)
    wanted = ["--purpose", "What runs.", "--owner", "dee", *arguments]

    refuses(2, words, "create_domain", *wanted)


# -- create_agent and revoke_key -----------------------------------------------------------------


def test_an_agents_key_stands_alone_on_the_last_line_of_stdout(world: World) -> None:
    said = run("create_agent", "triage", "--owner", "ann", "--domain", "billing", "--domain", "new",
               "--effects", "read", "--acts-for", "eve", "--grace", "4")  # fmt: skip

    assert said.out.endswith("\n")
    marker, prefix, secret = said.out.splitlines()[-1].split("_", 2)
    key = AgentKey.objects.select_related("agent").get(prefix=prefix)
    assert marker == "cs"
    assert key.secret_digest == agents.secret_digest(secret)
    assert (key.agent.name, key.acts_for, key.agent.owner) == ("triage", world.eve, world.ann)
    assert (key.agent.may_read, key.agent.may_write, key.agent.grace_seconds) == (True, False, 4)
    assert sorted(key.agent.domains.values_list("name", flat=True)) == ["billing", "new"]
    assert "Domain new has no purpose yet" in said.err
    assert secret not in said.err


def test_an_agent_acts_for_its_owner_with_both_effects_by_default(world: World) -> None:
    run("create_agent", "triage", "--owner", "ann", "--domain", "billing")

    key = AgentKey.objects.get(agent__name="triage")
    assert key.acts_for == world.ann
    assert (key.agent.may_read, key.agent.may_write, key.agent.grace_seconds) == (True, True, 25)


BAD_AGENTS = [
    (["support"], "$.name: is taken"),
    (["Triage"], "$.name: must be 1 to 64 lower-case letters"),
    (["triage", "--owner", "nobody"], "There is no person called 'nobody'."),
    (["triage", "--acts-for", "nobody"], "There is no person called 'nobody'."),
    (["triage", "--domain", "c"], "'c' is reserved"),
    (["triage", "--domain", "new", "--domain", "NEW"], "$.domains: the name of domain 'NEW'"),
    (["triage", "--effects", "read,destroy"], "$.effects: Effects are read, write or both."),
    (["triage", "--effects", ""], "$.effects: Effects are read, write or both."),
    (["triage", "--grace=-1"], "$.grace_seconds: must be from 0 to 600 seconds"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_AGENTS)
def test_an_agent_that_cannot_be_is_refused_and_has_no_key(
    world: World, arguments: list[str], words: str
) -> None:
    refuses(2, words, "create_agent", "--owner", "ann", "--domain", "billing", *arguments)


@pytest.mark.parametrize("shape", ["{prefix}", "cs_{prefix}", "cs_{prefix}_{secret}"])
def test_a_key_is_revoked_by_its_prefix_however_it_was_copied(world: World, shape: str) -> None:
    _, prefix, secret = world.key.split("_", 2)
    named = shape.format(prefix=prefix, secret=secret)

    assert run("revoke_key", named).out == f"Revoked key {prefix} of agent support.\n"

    assert AgentKey.objects.get().revoked_at is not None
    again = run("revoke_key", named)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"There is no key '{prefix}' to revoke."


# -- review_tool ---------------------------------------------------------------------------------


def test_a_tool_is_reviewed_as_it_is_listed_now(world: World) -> None:
    list_tools(world.upstream, definition("refund", title="Other"), definition("get_customer"))

    said = run("review_tool", "billing", "refund", "--effect", "destructive")

    refund = Tool.objects.get(name="refund")
    assert refund.effect == "destructive"
    assert said.out.startswith("billing__refund: changed → destructive (definition ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["billing", "refnd"], "has no tool 'refnd'; it has: get_customer, refund."),
        (["biling", "refund"], "There is no upstream 'biling'; there is: billing."),
    ],
)
def test_an_unknown_tool_is_refused_with_those_there_are(
    world: World, arguments: list[str], words: str
) -> None:
    refuses(1, words, "review_tool", *arguments, "--effect", "read")


def test_an_effect_there_is_not_is_refused_with_those_there_are(world: World) -> None:
    words = "choose from 'read', 'write', 'destructive'"

    refuses(1, words, "review_tool", "billing", "refund", "--effect", "unreviewed")


def test_what_an_upstream_calls_its_tools_cannot_command_the_terminal(world: World) -> None:
    Tool.objects.filter(name="refund").update(name="\x1b]0;owned\x07\x1b[2J")

    said = run("review_tool", "billing", "refund", "--effect", "read")

    assert "\x1b" not in said.err
    assert "‹U+001B›" in said.err


# -- load_rules ----------------------------------------------------------------------------------


def test_rules_are_loaded_from_a_file(db: None, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"rules": [{"outcome": "deny", "tool": "billing__*"}]}')

    said = run("load_rules", str(file))

    assert said == Said("Policy version 1 is in force: 2 rules.\n", "", 0)
    assert PolicyVersion.objects.get().source == str(file)


BAD_FILES: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"{rules: []}", "not JSON: Expecting property name"),
    (b"\x89PNG\r\n\x1a\n\0", "not UTF-8 at byte 0"),
    (b"\xef\xbb\xbf{}", "byte order mark"),
    (b'{"rules": [], "rules": []}', "$.rules: this key appears twice in its object"),
    (b'{"rules": [{"outcome": "deny", "outcome": "allow"}]}', "$.rules[0].outcome: this key"),
    (b'{"rules": NaN}', "$.rules: a number must be finite"),
    (b'{"rules": ' + b"[" * 100 + b"]" * 100 + b"}", "nested more than"),
    (b"[]", "must be an object"),
    (b'{"rules": {}}', "$.rules: must be a list of rules"),
    (b'{"rules": [], "version": 2}', "$.version: unknown key"),
    (b'{"rules": [{"outcome": "allow", "quorum": 0}]}', "$.rules[0].quorum: must be a whole"),
    (b'{"rules": [' + b" " * 1_100_000 + b"]}", "has more than 1048576 bytes"),
]


@pytest.mark.parametrize(("content", "words"), BAD_FILES)
def test_a_file_that_holds_no_policy_is_refused_whole(
    db: None, tmp_path: Path, content: bytes, words: str
) -> None:
    file = tmp_path / "rules.json"
    file.write_bytes(content)

    refuses(2, words, "load_rules", str(file))


def test_every_place_that_is_wrong_in_a_policy_has_its_line(db: None, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"rules": [{"outcome": "allow"}, {"outcome": "alow"}, {"when": 1}]}')

    said = run("load_rules", str(file))

    assert (said.code, said.err.splitlines()) == (2, [
        "3 places are wrong:",
        "  $.rules[1].outcome: must be one of allow, hold, deny",
        "  $.rules[2].outcome: is required",
        "  $.rules[2].when: unknown key",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [("absent.json", "No such file or directory"), ("", "Is a directory"), ("a\0b", "null byte")],
)
def test_a_file_that_cannot_be_read_is_named(
    db: None, tmp_path: Path, name: str, words: str
) -> None:
    refuses(2, words, "load_rules", f"{tmp_path}/{name}")


def test_a_file_without_end_is_not_read_to_its_end(db: None) -> None:
    refuses(2, "/dev/zero has more than 1048576 bytes", "load_rules", "/dev/zero")


# -- settle --------------------------------------------------------------------------------------


def settle(call_id: object, **changes: str) -> list[str]:
    wanted = {"outcome": "ran", "evidence": "The ledger has it.", "as": "bo", **changes}
    return ["settle", str(call_id), *(f"--{name}={value}" for name, value in wanted.items())]


@pytest.mark.parametrize(("outcome", "status"), [("ran", "succeeded"), ("not-ran", "failed")])
def test_an_unknown_call_is_settled_with_evidence(
    held_call: Any, settings: Any, outcome: str, status: str
) -> None:
    settings.SETTLE_QUARANTINE_SECONDS = 0
    call = held_call(status=S.UNKNOWN)

    said = run(*settle(call.pk, outcome=outcome))

    call.refresh_from_db()
    assert call.status == status
    assert said.out.startswith(f"Call {call.pk} is {status}: ")
    assert "says Bo Tester: The ledger has it." in said.out


def test_a_call_in_quarantine_is_refused_with_the_time_to_wait(held_call: Any) -> None:
    call = held_call(status=S.UNKNOWN)

    said = run(*settle(call.pk))

    assert said.code == 1
    assert "its answer may still arrive. Try again in" in said.err


def test_settling_is_refused_to_whoever_is_no_approver_and_for_what_is_not_unknown(
    held_call: Any, settings: Any
) -> None:
    settings.SETTLE_QUARANTINE_SECONDS = 0
    call = held_call(status=S.UNKNOWN)
    pending = held_call(arguments={"n": 1})

    refuses(1, "Only an approver of this domain can settle it.", *settle(call.pk, **{"as": "ann"}))
    refuses(1, "Only an unknown outcome is settled; this is pending", *settle(pending.pk))
    refuses(1, "There is no such call.", *settle(uuid.uuid4()))
    refuses(1, "invalid UUID value: 'abc'", *settle("abc"))
    refuses(2, "There is no person called 'zoe'.", *settle(call.pk, **{"as": "zoe"}))
    refuses(2, "$.evidence: Evidence is required", *settle(call.pk, evidence=" "))
    refuses(1, "choose from 'ran', 'not-ran'", *settle(call.pk, outcome="maybe"))


# -- verify_audit --------------------------------------------------------------------------------


def test_a_whole_trail_is_said_to_be_whole_with_counts(held_call: Any) -> None:
    held_call(status=S.SUCCEEDED)

    said = run("verify_audit")

    events = AuditEvent.objects.count()
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"The audit trail is whole: {events} events in ")
    assert said.out.endswith(" streams, 1 calls.\n")


def test_a_broken_trail_is_exit_code_1_and_the_place(held_call: Any) -> None:
    call = held_call(status=S.SUCCEEDED)

    with by_hand():
        AuditEvent.objects.filter(stream=f"call:{call.pk}", seq=3).update(actor="person:eve")
        said = run("verify_audit")

    assert said.code == 1
    assert said.out.startswith(f"call:{call.pk}#3: its digest does not match")
    assert "The audit trail is broken in one place; looked at" in said.err


def test_of_very_many_places_the_first_hundred_are_listed(held_call: Any) -> None:
    for number in range(60):
        held_call(arguments={"n": number})

    with by_hand():
        AuditEvent.objects.filter(stream__startswith="call:").update(code="call.admitted")
        said = run("verify_audit")

    assert len(said.out.splitlines()) == 100
    assert "(the first 100 are listed)" in said.err


# -- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["create_domain", "deploys", "--purpose", "What runs.", "--owner", "dee"],
        ["create_agent", "triage", "--owner", "ann", "--domain", "billing"],
        ["review_tool", "billing", "refund", "--effect", "read"],
    ],
)
def test_a_running_server_is_told_of_every_change(world: World, arguments: list[str]) -> None:
    before = Revision.current()

    assert run(*arguments).code == 0

    assert Revision.current() > before


def test_a_database_of_another_version_is_left_alone(world: World) -> None:
    MigrationRecorder.Migration.objects.filter(app="approvals").delete()

    refuses(1, "run `manage.py migrate` or `manage.py up`", "revoke_key", "x")


def test_the_data_folder_cannot_be_chosen_any_more(db: None) -> None:
    refuses(2, "chosen by manage.py", "revoke_key", "x", "--data", "elsewhere")
