"""Whether the guards are there and work is looked at: by a system check, and at every start."""

import re

import pytest
from django.core.checks import run_checks
from django.db import connection

from approvals import guards
from approvals.models import AuditEvent
from tests.support import guarding

NAMES = {
    "sqlite": {
        *("tool_call_starts_right", "tool_call_moves_legally", "tool_call_stays"),
        *("decision_fits_its_call", "decision_never_changes", "decision_stays"),
        *("dispatch_fits_its_claim", "dispatch_never_changes", "dispatch_stays"),
        *("audit_event_follows", "audit_event_never_changes", "audit_event_stays"),
    }
}
NAMES["postgresql"] = NAMES["sqlite"] | {
    f"{table}_is_not_truncated" for table in ("tool_call", "decision", "dispatch", "audit_event")
}


def test_a_database_with_all_its_guards_has_no_problems(db):
    assert guards.problems() == []
    assert guards.refuse_to_start() == []
    assert run_checks(databases=["default"], tags=["database"]) == []


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_no_guard_is_forgotten(vendor):
    """The list is written out here, so that one lost from the files is lost from none of both."""
    assert set(guards.expected(vendor)) == NAMES[vendor]


def test_both_engines_refuse_in_the_same_words():
    said = {engine: _words(engine) for engine in ("sqlite", "postgresql")}

    # What an engine's own laws already say, or what it alone can be made to do.
    only_sqlite = {
        "a tool call is never replaced",
        "a decision is never replaced",
        "a call is dispatched at most once",
        "a state is text",
    }
    assert said["sqlite"] - said["postgresql"] == only_sqlite
    assert said["postgresql"] <= said["sqlite"]


def _words(vendor: str) -> set[str]:
    return set(re.findall(r"'guard: ([^']+)'", "".join(guards.expected(vendor).values())))


def test_every_guard_that_is_dropped_is_named(db):
    for name in NAMES[connection.vendor]:
        with guarding.undone():
            guarding.remove(name)

            assert guards.problems() == [
                f"The database guard {name} is missing; run `manage.py migrate`."
            ]


def test_every_guard_that_is_changed_is_named(db):
    for name, sql in guards.expected(connection.vendor).items():
        with guarding.undone():
            guarding.replace(name, sql.replace("'guard: ", "'guard! "))

            assert guards.problems() == [
                f"The database guard {name} is not the one this version installs."
            ]


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["DISABLE", "ENABLE", "ENABLE REPLICA"])
def test_every_guard_that_is_disabled_is_named(db, how):
    """ENABLE is less than ENABLE ALWAYS: a replica, or who plays one, would not be guarded."""
    for name, sql in guards.expected("postgresql").items():
        with guarding.undone():
            guarding.execute(f"ALTER TABLE {_table(sql)} {how} TRIGGER {name}")

            assert guards.problems() == [
                f"The database guard {name} is not the one this version installs."
            ]


def _table(sql: str) -> str:
    found = re.search(r" ON (approvals_\w+)", sql)
    assert found
    return found[1]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("ordinary", "weaker"),
    [
        ("FOR EACH ROW EXECUTE", "FOR EACH ROW WHEN (false) EXECUTE"),
        ("FOR EACH ROW EXECUTE", "FOR EACH STATEMENT EXECUTE"),
        ("BEFORE UPDATE ON", "BEFORE UPDATE OF data ON"),
        ("BEFORE UPDATE ON", "AFTER UPDATE ON"),
    ],
)
def test_a_guard_that_asks_less_often_is_named(db, ordinary, weaker):
    """Its name, its function and that it is enabled are right; when it is asked is not."""
    name = "audit_event_never_changes"
    sql = guards.expected("postgresql")[name].replace(ordinary, weaker)
    assert weaker in sql

    with guarding.undone():
        guarding.remove(name)
        guarding.execute(sql)

        assert guards.problems() == [
            f"The database guard {name} is not the one this version installs."
        ]


@pytest.mark.postgres
def test_a_guard_on_another_table_is_named(db):
    name = "audit_event_never_changes"
    sql = guards.expected("postgresql")[name]

    with guarding.undone():
        guarding.remove(name)
        guarding.execute(sql.replace("approvals_auditevent", "approvals_domain"))

        assert guards.problems() == [
            f"The database guard {name} is not the one this version installs."
        ]


def test_the_system_check_names_each_missing_guard(db):
    with guarding.undone():
        guarding.remove("tool_call_stays")
        guarding.remove("decision_stays")

        found = run_checks(databases=["default"], tags=["database"])

    assert [(error.id, error.msg.split()[3]) for error in found] == [
        ("approvals.E001", "tool_call_stays"),
        ("approvals.E001", "decision_stays"),
    ]


def test_the_system_check_is_silent_where_no_database_is_asked_for(db):
    with guarding.undone():
        guarding.remove("tool_call_stays")

        assert run_checks(tags=["database"]) == []


def test_a_start_is_refused_without_a_guard(db):
    with guarding.undone():
        guarding.remove("tool_call_stays")

        assert guards.refuse_to_start() == guards.problems() != []


def test_a_start_is_refused_when_a_forbidden_statement_goes_through(db):
    with guarding.undone():
        guarding.remove("audit_event_follows")

        assert guards.refuse_to_start() == [
            *guards.problems(),
            "The database let an audit event in that follows nothing.",
        ]
        assert not AuditEvent.objects.filter(stream="guard:probe").exists()


def _shadow() -> None:
    """Let every guard stand as its file says, and yet none be asked about a new event."""
    if connection.vendor == "sqlite":
        guarding.execute(
            "CREATE TEMP TABLE approvals_auditevent AS SELECT * FROM approvals_auditevent"
        )
        return
    guarding.execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    guarding.execute(
        "CREATE TRIGGER a_first BEFORE INSERT ON approvals_auditevent"
        " FOR EACH ROW EXECUTE FUNCTION swallow()"
    )


def test_a_start_is_refused_when_guards_are_right_in_text_and_do_not_work(db):
    """On SQLite a temporary table stands before the real one; on PostgreSQL a trigger swallows."""
    with guarding.undone():
        _shadow()
        assert guards.problems() == []

        assert guards.refuse_to_start() == [
            "The database let an audit event in that follows nothing."
        ]


def test_another_refusal_is_not_taken_for_the_guards(db):
    """A NOT NULL, a lost right, a full disk: whatever stops the trial, the guard did not."""
    with guarding.undone():
        guarding.remove("audit_event_follows")
        guarding.execute("ALTER TABLE approvals_auditevent RENAME COLUMN code TO codes")

        assert "could not be tried" in guards.refuse_to_start()[-1]


def test_a_trial_leaves_nothing_behind(db):
    before = AuditEvent.objects.count()

    guards.refuse_to_start()

    assert AuditEvent.objects.count() == before


def test_guards_that_are_installed_again_replace_what_is_there(db):
    with guarding.undone():
        guarding.remove("tool_call_stays")
        sql = guards.expected(connection.vendor)["decision_stays"]
        guarding.replace("decision_stays", sql.replace("'guard: ", "'guard! "))

        guards.install()

        assert guards.problems() == []


def test_guards_can_be_dropped_twice(db):
    with guarding.undone():
        guards.drop()
        guards.drop()

        assert len(guards.problems()) == len(NAMES[connection.vendor])
